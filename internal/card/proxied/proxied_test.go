package proxied_test

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/cardtest"
)

const secret = "5f3e0c7a9b1d4e6f8a2c5b7d9e1f3a4c"

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// behind is a gate for a format, with a change to its settings.
func behind(t testing.TB, f proxied.Format, change ...func(*proxied.Config)) *proxied.Gate {
	t.Helper()
	c := proxied.Config{Format: f, Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::5/128")}, Secrets: []string{secret}}
	for _, f := range change {
		f(&c)
	}
	g, err := proxied.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// request is one that a proxy hands on: pairs of names and values.
func request(pairs ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/attempt/TICKET", nil)
	r.RemoteAddr = "10.0.0.7:31337"
	r.Header.Set(proxied.SecretHeader, secret)
	for i := 0; i < len(pairs); i += 2 {
		r.Header.Add(pairs[i], pairs[i+1])
	}
	return r
}

func status(err error) int {
	var refusal *proxied.Refusal
	if errors.As(err, &refusal) {
		return refusal.Status
	}
	return 0
}

// S23: who has not proved to be the proxy is refused, whatever it carries; and so
// is one with half a proof.
func TestOnlyAProxyIsBelieved(t *testing.T) {
	pki := cardtest.ForTest(t)
	good := pki.TestCase(t, "good-p256")
	g := behind(t, proxied.RFC9440)
	for name, change := range map[string]func(*http.Request){
		"another address":           func(r *http.Request) { r.RemoteAddr = "10.0.1.7:31337" },
		"no address":                func(r *http.Request) { r.RemoteAddr = "" },
		"an address without a port": func(r *http.Request) { r.RemoteAddr = "10.0.0.7" },
		"the address in a header":   func(r *http.Request) { r.RemoteAddr = "10.0.1.7:1"; r.Header.Set("X-Forwarded-For", "10.0.0.7") },
		"no secret":                 func(r *http.Request) { r.Header.Del(proxied.SecretHeader) },
		"an empty secret":           func(r *http.Request) { r.Header.Set(proxied.SecretHeader, "") },
		"another secret":            func(r *http.Request) { r.Header.Set(proxied.SecretHeader, strings.ToUpper(secret)) },
		"half the secret":           func(r *http.Request) { r.Header.Set(proxied.SecretHeader, secret[:len(secret)-1]) },
		"the secret and more":       func(r *http.Request) { r.Header.Set(proxied.SecretHeader, secret+"0") },
		"the secret twice":          func(r *http.Request) { r.Header.Add(proxied.SecretHeader, secret) },
		"the secret after another":  func(r *http.Request) { r.Header[proxied.SecretHeader] = []string{"guess", secret} },
	} {
		for _, value := range []string{structured(good.Cert), "", "nonsense"} {
			r := request()
			if value != "" {
				r.Header.Set("Client-Cert", value)
			}
			change(r)
			if certs, err := g.Certificates(r); status(err) != http.StatusForbidden || certs != nil {
				t.Errorf("%s: %d certificates, %v", name, len(certs), err)
			}
		}
	}
	for _, peer := range []string{"10.0.0.0:1", "10.0.0.255:1", "[::ffff:10.0.0.7]:1", "[fd00::5]:1", "[fd00::5%eth0]:1"} {
		r := request("Client-Cert", structured(good.Cert))
		r.RemoteAddr = peer
		if certs, err := g.Certificates(r); err != nil || len(certs) != 1 || !certs[0].Equal(good.Cert) {
			t.Errorf("from %s: %v", peer, err)
		}
	}
}

// Secrets are changed one after the other: while two are listed both work.
func TestSecretsAreRotated(t *testing.T) {
	next := strings.ToLower(rand.Text() + rand.Text())
	both := behind(t, proxied.Nginx, func(c *proxied.Config) { c.Secrets = append(c.Secrets, next) })
	after := behind(t, proxied.Nginx, func(c *proxied.Config) { c.Secrets = []string{next} })
	for _, s := range []string{secret, next} {
		r := request()
		r.Header.Set(proxied.SecretHeader, s)
		if _, err := both.Certificates(r); err != nil {
			t.Errorf("one of two: %v", err)
		}
		if _, err := after.Certificates(r); (err == nil) != (s == next) {
			t.Errorf("after the change: %v", err)
		}
	}
}

// A gate that would stand open is not made.
func TestGateIsNotLeftOpen(t *testing.T) {
	all := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")}
	for name, c := range map[string]proxied.Config{
		"no format":           {Addresses: all, Secrets: []string{secret}},
		"another format":      {Format: "squid", Addresses: all, Secrets: []string{secret}},
		"no addresses":        {Format: proxied.Nginx, Secrets: []string{secret}},
		"every address":       {Format: proxied.Nginx, Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Secrets: []string{secret}},
		"no address at all":   {Format: proxied.Nginx, Addresses: []netip.Prefix{{}}, Secrets: []string{secret}},
		"no proof":            {Format: proxied.Nginx, Addresses: all},
		"a short secret":      {Format: proxied.Nginx, Addresses: all, Secrets: []string{secret[:31]}},
		"a dull secret":       {Format: proxied.Nginx, Addresses: all, Secrets: []string{strings.Repeat("abcdefg", 10)}},
		"a secret and dust":   {Format: proxied.Nginx, Addresses: all, Secrets: []string{secret, ""}},
		"a secret in words":   {Format: proxied.Nginx, Addresses: all, Secrets: []string{"correct horse battery staple and more"}},
		"a secret in letters": {Format: proxied.Nginx, Addresses: all, Secrets: []string{secret + "ä"}},
		"an endless secret":   {Format: proxied.Nginx, Addresses: all, Secrets: []string{strings.Repeat(secret, 9)}},
		"a header of its own": {Format: proxied.RFC9440, Header: "X-Cert", Addresses: all, Secrets: []string{secret}},
		"no header's name":    {Format: proxied.Nginx, Header: "X Cert", Addresses: all, Secrets: []string{secret}},
		"the secret's header": {Format: proxied.Nginx, Header: "portti-proxy-secret", Addresses: all, Secrets: []string{secret}},
		"the cookies":         {Format: proxied.Apache, Header: "cookie", Addresses: all, Secrets: []string{secret}},
		"the chain's header":  {Format: proxied.HAProxy, Header: "client_cert_chain", Addresses: all, Secrets: []string{secret}},
	} {
		if _, err := proxied.New(c); err == nil {
			t.Errorf("%s: taken", name)
		} else if strings.Contains(err.Error(), secret[:8]) {
			t.Errorf("%s: the secret is in %q", name, err)
		}
	}
}

// A proxy with a certificate: of the pinned CA, or the pinned one itself. Nobody
// else gets through the handshake; and a request that came by some other way,
// without a verified certificate, is refused.
func TestProxyShowsACertificate(t *testing.T) {
	pki := cardtest.ForTest(t)
	card := pki.TestCase(t, "good-p256")
	ca := must(cardtest.NewCA("proxies", "Portti TEST Proxies", cardtest.P256, nil, time.Now()))
	proxy, sister := pki.TestCard(t, "proxy", cardtest.Person{}, cardtest.From(ca)), pki.TestCard(t, "sister", cardtest.Person{}, cardtest.From(ca))
	server := must(pki.ServerCertificate("localhost"))
	gate := func(pin *x509.Certificate, secrets ...string) *proxied.Gate {
		pinned := x509.NewCertPool()
		pinned.AddCert(pin)
		return behind(t, proxied.RFC9440, func(c *proxied.Config) {
			c.Secrets, c.Proxies, c.Addresses = secrets, pinned, []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		})
	}
	serve := func(g *proxied.Gate) *httptest.Server {
		s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			certs, err := g.Certificates(r)
			if err != nil {
				w.WriteHeader(status(err))
				return
			}
			_, _ = w.Write(certs[0].Raw)
		}))
		s.TLS = g.TLSConfig(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return server, nil })
		s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		s.StartTLS()
		t.Cleanup(s.Close)
		return s
	}
	ask := func(s *httptest.Server, shown *tls.Certificate, headers ...string) (int, []byte) {
		config := &tls.Config{RootCAs: pki.ServerPool(), ServerName: "localhost"}
		if shown != nil {
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		r := must(http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, nil))
		r.Header.Set("Client-Cert", structured(card.Cert))
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		res, err := client.Do(r)
		if err != nil {
			return 0, nil
		}
		defer res.Body.Close()
		return res.StatusCode, must(io.ReadAll(res.Body))
	}

	for what, pin := range map[string]*x509.Certificate{"its CA": ca.Cert, "itself": proxy.Cert} {
		s := serve(gate(pin))
		if code, got := ask(s, proxy.TLS()); code != http.StatusOK || !bytes.Equal(got, card.Cert.Raw) {
			t.Errorf("%s is pinned: the proxy gets %d", what, code)
		}
		if code, _ := ask(s, sister.TLS()); (code == http.StatusOK) != (what == "its CA") {
			t.Errorf("%s is pinned: another certificate of the CA gets %d", what, code)
		}
		for name, shown := range map[string]*tls.Certificate{"nobody": nil, "a card": card.TLS(), "its own server": server} {
			if code, _ := ask(s, shown); code != 0 {
				t.Errorf("%s gets through with %d", name, code)
			}
		}
	}
	s := serve(gate(ca.Cert, secret))
	if code, _ := ask(s, proxy.TLS()); code != http.StatusForbidden {
		t.Errorf("with half of two proofs: %d", code)
	}
	if code, _ := ask(s, proxy.TLS(), proxied.SecretHeader, secret); code != http.StatusOK {
		t.Errorf("with both proofs: %d", code)
	}
	for name, state := range map[string]*tls.ConnectionState{"plain": nil, "unverified": {PeerCertificates: []*x509.Certificate{card.Cert}}} {
		r := request("Client-Cert", structured(card.Cert))
		r.RemoteAddr, r.TLS = "127.0.0.1:1", state
		if _, err := gate(ca.Cert).Certificates(r); status(err) != http.StatusForbidden {
			t.Errorf("%s: %v", name, err)
		}
	}
	if behind(t, proxied.Nginx).TLSConfig(nil) != nil {
		t.Error("TLS without a proxy's certificate to ask for")
	}
}

// Another proxy's header beside ours: the chain is not what it was set up to be.
func TestAnotherHeaderIsRefused(t *testing.T) {
	good := cardtest.ForTest(t).TestCase(t, "good-p256")
	for _, f := range proxied.Formats {
		name, value := written(f, good.Certificates()[:1])
		for _, other := range []string{"Client-Cert", "Client_Cert", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-SSL-Client-Cert", "X_SSL_CLIENT_CERT", "SSL_CLIENT_CERT", "Ssl-Client-Cert", "X-Client-Cert", "X-Amzn-Mtls-Clientcert"} {
			if http.CanonicalHeaderKey(other) == name {
				continue
			}
			for _, what := range []string{value, ""} {
				if certs, err := behind(t, f).Certificates(request(name, value, other, what)); status(err) != http.StatusBadRequest || certs != nil {
					t.Errorf("%s with %s: %v", f, other, err)
				}
				if _, err := behind(t, f).Certificates(request(other, what)); status(err) != http.StatusBadRequest {
					t.Errorf("%s, and %s alone: %v", f, other, err)
				}
			}
		}
		// What others say of the certificate is neither believed nor a reason to refuse.
		for _, word := range []string{"SUCCESS", "FAILED:unable to verify", "NONE"} {
			if certs, err := behind(t, f).Certificates(request(name, value, "X-SSL-Client-Verify", word, "X-SSL-Verify", word)); err != nil || len(certs) != 1 {
				t.Errorf("%s with a verdict: %v", f, err)
			}
		}
	}
	g := behind(t, proxied.Nginx, func(c *proxied.Config) { c.Header = "X-Our-Card" })
	_, value := written(proxied.Nginx, good.Certificates()[:1])
	if certs, err := g.Certificates(request("X-Our-Card", value)); err != nil || len(certs) != 1 {
		t.Errorf("a header of our own: %v", err)
	}
	if _, err := g.Certificates(request("X-Our-Card", value, "X_Our_Card", value)); status(err) != http.StatusBadRequest {
		t.Errorf("and the same with other lines: %v", err)
	}
}

func TestStripTakesThemOut(t *testing.T) {
	var log bytes.Buffer
	var seen http.Header
	h := proxied.Strip(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() }), slog.New(slog.NewTextHandler(&log, nil)))
	forged := []string{"Client-Cert", "client_cert", "Client-Cert-Chain", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-Forwarded-Tls-Client-Cert-Info", "SSL_CLIENT_CERT",
		"SSL_CLIENT_VERIFY", "X-SSL-Client-Cert", "X-SSL-Verify", "X-SSL-Client-S-DN", "Portti-Proxy-Secret", "Portti_Proxy_Secret"}
	for range 50 {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Accept", "text/html")
		r.Header.Set("X-Forwarded-For", "192.0.2.1")
		for _, name := range forged {
			r.Header[name] = []string{"forged-value", "another"} // also in a form that net/http would not make
			r.Header.Set(name, "forged-value")
		}
		h.ServeHTTP(httptest.NewRecorder(), r)
		if len(seen) != 2 || seen.Get("Accept") == "" || seen.Get("X-Forwarded-For") == "" {
			t.Fatalf("the handler sees %v", seen)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 1 || strings.Contains(log.String(), "forged-value") {
		t.Errorf("%d lines for 50 requests: %s", n, log.String())
	}
	for _, name := range forged {
		if _, found := proxied.Header(http.Header{name: {""}}); !found {
			t.Errorf("%s is not found", name)
		}
	}
	if name, found := proxied.Header(http.Header{"Accept": {"*/*"}, "Cookie": {"client-cert"}}); found {
		t.Errorf("%s is found", name)
	}
}
