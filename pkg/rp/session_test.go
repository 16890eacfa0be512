package rp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// signIn walks a sign-in without a server, for what depends on the address that
// the application has. It returns the Set-Cookie lines of login and callback.
func signIn(t *testing.T, p *rp.RP) (login, callback []*http.Cookie) {
	t.Helper()
	w := httptest.NewRecorder()
	p.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{})
	login = w.Result().Cookies()
	res, err := http.DefaultTransport.RoundTrip(httptest.NewRequest("GET", w.Header().Get("Location"), nil))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	r := httptest.NewRequest("GET", res.Header.Get("Location"), nil)
	for _, c := range login {
		r.AddCookie(c)
	}
	w = httptest.NewRecorder()
	p.Callback(w, r)
	return login, w.Result().Cookies()
}

func TestCookies(t *testing.T) {
	op := rptest.New(t)
	for address, test := range map[string]struct {
		prefix string
		secure bool
	}{
		"https://app.example.fi/callback":         {"__Host-", true},
		"http://app.localhost:8080/callback":      {"", false},
		"https://app.localhost:8443/sub/callback": {"__Host-", true},
	} {
		c := op.Config(address)
		c.ClientID, c.Log = "app", slog.New(slog.DiscardHandler)
		p, err := rp.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		login, callback := signIn(t, p)
		all := append(login, callback...)
		if len(all) != 2 {
			t.Fatalf("%s: cookies %v", address, all)
		}
		expect(t, "of the sign-in", all[0].Name, test.prefix+"rp-app-browser")
		expect(t, "of the session", all[1].Name, test.prefix+"rp-app")
		for _, c := range all {
			if !c.HttpOnly || c.Secure != test.secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.MaxAge != 0 || len(c.Value) != 43 {
				t.Errorf("%s: %s", address, c.Raw)
			}
		}
	}
}

func TestSignInGivesAnewSecret(t *testing.T) { // session fixation
	a := start(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	before := b.cookies(a)["rp-app"]
	b.get(a.URL + "/login")
	after := b.cookies(a)["rp-app"]
	if before == after || len(after) != 43 {
		t.Errorf("secret %q before and %q after", before, after)
	}
	old := http.Header{"Cookie": {"rp-app=" + before}}
	res := browser{t, &http.Client{}}.once(t, "GET", a.URL+"/", old)
	expect(t, "the old secret", read(t, res), "home of nobody")
}

func TestPlantedSessionCookiesAreWorthNothing(t *testing.T) {
	a := start(t, nil)
	for _, planted := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 5000)} {
		header := http.Header{"Cookie": {"rp-app=" + planted}}
		res := browser{t, &http.Client{}}.once(t, "GET", a.URL+"/", header)
		expect(t, "planted", read(t, res), "home of nobody")
	}
}

func TestSessionEnds(t *testing.T) { // S72
	for name, test := range map[string]struct {
		change func(*rp.Config)
		steps  []time.Duration // between uses
		want   string
	}{
		"used within the idle limit":   {nil, []time.Duration{50 * time.Minute, 50 * time.Minute, 50 * time.Minute}, "user-1"},
		"idle":                         {nil, []time.Duration{61 * time.Minute}, "nobody"},
		"idle after use":               {nil, []time.Duration{50 * time.Minute, 61 * time.Minute}, "nobody"},
		"absolute limit, however busy": {nil, minutes(25, 30), "nobody"},
		"short idle":                   {func(c *rp.Config) { c.SessionIdle = 20 * time.Second }, []time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second}, "user-1"},
		"short idle passed":            {func(c *rp.Config) { c.SessionIdle = 20 * time.Second }, []time.Duration{21 * time.Second}, "nobody"},
		"no idle limit":                {func(c *rp.Config) { c.SessionIdle = -1 }, []time.Duration{11 * time.Hour}, "user-1"},
		"no idle limit, absolute":      {func(c *rp.Config) { c.SessionIdle = -1 }, []time.Duration{12 * time.Hour}, "nobody"},
		"short session":                {func(c *rp.Config) { c.SessionTTL = time.Minute }, []time.Duration{61 * time.Second}, "nobody"},
	} {
		t.Run(name, func(t *testing.T) {
			now := newClock()
			a := start(t, func(c *rp.Config) {
				c.Now = now.Now
				if test.change != nil {
					test.change(c)
				}
			})
			a.op.Set(func(s *rptest.Script) { s.Now = now.Now })
			b := a.browser(t)
			b.get(a.URL + "/records/1")
			for _, step := range test.steps {
				now.forward(step)
				b.get(a.URL + "/")
			}
			expect(t, "signed in", b.signedIn(a), test.want)
		})
	}
}

// minutes is n steps of m minutes.
func minutes(n int, m time.Duration) []time.Duration {
	steps := make([]time.Duration, n)
	for i := range steps {
		steps[i] = m * time.Minute
	}
	return steps
}

func TestSessionTellsWhoAndHow(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) {
		s.ACR = rp.ACRCard
		s.Claims["updated_at"] = 1764000000123456789
		s.Claims["acr"] = rp.ACRCard
	})
	c := op.Config("http://app.localhost/callback")
	c.Scopes, c.Log = []string{"profile"}, slog.New(slog.DiscardHandler)
	p, err := rp.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	_, cookies := signIn(t, p)
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(cookies[0])
	s, err := p.Session(r)
	if err != nil {
		t.Fatal(err)
	}
	if s.Subject != "user-1" || s.SID != "sid-1" || s.ACR != rp.ACRCard || strings.Join(s.AMR, " ") != "sc pin hwk mfa" ||
		time.Since(s.AuthTime) > time.Minute || s.IDToken == "" || s.Expires.Sub(s.Started) != 12*time.Hour {
		t.Errorf("session %#v", s)
	}
	expect(t, "name, from userinfo", s.Claim("name"), "Maija Meikäläinen")
	expect(t, "a big number", fmt.Sprint(s.Claims["updated_at"]), "1764000000123456789")
	var claims struct {
		Subject string `json:"sub"`
		Nonce   string `json:"nonce"`
	}
	if err := s.Decode(&claims); err != nil || claims.Subject != "user-1" || claims.Nonce == "" {
		t.Errorf("decoded %+v, %v", claims, err)
	}
}

func TestSecretsStayOutOfLogsAndTheStore(t *testing.T) {
	var log bytes.Buffer
	store := &rp.MemoryStore{}
	a := start(t, func(c *rp.Config) { c.Store, c.Log = store, slog.New(slog.NewJSONHandler(&log, nil)) })
	var tokens []string
	a.op.Set(func(s *rptest.Script) {
		s.TokenResponse = func(m map[string]any) {
			tokens = append(tokens, m["access_token"].(string), m["refresh_token"].(string), m["id_token"].(string))
		}
	})
	b := a.browser(t)
	callback := b.toCallback(a, "/records/1")
	b.get(callback)
	cookies := b.cookies(a)
	secrets := append(tokens, cookies["rp-app"], cookies["rp-app-browser"], a.op.ClientSecret, "Maija",
		a.op.LastAuthorize().Get("state"), a.op.LastAuthorize().Get("nonce"))

	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(&http.Cookie{Name: "rp-app", Value: cookies["rp-app"]})
	s, err := a.rp.Session(r)
	if err != nil {
		t.Fatal(err)
	}
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	logger.Info("a careless line", "session", s, "text", fmt.Sprintf("%v %+v", s, s))
	a.op.Set(func(s *rptest.Script) { s.RefuseGrant = "invalid_grant" })
	b.get(a.URL + "/login")

	dump := fmt.Sprintf("%+v", store)
	if !strings.Contains(log.String(), "signed in") || len(dump) < 1000 {
		t.Fatalf("nothing to look into: log %q, store of %d bytes", log.String(), len(dump))
	}
	raw, _ := json.Marshal(s)
	for _, secret := range secrets {
		if len(secret) < 5 {
			t.Fatalf("no secret: %q", secret)
		}
		if strings.Contains(log.String(), secret) {
			t.Errorf("the log holds %q", secret)
		}
		if strings.Contains(dump, secret) {
			t.Errorf("the store holds %q", secret)
		}
	}
	for _, token := range tokens {
		if bytes.Contains(raw, []byte(token)) {
			t.Errorf("the session as JSON holds a token")
		}
	}
}

func TestApplicationsShareAStore(t *testing.T) {
	store := &rp.MemoryStore{}
	one := start(t, func(c *rp.Config) { c.Store, c.CookieName = store, "same" })
	other := start(t, func(c *rp.Config) { c.Store, c.CookieName = store, "same" })
	b := one.browser(t)
	b.get(one.URL + "/records/1")
	expect(t, "at one", b.signedIn(one), "user-1")
	expect(t, "with the same cookie at the other", b.signedIn(other), "nobody") // cookies know no ports
	if code := postLogoutToken(t, other, other.op.LogoutToken(map[string]any{"sub": "user-1", "sid": "sid-1"})); code != 200 {
		t.Fatal(code)
	}
	expect(t, "a logout from the other provider", b.signedIn(one), "user-1")
}

func TestReplicasShareSessions(t *testing.T) {
	store := &rp.MemoryStore{}
	op := rptest.New(t)
	replica := func() *rp.RP {
		c := op.Config("http://app.localhost/callback")
		c.Store, c.Log = store, slog.New(slog.DiscardHandler)
		p, err := rp.New(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	one, two := replica(), replica()
	_, cookies := signIn(t, one)
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(cookies[0])
	if s, err := two.Session(r); err != nil || s.Subject != "user-1" {
		t.Errorf("session %v, %v", s, err)
	}
	w := httptest.NewRecorder()
	one.Login(w, httptest.NewRequest("GET", "/login", nil), rp.LoginOptions{ReturnTo: "/x"})
	res, err := http.DefaultTransport.RoundTrip(httptest.NewRequest("GET", w.Header().Get("Location"), nil))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	r = httptest.NewRequest("GET", res.Header.Get("Location"), nil)
	r.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	two.Callback(w, r)
	expect(t, "callback at the other replica", w.Header().Get("Location"), "/x")
}
