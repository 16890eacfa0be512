package e2e

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/e2e/browser"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/server"
)

// road is the network before the card host, which can be bad.
type road struct {
	listener net.Listener

	mu    sync.Mutex
	to    string
	state string      // "" passes everything on, "cut" ends a connection once the host has answered, "away" at once
	names chan string // that were asked for
}

// roadTo makes a road, and has the provider send browsers there.
func roadTo(t *testing.T) (*road, Options) {
	t.Helper()
	r := &road{listener: must(net.Listen("tcp", "127.0.0.1:0"))(t), names: make(chan string, 100)}
	t.Cleanup(func() { _ = r.listener.Close() })
	host := must(card.ParseHost("https://*.card.localhost:" + port(r.listener)))(t)
	return r, Options{Pair: SQLiteMemory, Configure: func(c *server.Config) { c.CardHost = &host }}
}

// open lets traffic through to the card host of a world.
func (r *road) open(w *World) {
	r.to = "127.0.0.1:" + w.CardPort
	go func() {
		for {
			in, err := r.listener.Accept()
			if err != nil {
				return
			}
			go r.through(in)
		}
	}()
}

func (r *road) become(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
}

func (r *road) through(in net.Conn) {
	defer func() { _ = in.Close() }()
	r.mu.Lock()
	state := r.state
	r.mu.Unlock()
	if state == "away" {
		return
	}
	first := make([]byte, 16<<10)
	n, err := in.Read(first)
	if err != nil {
		return
	}
	r.names <- nameIn(first[:n])
	out, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer func() { _ = out.Close() }()
	if _, err := out.Write(first[:n]); err != nil {
		return
	}
	if state == "cut" {
		_, _ = out.Read(first[:1])
		return
	}
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(in, out)
		_ = in.Close()
	})
	_, _ = io.Copy(out, in)
	_ = out.Close()
	back.Wait()
}

// nameIn is the name in a ClientHello.
func nameIn(hello []byte) (name string) {
	ours, theirs := net.Pipe()
	go func() {
		_, _ = theirs.Write(hello)
		_ = theirs.Close()
	}()
	_ = tls.Server(ours, &tls.Config{GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		name = h.ServerName
		return nil, errors.New("that was all")
	}}).Handshake()
	return name
}

// What Chromium does: it drops the first connection when it begins to ask which
// certificate to send, and comes again with the answer. So one break tells nothing,
// and the second one something is wrong. The page that sent it there lives on
// meanwhile, and tells. S3, S35.
func TestCardWindowInABrowser(t *testing.T) {
	t.Parallel()
	r, o := roadTo(t)
	w := NewWorld(t, o)
	r.open(w)
	kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	// Without a rule it asks, in a window that nobody sees here.
	b := browser.Start(t, browser.Options{ServerCA: w.PKI.Server.Cert, Lang: "sv"})
	insert(t, b, kaisa.Card)
	s := w.screen(t, b, "sv")
	s.Open(w.record("42"))
	// What the page says while it cannot be asked.
	s.Eval(`new MutationObserver(() => sessionStorage.setItem("told", document.querySelector("#card-live").innerText + document.querySelector("#card-live-form").innerText))
		.observe(document.body, {subtree: true, childList: true, attributes: true})`, nil)
	state := s.cardState()
	s.Leave("#card-start")
	name := <-r.names
	eventually(t, "Chromium has dropped the connection, and that decides nothing", func() bool { return state() == "broken" })
	if len(r.names) != 0 {
		t.Errorf("there was another connection for %s", <-r.names)
	}
	// The second: a card that cannot sign.
	_, err := tls.Dial("tcp", "127.0.0.1:"+w.CardPort, &tls.Config{ServerName: name, RootCAs: w.PKI.ServerPool(), GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return nil, errors.New("cancelled")
	}})
	if err == nil {
		t.Fatal("the handshake succeeded")
	}
	s.WaitURLThat("tells the outcome", func(url string) bool { return strings.Contains(url, "refused=handshake_broken") })
	s.refused("handshake_broken")
	s.says("card.pinlocked")
	s.says("card.pin")
	s.WaitFor("#card-oldtls")
	var told string
	s.Eval(`sessionStorage.getItem("told")`, &told)
	for _, key := range []string{"card.live.title", "card.live", "card.live.failed"} {
		for line := range strings.Lines(s.text(key)) {
			if !strings.Contains(oneLine(told), oneLine(line)) {
				t.Errorf("the page did not say %q while the window was open, but %q", line, told)
			}
		}
	}

	// And what she sees meanwhile, at rest; and her own word.
	s = w.screen(t, b, "sv")
	s.Open(w.record("42"))
	s.Eval(`document.querySelector("#card-live").replaceChildren(document.querySelector("#card-live-window").content.cloneNode(true))`, nil)
	s.Eval(`document.querySelector("#card-live-form").hidden = false`, nil)
	s.look("login, the card is read", "#card-said")
	s.Eval(`addEventListener("submit", e => e.target.id || setTimeout(() => document.querySelector("#card-said").click(), 1000))`, nil)
	s.Leave("#card-start")
	s.WaitURLThat("tells the outcome", func(url string) bool { return strings.Contains(url, "refused=") })
	s.WaitFor("#card-failed")
}

// cardState asks as the script of the shown page does, beside it.
func (s *screen) cardState() func() string {
	s.t.Helper()
	var address string
	s.Eval(`new URL(document.querySelector("#card-live").dataset.state, location).href`, &address)
	r := must(http.NewRequest(http.MethodGet, address, nil))(s.t)
	for _, c := range s.Cookies() {
		if c.Domain == r.URL.Hostname() {
			r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
		}
	}
	client := &http.Client{Transport: s.w.transport(nil)}
	s.t.Cleanup(client.CloseIdleConnections)
	return func() string {
		res := must(client.Do(r))(s.t)
		defer func() { _ = res.Body.Close() }()
		var now struct{ State string }
		if err := json.NewDecoder(res.Body).Decode(&now); err != nil {
			s.t.Fatal(err)
		}
		return now.State
	}
}

// Where the browser shows an error page of its own, one step back tells what became
// of the attempt, with and without script; and the next try works in the same
// window. S34, S35, S68.
func TestBackFromTheErrorPageInABrowser(t *testing.T) {
	t.Parallel()
	r, o := roadTo(t)
	w := NewWorld(t, o)
	r.open(w)
	kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	b := w.chromium(t, "fi")
	insert(t, b, kaisa.Card)
	deep := w.record("42")
	for _, script := range []bool{true, false} {
		for state, verdict := range map[string]string{"cut": "handshake_broken", "away": "never_reached"} {
			t.Run(fmt.Sprintf("%s, script %t", state, script), func(t *testing.T) {
				s := w.screen(t, b, "fi")
				s.DisableScript(!script)
				s.Open(deep)
				r.become(state)
				defer r.become("")
				if err := s.TryClick("#card-start"); err == nil {
					t.Fatalf("the browser shows no error page but %s", s.URL())
				} else {
					t.Log(err)
				}
				r.become("")
				s.Back()
				s.look("login, back from the error page, "+verdict, fmt.Sprintf(`#card-trouble[data-verdict=%q]`, verdict))
				for _, part := range []string{"title", "meaning", "do"} {
					s.says("verdict." + verdict + "." + part)
				}
				s.Click("#card-outcome")
				s.refused(verdict)
				s.Click("#card-start")
				s.arrives(deep, acrCard, amrCard)
			})
		}
	}
}
