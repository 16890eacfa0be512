package signin

import (
	"bytes"
	"encoding/base32"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

// kit is the provider with its pages, over a real database, with a clock that
// the test moves. The card host, User Services and the services are addresses
// where browsers stop.
type kit struct {
	t       *testing.T
	mu      sync.Mutex
	busy    sync.RWMutex // read-locked while a request is served, which is a little longer than its answer takes
	clock   time.Time
	logs    logs
	url     string
	store   *store.Store
	eph     ephemeral.Store
	dir     *identity.Directory
	login   *login.Service
	pages   *Pages
	clients *openid.Clients
	secrets map[string]string          // of clients
	keys    map[identity.UserID][]byte // of authenticators
}

const (
	ownPassword  = "correct horse battery staple"
	userServices = "https://services.example/"
	cardHost     = "https://*.card.example:8443"
	serviceBack  = "https://service.example/callback"
)

var operator = identity.Actor{Name: "operator:test", Operator: true}

func newKit(t *testing.T, edit ...func(k *kit)) *kit {
	t.Helper()
	k := &kit{t: t, clock: time.Now().Truncate(time.Second), store: storetest.Open(t, store.SQLite), secrets: map[string]string{}, keys: map[identity.UserID][]byte{}}
	k.eph = ephemeral.NewMemory(k.now)
	hasher := must(password.NewHasher(password.Params{MemoryKiB: 64, Time: 1, Parallel: 2, Threads: 1, Wait: 20 * time.Second}))(t)
	master := must(keys.ReadMaster(strings.NewReader(keys.GenerateMaster())))(t)
	limits := &throttle.Throttle{Store: k.eph}
	k.dir = &identity.Directory{Store: k.store, Hasher: hasher, Rules: must(password.NewRules(0))(t), Sealer: master, Ephemeral: k.eph, Throttle: limits,
		Audit: k.store, Traces: k.store, Now: k.now, Names: must(totp.NewNames("Portti", "", false))(t), Support: "020 000 000"}
	sessions := &session.Sessions{Store: k.eph, Now: k.now}
	server := httptest.NewUnstartedServer(nil)
	k.url = "http://" + server.Listener.Addr().String()
	k.login = &login.Service{Directory: k.dir, Sessions: sessions, Ephemeral: k.eph, Throttle: limits, Audit: k.store, Now: k.now,
		CardPlace: func(m card.Mode) (card.Place, bool) {
			return card.Place{Origin: "https://" + string(m) + "random.card.example:8443", Name: string(m) + "random.card.example", Own: true}, true
		},
		CardBack: func(tx string) string { return k.url + "/signin/" + tx + "/card" }}
	log := slog.New(slog.NewTextHandler(&k.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	site := webtest.NewSite(t, func(s *web.Settings) { s.PublicURL, s.Pages, s.Log = k.url, []string{"signin"}, log })
	book := &trace.Book{Store: k.store, Throttle: limits, Now: k.now, Log: log} // nobody runs it: what is kept is there at once
	k.pages = &Pages{Site: site, Traces: book, Login: k.login, CardTests: k.store, Sessions: sessions, Account: k.dir.Names.Issuer, UserServices: userServices, CardHosts: []string{cardHost}, Log: log}
	acr := openid.NewACRs("urn:portti:acr:")
	k.clients = &openid.Clients{Store: k.store, ACR: acr, Now: k.now}
	browser := Browser{site}
	provider := must(openid.New(openid.Config{Issuer: k.url, SignIn: func(id string) string { return k.url + "/signin/" + id }, ACR: acr,
		EnrolClient: "user-services", Locales: []string{"fi", "sv", "en"}},
		openid.Deps{Store: k.store, Ephemeral: k.eph, Throttle: limits, Keys: must(keys.OpenRing(t.Context(), k.store.Keys(), master, keys.Options{Kinds: []keys.Kind{keys.P256}, Now: k.now, Log: log}))(t),
			Sessions: sessions, People: k.dir, Audit: k.store, Traces: book, Sealer: master, Now: k.now, Log: log, PairwiseSecret: make([]byte, 32),
			Binding: browser.Binding, SessionSecret: browser.Session, ClientAddr: browser.Address, Reference: web.Reference, ErrorPage: k.pages.OAuthError, Continue: k.pages.Continue}))(t)
	k.pages.Provider = provider
	for _, e := range edit {
		e(k)
	}
	mux := http.NewServeMux()
	provider.Register(mux)
	k.pages.Routes(mux)
	served := site.Wrap(mux)
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		k.busy.RLock()
		defer k.busy.RUnlock()
		served.ServeHTTP(w, r)
	})
	server.Start()
	t.Cleanup(server.Close)
	k.client("service", func(c *openid.Client) {
		c.Name, c.HomeURI = map[string]string{"fi": "Rekisteri", "sv": "Registret", "en": "Registry"}, "https://service.example/"
		c.PostLogoutRedirectURIs = []string{"https://service.example/out"}
	})
	k.client("cards", func(c *openid.Client) { c.MinimumACR = acr.Card })
	k.client("tokens", func(c *openid.Client) { c.Methods = uint8(identity.MethodToken) })
	k.client("user-services", func(c *openid.Client) { c.Scopes = []string{"openid", "us", "us.enrol"} })
	return k
}

func (k *kit) now() time.Time      { k.mu.Lock(); defer k.mu.Unlock(); return k.clock }
func (k *kit) add(d time.Duration) { k.mu.Lock(); defer k.mu.Unlock(); k.clock = k.clock.Add(d) }

func must[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// logs is what the program writes, for canaries.
type logs struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.all.Write(b) }
func (l *logs) String() string              { l.mu.Lock(); defer l.mu.Unlock(); return l.all.String() }

func (k *kit) client(id string, edit func(c *openid.Client)) {
	k.t.Helper()
	c := openid.Client{ID: id, Name: map[string]string{"fi": id}, AuthMethod: openid.AuthPost, RedirectURIs: []string{serviceBack}, GrantTypes: []openid.GrantType{openid.GrantCode},
		Scopes: []string{"openid"}, Algorithm: keys.ES256}
	edit(&c)
	k.secrets[id] = must(k.clients.Create(k.t.Context(), "operator:test", c, false))(k.t)
}

// newcomer has a temporary password.
func (k *kit) newcomer(name string, methods ...identity.Method) (identity.UserID, string) {
	k.t.Helper()
	if len(methods) == 0 {
		methods = identity.AllMethods
	}
	org := identity.OrganisationID("org-" + strings.ToLower(name))
	must(k.dir.CreateOrganisation(k.t.Context(), operator, identity.Organisation{ID: org, Name: "Virasto " + name, Methods: identity.MethodsOf(methods...), PersonalPhones: true, Delivery: identity.ByHandover}))(k.t)
	u, temporary, err := k.dir.CreateUser(k.t.Context(), operator, identity.User{Username: name, Organisation: org, GivenName: "Given", FamilyName: "Family", Language: "fi"})
	if err != nil {
		k.t.Fatal(err)
	}
	return u.ID, temporary
}

// settled has a password of her own, and no link.
func (k *kit) settled(name string, methods ...identity.Method) identity.UserID {
	k.t.Helper()
	id, _ := k.newcomer(name, methods...)
	must(k.dir.ReplaceTemporary(k.t.Context(), must(k.store.Person(k.t.Context(), id))(k.t), ownPassword, ""))(k.t)
	return id
}

// linkApp links an authenticator.
func (k *kit) linkApp(id identity.UserID) identity.UserID {
	k.t.Helper()
	self := identity.Self{User: id, Session: "s-" + string(id), AuthTime: k.now()}
	e := must(k.dir.BeginAuthenticator(k.t.Context(), self))(k.t)
	k.keys[id] = must(base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.ReplaceAll(e.Base32, " ", "")))(k.t)
	if err := k.dir.ConfirmAuthenticator(k.t.Context(), self, k.code(id), identity.Statement{Kind: identity.MethodApp, OwnDevice: true, PersonalPhone: true}); err != nil {
		k.t.Fatal(err)
	}
	k.add(31 * time.Second) // the code that linked is spent
	return id
}

func (k *kit) code(id identity.UserID) string {
	k.t.Helper()
	return must(totp.Code(k.keys[id], totp.Step(k.now())))(k.t)
}

// wrongCode is a code of long ago that is not by chance the one of now.
func (k *kit) wrongCode(id identity.UserID) string {
	k.t.Helper()
	for back := int64(100); ; back++ {
		wrong := must(totp.Code(k.keys[id], totp.Step(k.now())-back))(k.t)
		if !slices.ContainsFunc([]int64{-2, -1, 0, 1, 2}, func(d int64) bool { return must(totp.Code(k.keys[id], totp.Step(k.now())+d))(k.t) == wrong }) {
			return wrong
		}
	}
}

// linkCard links a card and returns what its handshake says.
func (k *kit) linkCard(id identity.UserID, serial string) card.Result {
	k.t.Helper()
	self := identity.Self{User: id, Session: "s-" + string(id), AuthTime: k.now()}
	if p := must(k.store.Person(k.t.Context(), id))(k.t); p.Authenticator != nil {
		self.Full, self.Proved = true, p.Authenticator.Kind
	}
	if err := k.dir.LinkCard(k.t.Context(), self, k.good(serial)); err != nil {
		k.t.Fatal(err)
	}
	return k.good(serial)
}

func (k *kit) good(serial string) card.Result {
	return card.Result{Verdict: card.Good, At: k.now().UTC(), Holder: card.Holder{Fingerprint: "fingerprint-" + serial, SPKI: "spki", Issuer: "Test CA", IssuerDN: "CN=Test CA",
		Serial: serial, SubjectSerial: "123", Name: "Given Family", Organisation: "Org", NotAfter: k.now().Add(365 * 24 * time.Hour).UTC()}}
}

// present plays the card host: it takes the ticket and returns the address that
// the browser is sent back to.
func (k *kit) present(cardURL string, r card.Result) string {
	k.t.Helper()
	attempts := login.Attempts{Service: k.login}
	u := must(url.Parse(cardURL))(k.t)
	a := must(attempts.Open(k.t.Context(), strings.TrimPrefix(u.Path, "/attempt/"), u.Hostname()))(k.t)
	return must(attempts.Finish(k.t.Context(), a, r))(k.t)
}

// person is somebody at a browser.
type person struct {
	*kit
	http *http.Client
}

func (k *kit) browser() *person {
	jar, _ := cookiejar.New(nil)
	return &person{k, &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), k.url+"/") || len(via) > 8 {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

// shown is what a browser got in the end: a page, or an address elsewhere.
type shown struct {
	p      *person
	at     string // the path of the page
	status int
	header http.Header
	body   string
	to     *url.URL // elsewhere; nil for a page
}

func (p *person) do(r *http.Request) *shown {
	p.t.Helper()
	res, err := p.http.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body := must(io.ReadAll(res.Body))(p.t)
	s := &shown{p: p, at: res.Request.URL.RequestURI(), status: res.StatusCode, header: res.Header, body: string(body)}
	if location := res.Header.Get("Location"); location != "" {
		s.to = must(res.Request.URL.Parse(location))(p.t)
	}
	return s
}

func (p *person) get(path string) *shown {
	p.t.Helper()
	if !strings.HasPrefix(path, "http") {
		path = p.url + path
	}
	return p.do(must(http.NewRequest(http.MethodGet, path, nil))(p.t))
}

func (p *person) post(path string, form url.Values, header ...string) *shown {
	p.t.Helper()
	r := must(http.NewRequest(http.MethodPost, p.url+path, strings.NewReader(form.Encode())))(p.t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return p.do(r)
}

// visit opens a service, which sends the browser to sign in; pairs add to the request.
func (p *person) visit(client string, pairs ...string) *shown {
	p.t.Helper()
	q := url.Values{"client_id": {client}, "redirect_uri": {serviceBack}, "response_type": {"code"}, "scope": {"openid"}, "state": {"the-state"}}
	if client == "user-services" {
		q.Set("scope", "openid us us.enrol")
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	return p.get(openid.AuthorizePath + "?" + q.Encode())
}

// form is a form of a page as it would be sent.
type form struct {
	action string
	values url.Values
}

// form finds the form that holds the button.
func (s *shown) form(button string) form {
	s.p.t.Helper()
	doc := must(html.Parse(strings.NewReader(s.body)))(s.p.t)
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "form" {
			continue
		}
		f, found := form{values: url.Values{}}, false
		f.action = attr(n, "action")
		for d := range n.Descendants() {
			if d.Type == html.ElementNode && d.Data == "input" {
				f.values.Set(attr(d, "name"), attr(d, "value"))
			}
			found = found || d.Type == html.ElementNode && d.Data == "button" && attr(d, "id") == button
		}
		if found {
			return f
		}
	}
	s.p.t.Fatalf("no button %s on the page at %s (%d): %s", button, s.at, s.status, s.body)
	return form{}
}

// press fills in the form of a button and sends it.
func (s *shown) press(button string, fields ...string) *shown {
	s.p.t.Helper()
	f := s.form(button)
	for i := 0; i < len(fields); i += 2 {
		if !f.values.Has(fields[i]) {
			s.p.t.Fatalf("the form of %s has no field %s", button, fields[i])
		}
		f.values.Set(fields[i], fields[i+1])
	}
	return s.p.post(f.action, f.values)
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func (s *shown) has(id string) bool { return strings.Contains(s.body, ` id="`+id+`"`) }

// is holds the page to its ids, its language and the promises of every page.
func (s *shown) is(status int, ids ...string) *shown {
	s.p.t.Helper()
	if s.to != nil {
		s.p.t.Fatalf("sent to %s, want a page with %v", s.to, ids)
	}
	if s.status != status {
		s.p.t.Errorf("page at %s: status %d, want %d", s.at, s.status, status)
	}
	webtest.Check(s.p.t, []byte(s.body), s.header.Get("Content-Language"), ids...)
	if s.p.t.Failed() {
		s.p.t.Fatalf("page at %s: %s", s.at, s.body)
	}
	return s
}

// says looks for a text of the catalogue, in the language of the page.
func (s *shown) says(key string, pairs ...string) *shown {
	s.p.t.Helper()
	want := html.EscapeString(s.p.pages.Site.Texts().Text(s.header.Get("Content-Language"), key, pairs...))
	want = strings.ReplaceAll(want, "+", "&#43;")
	for line := range strings.SplitSeq(want, "\n") {
		if !strings.Contains(s.body, line) {
			s.p.t.Fatalf("page at %s does not say %q (%s): %s", s.at, line, key, s.body)
		}
	}
	return s
}

// sentTo holds the answer to an address elsewhere.
func (s *shown) sentTo(prefix string) *shown {
	s.p.t.Helper()
	if s.to == nil || s.status != http.StatusSeeOther || !strings.HasPrefix(s.to.String(), prefix) {
		s.p.t.Fatalf("status %d to %v at %s, want 303 to %s: %s", s.status, s.to, s.at, prefix, s.body)
	}
	return s
}

// claims exchanges the code that the service got.
func (s *shown) claims(client string) map[string]any {
	s.p.t.Helper()
	s.sentTo(serviceBack + "?")
	if s.to.Query().Get("state") != "the-state" || s.to.Query().Get("code") == "" {
		s.p.t.Fatalf("the service got %s", s.to)
	}
	res, err := http.PostForm(s.p.url+openid.TokenPath, url.Values{"grant_type": {"authorization_code"}, "code": {s.to.Query().Get("code")}, "redirect_uri": {serviceBack},
		"client_id": {client}, "client_secret": {s.p.secrets[client]}})
	if err != nil {
		s.p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	var tokens struct {
		IDToken string `json:"id_token"`
		Error   string `json:"error"`
	}
	if err := json.NewDecoder(res.Body).Decode(&tokens); err != nil || tokens.IDToken == "" {
		s.p.t.Fatalf("token endpoint: %d %v %s", res.StatusCode, err, tokens.Error)
	}
	claims := map[string]any{"raw": tokens.IDToken}
	payload := must(base64.RawURLEncoding.DecodeString(strings.Split(tokens.IDToken, ".")[1]))(s.p.t)
	if err := json.Unmarshal(payload, &claims); err != nil {
		s.p.t.Fatal(err)
	}
	return claims
}

// cookie is the value of a cookie of the provider, or "".
func (p *person) cookie(name string) string {
	u, _ := url.Parse(p.url)
	for _, c := range p.http.Jar.Cookies(u) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

// forget clears the cookies.
func (p *person) forget() { p.http.Jar, _ = cookiejar.New(nil) }

// signIn goes the whole way with password and code.
func (p *person) signIn(client, name string, id identity.UserID) *shown {
	p.t.Helper()
	page := p.visit(client).press("login-submit", "username", name, "password", ownPassword)
	done := page.press("code-submit", "code", p.code(id))
	p.add(31 * time.Second)
	return done
}
