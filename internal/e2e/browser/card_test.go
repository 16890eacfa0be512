package browser

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"
)

// cardServer is id.portti.test, whose /login leads over card.portti.test, which
// asks for a card, back to a page that names the holder. It returns the port.
func cardServer(t *testing.T, servers, cards *authority) string {
	open := &tls.Config{Certificates: []tls.Certificate{servers.server("id.portti.test", "card.portti.test")}}
	card := open.Clone()
	card.ClientAuth, card.ClientCAs = tls.RequestClientCert, x509.NewCertPool()
	card.ClientCAs.AddCert(cards.cert)
	card.SessionTicketsDisabled, card.NextProtos = true, []string{"http/1.1"}
	open.GetConfigForClient = func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		if h.ServerName == "card.portti.test" {
			return card, nil
		}
		return nil, nil
	}
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/login":
			http.Redirect(w, r, "https://card.portti.test/", http.StatusSeeOther)
		case r.Host == "card.portti.test":
			w.Header().Set("Connection", "close")
			who := "nobody"
			if len(r.TLS.PeerCertificates) > 0 {
				who = r.TLS.PeerCertificates[0].Subject.CommonName
			}
			http.Redirect(w, r, "https://id.portti.test/?who="+who, http.StatusSeeOther)
		default:
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<!doctype html><p id="who">%s</p>`, r.FormValue("who"))
		}
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // Chromium drops the first handshake while it looks for a card
	srv.TLS = open
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL[strings.LastIndex(srv.URL, ":")+1:]
}

func TestCards(t *testing.T) {
	t.Parallel()
	servers, cards := newAuthority(t, "Servers"), newAuthority(t, "Cards")
	b := Start(t, Options{ServerCA: servers.cert, CardHosts: []string{"https://[*.]card.portti.test"},
		HostRules: []string{"MAP *.portti.test 127.0.0.1:" + cardServer(t, servers, cards)}})
	login := func(who string) {
		t.Helper()
		tab := b.Incognito()
		tab.Open("https://id.portti.test/login")
		want(t, "signed in", tab.Text("#who"), who)
	}
	login("nobody")

	liisa := cards.card("LIISA")
	b.InsertCardPEM("liisa", certPEM(liisa.Leaf), keyPEM(t, liisa), certPEM(cards.cert))
	login("LIISA")

	b.EjectCard("liisa")
	login("nobody")

	ville := cards.card("VILLE")
	p12, err := pkcs12.Modern.Encode(ville.PrivateKey, ville.Leaf, nil, "secret")
	if err != nil {
		t.Fatal(err)
	}
	b.InsertCard(p12, "secret", "ville")
	login("VILLE")

	b.InsertCardPEM("liisa", certPEM(liisa.Leaf), keyPEM(t, liisa), nil)
	b.EjectCard("ville")
	login("LIISA")

	mustFail(t, func(tb testing.TB) { b.With(tb).EjectCard("ville") }, "ville")
	again := cards.card("LIISA")
	mustFail(t, func(tb testing.TB) { b.With(tb).InsertCardPEM("second", certPEM(again.Leaf), keyPEM(t, again), nil) }, "already holds another card")
}

func TestUntrustedServerDoesNotLoad(t *testing.T) {
	t.Parallel()
	servers, cards := newAuthority(t, "Servers"), newAuthority(t, "Cards")
	tab := Start(t, Options{HostRules: []string{"MAP *.portti.test 127.0.0.1:" + cardServer(t, servers, cards)}}).Tab()
	if err := tab.TryOpen("https://id.portti.test/"); err == nil || !strings.Contains(err.Error(), "ERR_CERT_AUTHORITY_INVALID") {
		t.Errorf("opened: %v", err)
	}
}

// Without a rule the browser asks in a dialog nobody sees: say so, do not hang.
func TestCardWithoutRuleNamesTheDialog(t *testing.T) {
	t.Parallel()
	servers, cards := newAuthority(t, "Servers"), newAuthority(t, "Cards")
	b := Start(t, Options{ServerCA: servers.cert, HostRules: []string{"MAP *.portti.test 127.0.0.1:" + cardServer(t, servers, cards)}})
	liisa := cards.card("LIISA")
	b.InsertCardPEM("liisa", certPEM(liisa.Leaf), keyPEM(t, liisa), nil)
	mustFail(t, func(tb testing.TB) {
		tab := b.With(tb).Tab()
		tab.patience = 2 * time.Second
		tab.Open("https://id.portti.test/login")
	}, "invisible dialog")
}
