package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

func thirdParty(c *openid.Client) {
	c.ThirdParty, c.Name = true, map[string]string{"en": "The Outsider", "sv": "Den utomstående", "fi": "Ulkopuolinen"}
}

// A third party's service gets what its people allow, no more and no longer.
func TestConsent(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other", thirdParty)
		scope := func(s string) url.Values { return url.Values{"scope": {s}} }

		// Asked after the sign-in; the answer is remembered.
		page := otto.SignIn(v.Open(p.URL(scope("openid email")))).Must("consent-allow", "consent-deny")
		if !strings.Contains(page.Title(), "The Outsider") {
			t.Errorf("%s does not say who asks", page)
		}
		first := p.MustRedeem(p.Code(page.Press("consent-allow")))
		if status, body, err := p.Get("/userinfo", first.Access); err != nil || status != 200 || !strings.Contains(body, otto.Email) || strings.Contains(body, "Ohjelma") {
			t.Errorf("userinfo: %d %s %v", status, body, err)
		}
		p.Code(v.Open(p.URL(scope("openid email"))))
		p.Code(v.Open(p.URL(url.Values{"scope": {"openid"}, "prompt": {"none"}})))

		// More is asked about; with prompt=consent everything is.
		if got := p.Answer(v.Open(p.URL(url.Values{"scope": {"openid email profile offline_access"}, "prompt": {"none"}}))); got.Get("error") != "consent_required" {
			t.Errorf("prompt=none: %v", got)
		}
		page = v.Open(p.URL(scope("openid email profile offline_access"))).Must("consent-allow")
		second := p.MustRedeem(p.Code(page.Press("consent-allow")))
		page = v.Open(p.URL(url.Values{"scope": {"openid"}, "prompt": {"consent"}})).Must("consent-deny")
		if got := p.Answer(page.Press("consent-deny")); got.Get("error") != "access_denied" || got.Has("code") {
			t.Errorf("denied: %v", got)
		}

		// In User Services it is seen and withdrawn, and worth nothing from then on.
		home := v.Open(w.Origin("services") + "/").Must("consents")
		page = home.Follow("consents").Must("withdraw-other")
		if !p.alive(first.Access) || !p.alive(second.Access) {
			t.Error("tokens died too early")
		}
		page = page.Press("withdraw-other")
		if page.Has("withdraw-other") || page.Status != http.StatusOK {
			t.Errorf("withdrawn: %s", page)
		}
		if p.alive(first.Access) || p.alive(second.Access) {
			t.Error("tokens outlive the consent")
		}
		if got := must(p.Renew(second.Refresh))(t); got.Error != "invalid_grant" {
			t.Errorf("the refresh token outlives the consent: %+v", got)
		}
		v.Open(p.URL(scope("openid"))).Must("consent-allow")
	})
}
