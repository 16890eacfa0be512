package e2e

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// byes is a service that hears of logouts by the browser.
type byes struct {
	mu   sync.Mutex
	list []string // queries
}

func (b *byes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	if r.URL.Path != "/bye" {
		_, _ = io.WriteString(w, "<!doctype html><title>The other service</title><h1 id=other>The other service</h1>")
		return
	}
	b.mu.Lock()
	b.list = append(b.list, r.URL.RawQuery)
	b.mu.Unlock()
	_, _ = io.WriteString(w, "<!doctype html><title>bye</title>")
}

func (b *byes) heard() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.list)
}

// A real browser loads the frames under the page's policy, and goes on by itself
// when they are loaded.
func TestFrontChannelLogoutInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
	p := w.Party("front", func(c *openid.Client) { c.FrontChannelURI = w.Origin("other") + "/bye?app=1" })
	heard := &byes{}
	w.Handle("other", heard)
	b := w.chromium(t, "sv")
	s := w.screen(t, b, "sv")
	signIn := func() Tokens {
		s.Open(p.URL(nil))
		s.signIn(otto)
		s.WaitFor("#other")
		return p.MustRedeem(must(url.Parse(s.URL()))(t).Query().Get("code"))
	}
	bye := func(tokens Tokens) string {
		return w.Issuer() + "/end_session?" + url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {w.Origin("other") + "/logout/callback"}, "state": {"s"}}.Encode()
	}
	tokens := signIn()
	s.Open(bye(tokens))
	s.WaitURL(w.Origin("other") + "/logout/callback?state=s")
	want := "app=1&" + url.Values{"iss": {w.Issuer()}, "sid": {tokens.Claims()["sid"].(string)}}.Encode()
	if got := heard.heard(); !slices.Equal(got, []string{want}) {
		t.Errorf("the service heard %q, want %q", got, want)
	}

	// Without an address to go to, the page stays.
	tokens = signIn()
	s.Open(w.Issuer() + "/end_session?" + url.Values{"id_token_hint": {tokens.ID}}.Encode())
	s.look("logged out, the services are told", "#logged-out")
	s.says("logout.card")
	if got := heard.heard(); len(got) != 2 {
		t.Errorf("the service heard %q", got)
	}
}
