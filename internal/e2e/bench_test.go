package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/session"
)

// BenchmarkHouse prints one table: what the whole provider does, on both pairs of
// backends, with as many callers as keep every core busy. Callers call the handlers
// in this process, so that no driver's connections are in the figures; only the card
// host is called over TLS, as the handshake is what it is about. docs/performance.md
// explains the columns.
func BenchmarkHouse(b *testing.B) {
	table := []string{fmt.Sprintf("%-16s %-30s %9s %9s %9s %12s %12s %14s", "backends", "flow", "ops/s", "p50 ms", "p99 ms", "CPU us/op", "db us/op", "ops/core-s")}
	for _, pair := range []Pair{SQLiteMemory, PostgresRedis} {
		b.Run(string(pair), func(b *testing.B) {
			w := NewWorld(b, Options{Pair: pair, Quiet: true, Hash: password.Params{Time: 2, MemoryKiB: 46 << 10}})
			table = append(table, figures(b, w)...)
			b.ReportMetric(0, "ns/op") // the table tells
		})
	}
	fmt.Println("\n" + strings.Join(table, "\n") + "\n")
}

const (
	long      = 2 * time.Second // of one figure
	employees = 24              // who sign in by turns, so that nobody waits for a fresh code
)

func figures(b *testing.B, w *World) []string {
	p := w.Party("other")
	var pwd, card []*Employee
	for i := range employees {
		pwd = append(pwd, w.Settled(fmt.Sprintf("salla.sana%d", i), "kuntala", identity.MethodApp))
	}
	for i := range callers() {
		card = append(card, w.Settled(fmt.Sprintf("kaisa.kortti%d", i), "saaristo", identity.MethodCard))
	}
	m := &meter{b: b, w: w}

	// The grants are of many people, as in life: with thousands of one person's,
	// PostgreSQL sometimes found a token the slow way (docs/performance.md).
	var signedIn []*caller
	for i, e := range pwd {
		c := newCaller(w, i)
		if _, err := c.passwordAndCode(p, e); err != nil {
			b.Fatal(err)
		}
		signedIn = append(signedIn, c)
	}
	var mu sync.Mutex
	var codes []string
	silent := url.Values{"prompt": {"none"}, "scope": {"openid profile offline_access"}}
	m.run("prompt=none, signed in", func(_, i int) error {
		code, err := signedIn[i%len(signedIn)].twin().authorize(p, silent)
		mu.Lock()
		codes = append(codes, code)
		mu.Unlock()
		return err
	})
	var tokens []Tokens
	plain := m.times("code exchange (ES256)", len(codes), func(_, i int) error {
		t, err := newCaller(w, i).token(p, url.Values{"grant_type": {"authorization_code"}, "code": {codes[i]}, "redirect_uri": {p.Redirect}, "code_verifier": {p.Verifier}})
		mu.Lock()
		tokens = append(tokens, t)
		mu.Unlock()
		return err
	})
	floor := m.times("  its signature and storage", len(codes), m.floor(len(codes), pwd))
	m.compare("  exchange / floor", plain, floor)
	userinfo := m.run("userinfo", func(_, i int) error { return newCaller(w, i).userinfo(tokens[i%len(tokens)].Access) })
	chains := make([]string, callers())
	for i := range chains {
		chains[i] = tokens[i].Refresh
	}
	m.run("refresh, rotated", func(caller, i int) error {
		t, err := newCaller(w, i).token(p, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {chains[caller]}})
		chains[caller] = t.Refresh
		return err
	})
	m.run("login, password and code", func(_, i int) error {
		c := newCaller(w, i)
		code, err := c.passwordAndCode(p, pwd[i%len(pwd)])
		if err != nil {
			return err
		}
		_, err = c.redeem(p, code)
		return err
	})
	m.run("login, card (TLS P-256)", func(caller, i int) error {
		c := newCaller(w, i)
		code, err := c.card(p, card[caller])
		if err != nil {
			return err
		}
		_, err = c.redeem(p, code)
		return err
	})
	m.protocol(p, signedIn, plain, userinfo, tokens)
	return m.rows
}

// some is how often a flow runs for which something is made ready beforehand: codes,
// proofs, assertions. What clients sign is not in the provider's figures.
const some = 2000

// protocol is the rest of the protocol. plain and userinfo are the core seconds of a
// code exchange and of a userinfo call as they are without any of it.
func (m *meter) protocol(p *Party, signedIn []*caller, plain, userinfo float64, tokens []Tokens) {
	m.b.Helper()
	w := m.w
	m.floors()

	for _, kind := range []struct {
		name   string
		format openid.AccessTokenFormat
	}{{"reference", openid.FormatReference}, {"at+jwt", openid.FormatJWT}} {
		id := "machine-" + kind.name[:2]
		w.Register(openid.Client{ID: id, Name: map[string]string{"en": id}, AuthMethod: openid.AuthBasic, GrantTypes: []openid.GrantType{openid.GrantClient}, Scopes: []string{"read"},
			Algorithm: keys.ES256, Options: openid.Options{TokenFormat: kind.format}})
		machine := w.As(id, "")
		m.run("client_credentials, "+kind.name, func(_, i int) error {
			_, err := newCaller(w, i).token(machine, url.Values{"grant_type": {"client_credentials"}})
			return err
		})
	}
	m.run("introspection", func(_, i int) error { return newCaller(w, i).introspect(p, tokens[i%len(tokens)].Access) })
	silent := url.Values{"prompt": {"none"}, "scope": {"openid profile offline_access"}}
	m.run("PAR", func(_, i int) error {
		_, err := newCaller(w, i).push(p, silent)
		return err
	})
	m.run("PAR, then prompt=none", func(_, i int) error {
		c := signedIn[i%len(signedIn)].twin()
		uri, err := c.push(p, silent)
		if err != nil {
			return err
		}
		_, out, err := c.until(c.do(http.MethodGet, w.Issuer()+"/authorize?"+url.Values{"client_id": {p.ID}, "request_uri": {uri}}.Encode(), nil))
		if err != nil {
			return err
		}
		_, err = codeIn(out)
		return err
	})

	key := dpoptest.New(m.b)
	bound := w.Party("bound", func(c *openid.Client) { c.DPoP = true })
	codes := m.codes(bound, signedIn)
	proofs := m.ready(func(int) string { return key.Proof(http.MethodPost, w.Issuer()+"/token", "", "") })
	held := make([]string, some)
	took := m.times("code exchange, DPoP", some, func(_, i int) error {
		t, err := newCaller(w, i).token(bound, bound.redeeming(codes[i]), header("DPoP", proofs[i]))
		held[i] = t.Access
		return err
	})
	m.compare("  to one without", took, plain)
	proofs = m.ready(func(i int) string { return key.Proof(http.MethodGet, w.Issuer()+"/userinfo", held[i], "") })
	took = m.times("userinfo, DPoP", some, func(_, i int) error {
		return newCaller(w, i).userinfo(held[i], header("Authorization", "DPoP "+held[i]), header("DPoP", proofs[i]))
	})
	m.compare("  to one without", took, userinfo)

	own := clientjwttest.New(m.b, "ES256")
	signing := w.Party("signing", func(c *openid.Client) {
		c.AuthMethod, c.AuthAlgorithm, c.JWKS = openid.AuthPrivateKeyJWT, keys.ES256, own.JWKS()
	})
	codes = m.codes(signing, signedIn)
	assertions := m.ready(func(int) string { return own.Assertion(signing.ID, w.Issuer()) })
	took = m.times("code exchange, private_key_jwt", some, func(_, i int) error {
		_, err := newCaller(w, i).token(signing, merged(signing.redeeming(codes[i]), url.Values{"client_id": {signing.ID},
			"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}, "client_assertion": {assertions[i]}}))
		return err
	})
	m.compare("  to one with a secret", took, plain)
}

// floors are what no provider can do without, in the same run: a request of this
// driver that does nothing, one ES256 signature of ours, one check of a client's.
func (m *meter) floors() {
	m.b.Helper()
	m.run("a request that does nothing", func(_, i int) error {
		r := httptest.NewRequest(http.MethodPost, m.w.Issuer()+"/", strings.NewReader("a=b"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		answer := httptest.NewRecorder()
		http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusOK); _ = r.ParseForm() }).ServeHTTP(answer, r)
		return nil
	})
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(m.b)
	sum := sha256.Sum256([]byte("floor"))
	signature := must(ecdsa.SignASN1(rand.Reader, private, sum[:]))(m.b)
	m.run("ES256, signed", func(_, _ int) error {
		_, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		return err
	})
	m.run("ES256, checked", func(_, _ int) error {
		if !ecdsa.VerifyASN1(&private.PublicKey, sum[:], signature) {
			return errors.New("a good signature is refused")
		}
		return nil
	})
}

// compare adds a row that sets the core seconds of an operation beside those of
// another: others who use the machine move the wall clock more.
func (m *meter) compare(name string, took, other float64) {
	m.rows = append(m.rows, fmt.Sprintf("%-16s %-30s %9.2f %s", m.w.Pair, name, took/other, "times, in core seconds"))
}

// ready makes something for each of some operations, as many at once as there are cores.
func (m *meter) ready(f func(i int) string) []string {
	out := make([]string, some)
	var next atomic.Int64
	var all sync.WaitGroup
	for range callers() {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < some; i = int(next.Add(1)) - 1 {
				out[i] = f(i)
			}
		})
	}
	all.Wait()
	return out
}

// codes are got by people who are signed in.
func (m *meter) codes(p *Party, signedIn []*caller) []string {
	m.b.Helper()
	codes := m.ready(func(i int) string {
		code, err := signedIn[i%len(signedIn)].twin().authorize(p, url.Values{"prompt": {"none"}})
		if err != nil {
			m.b.Error(err)
		}
		return code
	})
	if m.b.Failed() {
		m.b.FailNow()
	}
	return codes
}

// callers at once: two a core, as some wait for the backends.
func callers() int { return 2 * runtime.GOMAXPROCS(0) }

// meter runs flows and makes rows of the table.
type meter struct {
	b    *testing.B
	w    *World
	rows []string
}

// run repeats f for a while, and returns what times does; f gets the caller's number
// and the operation's.
func (m *meter) run(name string, f func(caller, i int) error) float64 {
	m.b.Helper()
	end := time.Now().Add(long)
	return m.measure(name, f, func(int) bool { return time.Now().Before(end) })
}

// times repeats f n times, and returns the core seconds of an operation: the process
// and the backends.
func (m *meter) times(name string, n int, f func(caller, i int) error) float64 {
	m.b.Helper()
	return m.measure(name, f, func(i int) bool { return i < n })
}

func (m *meter) measure(name string, f func(caller, i int) error, more func(i int) bool) float64 {
	m.b.Helper()
	runtime.GC()
	var next atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var all sync.WaitGroup
	began, cpu, db := time.Now(), ourCPU(m.b), backendCPU()
	for caller := range callers() {
		all.Go(func() {
			var mine []time.Duration
			var err error
			for err == nil {
				i := int(next.Add(1)) - 1
				if !more(i) {
					break
				}
				start := time.Now()
				err = f(caller, i)
				mine = append(mine, time.Since(start))
			}
			mu.Lock()
			defer mu.Unlock()
			took = append(took, mine...)
			if err != nil {
				failed = err
			}
		})
	}
	all.Wait()
	wall, cpu, db := time.Since(began), ourCPU(m.b)-cpu, backendCPU()-db
	if failed != nil || len(took) == 0 {
		m.b.Fatalf("%s: %v", name, failed)
	}
	slices.Sort(took)
	n := time.Duration(len(took))
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	m.rows = append(m.rows, fmt.Sprintf("%-16s %-30s %9.0f %9.2f %9.2f %12d %12d %14.0f", m.w.Pair, name, float64(n)/wall.Seconds(), ms(took[len(took)/2]), ms(took[len(took)*99/100]),
		(cpu/n).Microseconds(), (db/n).Microseconds(), float64(n)/(cpu+db).Seconds()))
	return (cpu + db).Seconds() / float64(n)
}

// ourCPU is what this process has used: provider, callers, and SQLite or the drivers.
func ourCPU(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// backendCPU is what the machine's PostgreSQL and Redis have used, by the kernel's
// clock of 10 ms; 0 where there is no /proc. What others use them for is in it.
func backendCPU() (sum time.Duration) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range stats {
		raw, err := os.ReadFile(file)
		if err != nil {
			continue // it ended meanwhile
		}
		_, after, ok := strings.Cut(string(raw), "(postgres) ")
		if !ok {
			_, after, ok = strings.Cut(string(raw), "(redis-server) ")
		}
		if fields := strings.Fields(after); ok && len(fields) > 12 {
			for _, ticks := range fields[11:13] {
				n, _ := strconv.Atoi(ticks)
				sum += time.Duration(n) * 10 * time.Millisecond
			}
		}
	}
	return sum
}

// floor is what an exchange cannot do without: one swap of the code, one signature
// of ES256, one transaction.
func (m *meter) floor(n int, people []*Employee) func(caller, i int) error {
	m.b.Helper()
	r := m.w.Replicas[0]
	master := must(keys.ReadMaster(strings.NewReader(m.w.Master)))(m.b)
	ring := must(keys.OpenRing(m.b.Context(), r.Store.Keys(), master, keys.Options{Kinds: []keys.Kind{keys.RSA2048, keys.P256}, Now: m.w.Clock.Now}))(m.b)
	claims := must(json.Marshal(map[string]any{"iss": m.w.Issuer(), "sub": people[0].ID, "aud": "other", "exp": 1795377600, "iat": 1795377300, "auth_time": 1795377300, "nonce": "nonce-other", "acr": acrCode,
		"amr": []string{"pwd", "otp", "mfa"}, "azp": "other", "at_hash": "AAAAAAAAAAAAAAAAAAAAAA", "sid": "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}))(m.b)
	key := func(i int) string { return ephemeral.Key("floor", strconv.Itoa(i)) }
	for i := range n {
		must(0, r.Ephemeral.Put(m.b.Context(), key(i), claims, time.Minute))(m.b)
	}
	epoch := must(r.Store.Person(m.b.Context(), people[0].ID))(m.b).User.Epoch // everybody's: the same has happened to all
	return func(_, i int) error {
		ctx, now, r := context.Background(), m.w.Clock.Now(), m.w.Replicas[i%len(m.w.Replicas)]
		if _, err := r.Ephemeral.Swap(ctx, key(i), []byte("spent"), time.Hour); err != nil {
			return err
		}
		if _, err := ring.Sign(keys.ES256, "JWT", claims); err != nil {
			return err
		}
		id := openid.GrantID(key(i))
		g := openid.Grant{ID: id, Client: "other", User: string(people[i%len(people)].ID), Session: "floor", Epoch: epoch, Level: session.Full, Method: session.App, Scopes: []string{"openid", "profile"},
			ACR: acrCode, AMR: []string{"pwd", "otp", "mfa"}, AuthTime: now, Created: now, Expires: now.Add(time.Hour), RefreshHash: digest("r" + key(i))}
		return r.Store.Issue(ctx, g, openid.AccessToken{Hash: digest("a" + key(i)), Grant: id, Expires: now.Add(time.Minute)})
	}
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// caller is a browser or an application that calls the handlers in this process. One
// operation, one replica's turn a request.
type caller struct {
	w       *World
	from    string
	cookies map[string]string
}

func newCaller(w *World, i int) *caller {
	return &caller{w: w, from: fmt.Sprintf("198.19.%d.%d", i/250%250, i%250+1), cookies: map[string]string{}}
}

// twin has the same cookies and may be used beside c.
func (c *caller) twin() *caller {
	t := newCaller(c.w, 0)
	for name, value := range c.cookies {
		t.cookies[name] = value
	}
	return t
}

func (c *caller) do(method, address string, form url.Values, edit ...func(r *http.Request)) *httptest.ResponseRecorder {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r := httptest.NewRequest(method, address, body)
	r.RemoteAddr = "127.0.0.1:1"
	r.Header.Set("X-Forwarded-For", c.from)
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for name, value := range c.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	for _, e := range edit {
		e(r)
	}
	answer := httptest.NewRecorder()
	c.w.turn(&c.w.requests).Handler().ServeHTTP(answer, r)
	for _, line := range answer.Header().Values("Set-Cookie") {
		if set, err := http.ParseSetCookie(line); err == nil {
			c.cookies[set.Name] = set.Value
		}
	}
	return answer
}

// until follows redirects within the provider, to a page or to an address elsewhere.
func (c *caller) until(answer *httptest.ResponseRecorder) (page, next string, err error) {
	for range 8 {
		to := answer.Header().Get("Location")
		switch {
		case answer.Code == http.StatusOK:
			return answer.Body.String(), "", nil
		case to == "" || answer.Code != http.StatusSeeOther && answer.Code != http.StatusFound:
			return "", "", fmt.Errorf("%d %s", answer.Code, answer.Body)
		case strings.HasPrefix(to, "/"):
			to = c.w.Issuer() + to
		case !strings.HasPrefix(to, c.w.Issuer()+"/"):
			return "", to, nil
		}
		answer = c.do(http.MethodGet, to, nil)
	}
	return "", "", fmt.Errorf("redirects without end")
}

var (
	formAction = regexp.MustCompile(`action="(/signin/[^"/]+)/`)
	formToken  = regexp.MustCompile(`name="csrf" value="([^"]+)"`)
)

// post sends a form of a page, and goes on to the next page or out of the house.
func (c *caller) post(page, form string, fields url.Values) (next, out string, err error) {
	action, token := formAction.FindStringSubmatch(page), formToken.FindStringSubmatch(page)
	if action == nil || token == nil {
		return "", "", fmt.Errorf("no form for %s", form)
	}
	fields.Set("csrf", token[1])
	return c.until(c.do(http.MethodPost, c.w.Issuer()+action[1]+"/"+form, fields))
}

func codeIn(address string) (string, error) {
	u, err := url.Parse(address)
	if err == nil && u.Query().Get("code") == "" {
		err = fmt.Errorf("no code in %q", address)
	}
	if err != nil {
		return "", err
	}
	return u.Query().Get("code"), nil
}

func (c *caller) authorize(p *Party, extra url.Values) (string, error) {
	_, out, err := c.until(c.do(http.MethodGet, p.URL(extra), nil))
	if err != nil {
		return "", err
	}
	return codeIn(out)
}

// passwordAndCode is a whole sign-in, from the client's request to its code.
func (c *caller) passwordAndCode(p *Party, e *Employee) (string, error) {
	page, _, err := c.until(c.do(http.MethodGet, p.URL(nil), nil))
	if err != nil {
		return "", err
	}
	if page, _, err = c.post(page, "password", url.Values{"username": {e.Username}, "password": {e.Password}}); err != nil {
		return "", err
	}
	_, out, err := c.post(page, "code", url.Values{"code": {e.Code()}})
	if err != nil {
		return "", err
	}
	return codeIn(out)
}

// card is a whole sign-in with the card; the card host is called over TLS.
func (c *caller) card(p *Party, e *Employee) (string, error) {
	page, _, err := c.until(c.do(http.MethodGet, p.URL(nil), nil))
	if err != nil {
		return "", err
	}
	_, ticket, err := c.post(page, "card", url.Values{})
	if err != nil {
		return "", err
	}
	answer, err := c.w.PKI.Client(e.Card, "127.0.0.1:"+c.w.CardPort).Get(ticket)
	if err != nil {
		return "", err
	}
	_ = answer.Body.Close()
	_, out, err := c.until(c.do(http.MethodGet, answer.Header.Get("Location"), nil))
	if err != nil {
		return "", err
	}
	return codeIn(out)
}

func (c *caller) redeem(p *Party, code string) (Tokens, error) {
	return c.token(p, p.redeeming(code))
}

// redeeming is the form that exchanges a code.
func (p *Party) redeeming(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.Redirect}, "code_verifier": {p.Verifier}}
}

// withSecret proves a client that has a secret.
func withSecret(p *Party) func(r *http.Request) {
	return func(r *http.Request) {
		if p.Secret != "" {
			r.SetBasicAuth(p.ID, p.Secret)
		}
	}
}

func header(name, value string) func(r *http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func (c *caller) token(p *Party, form url.Values, edit ...func(r *http.Request)) (Tokens, error) {
	answer := c.do(http.MethodPost, p.W.Issuer()+"/token", form, append(edit, withSecret(p))...)
	var t Tokens
	if answer.Code != http.StatusOK {
		return t, fmt.Errorf("token: %d %s", answer.Code, answer.Body)
	}
	return t, json.Unmarshal(answer.Body.Bytes(), &t)
}

func (c *caller) introspect(p *Party, access string) error {
	answer := c.do(http.MethodPost, c.w.Issuer()+"/introspect", url.Values{"token": {access}}, withSecret(p))
	if answer.Code != http.StatusOK || !strings.HasPrefix(answer.Body.String(), `{"active":true`) {
		return fmt.Errorf("introspection: %d %s", answer.Code, answer.Body)
	}
	return nil
}

// push is a pushed authorization request; it returns the request_uri.
func (c *caller) push(p *Party, extra url.Values) (string, error) {
	request, err := url.Parse(p.URL(extra))
	if err != nil {
		return "", err
	}
	answer := c.do(http.MethodPost, c.w.Issuer()+"/par", request.Query(), withSecret(p))
	if answer.Code != http.StatusCreated {
		return "", fmt.Errorf("par: %d %s", answer.Code, answer.Body)
	}
	var pushed struct {
		URI string `json:"request_uri"`
	}
	return pushed.URI, json.Unmarshal(answer.Body.Bytes(), &pushed)
}

func (c *caller) userinfo(access string, edit ...func(r *http.Request)) error {
	answer := c.do(http.MethodGet, c.w.Issuer()+"/userinfo", nil, append([]func(r *http.Request){header("Authorization", "Bearer "+access)}, edit...)...)
	if answer.Code != http.StatusOK {
		return fmt.Errorf("userinfo: %d %s", answer.Code, answer.Body)
	}
	return nil
}
