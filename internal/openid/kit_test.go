package openid_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/throttle"
)

// kit is a provider as the server assembles one, on a real database, with a
// sign-in page that signs in whomever the test says.
type kit struct {
	t         testing.TB
	offset    atomic.Int64 // of the provider's clock
	store     *store.Store
	ephemeral ephemeral.Store
	sessions  *session.Sessions
	p         *openid.Provider
	clients   *openid.Clients
	url       string // the issuer
	events    *events
	logs      *logs
	problems  atomic.Pointer[openid.Problem]
	secrets   map[string]string // of clients

	mu      sync.Mutex
	next    session.Session // whom the sign-in page signs in
	started []string        // sessions that it has started
}

const callback = "https://rp.example/cb"

var (
	acrs   = openid.NewACRs("urn:portti:acr:")
	anna   = session.Session{User: "anna", Organisation: "clinic", Level: session.Full, Method: session.App, Epoch: 1}
	withID = func(s session.Session, m session.Method) session.Session { s.Method = m; return s }
	bosse  = session.Session{User: "bosse", Organisation: "clinic", Level: session.Full, Method: session.Card, Epoch: 1}
	enrol  = session.Session{User: "anna", Organisation: "clinic", Level: session.Enrol, Method: session.Password, Epoch: 1}
)

func newKit(t testing.TB, edit ...func(c *openid.Config, d *openid.Deps)) *kit {
	t.Helper()
	return newKitOn(t, storetest.Open(t, store.SQLite), nil, edit...)
}

func newKitOn(t testing.TB, s *store.Store, e ephemeral.Store, edit ...func(c *openid.Config, d *openid.Deps)) *kit {
	t.Helper()
	k := &kit{t: t, store: s, ephemeral: e, events: &events{}, logs: &logs{}, secrets: map[string]string{}, next: anna}
	if k.ephemeral == nil {
		k.ephemeral = ephemeral.NewMemory(k.now)
	}
	k.sessions = &session.Sessions{Store: k.ephemeral, Now: k.now}
	k.clients = &openid.Clients{Store: s, ACR: acrs, Now: k.now}
	server := httptest.NewUnstartedServer(nil)
	k.url = "http://" + server.Listener.Addr().String()
	c := openid.Config{
		Issuer: k.url, SignIn: func(id string) string { return "/signin/" + id }, ACR: acrs, EnrolClient: "us",
		Locales: []string{"fi", "sv", "en"}, Outgoing: openid.Outgoing{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}},
	}
	d := openid.Deps{
		Store: s, Ephemeral: k.ephemeral, Keys: ring(t), Sessions: k.sessions, People: identity.Accounts{Directory: &identity.Directory{Store: s, Now: k.now}},
		Audit: k.events, Sealer: sealer(t), Now: k.now, PairwiseSecret: []byte("thirty-two bytes or more of it, for tests"), Log: slog.New(slog.NewTextHandler(k.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Binding: cookies{}.Binding, SessionSecret: cookies{}.Session, ClientAddr: func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		ErrorPage: func(w http.ResponseWriter, r *http.Request, p openid.Problem) {
			k.problems.Store(&p)
			w.WriteHeader(p.Status)
			_, _ = io.WriteString(w, `<main id="oauth-error">`+p.Code)
		},
	}
	for _, e := range edit {
		e(&c, &d)
	}
	if d.Throttle == nil {
		d.Throttle = &throttle.Throttle{Store: d.Ephemeral}
	}
	var err error
	if k.p, err = openid.New(c, d); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	k.p.Register(mux)
	mux.HandleFunc("/signin/{id}", k.signIn)
	mux.HandleFunc(openid.EndSessionPath, k.endSession)
	server.Config.Handler = mux
	server.Start()
	t.Cleanup(server.Close)
	k.people()
	return k
}

func (k *kit) now() time.Time { return time.Now().Add(time.Duration(k.offset.Load())) }

func (k *kit) wait(d time.Duration) { k.offset.Add(int64(d)) }

// people has an organisation that permits everything, and two employees.
func (k *kit) people() {
	k.change(func(tx identity.Tx) error {
		if err := tx.AddOrganisation(identity.Organisation{ID: "clinic", Name: "Klinikka Oy", Methods: identity.MethodsOf(identity.AllMethods...), Delivery: identity.ByHandover, Created: k.now(), Version: 1}); err != nil {
			return err
		}
		for _, u := range []identity.User{
			{ID: "anna", Username: "anna.aalto", GivenName: "Anna", FamilyName: "Aalto", Email: "anna@clinic.example", Language: "fi"},
			{ID: "bosse", Username: "bosse.berg", GivenName: "Bosse", FamilyName: "Berg", Language: "sv"},
		} {
			u.Organisation, u.Created, u.Epoch, u.Version = "clinic", k.now(), 1, 1
			if err := tx.AddUser(u, identity.Password{Hash: "x"}); err != nil {
				return err
			}
		}
		return nil
	})
}

func (k *kit) change(f func(tx identity.Tx) error) {
	k.t.Helper()
	if err := k.store.Change(k.t.Context(), f); err != nil {
		k.t.Fatal(err)
	}
}

// save changes a user.
func (k *kit) save(id identity.UserID, edit func(u *identity.User)) {
	k.t.Helper()
	k.change(func(tx identity.Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		edit(&p.User)
		return tx.SaveUser(p.User)
	})
}

// employer changes the organisation.
func (k *kit) employer(edit func(o *identity.Organisation)) {
	k.t.Helper()
	k.change(func(tx identity.Tx) error {
		o, err := tx.Organisation("clinic")
		if err != nil {
			return err
		}
		edit(&o)
		return tx.SaveOrganisation(o)
	})
}

// permit sets what the organisation permits.
func (k *kit) permit(ms ...identity.Method) {
	k.t.Helper()
	k.employer(func(o *identity.Organisation) { o.Methods = identity.MethodsOf(ms...) })
}

// client registers a client; edit changes what is usual.
func (k *kit) client(id string, edit ...func(c *openid.Client)) openid.Client {
	k.t.Helper()
	c := openid.Client{
		ID: id, Name: map[string]string{"fi": id}, AuthMethod: openid.AuthBasic, RedirectURIs: []string{callback},
		PostLogoutRedirectURIs: []string{"https://rp.example/out"}, GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh},
		Scopes: []string{"openid", "profile", "email"}, Algorithm: keys.ES256,
	}
	for _, e := range edit {
		e(&c)
	}
	secret, err := k.clients.Create(k.t.Context(), "operator:test", c, false)
	if err != nil {
		k.t.Fatal(err)
	}
	k.secrets[id] = secret
	return c
}

func public(c *openid.Client) { c.AuthMethod = openid.AuthNone }

func userServices(c *openid.Client) { c.Scopes = []string{"openid", "profile", "us", "us.enrol"} }

// as says whom the sign-in page signs in from now on.
func (k *kit) as(s session.Session) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.next = s
}

// signIn is the sign-in page: it starts a session and completes the request.
func (k *kit) signIn(w http.ResponseWriter, r *http.Request) {
	q, err := k.p.Request(r.Context(), r.PathValue("id"), cookies{}.Binding(w, r))
	if err != nil {
		http.Error(w, fault.Code(err), http.StatusNotFound)
		return
	}
	if r.URL.Query().Has("cancel") {
		err = k.p.Refuse(w, r, q.ID, openid.AccessDenied)
	} else {
		k.mu.Lock()
		s := k.next
		k.mu.Unlock()
		s.AuthTime = k.now().UTC()
		secret, s, startErr := k.sessions.Start(r.Context(), s)
		if startErr != nil {
			http.Error(w, startErr.Error(), http.StatusInternalServerError)
			return
		}
		k.mu.Lock()
		k.started = append(k.started, s.ID)
		k.mu.Unlock()
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: secret, Path: "/", HttpOnly: true})
		err = k.p.Complete(w, r, q.ID, s)
	}
	if err != nil {
		http.Error(w, fault.Code(err), http.StatusForbidden)
	}
}

// endSession is the logout page: it asks where it must, and confirm=yes answers.
func (k *kit) endSession(w http.ResponseWriter, r *http.Request) {
	l, err := k.p.ParseLogout(r)
	if err != nil {
		http.Error(w, fault.Code(err), http.StatusBadRequest)
		return
	}
	var s *session.Session
	if found, err := k.sessions.Find(r.Context(), cookies{}.Session(r)); err == nil {
		s = &found
	}
	if l.MustAsk(s) && r.FormValue("confirm") != "yes" {
		_, _ = io.WriteString(w, `<main id="logout-confirm">`)
		return
	}
	bye, err := k.p.FinishLogout(r.Context(), l, s)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
	case bye.Next == "" || len(bye.Frames) > 0:
		_, _ = io.WriteString(w, `<main id="logged-out">`+strings.Join(bye.Frames, "\n"))
	default:
		http.Redirect(w, r, bye.Next, http.StatusSeeOther)
	}
}

// cookies is package web for tests.
type cookies struct{}

func (cookies) Binding(w http.ResponseWriter, r *http.Request) string {
	if c, err := r.Cookie("browser"); err == nil {
		return c.Value
	}
	secret := base64.RawURLEncoding.EncodeToString(sha(time.Now().String() + r.RemoteAddr))
	http.SetCookie(w, &http.Cookie{Name: "browser", Value: secret, Path: "/", HttpOnly: true})
	r.AddCookie(&http.Cookie{Name: "browser", Value: secret})
	return secret
}

func (cookies) Session(r *http.Request) string {
	if c, err := r.Cookie("sid"); err == nil {
		return c.Value
	}
	return ""
}

func sha(s string) []byte { sum := sha256.Sum256([]byte(s)); return sum[:] }

// browser keeps cookies, follows redirects at the provider and stops at the client.
func (k *kit) browser() *http.Client {
	jar, _ := cookiejar.New(nil)
	return &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if !strings.HasPrefix(r.URL.String(), k.url+"/") || len(via) > 5 {
			return http.ErrUseLastResponse
		}
		return nil
	}}
}

// request is an authorization request that the provider accepts; pairs change it,
// an empty value takes a parameter out.
func request(pairs ...string) url.Values {
	v := url.Values{"client_id": {"rp"}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid profile email"},
		"state": {"the-state"}, "nonce": {"the-nonce"}, "code_challenge": {s256(verifier)}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

const verifier = "a-code-verifier-of-more-than-forty-three-characters"

func s256(v string) string { return base64.RawURLEncoding.EncodeToString(sha(v)) }

// answer is what came back to the client, or a page.
type answer struct {
	status int
	header http.Header
	body   string
	to     *url.URL   // nil for a page
	params url.Values // of the redirect
}

func (k *kit) get(b *http.Client, path string, q url.Values) answer {
	k.t.Helper()
	r, err := b.Get(k.url + path + "?" + q.Encode())
	if err != nil {
		k.t.Fatal(err)
	}
	return k.read(r)
}

func (k *kit) read(r *http.Response) answer {
	k.t.Helper()
	defer func() { _ = r.Body.Close() }()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	a := answer{status: r.StatusCode, header: r.Header, body: string(body)}
	if location := r.Header.Get("Location"); location != "" {
		if a.to, err = url.Parse(location); err != nil {
			k.t.Fatal(err)
		}
		a.params = a.to.Query()
	}
	return a
}

func (k *kit) authorize(b *http.Client, q url.Values) answer {
	return k.get(b, openid.AuthorizePath, q)
}

// code signs in and returns the code.
func (k *kit) code(b *http.Client, q url.Values) string {
	k.t.Helper()
	a := k.authorize(b, q)
	code := a.params.Get("code")
	if code == "" {
		k.t.Fatalf("no code: %d %s %s", a.status, a.header.Get("Location"), a.body)
	}
	return code
}

// reply is what the token or userinfo endpoint said.
type reply struct {
	status int
	header http.Header
	raw    string
	json   map[string]any
}

func (r reply) text(name string) string { s, _ := r.json[name].(string); return s }

// post sends a form to the token endpoint as a client with client_secret_basic,
// or without a header when client is "".
func (k *kit) post(client string, form url.Values) reply {
	k.t.Helper()
	return k.postTo(openid.TokenPath, client, form)
}

// postTo is post to another endpoint; accept is the Accept header, if any.
func (k *kit) postTo(path, client string, form url.Values, accept ...string) reply {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodPost, k.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		req.SetBasicAuth(client, k.secrets[client])
	}
	for _, a := range accept {
		req.Header.Add("Accept", a)
	}
	return k.do(req)
}

func (k *kit) do(req *http.Request) reply {
	k.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		k.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		k.t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, raw: string(raw)}
	_ = json.Unmarshal(raw, &r.json)
	return r
}

func redeem(code string, pairs ...string) url.Values {
	v := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// signedIn goes all the way and returns the tokens of client rp.
func (k *kit) signedIn(b *http.Client, pairs ...string) reply {
	k.t.Helper()
	r := k.post("rp", redeem(k.code(b, request(pairs...))))
	if r.status != http.StatusOK {
		k.t.Fatalf("token: %d %s", r.status, r.raw)
	}
	return r
}

// claims verifies an ID token with the published keys and returns its claims.
func (k *kit) claims(token string) map[string]any {
	k.t.Helper()
	return k.verify(token, "JWT", keys.Algorithms...)
}

// verify is claims of a token of another typ.
func (k *kit) verify(token, typ string, allowed ...keys.Algorithm) map[string]any {
	k.t.Helper()
	payload, _, err := ring(k.t).Verify(token, typ, allowed...)
	if err != nil {
		k.t.Fatal(err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		k.t.Fatal(err)
	}
	return c
}

// userinfo calls the userinfo endpoint with a token.
func (k *kit) userinfo(token string) reply {
	k.t.Helper()
	req, err := http.NewRequest(http.MethodGet, k.url+openid.UserinfoPath, nil)
	if err != nil {
		k.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return k.do(req)
}

// caller asks whose token it is, as the JSON API does.
func (k *kit) caller(token string) (openid.Grant, error) {
	r := newGet("/api/v1/me")
	r.Header.Set("Authorization", "Bearer "+token)
	return k.p.Caller(newRecorder(), r)
}

// events is an audit trail in memory.
type events struct {
	mu   sync.Mutex
	list []audit.Event
}

func (e *events) Record(_ context.Context, ev audit.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, ev)
	return nil
}

func (e *events) count(t audit.Type) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, ev := range e.list {
		if ev.Type == t {
			n++
		}
	}
	return n
}

// logs collects what was logged.
type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// ring is one set of signing keys for all tests: making an RSA key takes a while.
func ring(t testing.TB) *keys.Ring {
	t.Helper()
	r, err := makeRing()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// sealer is one master key for all tests.
func sealer(t testing.TB) *keys.Master {
	t.Helper()
	m, err := makeMaster()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var makeMaster = sync.OnceValues(func() (*keys.Master, error) {
	return keys.ReadMaster(strings.NewReader(keys.GenerateMaster()))
})

var makeRing = sync.OnceValues(func() (*keys.Ring, error) {
	master, err := makeMaster()
	if err != nil {
		return nil, err
	}
	return keys.OpenRing(context.Background(), &keyStore{}, master, keys.Options{})
})

type keyStore struct {
	keys.Store // what nobody calls here
	rows       []keys.Stored
}

func (s *keyStore) SigningKeys(context.Context) ([]keys.Stored, error) {
	return slices.Clone(s.rows), nil
}
func (s *keyStore) AddSigningKey(_ context.Context, k keys.Stored, _ audit.Event) error {
	s.rows = append(s.rows, k)
	return nil
}

// probe runs f as a handler would be run, from a browser without cookies.
func probe(f http.HandlerFunc) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	f(w, httptest.NewRequest(http.MethodPost, "/", nil))
	return w
}

func codeOf(err error) string { return fault.Code(err) }

func contextOf(t *testing.T) (context.Context, context.CancelFunc) {
	return context.WithCancel(t.Context())
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

func newGet(path string) *http.Request { return httptest.NewRequest(http.MethodGet, path, nil) }

func newPost(path, form string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func parse(w *httptest.ResponseRecorder) reply {
	r := reply{status: w.Code, header: w.Header(), raw: w.Body.String()}
	_ = json.Unmarshal(w.Body.Bytes(), &r.json)
	return r
}
