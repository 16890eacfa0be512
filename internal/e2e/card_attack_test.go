package e2e

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// nobody checks that a browser is not signed in.
func (p *Party) nobody(what string, v *Visitor) {
	p.W.T.Helper()
	if answer := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))); answer.Get("error") != "login_required" {
		p.W.T.Errorf("%s: somebody is signed in: %v", what, answer)
	}
}

// A ticket is good once: in the same browser, in others, under other names of the card
// host, by fifty at once over both replicas. And only a browser that goes there spends
// it: not a picture, a frame or a prefetch on somebody's page (standards.md 2.5).
func TestCardTicketIsGoodOnce(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		kaisa, p := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Party("other")
		restart := w.Issuer() + "/signin/card/restart"

		v := w.Visitor()
		ticket := v.ticket(v.Open(p.URL(nil)))
		first := v.result(ticket, kaisa.Card)
		for name, other := range map[string]*Visitor{"the same browser": v, "a second browser": w.Visitor()} {
			if next := other.result(ticket, kaisa.Card); next != restart {
				t.Errorf("a spent ticket in %s leads to %q", name, next)
			}
		}
		if p.Code(v.Open(first)) == "" {
			t.Error("trying it again cost the first result")
		}

		// Under another name there is no such ticket, and it stays whole for its own.
		v = w.Visitor()
		ticket = v.ticket(v.Open(p.URL(nil)))
		own := must(url.Parse(ticket))(t).Hostname()
		for _, name := range []string{"abcdefghijklmnopqrstuvwxyz", "t12-abcdefghijklmnopqrstuvwxyz", "t12-" + own[:26], "any-" + own[:26]} {
			if next := v.result(strings.Replace(ticket, own, name+own[26:], 1), kaisa.Card); next != restart {
				t.Errorf("a ticket under the name %s leads to %q", name, next)
			}
		}
		if next := v.result(ticket, kaisa.Card); !strings.Contains(next, "?code=") {
			t.Errorf("trying it under other names has spent the ticket: %q", next)
		}

		for name, header := range map[string]http.Header{
			"a picture":  {"Sec-Fetch-Mode": {"no-cors"}, "Sec-Fetch-Dest": {"image"}},
			"a frame":    {"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"iframe"}},
			"a script":   {"Sec-Fetch-Mode": {"cors"}, "Sec-Fetch-Dest": {"empty"}},
			"a prefetch": {"Sec-Fetch-Mode": {"navigate"}, "Sec-Fetch-Dest": {"document"}, "Sec-Purpose": {"prefetch;prerender"}},
		} {
			v := w.Visitor()
			ticket := v.ticket(v.Open(p.URL(nil)))
			v.Insert(kaisa.Card)
			v.Header = header
			if page := v.Open(ticket).MustStatus(http.StatusForbidden); page.Next != "" {
				t.Errorf("%s is led to %q", name, page.Next)
			}
			v.Header = nil
			if next := v.result(ticket, kaisa.Card); !strings.Contains(next, "?code=") {
				t.Errorf("%s has spent the ticket: %q", name, next)
			}
		}

		v = w.Visitor()
		ticket = v.ticket(v.Open(p.URL(nil)))
		var mu sync.Mutex
		gave := map[bool]int{}
		windows := crowdOf(v, kaisa.Card)
		atOnce(func(i int) {
			page, err := windows[i].try(must(http.NewRequest(http.MethodGet, ticket, nil))(t))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			} else {
				gave[strings.Contains(page.Next, "?code=")]++
			}
		})
		if gave[true] != 1 || gave[false] != crowd-1 {
			t.Errorf("fifty at once with one ticket: results %v", gave)
		}
	})
}

// crowdOf are windows of a browser that stop on the way back from the card host.
func crowdOf(v *Visitor, c *cardtest.Card) []*Visitor {
	windows := make([]*Visitor, crowd)
	for i := range windows {
		windows[i] = v.Twin()
		windows[i].Insert(c)
		windows[i].Stop = v.W.Issuer()
	}
	return windows
}

// The code of a result is redeemed once, by whomever: of fifty windows of the same
// browser at once one goes on with the sign-in, and the client hears of it once.
func TestOneCardResultFiftyTimesAtOnce(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		kaisa, v, p := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Visitor(), w.Party("other")
		result := v.result(v.ticket(v.Open(p.URL(nil))), kaisa.Card)
		windows := make([]*Visitor, crowd)
		for i := range windows {
			windows[i] = v.Twin()
		}
		var mu sync.Mutex
		codes, sessions := map[string]bool{}, map[string]bool{}
		atOnce(func(i int) {
			page, err := windows[i].try(must(http.NewRequest(http.MethodGet, result, nil))(t))
			if err != nil {
				t.Error(err)
				return
			}
			if page.Status >= 500 {
				t.Errorf("the browser is shown %s", page)
			}
			mu.Lock()
			defer mu.Unlock()
			if sid := windows[i].Cookie(w.Issuer(), "sid"); sid != "" {
				sessions[sid] = true
			}
			if page.URL.Host == hostOf(p.Redirect) {
				codes[page.URL.Query().Get("code")] = true
			}
		})
		if len(codes) > 1 || len(sessions) != 1 {
			t.Errorf("one result gave %d sessions and %d codes", len(sessions), len(codes))
		}
	})
}

// Results cannot change places: not between two sign-ins of one browser, not between
// an older and a newer attempt of one sign-in, not between a victim's browser and that
// of somebody who has a card of his own and wants the victim to work in his name (login
// CSRF). Whichever way it is tried, the code is spent.
func TestCardResultsThatChangePlaces(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		kaisa, eve, p := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("eve.paha", "saaristo", identity.MethodCard), w.Party("other")
		codeOf := func(result string) string { return must(url.Parse(result))(t).Query().Get("code") }

		v := w.Visitor()
		one, two := v.Open(p.URL(nil)).Must("card-start"), v.Open(p.URL(url.Values{"state": {"two"}})).Must("card-start")
		ofOne, ofTwo := v.result(v.ticket(one), kaisa.Card), v.result(v.ticket(two), kaisa.Card)
		v.Open(one.URL.String() + "/card?code=" + codeOf(ofTwo))
		v.Open(two.URL.String() + "/card?code=" + codeOf(ofOne))
		p.nobody("results of two sign-ins that changed places", v)
		v.Open(ofOne)
		v.Open(ofTwo)
		p.nobody("and are tried at home afterwards", v)

		v = w.Visitor()
		page := v.Open(p.URL(nil)).Must("card-start")
		older := v.result(v.ticket(page), eve.Card)
		newer := v.ticket(page)
		v.Open(older)
		p.nobody("the result of an attempt that a newer one took the place of", v)
		if p.Code(v.Open(v.result(newer, kaisa.Card))) == "" {
			t.Error("the newer attempt is refused")
		}

		// Eve sends Kaisa what would sign Kaisa's browser in as Eve.
		evil, victim := w.Visitor(), w.Visitor()
		begun := evil.Open(p.URL(nil)).Must("card-start")
		waiting := victim.Open(p.URL(nil)).Must("card-start")
		own := evil.result(evil.ticket(begun), eve.Card)
		victim.Open(waiting.URL.String() + "/card?code=" + codeOf(own)) // into a sign-in of hers
		p.nobody("Eve's code in Kaisa's sign-in", victim)
		own = evil.result(evil.ticket(begun), eve.Card)
		victim.Open(own).Must("restart") // the whole address
		p.nobody("Eve's address in Kaisa's browser", victim)
		victim.Open(evil.ticket(begun)) // the ticket: the reader holds Kaisa's card
		p.nobody("Eve's ticket in Kaisa's browser", victim)
		evil.Open(begun.URL.String())
		p.nobody("Eve, after all of it", evil)

		// Kaisa signs in as before.
		victim.Insert(kaisa.Card)
		if got := p.MustRedeem(p.Code(victim.Open(victim.result(victim.ticket(victim.Open(waiting.URL.String())), kaisa.Card)))).Claims(); got["sub"] != string(kaisa.ID) {
			t.Errorf("signed in as %v", got["sub"])
		}
	})
}

// Nobody gets another's card linked to his username, nor his own card to another's:
// whoever goes to the card host with a ticket of somebody's ceremony, its result is
// worth nothing in any other session, and none in this one unless it comes back in it.
func TestLinkingThatChangesPlaces(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		eve, victim := w.Newcomer("eve.paha", "kuntala"), w.Newcomer("kaisa.kortti", "kuntala")
		at := map[*Employee]*Page{}
		browsers := map[*Employee]*Visitor{}
		for _, e := range []*Employee{eve, victim} {
			browsers[e] = w.Visitor()
			at[e] = e.FirstDay(browsers[e].Open(w.Origin("service") + "/records/1")).Follow("link-card").Must("card-start")
		}
		result := func(by, with *Employee) string { // of by's ceremony, presented in with's browser and with her card
			t.Helper()
			ticket := browsers[by].ticket(at[by])
			browsers[with].Insert(with.Card)
			browsers[with].Stop = w.Origin("services")
			defer func() { browsers[with].Stop = "" }()
			return browsers[with].Open(ticket).Next
		}
		refused := func(what string, page *Page) {
			t.Helper()
			if page.Has("card-confirm") || !page.Has("card-failed") && !page.Has("card-start") {
				t.Errorf("%s: %s", what, page)
			}
		}
		// Eve lures Kaisa to Eve's ticket: it comes back in Kaisa's browser.
		lured := result(eve, victim)
		refused("Eve's ceremony in Kaisa's session", browsers[victim].Open(lured))
		refused("the same, brought home", browsers[eve].Open(lured))
		// Eve's card into Kaisa's session.
		planted := result(eve, eve)
		refused("Eve's card in Kaisa's session", browsers[victim].Open(planted))
		refused("the same, brought home", browsers[eve].Open(planted))
		// A result of an older attempt of the same session.
		older := result(victim, victim)
		newer := result(victim, victim)
		refused("an older attempt", browsers[victim].Open(older))
		_ = newer
		// A sign-in's result in a ceremony, and a ceremony's in a sign-in.
		p := w.Party("other")
		v := w.Visitor()
		signIn := v.Open(p.URL(nil)).Must("card-start")
		code := must(url.Parse(v.result(v.ticket(signIn), victim.Card)))(t).Query().Get("code")
		refused("a sign-in's result", browsers[victim].Open(w.Origin("services")+"/card/return?code="+code))
		code = must(url.Parse(result(victim, victim)))(t).Query().Get("code")
		v.Open(signIn.URL.String() + "/card?code=" + code)
		p.nobody("a ceremony's result in a sign-in", v)

		for _, e := range []*Employee{eve, victim} {
			if person := must(w.Replicas[0].Directory.Store.Person(t.Context(), e.ID))(t); person.Card != nil {
				t.Errorf("%s has a card linked", e.Username)
			}
		}
		// And her own in her own session links.
		if page := browsers[victim].Open(result(victim, victim)).Must("card-confirm").Press("card-confirm"); page.Has("card-failed") || page.Has("problems") {
			t.Errorf("her own card: %s", page)
		}
	})
}

// forged are the headers by which reverse proxies hand certificates on, with that of a
// card that is linked.
func forged(c *cardtest.Card) map[string]http.Header {
	text := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Cert.Raw}))
	b64, escaped, sum := base64.StdEncoding.EncodeToString(c.Cert.Raw), url.QueryEscape(text), sha256.Sum256(c.Cert.Raw)
	subject := c.Cert.Subject.String()
	return map[string]http.Header{
		"RFC 9440":         {"Client-Cert": {":" + b64 + ":"}, "Client-Cert-Chain": {":" + base64.StdEncoding.EncodeToString(c.Chain[0].Raw) + ":"}},
		"nginx":            {"X-Ssl-Client-Cert": {escaped}, "X-Ssl-Client-Escaped-Cert": {escaped}, "X-Ssl-Client-Verify": {"SUCCESS"}, "X-Ssl-Client-S-Dn": {subject}, "Ssl-Client-Escaped-Cert": {escaped}, "Ssl-Client-Verify": {"SUCCESS"}},
		"Apache":           {"Ssl-Client-Cert": {strings.ReplaceAll(text, "\n", " ")}, "Ssl-Client-S-Dn": {subject}, "X-Client-Certificate": {b64}},
		"HAProxy":          {"X-Ssl-Client-Der": {b64}, "X-Ssl-Client-Sha1": {hex.EncodeToString(sum[:20])}, "X-Ssl": {"1"}, "X-Ssl-Client-Cn": {c.Cert.Subject.CommonName}},
		"Traefik":          {"X-Forwarded-Tls-Client-Cert": {b64}, "X-Forwarded-Tls-Client-Cert-Info": {url.QueryEscape(`Subject="` + subject + `"`)}},
		"Envoy":            {"X-Forwarded-Client-Cert": {"Hash=" + hex.EncodeToString(sum[:]) + `;Cert="` + escaped + `";Subject="` + subject + `"`}},
		"clouds":           {"X-Amzn-Mtls-Clientcert": {escaped}, "X-Amzn-Mtls-Clientcert-Leaf": {escaped}, "X-Arr-Clientcert": {b64}, "X-Client-Cert": {b64}, "Cf-Client-Cert-Der-Base64": {b64}, "X-Forwarded-Ssl-Client-Cert": {escaped}},
		"underscores":      {"Client_Cert": {":" + b64 + ":"}, "X_SSL_Client_Cert": {escaped}, "SSL_CLIENT_CERT": {escaped}},
		"two of RFC 9440":  {"Client-Cert": {":" + b64 + ":", ":" + b64 + ":"}},
		"and a proxy's IP": {"Client-Cert": {":" + b64 + ":"}, "X-Forwarded-For": {"127.0.0.1"}, "Forwarded": {"for=127.0.0.1;proto=https"}, "X-Real-Ip": {"127.0.0.1"}, "X-Forwarded-Proto": {"https"}},
	}
}

// A header that names a certificate is a word of whoever wrote it. No listener that is
// not behind a proxy believes it: not the pages, not the card host, which refuses it, not
// the one at which services show certificates.
func TestForgedCertificateHeaders(t *testing.T) {
	EachWith(t, Options{MTLS: true}, func(t *testing.T, w *World) {
		kaisa, eve, p := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("eve.paha", "saaristo", identity.MethodCard), w.Party("other")
		w.Register(openid.Client{ID: "machine", Name: map[string]string{"en": "Machine"}, AuthMethod: openid.AuthTLS, Options: openid.Options{TLSSubjectDN: "CN=machine,O=Kuntala"},
			GrantTypes: []openid.GrantType{openid.GrantClient}, Scopes: []string{"read"}, Algorithm: keys.ES256})
		service := w.As("machine", "")
		genuine := w.ServiceCertificate("machine")
		token := func(c *tls.Certificate, header http.Header) (int, string) {
			t.Helper()
			r := must(http.NewRequest(http.MethodPost, w.MTLS+"/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}, "client_id": {service.ID}}.Encode())))(t)
			r.Header = header.Clone()
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			answer := must(service.Showing(c).http.Do(r))(t)
			defer answer.Body.Close() //nolint:errcheck // it was read to the end
			return answer.StatusCode, string(must(io.ReadAll(answer.Body))(t))
		}
		if status, body := token(genuine, http.Header{}); status != http.StatusOK {
			t.Fatalf("the service's own certificate: %d %s", status, body)
		}
		shown := &cardtest.Card{Cert: must(parseLeaf(genuine))(t), Chain: kaisa.Card.Chain}
		machines := forged(shown)
		for name, header := range forged(kaisa.Card) {
			t.Run(name, func(t *testing.T) {
				// The pages: at every step, and nobody comes nearer.
				v := w.Visitor()
				v.Header = header
				page := v.Open(p.URL(nil)).Must("login-submit", "card-start")
				for _, path := range []string{"", "/card", "/finish", "/card?code=x"} {
					v.Open(page.URL.String() + path)
				}
				p.nobody("headers at the pages", v)

				// The card host refuses them, without a card and with another one, and spends
				// no ticket on it.
				v = w.Visitor()
				ticket := v.ticket(v.Open(p.URL(nil)))
				for _, inserted := range []*cardtest.Card{nil, eve.Card} {
					v.Insert(inserted)
					v.Header = header
					v.Open(ticket).MustStatus(http.StatusBadRequest)
					p.nobody("headers at the card host", v)
				}
				v.Header = nil
				if got := p.MustRedeem(p.Code(v.Open(ticket))).Claims(); got["sub"] != string(eve.ID) {
					t.Errorf("with Eve's card: signed in as %v", got["sub"])
				}

				// Services with certificates.
				if status, body := token(nil, machines[name]); status == http.StatusOK {
					t.Errorf("a service by header: %d %s", status, body)
				}
				if status, body := token(w.ServiceCertificate("another"), machines[name]); status == http.StatusOK {
					t.Errorf("another service by header: %d %s", status, body)
				}
			})
		}
	})
}

// Each attempt is a handshake of its own: no session of TLS is resumed, no connection
// kept, none shared with other names, and no other protocol spoken in which a
// certificate could be left out (S34; RFC 8740, RFC 9113 §9.1.1).
func TestCardHostKeepsNothingOfAConnection(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	kaisa, p := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Party("other")
	ticket := func() *url.URL {
		t.Helper()
		v := w.Visitor()
		return must(url.Parse(v.ticket(v.Open(p.URL(nil)))))(t)
	}
	dial := func(name string, change func(c *tls.Config)) (*tls.Conn, error) {
		config := w.PKI.ClientTLS(kaisa.Card)
		config.ServerName = name
		change(config)
		return tls.Dial("tcp", "127.0.0.1:"+w.CardPort, config)
	}
	ask := func(c *tls.Conn, host, path string) (*http.Response, error) {
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: keep-alive\r\n\r\n", path, host); err != nil {
			return nil, err
		}
		return http.ReadResponse(bufio.NewReader(c), nil)
	}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run("resumption, "+tls.VersionName(version), func(t *testing.T) {
			cache := tls.NewLRUClientSessionCache(8)
			u := ticket()
			for i := range 3 {
				c := must(dial(u.Hostname(), func(c *tls.Config) { c.MinVersion, c.MaxVersion, c.ClientSessionCache = version, version, cache }))(t)
				if c.ConnectionState().DidResume {
					t.Errorf("connection %d is resumed", i)
				}
				if answer, err := ask(c, u.Host, "/"); err != nil || !answer.Close { // reads what tickets there are
					t.Errorf("connection %d: %v %v", i, answer, err)
				}
				_ = c.Close()
			}
		})
	}
	t.Run("keep-alive", func(t *testing.T) {
		one, two := ticket(), ticket()
		c := must(dial(one.Hostname(), func(*tls.Config) {}))(t)
		defer c.Close() //nolint:errcheck // a test's
		if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\n\r\nGET %s HTTP/1.1\r\nHost: %s\r\n\r\n", one.Path, one.Host, two.Path, one.Host); err != nil {
			t.Fatal(err)
		}
		all := string(must(io.ReadAll(c))(t)) // to the end of the connection
		if n := strings.Count(all, "HTTP/1.1 "); n != 1 || !strings.Contains(all, "Connection: close") {
			t.Errorf("%d answers on one connection:\n%s", n, all)
		}
		v := w.Visitor()
		if next := v.result(two.String(), kaisa.Card); !strings.Contains(next, "?code=") {
			t.Errorf("the second request has spent its ticket: %q", next)
		}
	})
	t.Run("another name on the same connection", func(t *testing.T) {
		for _, host := range []string{"another.card.localhost:" + w.CardPort, hostOf(w.Issuer()), "localhost", ""} {
			u := ticket()
			c := must(dial(u.Hostname(), func(*tls.Config) {}))(t)
			answer, err := ask(c, host, u.Path)
			if err != nil || answer.StatusCode != http.StatusMisdirectedRequest && answer.StatusCode != http.StatusBadRequest || answer.Header.Get("Location") != "" {
				t.Errorf("Host: %q is answered with %v %v", host, answer, err)
			}
			_ = c.Close()
			if next := w.Visitor().result(u.String(), kaisa.Card); !strings.Contains(next, "?code=") {
				t.Errorf("Host: %q has spent the ticket: %q", host, next)
			}
		}
	})
	t.Run("HTTP/2", func(t *testing.T) {
		u := ticket()
		c := must(dial(u.Hostname(), func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }))(t)
		if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
			t.Errorf("spoken is %q", got)
		}
		_ = c.Close()
		if c, err := dial(u.Hostname(), func(c *tls.Config) { c.NextProtos = []string{"h2"} }); err == nil {
			_ = c.Close()
			t.Error("a client of HTTP/2 alone is served")
		}
		// The preface in clear over what was agreed to be HTTP/1.1.
		c = must(dial(u.Hostname(), func(*tls.Config) {}))(t)
		_, _ = io.WriteString(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		if all, _ := io.ReadAll(c); !strings.HasPrefix(string(all), "HTTP/1.1 4") {
			t.Errorf("the preface of HTTP/2 is answered with %q", all)
		}
		_ = c.Close()
	})
	t.Run("the pages ask for no card", func(t *testing.T) {
		var asked atomic.Bool
		transport := w.transport(nil)
		defer transport.CloseIdleConnections()
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked.Store(true)
			return kaisa.Card.TLS(), nil
		}
		answer := must((&http.Client{Transport: transport}).Get(w.Issuer() + "/.well-known/openid-configuration"))(t)
		_ = answer.Body.Close()
		if asked.Load() {
			t.Error("the pages' listener asks for a certificate")
		}
	})
}
