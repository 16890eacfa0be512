package main

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
)

const proxySecret = "5f3e0c7a9b1d4e6f8a2c5b7d9e1f3a4c"

// behind is a card host with settings of what stands before it.
func (f *folder) behind(pki *cardtest.PKI, more string) *process {
	f.t.Helper()
	if err := pki.Save(f.path("cas")); err != nil {
		f.t.Fatal(err)
	}
	if err := os.WriteFile(f.path("proxy.secret"), []byte("0123456789abcdef0123456789abcdef\n"+proxySecret+"\n"), 0o600); err != nil {
		f.t.Fatal(err)
	}
	return f.start(with(`card: {url: "https://card.localhost:9443", address: "127.0.0.1:0", trust: {folder: cas, accept_test_cas: true}, ` + more + `}`))
}

// ask sends a request for the card host to its listener.
func ask(t *testing.T, url string, client *http.Client, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/attempt/AAAAAAAAAAAAAAAAAAAAAAAAAA", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "card.localhost:9443"
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Do(r)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	return res.StatusCode, res.Header.Get("Location")
}

// TestCardsBehindAProxy: the settings make the gate. With a secret the card host
// speaks plain http, with CAs of proxies it speaks TLS, and who proves nothing is
// refused.
func TestCardsBehindAProxy(t *testing.T) {
	f := newFolder(t)
	pki, err := cardtest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	good := cardtest.ForTest(t).TestCase(t, "good-p256")
	value := ":" + base64.StdEncoding.EncodeToString(good.Cert.Raw) + ":"

	p := f.behind(pki, "proxy: {format: rfc9440, addresses: [127.0.0.0/8], secret_file: proxy.secret}")
	if log := p.log(); !strings.Contains(log, "by a proxy's word") || !strings.Contains(log, "speaks plain http") || strings.Contains(log, proxySecret) {
		t.Errorf("at start: %s", log)
	}
	url := "http://" + p.address("card_address")
	if status, to := ask(t, url, &http.Client{}, "Client-Cert", value, "Portti-Proxy-Secret", proxySecret); status != http.StatusSeeOther || !strings.HasSuffix(to, "/signin/card/restart") {
		t.Errorf("the proxy: %d to %q", status, to)
	}
	for want, headers := range map[int][]string{
		http.StatusForbidden:  {"Client-Cert", value},
		http.StatusBadRequest: {"Client-Cert", "damaged", "Portti-Proxy-Secret", proxySecret},
	} {
		if status, _ := ask(t, url, &http.Client{}, headers...); status != want {
			t.Errorf("%d, want %d", status, want)
		}
	}
	p.stop(syscall.SIGTERM)

	mine := f.certificate("card", "card.localhost")
	ca, err := cardtest.NewCA("proxies", "Portti TEST Proxies", cardtest.P256, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f.path("proxies.crt"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy, err := pki.Issue("proxy", cardtest.Person{}, cardtest.From(ca))
	if err != nil {
		t.Fatal(err)
	}
	p = f.behind(pki, "certificate_file: card.crt, key_file: card.key, proxy: {format: rfc9440, addresses: [127.0.0.0/8], client_ca_file: proxies.crt}")
	url = "https://" + p.address("card_address")
	with := func(shown *tls.Certificate) *http.Client {
		return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true, // which certificate it has is looked at below
			VerifyConnection: func(s tls.ConnectionState) error {
				if !s.PeerCertificates[0].Equal(mine) {
					t.Error("another server certificate")
				}
				return nil
			},
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return shown, nil },
		}}}
	}
	if status, _ := ask(t, url, with(proxy.TLS()), "Client-Cert", value); status != http.StatusSeeOther {
		t.Errorf("the proxy with its certificate: %d", status)
	}
	for name, shown := range map[string]*tls.Certificate{"nobody": {}, "a card": good.TLS()} {
		if status, _ := ask(t, url, with(shown), "Client-Cert", value); status != 0 {
			t.Errorf("%s: %d", name, status)
		}
	}
	p.stop(syscall.SIGTERM)
}

// TestCardsBehindBalancers: a connection without a PROXY header is not served.
func TestCardsBehindBalancers(t *testing.T) {
	f := newFolder(t)
	pki, err := cardtest.New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	mine := f.certificate("card", "card.localhost")
	p := f.behind(pki, "certificate_file: card.crt, key_file: card.key, proxy_protocol: [127.0.0.1/32]")
	for header, served := range map[string]bool{"": false, "PROXY TCP4 192.0.2.7 192.0.2.1 1024 443\r\n": true} {
		raw, err := net.Dial("tcp", p.address("card_address"))
		if err != nil {
			t.Fatal(err)
		}
		defer raw.Close()
		if _, err := io.WriteString(raw, header); err != nil {
			t.Fatal(err)
		}
		c := tls.Client(raw, &tls.Config{ServerName: "card.localhost", InsecureSkipVerify: true}) // looked at below
		if err := c.Handshake(); (err == nil) != served {
			t.Errorf("header %q: %v", header, err)
		} else if served && !c.ConnectionState().PeerCertificates[0].Equal(mine) {
			t.Error("another certificate")
		}
	}
	p.stop(syscall.SIGTERM)
}
