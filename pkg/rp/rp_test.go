package rp_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// app is an application under test: a page for each demand, and the last error
// that was handed to it.
type app struct {
	*httptest.Server
	rp *rp.RP
	op *rptest.Provider

	mu   sync.Mutex
	errs []*rp.Error
}

func start(t *testing.T, change func(*rp.Config)) *app {
	t.Helper()
	a := &app{op: rptest.New(t)}
	mux := http.NewServeMux()
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)

	c := a.op.Config(a.URL + "/callback")
	c.PostLogoutRedirectURL, c.SignedOut = a.URL+"/logout/callback", "/signed-out"
	c.Scopes = []string{"profile"}
	c.Log = slog.New(slog.DiscardHandler)
	c.OnError = a.onError
	if change != nil {
		change(&c)
	}
	var err error
	if a.rp, err = rp.New(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	mux.HandleFunc("/callback", a.rp.Callback)
	mux.HandleFunc("/logout", a.rp.Logout)
	mux.HandleFunc("/logout/callback", a.rp.LogoutCallback)
	mux.HandleFunc("/logout/backchannel", a.rp.BackChannelLogout)
	mux.HandleFunc("/login", func(w http.ResponseWriter, r *http.Request) {
		o := rp.LoginOptions{ReturnTo: r.FormValue("to"), ACRValues: strings.Fields(r.FormValue("acr")), Prompt: r.FormValue("prompt")}
		if r.FormValue("max_age") != "" {
			o.MaxAge, _ = time.ParseDuration(r.FormValue("max_age"))
		}
		a.rp.Login(w, r, o)
	})
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := rp.FromContext(r.Context())
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+s.Subject+" "+s.ACR+" "+s.Claim("name"))
	})
	mux.Handle("/records/", a.rp.Require("", page))
	mux.Handle("/secret", a.rp.Require(rp.ACRCard, page))
	mux.Handle("/recent", a.rp.RequireRecent("", time.Minute, page))
	mux.HandleFunc("/token", func(w http.ResponseWriter, r *http.Request) {
		s, err := a.rp.Session(r)
		if err == nil {
			var token string
			if token, err = s.AccessToken(r.Context()); err == nil {
				_, _ = io.WriteString(w, token)
				return
			}
		}
		http.Error(w, err.Error(), http.StatusTeapot)
	})
	mux.HandleFunc("/signed-out", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "signed out") })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, r *http.Request) {
		if s, err := a.rp.Session(r); err == nil {
			_, _ = io.WriteString(w, "home of "+s.Subject)
			return
		}
		_, _ = io.WriteString(w, "home of nobody")
	})
	return a
}

func (a *app) onError(w http.ResponseWriter, _ *http.Request, e *rp.Error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.errs = append(a.errs, e)
	http.Error(w, "error "+e.Code, e.Status())
}

func (a *app) lastError() *rp.Error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.errs) == 0 {
		return &rp.Error{}
	}
	return a.errs[len(a.errs)-1]
}

// browser is one with its own cookies.
type browser struct {
	t *testing.T
	*http.Client
}

func (a *app) browser(t *testing.T) browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return browser{t, &http.Client{Jar: jar}}
}

// get loads a page, through every redirect.
func (b browser) get(url string) (body string, status int) {
	b.t.Helper()
	res, err := b.Get(url)
	if err != nil {
		b.t.Fatal(err)
	}
	return read(b.t, res), res.StatusCode
}

// step loads a page without following its redirect, which it returns.
func (b browser) step(url string) string {
	b.t.Helper()
	res := b.once(b.t, "GET", url, nil)
	_ = read(b.t, res)
	return res.Header.Get("Location")
}

// once sends one request and follows nothing.
func (b browser) once(t *testing.T, method, url string, header http.Header) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name := range header {
		req.Header.Set(name, header.Get(name))
	}
	c := *b.Client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// toCallback walks from a page to the callback address that the provider gives,
// without going there.
func (b browser) toCallback(a *app, page string) string {
	b.t.Helper()
	authorize := b.step(a.URL + page)
	if !strings.HasPrefix(authorize, a.op.URL+"/authorize?") {
		b.t.Fatalf("%s leads to %q, not to the provider", page, authorize)
	}
	return b.step(authorize)
}

func (b browser) cookies(a *app) map[string]string {
	u, _ := url.Parse(a.URL)
	found := map[string]string{}
	for _, c := range b.Jar.Cookies(u) {
		found[c.Name] = c.Value
	}
	return found
}

func read(t *testing.T, res *http.Response) string {
	t.Helper()
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(body))
}

func expect(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

// clock is a settable Now.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) forward(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestSignInLandsOnTheDeepLink(t *testing.T) { // S20
	a := start(t, nil)
	b := a.browser(t)
	body, _ := b.get(a.URL + "/records/7?tab=2&x=%2F")
	expect(t, "page", body, "GET /records/7?tab=2&x=%2F user-1 urn:portti:acr:pwd-otp Maija Meikäläinen")
	q := a.op.LastAuthorize()
	expect(t, "scope", q.Get("scope"), "openid profile")
	expect(t, "PKCE", q.Get("code_challenge_method"), "S256")
	expect(t, "response_type", q.Get("response_type"), "code")
	if len(q.Get("nonce")) < 43 || len(q.Get("state")) < 43 || q.Get("nonce") == q.Get("state") {
		t.Errorf("nonce %q and state %q should be 256 random bits each", q.Get("nonce"), q.Get("state"))
	}
	b.get(a.URL + "/records/8")
	if n := a.op.Counts().Authorize; n != 1 {
		t.Errorf("a signed-in browser went to the provider: %d visits", n)
	}
}

func TestManyTabsSignInAtOnce(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	one, two, three := b.toCallback(a, "/records/1"), b.toCallback(a, "/records/2"), b.toCallback(a, "/records/3")
	for i, callback := range []string{two, one, three} {
		body, _ := b.get(callback)
		expect(t, "tab", body[:len("GET /records/1")], "GET /records/"+[]string{"2", "1", "3"}[i])
	}
	if n := a.op.Counts(); n.Code != 3 || n.Authorize != 3 {
		t.Errorf("3 tabs made %+v", n)
	}
}

func TestPublicClientAndSecretInTheForm(t *testing.T) {
	for name, change := range map[string]func(*app, *rp.Config){
		"public": func(a *app, c *rp.Config) { c.ClientSecret, a.op.ClientSecret = "", "" },
		"post":   func(_ *app, c *rp.Config) { c.ClientSecretPost = true },
	} {
		t.Run(name, func(t *testing.T) {
			a := &app{op: rptest.New(t)}
			c := a.op.Config("http://app.localhost/callback")
			change(a, &c)
			p, err := rp.New(t.Context(), c)
			if err != nil {
				t.Fatal(err)
			}
			w := httptest.NewRecorder()
			p.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{ReturnTo: "/x"})
			b := a.browser(t)
			r := httptest.NewRequest("GET", b.step(w.Header().Get("Location")), nil)
			for _, c := range w.Result().Cookies() {
				r.AddCookie(c)
			}
			w = httptest.NewRecorder()
			p.Callback(w, r)
			expect(t, "after the callback", w.Header().Get("Location"), "/x")
			if n := a.op.Counts().Code; n != 1 {
				t.Errorf("the code was sent %d times", n)
			}
		})
	}
}

func TestApplicationStartsBeforeItsProvider(t *testing.T) {
	now := newClock()
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Down = true })
	var failed *rp.Error
	c := op.Config("http://app.localhost/callback")
	c.Now, c.Log = now.Now, slog.New(slog.DiscardHandler)
	c.OnError = func(w http.ResponseWriter, _ *http.Request, e *rp.Error) { failed = e; w.WriteHeader(e.Status()) }
	p, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	login := func() *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		p.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{})
		return w
	}
	if w := login(); w.Code != http.StatusServiceUnavailable || failed.Code != rp.TemporarilyUnavailable {
		t.Errorf("status %d, error %v", w.Code, failed)
	}
	if !strings.Contains(failed.Error(), op.URL) {
		t.Errorf("the error does not name the provider: %v", failed)
	}
	op.Set(func(s *rptest.Script) { s.Down = false })
	now.forward(2 * time.Second)
	if w := login(); w.Code != http.StatusSeeOther {
		t.Errorf("status %d after the provider came up", w.Code)
	}
}

func TestDiscoveryIsNotRepeatedByACrowd(t *testing.T) {
	now := newClock()
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Metadata = func(m map[string]any) { m["issuer"] = "https://other.example" } })
	c := op.Config("http://app.localhost/callback")
	c.Now, c.Log = now.Now, slog.New(slog.DiscardHandler)
	p, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	for range 50 {
		w := httptest.NewRecorder()
		p.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{})
		if w.Code != http.StatusServiceUnavailable {
			t.Fatalf("signed in with another issuer's metadata: %d", w.Code)
		}
	}
	if n := op.Counts().Discovery; n != 1 {
		t.Errorf("%d discoveries for 50 visitors", n)
	}
}

func TestImpatientVisitorsDoNotSpoilDiscovery(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Down = true })
	now := newClock()
	c := op.Config("http://app.localhost/callback")
	c.Now, c.Log = now.Now, slog.New(slog.DiscardHandler)
	p, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	op.Set(func(s *rptest.Script) { s.Down = false })
	now.forward(time.Minute)
	gone, leave := context.WithCancel(t.Context())
	leave()
	p.Login(httptest.NewRecorder(), httptest.NewRequest("GET", "/login", nil).WithContext(gone), rp.LoginOptions{})
	w := httptest.NewRecorder()
	p.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{})
	if w.Code != http.StatusSeeOther {
		t.Errorf("status %d for the next visitor", w.Code)
	}
}

func TestSecretsDoNotFollowRedirects(t *testing.T) {
	elsewhere := 0
	target := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	defer target.Close()
	redirect := httptest.NewServer(http.RedirectHandler(target.URL, http.StatusTemporaryRedirect))
	defer redirect.Close()
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Metadata = func(m map[string]any) { m["token_endpoint"] = redirect.URL } })
	a := start(t, func(c *rp.Config) { c.Issuer = op.URL })
	a.op = op
	b := a.browser(t)
	body, _ := b.get(a.URL + "/records/1")
	expect(t, "page", body, "error "+rp.InvalidResponse)
	if elsewhere != 0 {
		t.Error("code and secret went where the token endpoint pointed")
	}
}

func TestEndlessAnswersAreCut(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) {
		s.Metadata = func(m map[string]any) { m["x"] = strings.Repeat("x", 2<<20) }
	})
	a := start(t, func(c *rp.Config) { c.Issuer = op.URL })
	body, _ := a.browser(t).get(a.URL + "/records/1")
	expect(t, "page", body, "error "+rp.TemporarilyUnavailable)
}

func TestMetadataMustKeepSecretsOffTheWire(t *testing.T) {
	for _, name := range []string{"token_endpoint", "authorization_endpoint", "jwks_uri", "userinfo_endpoint", "end_session_endpoint"} {
		op := rptest.New(t)
		op.Set(func(s *rptest.Script) { s.Metadata = func(m map[string]any) { m[name] = "http://id.example.fi/x" } })
		c := op.Config("http://app.localhost/callback")
		c.Log = slog.New(slog.DiscardHandler)
		p, err := rp.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		p.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{})
		if w.Code != http.StatusServiceUnavailable {
			t.Errorf("%s over http was used: %d", name, w.Code)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := rp.Config{Issuer: "https://id.example.fi", ClientID: "app", RedirectURL: "https://app.example.fi/callback"}
	refuse := http.Client{Transport: roundTrip(func(*http.Request) (*http.Response, error) { return nil, errors.New("no network") })}
	good.HTTPClient, good.Log = &refuse, slog.New(slog.DiscardHandler)
	for name, test := range map[string]struct {
		change func(*rp.Config)
		field  string // named by the error; "" for none
	}{
		"good":                  {func(*rp.Config) {}, ""},
		"http on localhost":     {func(c *rp.Config) { c.RedirectURL = "http://app.localhost:8080/callback" }, ""},
		"http on 127.0.0.1":     {func(c *rp.Config) { c.RedirectURL = "http://127.0.0.1:8080/callback" }, ""},
		"http on ::1":           {func(c *rp.Config) { c.RedirectURL = "http://[::1]:8080/callback" }, ""},
		"http elsewhere":        {func(c *rp.Config) { c.RedirectURL = "http://app.example.fi/callback" }, "RedirectURL"},
		"a name like localhost": {func(c *rp.Config) { c.RedirectURL = "http://localhost.example.fi/callback" }, "RedirectURL"},
		"evillocalhost":         {func(c *rp.Config) { c.RedirectURL = "http://evillocalhost/callback" }, "RedirectURL"},
		"no redirect":           {func(c *rp.Config) { c.RedirectURL = "" }, "RedirectURL"},
		"relative redirect":     {func(c *rp.Config) { c.RedirectURL = "/callback" }, "RedirectURL"},
		"http issuer":           {func(c *rp.Config) { c.Issuer = "http://id.example.fi" }, "Issuer"},
		"no issuer":             {func(c *rp.Config) { c.Issuer = "" }, "Issuer"},
		"no client":             {func(c *rp.Config) { c.ClientID = "" }, "ClientID"},
		"home elsewhere":        {func(c *rp.Config) { c.Home = "//evil.example" }, "Home"},
		"signed out elsewhere":  {func(c *rp.Config) { c.SignedOut = "https://evil.example" }, "SignedOut"},
		"http after logout":     {func(c *rp.Config) { c.PostLogoutRedirectURL = "http://app.example.fi/" }, "PostLogoutRedirectURL"},
		"HMAC":                  {func(c *rp.Config) { c.Algorithms = []string{"HS256"} }, "Algorithms"},
		"none":                  {func(c *rp.Config) { c.Algorithms = []string{"none"} }, "Algorithms"},
	} {
		c := good
		test.change(&c)
		_, err := rp.New(t.Context(), c)
		if (err == nil) != (test.field == "") || err != nil && !strings.Contains(err.Error(), test.field) {
			t.Errorf("%s: error %v, want one that names %q", name, err, test.field)
		}
	}
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestParametersOfASignIn(t *testing.T) {
	op := rptest.New(t)
	c := op.Config("http://app.localhost/callback")
	c.DefaultACR = rp.ACRPasswordOTP
	c.UILocales = func(*http.Request) []string { return []string{"sv", "fi"} }
	c.Log = slog.New(slog.DiscardHandler)
	p, err := rp.New(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	parameters := func(o rp.LoginOptions) (url.Values, int) {
		w := httptest.NewRecorder()
		p.Login(w, httptest.NewRequest("GET", "/login", nil), o)
		u, err := url.Parse(w.Header().Get("Location"))
		if err != nil {
			t.Fatal(err)
		}
		return u.Query(), w.Code
	}
	q, _ := parameters(rp.LoginOptions{})
	expect(t, "default acr", q.Get("acr_values"), rp.ACRPasswordOTP)
	expect(t, "configured locales", q.Get("ui_locales"), "sv fi")
	for _, absent := range []string{"max_age", "prompt", "login_hint"} {
		if q.Has(absent) {
			t.Errorf("%s was sent unasked", absent)
		}
	}
	q, _ = parameters(rp.LoginOptions{
		ACRValues: []string{rp.ACRCard, "phr"}, MaxAge: 5 * time.Minute, Prompt: "login", LoginHint: "maija",
		UILocales: []string{"en"}, Extra: url.Values{"display": {"page"}},
	})
	expect(t, "acr", q.Get("acr_values"), rp.ACRCard+" phr")
	expect(t, "max_age", q.Get("max_age"), "300")
	expect(t, "prompt", q.Get("prompt"), "login")
	expect(t, "login_hint", q.Get("login_hint"), "maija")
	expect(t, "ui_locales", q.Get("ui_locales"), "en")
	expect(t, "extra", q.Get("display"), "page")
	for _, name := range []string{"redirect_uri", "client_id", "state", "nonce", "code_challenge", "code_challenge_method", "request_uri", "response_mode", "acr_values", "scope"} {
		if _, status := parameters(rp.LoginOptions{Extra: url.Values{name: {"x"}}}); status == http.StatusSeeOther {
			t.Errorf("Extra may change %s", name)
		}
	}
}
