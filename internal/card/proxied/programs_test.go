package proxied_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/fault"
)

// The examples in deploy/ with the programs that they are for, of Debian's packages
// nginx with libnginx-mod-stream, and haproxy.
const (
	nginxProgram   = "/usr/sbin/nginx"
	nginxStream    = "/usr/lib/nginx/modules/ngx_stream_module.so"
	haproxyProgram = "/usr/sbin/haproxy"
	examples       = "../../../deploy"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// setUp is one example.
type setUp struct {
	file        string // below deploy/
	program     string
	files       []string // that must be there
	terminating bool
	broken      []string // cards whose handshake it ends, or whose certificate it cannot hand on
	arguments   func(file string) []string
	door        func(d *card.Door, proxy *cardtest.Card)
}

var (
	runNginx   = func(file string) []string { return []string{"-c", file, "-g", "daemon off;"} }
	runHAProxy = func(file string) []string { return []string{"-db", "-f", file} }
)

// Only the card's own certificate is handed on, if it is not too large.
var tooMuch = []string{"too-many", "large-companion", "too-large"}

var setUps = []setUp{
	{"nginx/passthrough.conf", nginxProgram, []string{nginxProgram, nginxStream}, false, nil, runNginx, func(d *card.Door, _ *cardtest.Card) { d.Balancers = loopback }},
	{"nginx/terminating.conf", nginxProgram, []string{nginxProgram, nginxStream}, true, tooMuch, runNginx, func(d *card.Door, _ *cardtest.Card) {
		d.Certificate = nil
		d.Proxy = must(proxied.New(proxied.Config{Format: proxied.Nginx, Addresses: loopback, Secrets: []string{secret}}))
	}},
	{"haproxy/passthrough.cfg", haproxyProgram, []string{haproxyProgram}, false, nil, runHAProxy, func(d *card.Door, _ *cardtest.Card) { d.Balancers = loopback }},
	{"haproxy/terminating.cfg", haproxyProgram, []string{haproxyProgram}, true, append(tooMuch, "critical", "stranger-critical"), runHAProxy, func(d *card.Door, proxy *cardtest.Card) {
		pinned := x509.NewCertPool()
		pinned.AddCert(proxy.Cert)
		d.Proxy = must(proxied.New(proxied.Config{Format: proxied.HAProxy, Addresses: loopback, Proxies: pinned}))
	}},
}

// TestExamples proves the examples on every set-up: each card, also a bad one, has
// its verdict; nothing that a browser writes into a header gets through; a second
// attempt shows the second card.
func TestExamples(t *testing.T) {
	for _, s := range setUps {
		t.Run(s.file, func(t *testing.T) {
			t.Parallel()
			f := s.open(t)
			t.Run("verdicts", f.verdicts)
			t.Run("forged headers", f.forgedHeaders)
			t.Run("another card", f.anotherCard)
			if s.terminating {
				t.Run("hints", f.hints)
			}
			t.Run("names", f.names)
			t.Run("the main host", f.mainHost)
		})
	}
}

// front is a proxy that runs, with a card host and a main host behind it.
type front struct {
	setUp
	pki     *cardtest.PKI
	door    *card.Door
	trust   *card.Trust
	address string // of the proxy

	mu      sync.Mutex
	log     bytes.Buffer
	results map[string]card.Result // by ticket
	tickets map[string]bool
	pages   []http.Header // of requests that the main host has seen
}

func (s setUp) open(t *testing.T) *front {
	t.Helper()
	for _, file := range s.files {
		if _, err := os.Stat(file); err != nil {
			ephemeraltest.Missing(t, filepath.Base(s.program)+" is not installed; make test installs it")
		}
	}
	f := &front{setUp: s, pki: cardtest.ForTest(t), results: map[string]card.Result{}, tickets: map[string]bool{}, address: free(t)}
	f.trust = f.pki.TestTrust(t)
	server := must(f.pki.ServerCertificate("*.card.example.test"))
	f.door = &card.Door{
		Checker:     &card.Checker{Trust: func() *card.Trust { return f.trust }, Waived: true},
		Attempts:    f,
		Host:        must(card.ParseHost("https://*.card.example.test:" + portOf(f.address))),
		Fallback:    "https://id.example.test/restart",
		Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server, nil },
		Log:         slog.New(slog.NewTextHandler(f, nil)),
		Now:         time.Now,
	}
	proxy := f.pki.TestCard(t, "proxy", cardtest.Person{Given: "Proxy", Family: "Proxy"}, cardtest.From(f.pki.Server))
	s.door(f.door, proxy)
	cards := must(net.Listen("tcp", "127.0.0.1:0"))
	host := f.door.Server()
	go func() { // ends with Close
		if host.TLSConfig == nil {
			_ = host.Serve(f.door.Listener(cards))
		} else {
			_ = host.ServeTLS(f.door.Listener(cards), "", "")
		}
	}()
	t.Cleanup(func() { _ = host.Close() })
	pages := httptest.NewServer(http.HandlerFunc(f.page))
	t.Cleanup(pages.Close)
	f.start(t, proxy, cards.Addr().String(), pages.Listener.Addr().String())
	return f
}

// start runs the example with what it names put in the place of its own.
func (f *front) start(t *testing.T, proxy *cardtest.Card, cards, pages string) {
	t.Helper()
	folder := t.TempDir()
	example := string(must(os.ReadFile(filepath.Join(examples, filepath.FromSlash(f.file)))))
	changes := []string{"example.fi", "example.test", "10.0.0.5:9443", cards, "10.0.0.5:8080", pages}
	if f.program == nginxProgram {
		changes = append(changes, `example\.fi`, `example\.test`, "/etc/nginx/portti", folder, "listen 443;", "listen "+f.address+";", "\t\tlisten [::]:443;\n", "",
			"/run/nginx.pid", folder+"/pid", "/var/log/nginx/error.log", folder+"/error.log", "127.0.0.1:8443", free(t),
			"server_tokens off;", "server_tokens off; client_body_temp_path "+folder+"/body; proxy_temp_path "+folder+"/proxy; fastcgi_temp_path "+folder+"/f; uwsgi_temp_path "+folder+"/u; scgi_temp_path "+folder+"/s;")
		if f.terminating {
			changes = append(changes, "127.0.0.1:9443", free(t))
		}
	} else {
		changes = append(changes, "/etc/haproxy/portti", folder, "bind :443", "bind "+f.address, "\tbind [::]:443 v6only\n", "", "/dev/log local0", "stdout format raw local0 notice", "@portti-", "@"+rand.Text()+"-")
	}
	if os.Getuid() != 0 { // who is not root cannot become somebody else
		changes = append(changes, map[string][]string{nginxProgram: {"user www-data;\n", ""}, haproxyProgram: {"\tuser haproxy\n\tgroup haproxy\n", ""}}[f.program]...)
	}
	for i := 0; i < len(changes); i += 2 {
		if !strings.Contains(example, changes[i]) {
			t.Errorf("the example does not have %q", changes[i])
		}
	}
	file := filepath.Join(folder, filepath.Base(f.file))
	write := func(name string, content ...[]byte) error {
		return os.WriteFile(filepath.Join(folder, name), bytes.Join(content, nil), 0o600)
	}
	own := func(hosts ...string) (certificate, key []byte) {
		c := must(f.pki.ServerCertificate(hosts...))
		return pemOf("CERTIFICATE", c.Certificate[0]), pemOf("PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(c.PrivateKey)))
	}
	cardCert, cardKey := own("*.card.example.test")
	idCert, idKey := own("id.example.test")
	if err := errors.Join(
		os.WriteFile(file, []byte(strings.NewReplacer(changes...).Replace(example)), 0o600),
		write("card.crt", cardCert), write("card.key", cardKey), write("card.pem", cardCert, cardKey),
		write("id.crt", idCert), write("id.key", idKey), write("id.pem", idCert, idKey),
		write("issuing-cas.pem", f.pki.Organisation.PEM(), f.pki.Health.PEM()),
		write("proxy.pem", proxy.PEM(), must(proxy.KeyPEM())), write("portti-ca.pem", f.pki.Server.PEM()),
		write("secret.conf", []byte(`proxy_set_header `+proxied.SecretHeader+` "`+secret+`";`)),
	); err != nil {
		t.Fatal(err)
	}

	var said bytes.Buffer
	running := exec.Command(f.program, f.arguments(file)...)
	running.Stdout, running.Stderr = &said, &said
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = running.Wait() // it is stopped by a signal
		close(ended)
	}()
	t.Cleanup(func() {
		_ = running.Process.Signal(syscall.SIGTERM) // its children end with it
		<-ended
		if t.Failed() {
			more, _ := os.ReadFile(filepath.Join(folder, "error.log"))
			t.Logf("%s said:\n%s%s", f.file, said.String(), more)
		}
	})
	for range 2000 {
		select {
		case <-ended:
			t.Fatalf("%s does not start:\n%s", f.file, said.String())
		case <-time.After(10 * time.Millisecond):
		}
		if c, err := net.Dial("tcp", f.address); err == nil {
			_ = c.Close()
			return
		}
	}
	t.Fatalf("%s does not listen", f.file)
}

func pemOf(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

func portOf(address string) string {
	_, port, _ := net.SplitHostPort(address)
	return port
}

// The sign-in behind the door.

func (f *front) Open(_ context.Context, ticket, _ string) (card.Attempt, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.tickets[ticket] {
		return card.Attempt{}, fault.New(fault.Gone, "card_ticket_spent", "This card attempt has been used.")
	}
	delete(f.tickets, ticket)
	return card.Attempt{ID: ticket}, nil
}

func (f *front) Finish(_ context.Context, a card.Attempt, r card.Result) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.results[a.ID] = r
	return "https://id.example.test/done", nil
}

func (f *front) Note(context.Context, string, card.Sign) error { return nil }

func (f *front) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.log.Write(line)
}

func (f *front) page(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := r.Header.Clone()
	h.Set("Host", r.Host)
	f.pages = append(f.pages, h)
	_, _ = io.WriteString(w, "the main host")
}

func (f *front) ticket() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	ticket := rand.Text()
	f.tickets[ticket] = true
	return ticket
}

func (f *front) result(ticket string) (card.Result, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r, ok := f.results[ticket]
	return r, ok
}

// attempt sends a browser with a card to the card host, under a fresh name.
func (f *front) attempt(t *testing.T, c *cardtest.Card, change ...func(*http.Request)) (int, card.Result) {
	t.Helper()
	place, _ := f.door.Place(card.Strict)
	return f.visit(t, f.pki.Client(c, f.address), place, change...)
}

func (f *front) visit(t *testing.T, client *http.Client, place card.Place, change ...func(*http.Request)) (int, card.Result) {
	t.Helper()
	ticket := f.ticket()
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, place.URL(ticket), nil))
	for _, f := range change {
		f(r)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Error(err)
		return 0, card.Result{}
	}
	_ = res.Body.Close()
	result, _ := f.result(ticket)
	return res.StatusCode, result
}

// S21–S23: the verdict is ours, whatever the proxy thinks of a card.
func (f *front) verdicts(t *testing.T) {
	for _, c := range append(cardtest.Cases(), cardtest.Case{Name: "none", Verdict: card.NoCertificate}) {
		if slices.Contains(f.broken, c.Name) || c.Name == "p224" { // TLS has no signature for that curve
			continue
		}
		var shown *cardtest.Card
		if c.Name != "none" {
			shown = f.pki.TestCase(t, c.Name)
		}
		status, r := f.attempt(t, shown)
		if status != http.StatusSeeOther || r.Verdict != c.Verdict || (r.TLS == "") != f.terminating {
			t.Errorf("%s: %d, verdict %q with TLS %q, want %s", c.Name, status, r.Verdict, r.TLS, c.Verdict)
		}
		if shown != nil && !slices.Contains(tooMuch, c.Name) && r.Holder.Fingerprint != card.Fingerprint(shown.Cert) {
			t.Errorf("%s: the fingerprint of another card", c.Name)
		}
	}
}

// S23: a browser that writes the proxy's headers itself is not believed.
func (f *front) forgedHeaders(t *testing.T) {
	good, expired := f.pki.TestCase(t, "good-p256"), f.pki.TestCase(t, "expired")
	for _, format := range proxied.Formats {
		name, value := written(format, good.Certificates()[:1])
		forge := func(r *http.Request) {
			r.Header.Set(name, value)
			r.Header[strings.ReplaceAll(name, "-", "_")] = []string{value}
			r.Header.Set(proxied.SecretHeader, "guess")
			r.Header.Set("X-SSL-Client-Verify", "SUCCESS")
		}
		for shown, want := range map[*cardtest.Card]card.Verdict{nil: card.NoCertificate, expired: card.Expired} {
			var local string
			seen := func(r *http.Request) {
				*r = *r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { local = i.Conn.LocalAddr().String() }}))
			}
			status, r := f.attempt(t, shown, seen, forge)
			if f.terminating {
				if status != http.StatusSeeOther || r.Verdict != want {
					t.Errorf("%s: %d, verdict %q, want %s", name, status, r.Verdict, want)
				}
				continue
			}
			if status != http.StatusBadRequest || r.Verdict != "" {
				t.Errorf("%s: %d, verdict %q", name, status, r.Verdict)
			}
			f.mu.Lock()
			if !strings.Contains(f.log.String(), "peer="+local) {
				t.Errorf("the log does not know the browser's address %s", local)
			}
			f.mu.Unlock()
		}
	}
}

// S34: nothing of a handshake outlives it, so that a card which was taken out is
// not shown again; with every version of TLS, under one name, by a client that
// would resume.
func (f *front) anotherCard(t *testing.T) {
	first, second := f.pki.TestCase(t, "good-p256"), f.pki.TestCase(t, "good-p384")
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		place, _ := f.door.Place(card.Strict)
		reader := &tls.Certificate{}
		client := f.pki.Client(nil, f.address)
		config := client.Transport.(*http.Transport).TLSClientConfig
		config.ClientSessionCache = tls.NewLRUClientSessionCache(8)
		config.MinVersion, config.MaxVersion = version, version
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return reader, nil }
		for i, shown := range []*cardtest.Card{nil, first, second, nil, first} {
			want := ""
			if reader = (&tls.Certificate{}); shown != nil {
				reader, want = shown.TLS(), card.Fingerprint(shown.Cert)
			}
			if _, r := f.visit(t, client, place); r.Holder.Fingerprint != want || (shown == nil) != (r.Verdict == card.NoCertificate) {
				t.Errorf("%s, attempt %d: %s", tls.VersionName(version), i+1, r.Verdict)
			}
		}
	}
}

// Browsers are told to offer the cards of the issuing CAs, and no others.
func (f *front) hints(t *testing.T) {
	var offered [][]byte
	client := f.pki.Client(nil, f.address)
	client.Transport.(*http.Transport).TLSClientConfig.GetClientCertificate = func(i *tls.CertificateRequestInfo) (*tls.Certificate, error) {
		offered = i.AcceptableCAs
		return &tls.Certificate{}, nil
	}
	place, _ := f.door.Place(card.Strict)
	f.visit(t, client, place)
	want := [][]byte{f.pki.Organisation.Cert.RawSubject, f.pki.Health.Cert.RawSubject}
	slices.SortFunc(want, bytes.Compare)
	slices.SortFunc(offered, bytes.Compare)
	if !slices.EqualFunc(offered, want, bytes.Equal) {
		t.Errorf("browsers are told of %d CAs", len(offered))
	}
}

// A connection is for the name that it was made for.
func (f *front) names(t *testing.T) {
	place, _ := f.door.Place(card.Strict)
	other, _ := f.door.Place(card.Strict)
	good := f.pki.TestCase(t, "good-p256")
	for _, shown := range []*cardtest.Card{nil, good} {
		for _, host := range []string{strings.TrimPrefix(other.Origin, "https://"), "id.example.test:" + portOf(f.address), "elsewhere.test"} {
			status, r := f.visit(t, f.pki.Client(shown, f.address), place, func(q *http.Request) { q.Host = host })
			if status != http.StatusMisdirectedRequest || r.Verdict != "" {
				t.Errorf("a request for %s over a connection for %s: %d, %q", host, place.Name, status, r.Verdict)
			}
		}
	}
}

// The main host hears whom a request comes from, and nothing about certificates.
func (f *front) mainHost(t *testing.T) {
	client := f.pki.Client(f.pki.TestCase(t, "good-p256"), f.address)
	r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, "https://id.example.test:"+portOf(f.address)+"/", nil))
	forged := []string{"X-Forwarded-For", proxied.SecretHeader}
	for _, format := range proxied.Formats {
		name, _ := written(format, f.pki.TestCase(t, "good-p256").Certificates()[:1])
		forged = append(forged, name, strings.ReplaceAll(name, "-", "_"))
	}
	for _, name := range forged {
		r.Header[name] = []string{"forged"}
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	body := must(io.ReadAll(res.Body))
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK || string(body) != "the main host" {
		t.Fatalf("%d: %s", res.StatusCode, body)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.pages[len(f.pages)-1]
	if strings.Contains(fmt.Sprint(seen), "forged") || seen.Get("X-Forwarded-For") != "127.0.0.1" || seen.Get("Host") != r.URL.Host {
		t.Errorf("the main host sees %v", seen)
	}
}

// standards.md 2.9: a person may take three minutes over certificate and PIN while
// the handshake is open.
func TestExamplesWaitForAPIN(t *testing.T) {
	limits := map[string][]string{
		"nginx/passthrough.conf":  {`proxy_timeout (\d+)s`},
		"nginx/terminating.conf":  {`proxy_timeout (\d+)s`, `client_header_timeout (\d+)s`},
		"haproxy/passthrough.cfg": {`defaults\n(?:\t.*\n)*\ttimeout client (\d+)s`, `defaults\n(?:\t.*\n)*\ttimeout server (\d+)s`},
		"haproxy/terminating.cfg": {`defaults\n(?:\t.*\n)*\ttimeout client (\d+)s`, `defaults\n(?:\t.*\n)*\ttimeout server (\d+)s`, `frontend card\n(?:\t.*\n)*\ttimeout http-request (\d+)s`},
	}
	for _, s := range setUps {
		text := must(os.ReadFile(filepath.Join(examples, filepath.FromSlash(s.file))))
		for _, limit := range limits[s.file] {
			found := regexp.MustCompile(limit).FindSubmatch(text)
			if found == nil {
				t.Errorf("%s: there is no %s", s.file, limit)
			} else if seconds := must(strconv.Atoi(string(found[1]))); seconds < 180 {
				t.Errorf("%s: %s is %d s", s.file, limit, seconds)
			}
		}
	}
}
