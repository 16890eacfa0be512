package userservices

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

const acrEnrol = "urn:portti:acr:enrol"

// kit is the app before a provider that signs in whom the test says, and an API
// that answers what the test says.
type kit struct {
	t   *testing.T
	url string
	op  *rptest.Provider
	api *fakeAPI
	log *safeBuffer

	late atomic.Int64 // how far our clocks are ahead of the machine's
}

// now is the time of app and provider.
func (k *kit) now() time.Time { return time.Now().Add(time.Duration(k.late.Load())) }

// later lets time pass.
func (k *kit) later(d time.Duration) { k.late.Add(int64(d)) }

// newKit starts the app; edit may change its settings first.
func newKit(t *testing.T, edit ...func(c *Config)) *kit {
	t.Helper()
	k := &kit{t: t, op: rptest.New(t), log: &safeBuffer{}}
	k.op.Set(func(s *rptest.Script) { s.Now = k.now })
	k.api = &fakeAPI{t: t, progress: portti.CardProgress{Phase: "none"}, outcome: portti.CardProgress{Phase: "none"}, refuse: map[string]*portti.Error{}, tokens: map[string]bool{}, me: fullMe()}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	k.url = "http://" + l.Addr().String()
	c := Config{URL: k.url, Issuer: k.op.URL, ClientID: k.op.ClientID, ClientSecret: k.op.ClientSecret, CardHost: "https://*.card.example.test:8443", Brand: "Portti", SupportPhone: "020 343 433",
		HTTPClient: &http.Client{Transport: split{k.api}}, Log: slog.New(slog.NewJSONHandler(k.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Now: k.now}
	for _, f := range edit {
		f(&c)
	}
	p, err := New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: p.Handler(), ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return k
}

// enrol makes the next sign-ins enrol sessions of somebody with nothing linked.
func (k *kit) enrol() {
	k.op.Set(func(s *rptest.Script) { s.ACR, s.NoRefresh = acrEnrol, true })
	k.api.set(func(me *portti.Me) { *me = newMe() })
}

// fullMe is a person with everything linked, newMe one on their first day.
func fullMe() portti.Me {
	me := newMe()
	me.Full = true
	me.Card = &portti.LinkedCard{Holder: "Maija Meikäläinen", Organisation: "Esimerkkivirasto", Issuer: "Test CA", Tail: "9f31", NotAfter: time.Now().AddDate(2, 0, 0), Linked: time.Now().AddDate(-1, 0, 0)}
	me.App = &portti.Authenticator{Kind: portti.App, Linked: time.Now().AddDate(-1, 0, 0), Permitted: true}
	me.May = portti.May{Card: "card_already_linked", App: "totp_already_linked", Token: "totp_already_linked"}
	return me
}

func newMe() portti.Me {
	return portti.Me{Username: "maija", Name: "Maija Meikäläinen", Language: "fi", Support: "020 343 433", Password: portti.Password{Min: 15},
		Organisation: portti.Organisation{Name: "Esimerkkivirasto", Methods: []portti.Method{portti.Card, portti.App, portti.Token}}}
}

// split sends calls of the API to the fake and all else to the provider.
type split struct{ api http.Handler }

func (s split) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasPrefix(r.URL.Path, "/api/") {
		return http.DefaultTransport.RoundTrip(r)
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return w.Result(), nil
}

// fakeAPI is the provider's API: Me as the test has set it, and an answer for
// everything else unless the test refuses it.
type fakeAPI struct {
	t  *testing.T
	mu sync.Mutex

	me         portti.Me
	traces     []portti.Trace
	refuse     map[string]*portti.Error // "POST /card/link"
	down       bool
	calls      []call
	then       func(path string) // after a call that was not refused
	tokens     map[string]bool   // that were shown
	only       string            // the one token that is taken; "" for any
	attemptURL string

	progress, outcome portti.CardProgress // of a card attempt
}

type call struct {
	Path string
	Body map[string]any
}

const (
	testKey    = "JBSW Y3DP EHPK 3PXP JBSW Y3DP EHPK 3PXP"
	testCode   = "492039"
	testFinger = "5f1d0e"
)

func (a *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
		a.t.Errorf("%s without an access token", r.URL)
	}
	a.tokens[token] = true
	if a.down {
		http.Error(w, "down", http.StatusBadGateway)
		return
	}
	path := r.Method + " " + strings.TrimPrefix(r.URL.Path, "/api/v1/me")
	body := map[string]any{}
	if r.Body != nil {
		_ = json.NewDecoder(r.Body).Decode(&body)
	}
	a.calls = append(a.calls, call{path, body})
	refusal := a.refuse[path]
	if a.only != "" && token != a.only {
		refusal = &portti.Error{Status: 401, Code: "invalid_token", Detail: "No."}
	}
	if refusal != nil {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(refusal.Status)
		_ = json.NewEncoder(w).Encode(refusal)
		return
	}
	var answer any
	switch path {
	case "GET ":
		answer = a.me
	case "POST /authenticator":
		answer = portti.Enrolment{Key: testKey, URI: "otpauth://totp/Portti?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP", QR: []byte("PNG"), Account: "Portti-1 TOTP-2FA", Expires: time.Now().Add(time.Minute)}
	case "POST /card/attempt":
		answer = portti.CardAttempt{URL: a.attemptURL}
		if a.attemptURL == "" {
			answer = portti.CardAttempt{URL: "https://abc.card.example.test:8443/attempt?t=TICKET"}
		}
	case "GET /traces":
		answer = a.traces
	case "GET /card/attempt":
		answer = a.progress
	case "GET /card/outcome":
		answer = a.outcome
	case "POST /card/seen":
		answer = portti.SeenCard{Fingerprint: testFinger, Card: portti.LinkedCard{Holder: "Maija Meikäläinen", Organisation: "Esimerkkivirasto", Issuer: "Test CA", Tail: "9f31", NotAfter: time.Now().AddDate(1, 0, 0)}}
	case "GET /consents":
		answer = portti.Consents{Consents: []portti.Consent{{Client: "outsider", Name: map[string]string{"fi": "Ulkopuolinen", "en": "Outsider"}, Home: "https://outsider.example/",
			Scopes: []string{"openid", "email", "reports"}, Claims: []string{"birthdate"}, Given: time.Now().AddDate(-1, 0, 0), Changed: time.Now()}}}
	case "DELETE /consents/outsider":
		w.WriteHeader(http.StatusNoContent)
	case "POST /authenticator/confirm", "POST /authenticator/trial", "POST /card/link", "POST /password", "POST /order":
		w.WriteHeader(http.StatusNoContent)
	default:
		a.t.Errorf("the API has no %s", path)
	}
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer)
	}
	if a.then != nil {
		a.then(path)
	}
}

func (a *fakeAPI) set(change func(me *portti.Me)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change(&a.me)
}

// locked changes the fake itself.
func (a *fakeAPI) locked(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

func (a *fakeAPI) refuses(path string, status int, code string, more ...func(e *portti.Error)) {
	e := &portti.Error{Status: status, Code: code, Detail: "RAW WORDS OF THE API"}
	for _, f := range more {
		f(e)
	}
	a.locked(func() { a.refuse[path] = e })
}

// bodies are what was sent to a path.
func (a *fakeAPI) bodies(path string) []map[string]any {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []map[string]any
	for _, c := range a.calls {
		if c.Path == path {
			all = append(all, c.Body)
		}
	}
	return all
}

// browser keeps cookies and follows redirects within app and provider.
type browser struct {
	k       *kit
	client  *http.Client
	lang    string
	visited []string // every address of the last navigation
}

func (k *kit) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		k.t.Fatal(err)
	}
	b := &browser{k: k, lang: "en"}
	b.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		b.visited = append(b.visited, r.URL.String())
		if len(via) > 10 {
			k.t.Fatalf("in circles: %v", b.visited)
		}
		if !strings.HasPrefix(r.URL.String(), k.url) && !strings.HasPrefix(r.URL.String(), k.op.URL) || strings.HasPrefix(r.URL.Path, "/signin/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// seen is where a navigation ended.
type seen struct {
	t      *testing.T
	b      *browser
	status int
	at     string // path and query, or the whole address outside the app
	body   string
	header http.Header
	doc    *html.Node
}

func (b *browser) do(r *http.Request) *seen {
	b.k.t.Helper()
	r.Header.Set("Accept-Language", b.lang)
	r.Header.Set("Accept", "text/html")
	b.visited = []string{r.URL.String()}
	res, err := b.client.Do(r)
	if err != nil {
		b.k.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.k.t.Fatal(err)
	}
	at := b.visited[len(b.visited)-1]
	s := &seen{t: b.k.t, b: b, status: res.StatusCode, at: strings.TrimPrefix(at, b.k.url), body: string(body), header: res.Header}
	if s.doc, err = html.Parse(bytes.NewReader(body)); err != nil {
		b.k.t.Fatal(err)
	}
	return s
}

func (b *browser) get(path string) *seen {
	b.k.t.Helper()
	r, err := http.NewRequestWithContext(b.k.t.Context(), "GET", b.k.url+path, nil)
	if err != nil {
		b.k.t.Fatal(err)
	}
	return b.do(r)
}

// post sends a form as the browser would from a page of the app.
func (b *browser) post(path string, form url.Values) *seen {
	b.k.t.Helper()
	r, err := http.NewRequestWithContext(b.k.t.Context(), "POST", b.k.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		b.k.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.do(r)
}

// submit fills in the page's form with this action and sends it. Hidden fields
// go along as they are.
func (s *seen) submit(action string, pairs ...string) *seen {
	s.t.Helper()
	form := url.Values{}
	found := false
	for n := range s.doc.Descendants() {
		if n.Data == "form" && attr(n, "action") == action {
			found = true
			for in := range n.Descendants() {
				if in.Data == "input" && attr(in, "type") == "hidden" {
					form.Set(attr(in, "name"), attr(in, "value"))
				}
			}
		}
	}
	if !found {
		s.t.Fatalf("no form leads to %s on %s (%d): %s", action, s.at, s.status, s.text())
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return s.b.post(action, form)
}

func (s *seen) want(status int, at string, ids ...string) *seen {
	s.t.Helper()
	if s.status != status || at != "*" && s.at != at {
		s.t.Fatalf("%d at %s, want %d at %s: %s", s.status, s.at, status, at, s.text())
	}
	for _, id := range ids {
		if s.element(id) == nil {
			s.t.Errorf("no %s at %s: %s", id, s.at, s.text())
		}
	}
	return s
}

func (s *seen) without(ids ...string) *seen {
	s.t.Helper()
	for _, id := range ids {
		if s.element(id) != nil {
			s.t.Errorf("%s is at %s", id, s.at)
		}
	}
	return s
}

func (s *seen) says(words ...string) *seen {
	s.t.Helper()
	for _, w := range words {
		if !strings.Contains(s.text(), w) {
			s.t.Errorf("%s does not say %q: %s", s.at, w, s.text())
		}
	}
	if strings.Contains(s.body, "RAW WORDS") {
		s.t.Errorf("%s shows the API's own words", s.at)
	}
	return s
}

func (s *seen) element(id string) *html.Node {
	for n := range s.doc.Descendants() {
		if n.Type == html.ElementNode && attr(n, "id") == id {
			return n
		}
	}
	return nil
}

// text is what the page says.
func (s *seen) text() string {
	var words []string
	for n := range s.doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

func attr(n *html.Node, name string) string {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if i < 0 {
		return ""
	}
	return n.Attr[i].Val
}

// safeBuffer takes log lines of several goroutines.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// snapshot keeps the cookies as they are now, for a request that was sent before
// the answer to another one came.
type snapshot struct {
	b       *browser
	cookies []*http.Cookie
}

func (b *browser) snapshot() snapshot {
	u, err := url.Parse(b.k.url)
	if err != nil {
		b.k.t.Fatal(err)
	}
	return snapshot{b, b.client.Jar.Cookies(u)}
}

func (s snapshot) again(page *seen, action string, pairs ...string) *seen {
	u, err := url.Parse(s.b.k.url)
	if err != nil {
		s.b.k.t.Fatal(err)
	}
	s.b.client.Jar.SetCookies(u, s.cookies)
	return page.submit(action, pairs...)
}

func checked(a html.Attribute) bool { return a.Key == "checked" }

// csrf is the token of the page's first form.
func (s *seen) csrf() string {
	s.t.Helper()
	for n := range s.doc.Descendants() {
		if n.Data == "input" && attr(n, "name") == "csrf" {
			return attr(n, "value")
		}
	}
	s.t.Fatalf("no form at %s: %s", s.at, s.text())
	return ""
}

// form is a form that was made by hand, with a token of this browser.
func (s *seen) form(pairs ...string) url.Values {
	s.t.Helper()
	form := url.Values{"csrf": {s.csrf()}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return form
}

func (k *kit) request(method, path string) *http.Request {
	k.t.Helper()
	r, err := http.NewRequestWithContext(k.t.Context(), method, k.url+path, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	return r
}

// secrets are the values of the browser's cookies that let it in, and the access
// tokens that the API was shown.
func (b *browser) secrets() []string {
	u, err := url.Parse(b.k.url)
	if err != nil {
		b.k.t.Fatal(err)
	}
	var all []string
	for _, c := range b.client.Jar.Cookies(u) {
		if len(c.Value) >= 43 {
			all = append(all, c.Value)
		}
	}
	if len(all) < 2 {
		b.k.t.Fatalf("the browser has no secrets: %v", all)
	}
	b.k.api.locked(func() { all = append(all, slices.Sorted(maps.Keys(b.k.api.tokens))...) })
	return all
}
