package card_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/pires/go-proxyproto"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/cardtest"
)

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// S23: a certificate in a header is believed nowhere but behind the proxy that the
// settings name. Here TLS ends at the door: the request is refused, the ticket
// stays good, and the operator hears of it.
func TestCertificateInAHeaderIsRefused(t *testing.T) {
	b := open(t)
	good := b.pki.TestCase(t, "good-p256")
	place := b.URL(b.ticket("forged"))
	for _, name := range []string{"Client-Cert", "client_cert", "Client-Cert-Chain", "X-SSL-Client-Cert", "SSL_CLIENT_CERT", "X-Forwarded-Client-Cert", "X-Forwarded-Tls-Client-Cert", "X-SSL-Client-Verify", "Portti-Proxy-Secret"} {
		for _, c := range []*cardtest.Card{nil, good} {
			r := must(http.NewRequest(http.MethodGet, place, nil))
			r.Header[name] = []string{url.QueryEscape(string(good.PEM()))}
			if res := b.do(t, b.pki.Client(c, b.addr), r); res.StatusCode != http.StatusBadRequest || res.Header.Get("Location") != "" {
				t.Errorf("%s: %d", name, res.StatusCode)
			}
		}
	}
	if b.attempts.opened != 0 {
		t.Errorf("%d tickets were taken", b.attempts.opened)
	}
	if log := b.log.String(); !strings.Contains(log, "no proxy hands certificates on here") || strings.Contains(log, "BEGIN") {
		t.Errorf("the log: %s", log)
	}
	b.get(t, nil, place)
	if r, _ := b.attempts.result("forged"); r.Verdict != card.NoCertificate {
		t.Errorf("in the end: %+v", r)
	}
}

const proxySecret = "5f3e0c7a9b1d4e6f8a2c5b7d9e1f3a4c"

// behindProxy is a card host behind a proxy like nginx, which speaks plain http.
func behindProxy(t *testing.T) *bench {
	gate, err := proxied.New(proxied.Config{Format: proxied.Nginx, Addresses: loopback, Secrets: []string{proxySecret}})
	mustOK(t, err)
	return open(t, func(d *card.Door) { d.Proxy, d.Certificate, d.MaxConnsPerAddress = gate, nil, 1 })
}

// hand is a request as the proxy hands it on: for the browser's name, with the
// card's certificate.
func (b *bench) hand(t *testing.T, place string, c *cardtest.Card, change ...func(*http.Request)) *http.Response {
	t.Helper()
	at := must(url.Parse(place))
	r := must(http.NewRequest(http.MethodGet, "http://"+b.addr+at.Path, nil))
	r.Host = at.Host
	r.Header.Set(proxied.SecretHeader, proxySecret)
	if c != nil {
		whole := string(c.PEM())
		leaf, _, _ := strings.Cut(whole, "-----END CERTIFICATE-----\n")
		r.Header.Set("X-SSL-Client-Cert", url.PathEscape(leaf+"-----END CERTIFICATE-----\n"))
	}
	for _, f := range change {
		f(r)
	}
	return b.do(t, &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, r)
}

// Behind a proxy every card has the verdict that it has without one; but nginx
// hands on the card's own certificate alone, so nobody sees what else came, and one
// that is larger than a header may be is refused.
func TestDoorBehindAProxy(t *testing.T) {
	b := behindProxy(t)
	for _, c := range append(cardtest.Cases(), cardtest.Case{Name: "none", Verdict: card.NoCertificate}) {
		t.Run(c.Name, func(t *testing.T) {
			switch c.Name {
			case "too-many", "large-companion":
				c.Verdict = card.Good
			case "too-large":
				if res := b.hand(t, b.URL(b.ticket(c.Name)), b.pki.TestCase(t, c.Name)); res.StatusCode != http.StatusBadRequest {
					t.Errorf("answer %d", res.StatusCode)
				}
				return
			}
			var shown *cardtest.Card
			if c.Name != "none" {
				shown = b.pki.TestCase(t, c.Name)
			}
			place := b.place(card.AnyCA)
			res := b.hand(t, place.URL(b.ticket(c.Name)), shown, func(r *http.Request) { r.Header.Set("X-SSL-Client-Verify", "SUCCESS") })
			r, ok := b.attempts.result(c.Name)
			if res.StatusCode != http.StatusSeeOther || !ok || r.Verdict != c.Verdict || r.TLS != "" || r.Mode != card.AnyCA {
				t.Errorf("answer %d, result %+v, want %s", res.StatusCode, r, c.Verdict)
			}
			if c.Verdict == card.Good && r.Holder.Fingerprint != card.Fingerprint(shown.Cert) {
				t.Error("the fingerprint of another card")
			}
			if place.Own {
				t.Error("the handshakes of the attempt are said to be seen")
			}
		})
	}
}

// What is refused behind a proxy spends no ticket and leaves no verdict.
func TestDoorBehindAProxyRefuses(t *testing.T) {
	b := behindProxy(t)
	good := b.pki.TestCase(t, "good-p256")
	place := b.URL(b.ticket("refused"))
	for name, c := range map[string]struct {
		change func(*http.Request)
		want   int
	}{
		"no secret":        {func(r *http.Request) { r.Header.Del(proxied.SecretHeader) }, http.StatusForbidden},
		"a guess":          {func(r *http.Request) { r.Header.Set(proxied.SecretHeader, "guess") }, http.StatusForbidden},
		"a damaged header": {func(r *http.Request) { r.Header.Set("X-SSL-Client-Cert", "-----BEGIN") }, http.StatusBadRequest},
		"two headers":      {func(r *http.Request) { r.Header.Add("X-SSL-Client-Cert", "") }, http.StatusBadRequest},
		"another header":   {func(r *http.Request) { r.Header.Set("Client-Cert", ":AA==:") }, http.StatusBadRequest},
		"another host":     {func(r *http.Request) { r.Host = "id.example.test" }, http.StatusMisdirectedRequest},
		"a POST":           {func(r *http.Request) { r.Method = http.MethodPost }, http.StatusMethodNotAllowed},
	} {
		if res := b.hand(t, place, good, c.change); res.StatusCode != c.want || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	if b.attempts.opened != 0 {
		t.Errorf("%d tickets were taken", b.attempts.opened)
	}
	if log := b.log.String(); !strings.Contains(log, "X-Ssl-Client-Cert: not a certificate in PEM") || strings.Contains(log, "guess") || strings.Contains(log, proxySecret) {
		t.Errorf("the log: %s", log)
	}
	if res := b.hand(t, place, good); res.StatusCode != http.StatusSeeOther {
		t.Errorf("in the end: %d", res.StatusCode)
	}
}

// balanced is a client behind a balancer that says where it is.
func (b *bench) balanced(c *cardtest.Card, version byte, from string) *http.Client {
	client := b.pki.Client(c, b.addr)
	client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) { return b.relay(version, from) }
	return client
}

// relay is a connection of a balancer for somebody; with version 0 it says nothing.
func (b *bench) relay(version byte, from string) (net.Conn, error) {
	conn, err := net.Dial("tcp", b.addr)
	if err != nil || version == 0 {
		return conn, err
	}
	source, to := net.TCPAddrFromAddrPort(netip.MustParseAddrPort(from)), conn.RemoteAddr()
	if source.IP.To4() == nil {
		to = &net.TCPAddr{IP: net.IPv6loopback, Port: 443}
	}
	_, err = proxyproto.HeaderProxyFromAddrs(version, source, to).WriteTo(conn)
	return conn, err
}

// ends waits until the other side has closed the connection.
func ends(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := io.Copy(io.Discard, c); err != nil && !strings.Contains(err.Error(), "reset") && !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
	_ = c.Close()
}

// A balancer that passes TLS through says whom a connection comes from, and each
// browser has a bound of its own.
func TestBehindBalancers(t *testing.T) {
	b := open(t, func(d *card.Door) { d.Balancers, d.MaxConnsPerAddress = loopback, 2 })
	good := b.pki.TestCase(t, "good-p256")
	for version := range byte(2) {
		for _, from := range []string{"192.0.2.1:1024", "[2001:db8::1]:1024"} {
			id := string('1'+rune(version)) + from
			b.do(t, b.balanced(good, version+1, from), must(http.NewRequest(http.MethodGet, b.URL(b.ticket(id)), nil)))
			if r, _ := b.attempts.result(id); r.Verdict != card.Good || r.TLS != "1.3" {
				t.Errorf("version %d from %s: %+v", version+1, from, r)
			}
		}
	}
	r := must(http.NewRequest(http.MethodGet, b.URL(b.ticket("seen")), nil))
	r.Header.Set("Client-Cert", "forged")
	b.do(t, b.balanced(nil, 2, "198.51.100.77:4711"), r)
	if !strings.Contains(b.log.String(), "198.51.100.77") {
		t.Error("the log does not know the browser's address")
	}

	shake := func(from string) (*tls.Conn, error) {
		raw, err := b.relay(2, from)
		mustOK(t, err)
		c := tls.Client(raw, &tls.Config{RootCAs: b.pki.ServerPool(), ServerName: aName})
		return c, c.Handshake()
	}
	for range 2 {
		c, err := shake("192.0.2.9:1")
		mustOK(t, err)
		defer c.Close()
	}
	if c, err := shake("192.0.2.9:2"); err == nil {
		t.Error("a third connection of one browser")
		_ = c.Close()
	}
	c, err := shake("192.0.2.10:1")
	mustOK(t, err)
	_ = c.Close()
}

// Who is no balancer cannot say where he is, and who is one must.
func TestPastTheBalancers(t *testing.T) {
	b := open(t, func(d *card.Door) { d.Balancers = loopback })
	good := b.pki.TestCase(t, "good-p256")
	if res, err := b.pki.Client(good, b.addr).Get(b.URL(b.ticket("silent"))); err == nil {
		_ = res.Body.Close()
		t.Errorf("without a header: %d", res.StatusCode)
	}
	for _, lie := range []string{"PROXY TCP4 192.0.2.1\r\n", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n", "PROXY " + strings.Repeat("x", 200), "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x01\x00", "GET / HTTP/1.1\r\n\r\n"} {
		c, err := net.Dial("tcp", b.addr)
		mustOK(t, err)
		_, err = io.WriteString(c, lie)
		mustOK(t, err)
		mustOK(t, c.(*net.TCPConn).CloseWrite())
		ends(t, c)
	}

	b = open(t, func(d *card.Door) { d.Balancers = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	for version := range byte(3) {
		c, err := b.relay(version, "192.0.2.1:1024") // in the list, but only by its own word
		mustOK(t, err)
		ends(t, c)
	}
	if log := b.log.String(); strings.Count(log, "past the balancers") != 1 {
		t.Errorf("the log: %s", log)
	}
}

// A connection that says nothing keeps nobody else waiting, and has its place among
// all connections.
func TestBalancerThatSaysNothing(t *testing.T) {
	b := open(t, func(d *card.Door) { d.Balancers, d.MaxConns, d.MaxConnsPerAddress = loopback, 3, -1 })
	for range 2 {
		c, err := b.relay(0, "")
		mustOK(t, err)
		defer c.Close()
	}
	good := b.pki.TestCase(t, "good-p256")
	b.do(t, b.balanced(good, 1, "192.0.2.1:1024"), must(http.NewRequest(http.MethodGet, b.URL(b.ticket("third")), nil)))
	if r, _ := b.attempts.result("third"); r.Verdict != card.Good {
		t.Errorf("beside the silent: %+v", r)
	}
	var held []net.Conn
	for range 4 { // one of them at least is one too many, whatever has ended meanwhile
		c, err := b.relay(0, "")
		mustOK(t, err)
		held = append(held, c)
	}
	ends(t, held[3])
	if !strings.Contains(b.log.String(), "too many connections") {
		t.Error("the operator is not told")
	}
	for _, c := range held {
		_ = c.Close()
	}
}
