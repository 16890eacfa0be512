package e2e

import (
	"image"
	"image/png"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// The question of a third party's service, with its logo, in a real browser: yes,
// no, and taken back.
func TestConsentInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
	p := w.Party("outsider", thirdParty, func(c *openid.Client) {
		c.LogoURI, c.PolicyURI, c.TermsURI = w.Origin("other2")+"/logo.png", w.Origin("other")+"/policy", w.Origin("other")+"/terms"
		c.Scopes = append(c.Scopes, "reports")
	})
	w.Handle("other2", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "image/png")
		_ = png.Encode(rw, image.NewGray(image.Rect(0, 0, 240, 60)))
	}))
	w.Handle("other", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(rw, "<!doctype html><title>The other service</title><h1 id=other>The other service</h1>")
	}))
	request := p.URL(map[string][]string{"scope": {"openid profile email offline_access reports"}})
	s := w.screen(t, w.chromium(t, "fi"), "fi")
	drawn := func() {
		t.Helper()
		var wide int
		if s.Eval(`document.querySelector(".logo img").naturalWidth`, &wide); wide != 240 {
			t.Errorf("the logo is %d pixels wide: the page's policy stops it", wide)
		}
	}
	s.Open(request)
	s.look("login, with a logo", "#service-policy")
	drawn()
	s.signIn(otto)
	s.look("consent", "#consent-allow")
	drawn()
	s.says("consent.title", "service", "Ulkopuolinen")
	s.says("scope.offline_access")
	s.says("consent.scope", "name", "reports")
	s.Click("#consent-deny")
	s.WaitFor("#other")
	if !strings.Contains(s.URL(), "error=access_denied") {
		t.Errorf("denied: %s", s.URL())
	}
	s.Open(request)
	s.Viewport(320, 640)
	s.DarkMode(true)
	s.dark = true
	s.look("consent", "#consent-allow")
	s.Click("#consent-allow")
	s.WaitFor("#other")
	if !strings.Contains(s.URL(), "code=") {
		t.Errorf("allowed: %s", s.URL())
	}
	s.DarkMode(false)
	s.dark = false
	s.Open(w.Origin("services"))
	s.Click("#consents")
	s.look("services that may use my data", "#withdraw-outsider")
	s.says("us.consents.lead")
	s.Click("#withdraw-outsider")
	s.look("services that may use my data, none", "#consents")
	s.says("us.consents.withdrawn")
	s.says("us.consents.none")
}
