package server_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

var operator = identity.Actor{Name: "operator:test", Operator: true}

// backends are the stores of a replica, and the switches that take them away.
type backends struct {
	store     server.Store
	keys      keys.Store
	ephemeral ephemeral.Store
	master    *keys.Master

	database, shortLived interface{ cut(bool) }
}

// each runs f over SQLite and memory, whose calls fail on demand, and over
// PostgreSQL and Redis, to which the line is cut.
func each(t *testing.T, f func(t *testing.T, b *backends)) {
	t.Run("sqlite and memory", func(t *testing.T) { f(t, embedded(t)) })
	t.Run("postgres and redis", func(t *testing.T) {
		master := newMaster(t)
		config := storetest.Config(t, store.Postgres)
		dsn, err := url.Parse(config.DSN)
		if err != nil {
			t.Fatal(err)
		}
		toDatabase, toRedis := newLine(t, dsn.Host), newLine(t, ephemeraltest.RedisAddress(t))
		dsn.Host = toDatabase.Addr().String()
		config.DSN = dsn.String()
		db := storetest.Connect(t, config, func(d *store.Deps) { d.Seal = master.Seal })
		redis, err := ephemeral.OpenRedis(t.Context(), ephemeral.RedisConfig{Addresses: []string{toRedis.Addr().String()}, Prefix: "test:" + t.Name() + time.Now().String()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = redis.Close() })
		f(t, &backends{store: db, keys: db.Keys(), ephemeral: redis, master: master, database: toDatabase, shortLived: toRedis})
	})
}

func embedded(t *testing.T) *backends {
	master := newMaster(t)
	db := storetest.Connect(t, storetest.Config(t, store.SQLite), func(d *store.Deps) { d.Seal = master.Seal })
	shakyStore, shakyMemory := &shakyStore{Store: db}, &shakyEphemeral{Store: ephemeral.NewMemory(time.Now)}
	return &backends{store: shakyStore, keys: db.Keys(), ephemeral: shakyMemory, master: master, database: shakyStore, shortLived: shakyMemory}
}

func newMaster(t *testing.T) *keys.Master {
	t.Helper()
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster()))
	if err != nil {
		t.Fatal(err)
	}
	return master
}

// away is a switch.
type away struct{ on atomic.Bool }

func (a *away) cut(on bool) { a.on.Store(on) }

func (a *away) err() error {
	if a.on.Load() {
		return errors.Join(fault.New(fault.Unavailable, "database_unavailable", "The database does not answer."), errors.New("dial tcp 192.0.2.7:5432: secret-host"))
	}
	return nil
}

// shakyStore fails what a sign-in begins with.
type shakyStore struct {
	away
	*store.Store
}

func (s *shakyStore) Ping(ctx context.Context) error {
	return errors.Join(s.err(), s.Store.Ping(ctx))
}

func (s *shakyStore) PersonByName(ctx context.Context, name string) (identity.Person, error) {
	if err := s.err(); err != nil {
		return identity.Person{}, err
	}
	return s.Store.PersonByName(ctx, name)
}

func (s *shakyStore) Client(ctx context.Context, id string) (openid.Client, error) {
	if err := s.err(); err != nil {
		return openid.Client{}, err
	}
	return s.Store.Client(ctx, id)
}

// shakyEphemeral fails what a page begins with.
type shakyEphemeral struct {
	away
	ephemeral.Store
}

func (s *shakyEphemeral) Ping(ctx context.Context) error {
	return errors.Join(s.err(), s.Store.Ping(ctx))
}

func (s *shakyEphemeral) Get(ctx context.Context, key string) ([]byte, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Get(ctx, key)
}

func (s *shakyEphemeral) Take(ctx context.Context, key string) ([]byte, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Take(ctx, key)
}

func (s *shakyEphemeral) Swap(ctx context.Context, key string, value []byte, ttl time.Duration) ([]byte, error) {
	if err := s.err(); err != nil {
		return nil, err
	}
	return s.Store.Swap(ctx, key, value, ttl)
}

// line leads to a server, until it is cut.
type line struct {
	net.Listener
	to string

	mu    sync.Mutex
	dead  bool
	conns map[net.Conn]bool
}

func newLine(t *testing.T, to string) *line {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &line{Listener: listener, to: to, conns: map[net.Conn]bool{}}
	t.Cleanup(func() { _ = l.Close(); l.cut(true) })
	go func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			go l.join(near)
		}
	}()
	return l
}

func (l *line) join(near net.Conn) {
	defer near.Close()
	far, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer far.Close()
	l.mu.Lock()
	if l.dead {
		l.mu.Unlock()
		return
	}
	l.conns[near], l.conns[far] = true, true
	l.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, near)
	delete(l.conns, far)
}

func (l *line) cut(on bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.dead = on
	for c := range l.conns {
		_ = c.Close()
	}
}

// replica is a running provider with an organisation, a person and a client.
type replica struct {
	*server.Server
	t        *testing.T
	url      string
	browser  *http.Client
	password string // aino's, temporary
	secret   string // the client's
	logs     *logs
}

type logs struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// cheap passwords: their cost is proved elsewhere.
var cheap = password.Params{MemoryKiB: 64, Time: 1, Threads: 1, Parallel: 2, Wait: 20 * time.Second}

func start(t *testing.T, b *backends, edit ...func(c *server.Config, d *server.Deps)) *replica {
	t.Helper()
	web := httptest.NewUnstartedServer(nil)
	r := &replica{t: t, url: "http://" + web.Listener.Addr().String(), logs: &logs{}}
	c := server.Config{Issuer: r.url, Brand: "Portti", SupportPhone: "020 000 000", Passwords: cheap, LettersEvery: 20 * time.Millisecond}
	d := server.Deps{Store: b.store, Keys: b.keys, Ephemeral: b.ephemeral, Master: b.master, Log: slog.New(slog.NewJSONHandler(r.logs, nil))}
	for _, e := range edit {
		e(&c, &d)
	}
	var err error
	if r.Server, err = server.New(t.Context(), c, d); err != nil {
		t.Fatal(err)
	}
	web.Config.Handler = r.Handler()
	web.Start()
	t.Cleanup(web.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r.browser = &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

	if _, err := r.Directory.CreateOrganisation(t.Context(), operator, identity.Organisation{ID: "kuntala", Name: "Kuntalan kaupunki",
		Methods: identity.MethodsOf(identity.AllMethods...), Delivery: identity.ByLetter}); err != nil {
		t.Fatal(err)
	}
	if _, r.password, err = r.Directory.CreateUser(t.Context(), operator, identity.User{Username: "aino.alku", Organisation: "kuntala", GivenName: "Aino",
		FamilyName: "Alku", Email: "aino@kuntala.example", Language: "fi"}); err != nil {
		t.Fatal(err)
	}
	clients := &openid.Clients{Store: b.store, ACR: openid.NewACRs("urn:portti:acr:"), Now: time.Now}
	if r.secret, err = clients.Create(t.Context(), "operator:test", openid.Client{ID: "service", Name: map[string]string{"en": "The Service"}, AuthMethod: openid.AuthBasic,
		RedirectURIs: []string{"https://service.example/callback"}, GrantTypes: []openid.GrantType{openid.GrantCode}, Scopes: []string{"openid"}}, false); err != nil {
		t.Fatal(err)
	}
	return r
}

// answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func (r *replica) do(method, path string, form url.Values) answer {
	r.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	if !strings.HasPrefix(path, "http") {
		path = r.url + path
	}
	q, err := http.NewRequestWithContext(r.t.Context(), method, path, body)
	if err != nil {
		r.t.Fatal(err)
	}
	q.Header.Set("Accept", "text/html")
	q.Header.Set("Accept-Language", "sv")
	if form != nil {
		q.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		q.Header.Set("Origin", r.url)
	}
	if path == r.url+openid.TokenPath {
		q.SetBasicAuth("records", r.secret) // a client that no earlier request has made known
	}
	response, err := r.browser.Do(q)
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(raw)}
}

func (r *replica) get(path string) answer { return r.do(http.MethodGet, path, nil) }

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the form token of a page.
func (r *replica) csrf(a answer) string {
	r.t.Helper()
	m := csrfField.FindStringSubmatch(a.body)
	if m == nil {
		r.t.Fatalf("no form on the page: %d %s", a.status, a.body)
	}
	return m[1]
}

// eventually waits until f is content.
func eventually(t *testing.T, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !f(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it did not come about")
		}
	}
}
