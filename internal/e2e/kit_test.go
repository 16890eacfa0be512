package e2e

import (
	"bytes"
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/cmd/demoservice/service"
	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/console"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
	"github.com/portti-id/portti/internal/userservices"
	"github.com/portti-id/portti/internal/web"
)

const (
	brand     = "Portti"
	acrCard   = "urn:portti:acr:card"
	acrCode   = "urn:portti:acr:pwd-otp"
	acrEnrol  = "urn:portti:acr:enrol"
	ownSecret = "punainen tupa ja perunamaa" // everybody's own password
)

// Pair is a pair of backends.
type Pair string

const (
	SQLiteMemory  Pair = "sqlite+memory"  // one replica
	PostgresRedis Pair = "postgres+redis" // two replicas, by turns
)

// Each runs f once a pair of backends, in a world of its own.
func Each(t *testing.T, f func(t *testing.T, w *World)) {
	t.Helper()
	EachWith(t, Options{}, f)
}

// EachWith is Each with more options.
func EachWith(t *testing.T, o Options, f func(t *testing.T, w *World)) {
	t.Helper()
	for _, pair := range []Pair{SQLiteMemory, PostgresRedis} {
		t.Run(string(pair), func(t *testing.T) {
			t.Parallel()
			o := o
			o.Pair = pair
			f(t, NewWorld(t, o))
		})
	}
}

// Options of a world.
type Options struct {
	Pair      Pair
	Gates     bool                   // Database and Ephemeral can be put out of reach; PostgresRedis only
	Hash      password.Params        // cost of a password; cheap without
	Configure func(c *server.Config) // changes what a replica is told
	Quiet     bool                   // log nothing, for figures
	MTLS      bool                   // a listener at which services show certificates
	PKI       *cardtest.PKI          // whose cards are accepted; one that all worlds share without
	Online    bool                   // a PKI of its own, with responders and lists that are asked; with PKI that is the caller's
}

// World is the whole house on loopback. Hosts end in .localhost: id (the issuer),
// services (User Services), console (the Console), service and records (protected services; records
// demands the card), other and its like (parties of tests), and a new name under
// card.localhost for every card attempt. All https certificates are of PKI.Server.
type World struct {
	T         testing.TB
	Pair      Pair
	Clock     *Clock
	PKI       *cardtest.PKI
	Status    *cardtest.Server // who answers for the cards; nil without Options.Online
	Replicas  []*Replica
	Mailbox   *Mailbox
	Log       *Log
	Clients   *openid.Clients
	Secrets   map[string]string // of clients
	CardHost  card.Host
	File      string // of the database; "" for PostgreSQL
	Master    string // the key that encrypts secrets
	Port      string // of everything but the card host
	CardPort  string
	MTLS      string       // where services show certificates; "" without Options.MTLS
	Services  *cardtest.CA // of those certificates
	Database  *Gate        // nil without Options.Gates
	Ephemeral *Gate

	requests   atomic.Int64
	cards      atomic.Int64
	visitors   atomic.Int64
	trust      *card.Trust
	reassemble func(i int)
	mu         sync.Mutex
	hosts      map[string]http.Handler
}

// Replica is one process of the provider.
type Replica struct {
	*server.Server
	Store     *store.Store
	Ephemeral ephemeral.Store
}

// Organisations of every world.
var organisations = []identity.Organisation{
	{ID: "kuntala", Name: "Kuntalan kaupunki", Methods: identity.MethodsOf(identity.AllMethods...), PersonalPhones: true, Delivery: identity.ByLetter},
	{ID: "saaristo", Name: "Saariston hyvinvointialue", Methods: identity.MethodsOf(identity.MethodCard), Delivery: identity.ByLetter},
	{ID: "tietoapu", Name: "Tietoapu Oy", Methods: identity.MethodsOf(identity.MethodApp, identity.MethodToken), Delivery: identity.ByHandover},
}

// proxies are before everything: each visitor has an address of its own.
var proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}

var operator = identity.Actor{Name: "operator:test", Operator: true}

// pki is made once: its keys take time.
var pki = sync.OnceValues(func() (*cardtest.PKI, error) { return cardtest.New(time.Now()) })

// stray is what was logged past the loggers that the parts were given.
var stray = &Log{}

func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewJSONHandler(stray, &slog.HandlerOptions{Level: slog.LevelDebug})))
	os.Exit(m.Run())
}

// NewWorld starts everything, and stops it with the test.
func NewWorld(t testing.TB, o Options) *World {
	t.Helper()
	w := &World{T: t, Pair: o.Pair, Clock: &Clock{}, Mailbox: &Mailbox{}, Log: &Log{}, Secrets: map[string]string{}, hosts: map[string]http.Handler{}}
	switch w.PKI = o.PKI; {
	case w.PKI == nil && o.Online:
		w.PKI, w.Status = cardtest.ForTestOnline(t, w.Clock.Now)
	case w.PKI == nil:
		w.PKI = must(pki())(t)
	}
	pages, cards := must(web.Listen("127.0.0.1:0"))(t), must(web.Listen("127.0.0.1:0"))(t)
	w.Port, w.CardPort = port(pages), port(cards)
	w.CardHost = must(card.ParseHost("https://*.card.localhost:" + w.CardPort))(t)
	log := slog.New(slog.NewJSONHandler(w.Log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	if o.Quiet {
		log = slog.New(slog.DiscardHandler)
	}
	var mtls net.Listener
	if o.MTLS {
		mtls = w.listenMTLS()
	}
	w.replicas(o, log)
	w.seed()
	w.serve(pages, cards, mtls, log)
	w.apps(log) // they look for the provider at once
	t.Cleanup(func() {
		if t.Failed() {
			t.Log("what was logged at warn and above:\n" + w.Log.Loud())
		}
	})
	return w
}

func port(l net.Listener) string { return strconv.Itoa(l.Addr().(*net.TCPAddr).Port) }

// Origin is where a host is: "id", "services", "service", "records"….
func (w *World) Origin(name string) string { return "https://" + name + ".localhost:" + w.Port }

// Issuer is the provider's address.
func (w *World) Issuer() string { return w.Origin("id") }

// Handle adds a host.
func (w *World) Handle(name string, h http.Handler) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hosts[name] = h
}

// replicas opens the stores and assembles the provider over them: one of it, or
// two that know of each other only by what they store.
func (w *World) replicas(o Options, log *slog.Logger) {
	w.T.Helper()
	driver, n := store.SQLite, 1
	if o.Pair == PostgresRedis {
		driver, n = store.Postgres, 2
	}
	where := storetest.Config(w.T, driver)
	prefix, address := "test:"+rand.Text()+":", ""
	if o.Pair == PostgresRedis {
		address = ephemeraltest.RedisAddress(w.T)
	}
	if o.Gates {
		where, address = w.gates(where, address)
	}
	w.File, w.Master = where.Path, keys.GenerateMaster()
	file := w.T.TempDir() + "/master.key"
	if err := os.WriteFile(file, []byte(w.Master+"\n"), 0o600); err != nil {
		w.T.Fatal(err)
	}
	w.trust = w.PKI.TestTrust(w.T)
	certificate := must(w.PKI.ServerCertificate("*.card.localhost"))(w.T)
	assemble := func(kept ephemeral.Store) *Replica {
		w.T.Helper()
		master := must(keys.LoadMaster(file))(w.T)
		r := &Replica{Store: storetest.Connect(w.T, where, func(d *store.Deps) { d.Seal, d.Now = master.Seal, w.Clock.Now }), Ephemeral: kept}
		if kept == nil {
			r.Ephemeral = w.ephemeral(address, prefix)
		}
		c := server.Config{
			Issuer: w.Issuer(), Brand: brand, SupportPhone: "020 000 0000", UserServices: server.UserServices{URL: w.Origin("services")},
			CardHost: &w.CardHost, RevocationWaived: !o.Online, Proxies: proxies, Keys: keys.Options{Kinds: []keys.Kind{keys.RSA2048, keys.P256}},
			Passwords:    cmp.Or(hash{o.Hash.Time, o.Hash.MemoryKiB}, hash{1, 64}).params(o.Hash),
			LettersEvery: 100 * time.Millisecond, Outgoing: openid.Outgoing{AllowHosts: hostNames(allHosts), RootCAs: w.PKI.ServerPool()},
		}
		if w.MTLS != "" {
			c.MTLS = openid.MTLS{URL: w.MTLS, ClientCAs: w.servicePool()}
		}
		if o.Configure != nil {
			o.Configure(&c)
		}
		if len(w.Replicas) == 0 && slices.Contains(c.Keys.Kinds, keys.RSA2048) {
			w.layKey(r.Store.Keys(), master)
		}
		var err error
		r.Server, err = server.New(w.T.Context(), c, server.Deps{Store: r.Store, Keys: r.Store.Keys(), Ephemeral: r.Ephemeral, Master: master,
			Carrier: w.Mailbox, Gateway: w.Mailbox, Trust: func() *card.Trust { return w.trust }, Log: log, Now: w.Clock.Now})
		if err != nil {
			w.T.Fatal(err)
		}
		r.Door.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }
		return r
	}
	for range n {
		w.Replicas = append(w.Replicas, assemble(nil))
	}
	w.reassemble = func(i int) {
		r := assemble(w.Replicas[i].Ephemeral)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.Replicas[i] = r
	}
}

// Restart replaces every replica by one that has seen nothing yet, over the same
// stores; what lies in memory stays. Nobody may be asking meanwhile. The former ones go
// on with the background work.
func (w *World) Restart() {
	w.T.Helper()
	for i := range w.Replicas {
		w.reassemble(i)
	}
}

// signingKey is every world's RSA key: to make one takes longer than most journeys.
var signingKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// layKey has the provider find that key, as if it had made it at its first start.
func (w *World) layKey(into keys.Store, master *keys.Master) {
	w.T.Helper()
	private := must(signingKey())(w.T)
	print := must((&jose.JSONWebKey{Key: private.Public()}).Thumbprint(crypto.SHA256))(w.T)
	id, now := base64.RawURLEncoding.EncodeToString(print), w.Clock.Now().UTC()
	sealed := must(master.Seal(must(x509.MarshalPKCS8PrivateKey(private))(w.T), id))(w.T)
	must(0, into.AddSigningKey(w.T.Context(), keys.Stored{ID: id, Kind: keys.RSA2048, State: keys.Current, Sealed: sealed, Created: now, Moved: now},
		audit.Event{At: now, Type: audit.KeyCreated, Actor: "system", Details: map[string]string{"key": id, "kind": string(keys.RSA2048), "state": string(keys.Current)}}))(w.T)
}

func (w *World) ephemeral(address, prefix string) ephemeral.Store {
	w.T.Helper()
	if address == "" {
		memory := ephemeral.NewMemory(w.Clock.Now)
		w.T.Cleanup(func() { _ = memory.Close() })
		return memory
	}
	redis := must(ephemeral.OpenRedis(w.T.Context(), ephemeral.RedisConfig{Addresses: []string{address}, Prefix: prefix}))(w.T)
	w.T.Cleanup(func() { _ = redis.Close() })
	return redis
}

// hash is the part of password.Params that can be compared.
type hash struct{ time, memory uint32 }

func (h hash) params(p password.Params) password.Params {
	p.Time, p.MemoryKiB = h.time, h.memory
	return p
}

// gates puts gates before PostgreSQL and Redis.
func (w *World) gates(where store.Config, redis string) (store.Config, string) {
	w.T.Helper()
	if w.Pair != PostgresRedis {
		w.T.Fatal("only what is reached over the network can be put out of reach")
	}
	dsn := must(url.Parse(where.DSN))(w.T)
	w.Database, w.Ephemeral = NewGate(w.T, dsn.Host), NewGate(w.T, redis)
	dsn.Host = w.Database.Address
	where.DSN, where.Timeout = dsn.String(), 3*time.Second
	return where, w.Ephemeral.Address
}

var allHosts = []string{"id", "services", "console", "service", "records", "other", "other2", "apache"}

func hostNames(names []string) []string {
	var hosts []string
	for _, n := range names {
		hosts = append(hosts, n+".localhost")
	}
	return hosts
}

// seed makes the organisations and the clients.
func (w *World) seed() {
	w.T.Helper()
	for _, o := range organisations {
		must(w.Replicas[0].Directory.CreateOrganisation(w.T.Context(), operator, o))(w.T)
	}
	w.Clients = &openid.Clients{Store: w.Replicas[0].Store, ACR: openid.NewACRs("urn:portti:acr:"), Now: w.Clock.Now}
	services := w.client("services", "User Services")
	services.ID, services.Scopes, services.BackChannelLogoutURI, services.ForwardsAddresses = "user-services", userservices.Scopes, w.Origin("services")+userservices.BackChannelLogoutPath, true
	admin := w.client("console", "Console")
	admin.Scopes, admin.BackChannelLogoutURI, admin.MinimumACR, admin.ForwardsAddresses = console.Scopes, w.Origin("console")+console.BackChannelLogoutPath, acrCode, true
	records := w.client("records", "The Records")
	records.MinimumACR = acrCard
	for _, c := range []openid.Client{services, admin, w.client("service", "The Service"), records} {
		w.Register(c)
	}
}

// client is the usual registration of the application on a host.
func (w *World) client(host, title string) openid.Client {
	return openid.Client{ID: host, Name: map[string]string{"en": title}, AuthMethod: openid.AuthBasic, RequirePKCE: true, Algorithm: keys.ES256,
		GrantTypes: []openid.GrantType{openid.GrantCode, openid.GrantRefresh}, Scopes: []string{"openid", "profile", "email", "offline_access"},
		RedirectURIs: []string{w.Origin(host) + "/callback"}, PostLogoutRedirectURIs: []string{w.Origin(host) + "/logout/callback"},
		BackChannelLogoutURI: w.Origin(host) + "/logout/backchannel", HomeURI: w.Origin(host) + "/"}
}

// Register adds a client; its secret is in Secrets then.
func (w *World) Register(c openid.Client) {
	w.T.Helper()
	w.Secrets[c.ID] = must(w.Clients.Create(w.T.Context(), operator.Name, c, false))(w.T)
}

// apps starts the relying parties.
func (w *World) apps(log *slog.Logger) {
	w.T.Helper()
	inside := &http.Client{Timeout: 10 * time.Second, Transport: w.transport(nil)}
	for _, name := range []string{"service", "records"} {
		w.Handle(name, must(service.New(service.Config{URL: w.Origin(name), Issuer: w.Issuer(), ClientID: name, ClientSecret: w.Secrets[name],
			HTTPClient: inside, Now: w.Clock.Now, Log: log}))(w.T))
	}
	app := must(userservices.New(w.T.Context(), userservices.Config{URL: w.Origin("services"), Issuer: w.Issuer(), ClientSecret: w.Secrets["user-services"],
		CardHost: w.CardHost.String(), Brand: brand, SupportPhone: "020 000 0000", Proxies: proxies, HTTPClient: inside, Now: w.Clock.Now, Log: log}))(w.T)
	w.Handle("services", app.Handler())
	admin := must(console.New(w.T.Context(), console.Config{URL: w.Origin("console"), Issuer: w.Issuer(), ClientSecret: w.Secrets["console"], Brand: brand, SupportPhone: "020 000 0000",
		Proxies: proxies, HTTPClient: inside, Now: w.Clock.Now, Log: log}))(w.T)
	w.Handle("console", admin.Handler())
}

// turn is the replica whose turn it is.
func (w *World) turn(n *atomic.Int64) *Replica {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Replicas[int(n.Add(1))%len(w.Replicas)]
}

// serve answers on every listener, with the TLS of the provider itself, and does the background work, until the test ends.
func (w *World) serve(pages, cards, mtls net.Listener, log *slog.Logger) {
	w.T.Helper()
	w.Handle("id", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.turn(&w.requests).Handler().ServeHTTP(rw, r) }))
	certificate := w.serverFiles(log, hostNames(append(allHosts, "mtls"))...)
	ctx, stop := context.WithCancel(context.Background())
	door := w.Replicas[0].Door.Server()
	door.Handler = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.turn(&w.cards).Door.ServeHTTP(rw, r) })
	var running sync.WaitGroup
	failed := func(err error) {
		if err != nil && !errors.Is(err, http.ErrServerClosed) {
			w.T.Error(err)
		}
	}
	for _, r := range w.Replicas {
		running.Go(func() { r.Run(ctx) })
	}
	running.Go(func() {
		failed(web.Serve(ctx, pages, http.HandlerFunc(w.byName), certificate.Config(), log))
	})
	if mtls != nil {
		h := http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.turn(&w.requests).MTLSHandler().ServeHTTP(rw, r) })
		running.Go(func() { failed(web.Serve(ctx, mtls, h, certificate.Asking(), log)) })
	}
	cards = w.Replicas[0].Door.Listener(cards)
	running.Go(func() { failed(door.ServeTLS(cards, "", "")) })
	w.T.Cleanup(func() {
		stop()
		_ = door.Close()
		running.Wait()
	})
}

func (w *World) byName(rw http.ResponseWriter, r *http.Request) {
	host, _, _ := strings.Cut(r.Host, ":")
	w.mu.Lock()
	h := w.hosts[strings.TrimSuffix(host, ".localhost")]
	w.mu.Unlock()
	if h == nil {
		http.Error(rw, "no such host", http.StatusMisdirectedRequest)
		return
	}
	h.ServeHTTP(rw, r)
}

// transport reaches every .localhost name on this machine, with a card when
// present returns one.
func (w *World) transport(present func() *cardtest.Card) *http.Transport {
	config := &tls.Config{RootCAs: w.PKI.ServerPool(), MinVersion: tls.VersionTLS12}
	if present != nil {
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if c := present(); c != nil {
				return c.TLS(), nil
			}
			return &tls.Certificate{}, nil
		}
	}
	return &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: 64, DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(address)
		if err != nil || !strings.HasSuffix(host, ".localhost") {
			return nil, fmt.Errorf("a test wants to leave this machine for %s", address)
		}
		return new(net.Dialer).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
	}}
}

// Organisation changes an organisation's settings.
func (w *World) Organisation(id identity.OrganisationID, edit func(o *identity.Organisation)) {
	w.T.Helper()
	must(w.Replicas[0].Directory.ChangeOrganisation(context.Background(), operator, id, edit))(w.T)
}

// Clock is everybody's: the provider's, the apps' and the authenticators'. It
// follows the machine's and can be put forward.
type Clock struct{ ahead atomic.Int64 }

// Now is the time.
func (c *Clock) Now() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }

// Advance puts the clock forward. What lies in Redis expires by the machine's clock.
func (c *Clock) Advance(d time.Duration) { c.ahead.Add(int64(d)) }

// Mailbox keeps the letters and text messages that were sent.
type Mailbox struct {
	mu      sync.Mutex
	letters []mail.Message
}

var _ mail.Carrier = (*Mailbox)(nil)

// Deliver takes a letter.
func (m *Mailbox) Deliver(_ context.Context, letter mail.Message) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.letters = append(m.letters, letter)
	return nil
}

// Letters are those to an address or a number, oldest first.
func (m *Mailbox) Letters(to string) []mail.Message {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(m.letters), func(l mail.Message) bool { return l.To != to })
}

// Log keeps everything that the house logs.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is all of it, a JSON object a line.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Loud is what was logged at warn and above.
func (l *Log) Loud() string {
	lines := strings.Split(l.String(), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool {
		return !strings.Contains(s, `"level":"WARN"`) && !strings.Contains(s, `"level":"ERROR"`)
	}), "\n")
}

// must is the value, or the end of the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// eventually waits for what happens in the background: logout notices are looked for
// every fifteen seconds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if ok() { // which may take long by itself: a page in a browser
			return
		}
	}
	t.Fatalf("it never came to pass that %s", what)
}

// merged is a copy of values with others in place of its own; an empty list takes
// a parameter out.
func merged(base, other url.Values) url.Values {
	all := maps.Clone(base)
	for name, values := range other {
		if all[name] = values; len(values) == 0 {
			delete(all, name)
		}
	}
	return all
}
