package card_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/fault"
)

const fallback = "https://id.example.test/signin/card/restart"

// attempts stands for package login.
type attempts struct {
	mu      sync.Mutex
	tickets map[string]card.Attempt
	results map[string]card.Result // by the attempt's ID
	opened  int
	names   []string               // that Open was asked with
	signs   map[string][]card.Sign // by name
	told    chan struct{}          // closed and replaced at every sign
	broken  error                  // what Finish, and Open of the ticket "brokenbrokenbroken", return
}

func (a *attempts) Open(_ context.Context, ticket, name string) (card.Attempt, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.opened++
	a.names = append(a.names, name)
	if ticket == "brokenbrokenbroken" {
		return card.Attempt{}, a.broken
	}
	attempt, ok := a.tickets[ticket]
	if !ok {
		return card.Attempt{}, fault.New(fault.Gone, "card_ticket_spent", "This card attempt has been used.")
	}
	delete(a.tickets, ticket)
	return attempt, nil
}

func (a *attempts) Finish(_ context.Context, at card.Attempt, r card.Result) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.broken != nil {
		return "", a.broken
	}
	a.results[at.ID] = r
	return at.Return + "?result=" + at.ID, nil
}

func (a *attempts) Note(_ context.Context, name string, s card.Sign) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.signs[name] = append(a.signs[name], s)
	close(a.told)
	a.told = make(chan struct{})
	return nil
}

func (a *attempts) result(id string) (card.Result, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.results[id]
	return r, ok
}

// bench is a card host that listens.
type bench struct {
	*card.Door
	pki      *cardtest.PKI
	attempts *attempts
	addr     string
	log      *logs
}

// logs may be read while the server writes.
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

func open(t testing.TB, change ...func(*card.Door)) *bench {
	t.Helper()
	p := cardtest.ForTest(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	mustOK(t, err)
	_, port, _ := net.SplitHostPort(l.Addr().String())
	server, err := p.ServerCertificate("*.card.example.test", "card.example.test", "id.example.test")
	mustOK(t, err)
	b := &bench{
		pki: p, addr: l.Addr().String(), log: &logs{},
		attempts: &attempts{tickets: map[string]card.Attempt{}, results: map[string]card.Result{}, signs: map[string][]card.Sign{}, told: make(chan struct{})},
	}
	b.Door = &card.Door{
		Checker:     &card.Checker{Trust: trusting(p.TestTrust(t)), Waived: true},
		Attempts:    b.attempts,
		Host:        must(card.ParseHost("https://*.card.example.test:" + port)),
		Fallback:    fallback,
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server, nil },
		Log:         slog.New(slog.NewTextHandler(b.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now:         time.Now,
	}
	for _, c := range change {
		c(b.Door)
	}
	srv := b.Server()
	go func() { // ends with Close
		if srv.TLSConfig == nil {
			_ = srv.Serve(b.Listener(l))
		} else {
			_ = srv.ServeTLS(b.Listener(l), "", "")
		}
	}()
	t.Cleanup(func() { _ = srv.Close() })
	return b
}

// URL is where an attempt with this ticket goes.
func (b *bench) URL(ticket string) string { return b.place(card.Strict).URL(ticket) }

func (b *bench) place(m card.Mode) card.Place {
	place, ok := b.Place(m)
	if !ok {
		panic("the mode is not offered")
	}
	return place
}

// aName is one that an attempt may have.
const aName = "aaaaaaaaaaaaaaaaaaaaaaaaaa.card.example.test"

// ticket begins an attempt of this name.
func (b *bench) ticket(id string) string {
	ticket := rand.Text()
	b.attempts.mu.Lock()
	defer b.attempts.mu.Unlock()
	b.attempts.tickets[ticket] = card.Attempt{ID: id, Return: "https://id.example.test/signin/tx/card"}
	return ticket
}

func (b *bench) get(t testing.TB, c *cardtest.Card, url string) *http.Response {
	t.Helper()
	return b.do(t, b.pki.Client(c, b.addr), must(http.NewRequest(http.MethodGet, url, nil)))
}

func (b *bench) do(t testing.TB, client *http.Client, r *http.Request) *http.Response {
	t.Helper()
	res, err := client.Do(r)
	mustOK(t, err)
	_, err = io.Copy(io.Discard, res.Body)
	mustOK(t, err)
	mustOK(t, res.Body.Close())
	return res
}

// dial is a handshake of the client's own making, for a name of the host.
func (b *bench) dial(config *tls.Config) (*tls.Conn, error) {
	config.RootCAs = b.pki.ServerPool()
	if config.ServerName == "" {
		config.ServerName = aName
	}
	return tls.Dial("tcp", b.addr, config)
}

// S2, S14, S21–S23: every card, good or bad, gets through the handshake, and its
// verdict is stored for the attempt. So does having none.
func TestDoorRecordsEveryVerdict(t *testing.T) {
	b := open(t)
	t.Run("no card", func(t *testing.T) { b.expect(t, nil, "none", card.NoCertificate) })
	for _, c := range cardtest.Cases() {
		if c.Name == "p224" {
			continue // TLS has no signature for that curve
		}
		t.Run(c.Name, func(t *testing.T) { b.expect(t, b.pki.TestCase(t, c.Name), c.Name, c.Verdict) })
	}
}

func (b *bench) expect(t *testing.T, c *cardtest.Card, id string, want card.Verdict) {
	t.Helper()
	before := time.Now()
	res := b.get(t, c, b.URL(b.ticket(id)))
	if at := res.Header.Get("Location"); res.StatusCode != http.StatusSeeOther || at != "https://id.example.test/signin/tx/card?result="+id {
		t.Fatalf("answer %d to %q", res.StatusCode, at)
	}
	r, ok := b.attempts.result(id)
	if !ok || r.Verdict != want {
		t.Fatalf("result %+v, want %s", r, want)
	}
	if r.At.Before(before) || r.At.After(time.Now()) || r.At.Location() != time.UTC {
		t.Errorf("done at %s", r.At)
	}
	if want == card.Good && r.Holder.Fingerprint != card.Fingerprint(c.Cert) {
		t.Errorf("fingerprint %q of another card", r.Holder.Fingerprint)
	}
}

// The same with TLS 1.2, for card software that knows no better.
func TestDoorWithTLS12(t *testing.T) {
	b := open(t, func(d *card.Door) { d.MaxVersion = tls.VersionTLS12 })
	for _, name := range []string{"good-p384", "good-rsa2048", "expired"} {
		res := b.get(t, b.pki.TestCase(t, name), b.URL(b.ticket(name)))
		if res.TLS.Version != tls.VersionTLS12 || res.StatusCode != http.StatusSeeOther {
			t.Errorf("%s: TLS %x, answer %d", name, res.TLS.Version, res.StatusCode)
		}
		if r, _ := b.attempts.result(name); (r.Verdict == card.Good) != strings.HasPrefix(name, "good") {
			t.Errorf("%s: %s", name, r.Verdict)
		}
	}
	if _, err := b.dial(&tls.Config{MinVersion: tls.VersionTLS13}); err == nil {
		t.Error("TLS 1.3 in spite of the setting")
	}
}

// A card whose key the client does not have does not get through: possession is
// proved although the certificate is not judged.
func TestPossessionIsProved(t *testing.T) {
	b := open(t)
	stolen := *b.pki.TestCase(t, "good-p384")
	stolen.Key = b.pki.TestCard(t, "thief", maija).Key
	res, err := b.pki.Client(&stolen, b.addr).Get(b.URL(b.ticket("stolen")))
	if err == nil {
		_ = res.Body.Close()
		t.Fatalf("answer %d", res.StatusCode)
	}
	if _, ok := b.attempts.result("stolen"); ok {
		t.Error("a result was stored")
	}
}

// S26: of any number of presentations of a ticket one counts, and the others end
// on the page that starts anew, telling nothing.
func TestTicketIsTakenOnce(t *testing.T) {
	b := open(t)
	url := b.URL(b.ticket("raced"))
	good := b.pki.TestCase(t, "good-p256")
	const n = 50
	locations := make(chan string, n)
	var all sync.WaitGroup
	for range n {
		all.Go(func() {
			res, err := b.pki.Client(good, b.addr).Get(url)
			if err != nil {
				locations <- err.Error()
				return
			}
			_ = res.Body.Close()
			locations <- res.Header.Get("Location")
		})
	}
	all.Wait()
	close(locations)
	won, lost := 0, 0
	for l := range locations {
		switch l {
		case "https://id.example.test/signin/tx/card?result=raced":
			won++
		case fallback:
			lost++
		default:
			t.Errorf("sent to %q", l)
		}
	}
	if won != 1 || lost != n-1 {
		t.Errorf("%d won, %d were sent to start anew", won, lost)
	}
}

func TestTicketsThatAreNone(t *testing.T) {
	b := open(t)
	good := b.pki.TestCase(t, "good-p256")
	for _, ticket := range []string{
		"", "short", "favicon.ico", strings.Repeat("a", 129), "aaaaaaaaaaaaaaaaaaaa/../bbbb", "aaaaaaaaaaaaaaaa%00", "aaaaaaaaaaaaaaaa%0d%0aX:y", "ääääääääääää",
	} {
		res := b.get(t, good, b.URL("")+ticket)
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != fallback {
			t.Errorf("%q: answer %d to %q", ticket, res.StatusCode, res.Header.Get("Location"))
		}
	}
	if b.attempts.opened != 0 {
		t.Error("the store was asked for names that no ticket has")
	}
	if res := b.get(t, good, b.URL("neverbeenaticketatall")); res.Header.Get("Location") != fallback {
		t.Errorf("sent to %q", res.Header.Get("Location"))
	}
}

// When the store does not answer, the browser starts anew and learns nothing.
func TestBrokenStore(t *testing.T) {
	b := open(t)
	b.attempts.broken = errors.New("redis at 10.1.2.3 is on fire")
	good := b.pki.TestCase(t, "good-p256")
	for name, ticket := range map[string]string{"open": "brokenbrokenbroken", "finish": b.ticket("x")} {
		res, err := b.pki.Client(good, b.addr).Get(b.URL(ticket))
		mustOK(t, err)
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != fallback || bytes.Contains(body, []byte("redis")) {
			t.Errorf("%s: answer %d to %q: %s", name, res.StatusCode, res.Header.Get("Location"), body)
		}
	}
	if !strings.Contains(b.log.String(), "on fire") {
		t.Error("the operator is not told")
	}
}

// A connection that was made for one name answers for that name alone, so that
// no browser can carry a request for another over it.
func TestOtherNamesAreMisdirected(t *testing.T) {
	b := open(t)
	for _, c := range []struct{ sni, host string }{
		{aName, "b" + aName[1:]},
		{aName, "t12-" + aName},
		{aName, "id.example.test"},
		{"id.example.test", aName},
		{"a.card.example.test", "a.card.example.test"}, // no attempt has such a name
		{"x12-" + aName, "x12-" + aName},
		{"id.example.test", "id.example.test"},
		{"card.example.test", "card.example.test"}, // the star wants a label
		{aName, ""},
		{"", aName},
		{"", ""},
	} {
		config := b.pki.ClientTLS(b.pki.TestCase(t, "good-p256"))
		config.ServerName, config.InsecureSkipVerify = c.sni, true
		conn, err := tls.Dial("tcp", b.addr, config)
		mustOK(t, err)
		ticket := b.ticket("misdirected")
		_, err = fmt.Fprintf(conn, "GET /attempt/%s HTTP/1.1\r\nHost: %s\r\n\r\n", ticket, c.host)
		mustOK(t, err)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		mustOK(t, err)
		if res.StatusCode != http.StatusMisdirectedRequest {
			t.Errorf("handshake for %q, request for %q: answer %d", c.sni, c.host, res.StatusCode)
		}
		_ = conn.Close()
	}
	if b.attempts.opened != 0 {
		t.Error("a ticket was taken")
	}
	// A port and capital letters make no other name.
	r := must(http.NewRequest(http.MethodGet, b.URL(b.ticket("same")), nil))
	r.Host = strings.ToUpper(r.Host)
	if res := b.do(t, b.pki.Client(nil, b.addr), r); res.StatusCode != http.StatusSeeOther {
		t.Errorf("same name: answer %d", res.StatusCode)
	}
}

func TestDoorWithoutTLSRefuses(t *testing.T) {
	b := open(t)
	plain := &http.Server{Handler: b.Door, ReadHeaderTimeout: time.Minute}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	mustOK(t, err)
	go func() { _ = plain.Serve(l) }()
	t.Cleanup(func() { _ = plain.Close() })
	r := must(http.NewRequest(http.MethodGet, "http://"+l.Addr().String()+"/attempt/"+b.ticket("plain"), nil))
	r.Host = aName
	if res := b.do(t, http.DefaultClient, r); res.StatusCode != http.StatusMisdirectedRequest || b.attempts.opened != 0 {
		t.Errorf("answer %d", res.StatusCode)
	}
}

// The GET changes nothing but the ticket, and whatever is not a person's browser
// going there changes not even that.
func TestOnlyNavigationTakesATicket(t *testing.T) {
	b := open(t)
	client := b.pki.Client(b.pki.TestCase(t, "good-p256"), b.addr)
	for name, c := range map[string]struct {
		method string
		header http.Header
		status int
	}{
		"POST":       {http.MethodPost, nil, http.StatusMethodNotAllowed},
		"HEAD":       {http.MethodHead, nil, http.StatusMethodNotAllowed},
		"OPTIONS":    {http.MethodOptions, nil, http.StatusMethodNotAllowed},
		"picture":    {http.MethodGet, http.Header{"Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}}, http.StatusForbidden},
		"script":     {http.MethodGet, http.Header{"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}}, http.StatusForbidden},
		"frame":      {http.MethodGet, http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}}, http.StatusForbidden},
		"prefetch":   {http.MethodGet, http.Header{"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Purpose": {"prefetch;prerender"}}, http.StatusForbidden},
		"prefetch 2": {http.MethodGet, http.Header{"Purpose": {"prefetch"}}, http.StatusForbidden},
	} {
		r := must(http.NewRequest(c.method, b.URL(b.ticket("kept")), nil))
		for k, v := range c.header {
			r.Header[k] = v
		}
		if res := b.do(t, client, r); res.StatusCode != c.status {
			t.Errorf("%s: answer %d, want %d", name, res.StatusCode, c.status)
		}
	}
	if res := b.get(t, nil, strings.TrimSuffix(b.URL(""), "attempt/")); res.StatusCode != http.StatusNotFound {
		t.Errorf("front page: answer %d", res.StatusCode)
	}
	if b.attempts.opened != 0 {
		t.Error("a ticket was taken")
	}
	r := must(http.NewRequest(http.MethodGet, b.URL(b.ticket("went")), nil))
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	if res := b.do(t, client, r); res.StatusCode != http.StatusSeeOther {
		t.Errorf("a person's browser: answer %d", res.StatusCode)
	}
}

func TestEveryAnswerIsGuarded(t *testing.T) {
	b := open(t)
	for name, target := range map[string]string{"result": b.URL(b.ticket("x")), "spent": b.URL("spentspentspentspent"), "nothing": strings.TrimSuffix(b.URL(""), "attempt/")} {
		res := b.get(t, nil, target)
		for header, want := range map[string]string{
			"Cache-Control": "no-store", "Referrer-Policy": "no-referrer", "X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY",
			"Strict-Transport-Security": "max-age=31536000", "Content-Type": "text/plain; charset=utf-8",
		} {
			if got := res.Header.Values(header); len(got) != 1 || got[0] != want {
				t.Errorf("%s: %s %q, want %q", name, header, got, want)
			}
		}
		if csp := res.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: CSP %q", name, csp)
		}
		if res.Header.Get("Alt-Svc") != "" || len(res.Cookies()) != 0 {
			t.Errorf("%s: %v", name, res.Header)
		}
	}
}

// S34: every attempt is a handshake of its own: no HTTP/2, no second request on
// a connection, no resumed session.
func TestEveryAttemptIsAHandshake(t *testing.T) {
	b := open(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		cache := tls.NewLRUClientSessionCache(4)
		for range 3 {
			conn, err := b.dial(&tls.Config{ClientSessionCache: cache, NextProtos: []string{"h2", "http/1.1"}, MinVersion: version, MaxVersion: version})
			mustOK(t, err)
			if s := conn.ConnectionState(); s.DidResume || s.NegotiatedProtocol != "http/1.1" {
				t.Errorf("%s: resumed %t, %s", tls.VersionName(version), s.DidResume, s.NegotiatedProtocol)
			}
			_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+aName+"\r\nConnection: keep-alive\r\n\r\n")
			mustOK(t, err)
			in := bufio.NewReader(conn)
			res, err := http.ReadResponse(in, nil)
			mustOK(t, err)
			_, _ = io.Copy(io.Discard, res.Body)
			if !res.Close {
				t.Error("the answer does not close the connection")
			}
			if _, err := in.ReadByte(); !errors.Is(err, io.EOF) {
				t.Errorf("the connection stays open: %v", err)
			}
			_ = conn.Close()
		}
	}
	if _, err := b.dial(&tls.Config{NextProtos: []string{"h2"}}); err == nil {
		t.Error("a client that speaks HTTP/2 alone was served")
	}
}

func TestOldTLSIsRefused(t *testing.T) {
	b := open(t)
	if v := b.TLSConfig().MinVersion; v != tls.VersionTLS12 { // the suites alone would refuse the older ones, too
		t.Errorf("from %s on", tls.VersionName(v))
	}
	for name, c := range map[string]struct {
		config  *tls.Config
		refused bool
	}{
		"1.0":        {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, true},
		"1.1":        {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, true},
		"1.2 CBC":    {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA}}, true},
		"1.2 ChaCha": {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}}, true},
		"1.2 GCM":    {&tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, false},
	} {
		conn, err := b.dial(c.config)
		if (err != nil) != c.refused {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
}

// S21: browsers are told which CAs to offer cards of.
func TestHandshakeNamesTheIssuers(t *testing.T) {
	b := open(t)
	var hints [][]byte
	conn, err := b.dial(&tls.Config{GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		hints = r.AcceptableCAs
		return &tls.Certificate{}, nil
	}})
	mustOK(t, err)
	_ = conn.Close()
	if len(hints) != 2 || !bytes.Equal(hints[0], b.pki.Organisation.Cert.RawSubject) || !bytes.Equal(hints[1], b.pki.Health.Cert.RawSubject) {
		t.Errorf("%d hints", len(hints))
	}
}

// The PIN is typed inside the handshake, which net/http bounds by the smallest
// of these.
func TestThereIsTimeForThePIN(t *testing.T) {
	s := open(t).Server()
	for name, d := range map[string]time.Duration{"ReadHeaderTimeout": s.ReadHeaderTimeout, "ReadTimeout": s.ReadTimeout, "WriteTimeout": s.WriteTimeout} {
		if d < 3*time.Minute {
			t.Errorf("%s is %s", name, d)
		}
	}
}

// S34: a browser that remembers its choice for a name never meets it again.
func TestEveryAttemptHasAName(t *testing.T) {
	b := open(t)
	seen := map[string]bool{}
	for range 100 {
		u := must(url.Parse(b.URL("aaaaaaaaaaaaaaaaaaaa")))
		if seen[u.Host] || !b.Host.Matches(u.Hostname()) || u.Scheme != "https" || u.Path != "/attempt/aaaaaaaaaaaaaaaaaaaa" {
			t.Fatalf("%s", u)
		}
		seen[u.Host] = true
		if label, _, _ := strings.Cut(u.Host, "."); len(label) < 26 {
			t.Fatalf("the label %q can be guessed", label)
		}
	}
	fixed := &card.Door{Host: must(card.ParseHost("https://card.localhost:8443"))}
	place, _ := fixed.Place(card.Strict)
	if u := place.URL("a/b?c"); u != "https://card.localhost:8443/attempt/a%2Fb%3Fc" {
		t.Errorf("fixed host: %s", u)
	}
}

// A demonstration on localhost must not teach the browser to insist on
// certificates there.
func TestNoStrictTransportForLocalhost(t *testing.T) {
	b := open(t, func(d *card.Door) { d.Host = must(card.ParseHost("https://card.localhost")) })
	server, err := b.pki.ServerCertificate("card.localhost")
	mustOK(t, err)
	b.Door.Certificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server, nil }
	config := b.pki.ClientTLS(nil)
	config.InsecureSkipVerify = true
	client := b.pki.Client(nil, b.addr)
	client.Transport.(*http.Transport).TLSClientConfig = config
	res := b.do(t, client, must(http.NewRequest(http.MethodGet, b.URL(b.ticket("local")), nil)))
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Strict-Transport-Security") != "" {
		t.Errorf("answer %d, %v", res.StatusCode, res.Header)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	for name, change := range map[string]func(*card.Door){
		"in total":    func(d *card.Door) { d.MaxConns, d.MaxConnsPerAddress = 3, -1 },
		"per address": func(d *card.Door) { d.MaxConns, d.MaxConnsPerAddress = -1, 3 },
	} {
		t.Run(name, func(t *testing.T) {
			b := open(t, change)
			var held []net.Conn
			for range 3 {
				c, err := b.dial(&tls.Config{})
				mustOK(t, err)
				held = append(held, c)
			}
			for range 2 {
				if c, err := b.dial(&tls.Config{}); err == nil {
					t.Error("a fourth connection")
					_ = c.Close()
				}
			}
			mustOK(t, held[0].Close())
			freed := false
			for range 200 { // until the server has noticed
				c, err := b.dial(&tls.Config{})
				if freed = err == nil; freed {
					_ = c.Close()
					break
				}
				time.Sleep(5 * time.Millisecond)
			}
			if !freed {
				t.Error("a closed connection keeps its place")
			}
			if n := strings.Count(b.log.String(), "too many connections"); n != 1 {
				t.Errorf("the operator is told %d times", n)
			}
		})
	}
}

// An IPv6 subscriber has more addresses than anybody can count: the /64 counts.
func TestAddressesAreCountedBySubscriber(t *testing.T) {
	d := &card.Door{MaxConns: -1, MaxConnsPerAddress: 1, Log: slog.New(slog.DiscardHandler)}
	from := func(addresses ...string) *queue {
		q := &queue{}
		for _, a := range addresses {
			q.conns = append(q.conns, &fakeConn{from: net.TCPAddrFromAddrPort(must(netip.ParseAddrPort(a)))})
		}
		return q
	}
	for name, c := range map[string]struct {
		addresses []string
		taken     int
	}{
		"two of IPv4":       {[]string{"192.0.2.1:1", "192.0.2.2:1"}, 2},
		"one of IPv4":       {[]string{"192.0.2.1:1", "192.0.2.1:2"}, 1},
		"mapped":            {[]string{"192.0.2.1:1", "[::ffff:192.0.2.1]:2"}, 1},
		"mapped, different": {[]string{"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:1"}, 2},
		"one /64":           {[]string{"[2001:db8::1]:1", "[2001:db8::ffff:2]:1"}, 1},
		"two /64":           {[]string{"[2001:db8::1]:1", "[2001:db8:0:1::1]:1"}, 2},
	} {
		q := from(c.addresses...)
		l := d.Listener(q)
		taken := 0
		for {
			if _, err := l.Accept(); err != nil {
				break
			}
			taken++
		}
		if taken != c.taken {
			t.Errorf("%s: %d connections, want %d", name, taken, c.taken)
		}
	}
}

// What a card says of its holder stays out of the log, and so do tickets.
func TestLogTellsOfNobody(t *testing.T) {
	b := open(t)
	ticket := b.ticket("good-p384-logged")
	b.get(t, b.pki.TestCase(t, "good-p384"), b.URL(ticket))
	var tickets []string
	for _, c := range cardtest.Cases() {
		if c.Name != "p224" {
			tickets = append(tickets, b.ticket(c.Name))
			b.get(t, b.pki.TestCase(t, c.Name), b.URL(tickets[len(tickets)-1]))
		}
	}
	// A card that signs for another: the issuer's name is a person's.
	holder := b.pki.TestCard(t, "signer", cardtest.Person{Given: "Kerttu", Family: "Kirjoittaja", Organisation: "Esimerkkivirasto", Serial: "555"})
	signer := &cardtest.CA{Name: "signer", Cert: holder.Cert, Key: holder.Key}
	b.get(t, b.pki.TestCard(t, "signed", maija, cardtest.From(signer), cardtest.Policies(cardtest.OrganisationPolicy)), b.URL(b.ticket("signed")))
	if r, _ := b.attempts.result("signed"); r.Verdict != card.UntrustedIssuer {
		t.Errorf("verdict %s", r.Verdict)
	}
	log := b.log.String()
	for _, secret := range append(tickets, ticket, "Kerttu", "KIRJOITTAJA", "Maija", "Meikäläinen", "MEIKÄLÄINEN", "123456789X", "maija@", card.Fingerprint(b.pki.TestCase(t, "good-p384").Cert)) {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
	for _, fact := range []string{string(card.Good), string(card.UntrustedIssuer), "Somebody Else's TEST Root CA", "2.999.1.77"} {
		if !strings.Contains(log, fact) {
			t.Errorf("the log lacks %q", fact)
		}
	}
}

// Chromium drops the first handshake while its user chooses a certificate.
func TestDroppedHandshakeIsNoAlarm(t *testing.T) {
	b := open(t)
	c, err := net.Dial("tcp", b.addr)
	mustOK(t, err)
	mustOK(t, c.Close())
	_, err = b.dial(&tls.Config{MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Fatal("TLS 1.1")
	}
	var log string
	for range 400 {
		if log = b.log.String(); strings.Count(log, "connection failed") == 2 {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for line := range strings.Lines(log) {
		dropped := strings.Contains(line, "EOF")
		if dropped != strings.Contains(line, "level=DEBUG") || dropped == strings.Contains(line, "level=INFO") {
			t.Error(line)
		}
	}
	if strings.Count(log, "connection failed") != 2 {
		t.Errorf("log:\n%s", log)
	}
}

func TestLongHeadersAreRefused(t *testing.T) {
	b := open(t)
	r := must(http.NewRequest(http.MethodGet, b.URL(b.ticket("long")), nil))
	r.Header.Set("X-Long", strings.Repeat("a", 32<<10))
	if res := b.do(t, b.pki.Client(nil, b.addr), r); res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answer %d", res.StatusCode)
	}
}

// queue is a listener that hands out what it holds.
type queue struct {
	net.Listener
	conns []net.Conn
}

func (q *queue) Accept() (net.Conn, error) {
	if len(q.conns) == 0 {
		return nil, io.EOF
	}
	c := q.conns[0]
	q.conns = q.conns[1:]
	return c, nil
}

// fakeConn comes from an address.
type fakeConn struct {
	net.Conn
	from net.Addr
}

func (c *fakeConn) RemoteAddr() net.Addr { return c.from }
func (c *fakeConn) Close() error         { return nil }

// handshake is one of the client's own making for a place, and what was asked
// in it.
func (b *bench) handshake(name string, c *cardtest.Card, change ...func(*tls.Config)) (hints [][]byte, state tls.ConnectionState, err error) {
	config := &tls.Config{ServerName: name, GetClientCertificate: func(r *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		hints = r.AcceptableCAs
		if c == nil {
			return &tls.Certificate{}, nil
		}
		return c.TLS(), nil
	}}
	for _, f := range change {
		f(config)
	}
	conn, err := b.dial(config)
	if err != nil {
		return nil, tls.ConnectionState{}, err
	}
	defer func() { _ = conn.Close() }()
	return hints, conn.ConnectionState(), nil
}

// S34, S66: the name says how the card is asked for.
func TestModesByName(t *testing.T) {
	b := open(t)
	for mode, want := range map[card.Mode]struct {
		prefix  string
		version uint16
		hints   int
	}{card.Strict: {"", tls.VersionTLS13, 2}, card.OldTLS: {"t12-", tls.VersionTLS12, 2}, card.AnyCA: {"any-", tls.VersionTLS13, 0}} {
		place := b.place(mode)
		label, _, _ := strings.Cut(place.Name, ".")
		if !strings.HasPrefix(label, want.prefix) || len(label) != len(want.prefix)+26 || !place.Own || !strings.HasPrefix(place.URL("x"), "https://"+place.Name+":") {
			t.Errorf("mode %q: %+v", mode, place)
		}
		hints, state, err := b.handshake(place.Name, nil)
		if err != nil || state.Version != want.version || len(hints) != want.hints {
			t.Errorf("mode %q: %v, TLS %x, %d hints", mode, err, state.Version, len(hints))
		}
		for _, name := range []string{"good-p384", "good-rsa2048"} { // with TLS 1.2 also PKCS #1 v1.5
			id := string(mode) + name
			if res := b.get(t, b.pki.TestCase(t, name), b.place(mode).URL(b.ticket(id))); res.StatusCode != http.StatusSeeOther {
				t.Errorf("%s: %d", id, res.StatusCode)
			}
			if r, _ := b.attempts.result(id); r.Verdict != card.Good || r.Mode != mode || r.TLS != strings.TrimPrefix(tls.VersionName(want.version), "TLS ") {
				t.Errorf("%s: %+v", id, r)
			}
		}
	}
	if _, _, err := b.handshake(b.place(card.OldTLS).Name, nil, func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 }); err == nil {
		t.Error("TLS 1.3 where TLS 1.2 is promised")
	}
	if _, ok := b.Place("x"); ok {
		t.Error("there is no such mode")
	}
	// The store is asked for the ticket together with the name of the handshake.
	place := b.place(card.AnyCA)
	r := must(http.NewRequest(http.MethodGet, place.URL(b.ticket("named")), nil))
	r.Host = strings.ToUpper(r.Host)
	b.do(t, b.pki.Client(nil, b.addr), r)
	if names := b.attempts.names; names[len(names)-1] != place.Name {
		t.Errorf("asked for %q, not %q", names[len(names)-1], place.Name)
	}
}

// Whoever does not want certificates in clear has no TLS 1.2 host, whatever name
// is asked for.
func TestNoOldTLS(t *testing.T) {
	b := open(t)
	name := b.place(card.OldTLS).Name
	b.NoOldTLS = true
	if _, ok := b.Place(card.OldTLS); ok {
		t.Error("the mode is offered")
	}
	if _, state, err := b.handshake(name, nil); err != nil || state.Version != tls.VersionTLS13 {
		t.Errorf("%v, TLS %x", err, state.Version)
	}
	res := b.get(t, nil, "https://"+name+":"+b.addr[strings.LastIndex(b.addr, ":")+1:]+"/attempt/"+b.ticket("x"))
	if res.StatusCode != http.StatusMisdirectedRequest || b.attempts.opened != 0 {
		t.Errorf("answer %d", res.StatusCode)
	}
}

// Without a star each mode has a name of its own or none, and no handshake is
// anybody's sign.
func TestFixedNames(t *testing.T) {
	b := open(t, func(d *card.Door) {
		port := d.Host.String()[strings.LastIndex(d.Host.String(), ":"):]
		d.Host = must(card.ParseHost("https://card.example.test" + port))
		d.OldTLSHost = must(card.ParseHost("https://old.card.example.test" + port))
	})
	if place := b.place(card.Strict); place.Name != "card.example.test" || place.Own {
		t.Errorf("%+v", place)
	}
	if _, ok := b.Place(card.AnyCA); ok {
		t.Error("a mode without a name is offered")
	}
	if _, state, err := b.handshake(b.place(card.OldTLS).Name, nil); err != nil || state.Version != tls.VersionTLS12 {
		t.Errorf("%v, TLS %x", err, state.Version)
	}
	res := b.get(t, b.pki.TestCase(t, "good-p256"), b.place(card.OldTLS).URL(b.ticket("old")))
	if r, _ := b.attempts.result("old"); res.StatusCode != http.StatusSeeOther || r.Mode != card.OldTLS {
		t.Errorf("%d %+v", res.StatusCode, r)
	}
	if len(b.attempts.signs) != 0 {
		t.Errorf("signs %v", b.attempts.signs)
	}
}

// A trust that was read again counts in the next handshake.
func TestHintsFollowTheTrust(t *testing.T) {
	var trust atomic.Pointer[card.Trust]
	b := open(t, func(d *card.Door) {
		trust.Store(d.Checker.Trust())
		d.Checker.Trust = trust.Load
	})
	count := func(want int) {
		t.Helper()
		hints, _, err := b.handshake(b.place(card.Strict).Name, nil)
		mustOK(t, err)
		if len(hints) != want {
			t.Errorf("%d hints, want %d", len(hints), want)
		}
	}
	count(2)
	trust.Store(b.pki.TestTrust(t, func(c *card.TrustConfig) {
		c.Issuers = slices.DeleteFunc(c.Issuers, func(i card.Issuer) bool { return i.Kind == card.HealthProfessionalCard })
	}))
	count(1)
	b.expect(t, b.pki.TestCase(t, "good-p256"), "after", card.Good)
}
