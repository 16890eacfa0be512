package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

var readOut = regexp.MustCompile(`\b[A-Z2-7]{8}\b`)

// reference is what a caller reads out from a failing page.
func (p *Page) reference() string {
	p.v.W.T.Helper()
	r := readOut.FindString(p.Must("support-reference").Text("support-reference"))
	if r == "" {
		p.v.W.T.Fatalf("no reference on %s", p)
	}
	return r
}

// looksUp opens a reference at the help desk; what happened is there as soon as the
// queue is written.
func looksUp(t *testing.T, desk *Visitor, reference string) *Page {
	t.Helper()
	address := desk.W.Origin("console") + "/traces?" + url.Values{"reference": {strings.ToLower(reference)}, "ticket": {"T-4712"}}.Encode()
	var page *Page
	eventually(t, "the reference "+reference+" opens something", func() bool { page = desk.Open(address); return page.Has("trace") })
	return page
}

// ADR 0143: whatever page fails, of the provider or of an app, what the caller reads
// out opens how it came about; and the service's makers read the same in their words,
// without a name.
func TestTheReferenceReadOverThePhone(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		desk := w.atDesk(w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk))
		otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		v := w.Visitor()

		// A sign-in page of the provider.
		page := v.Open(w.Origin("services")+"/").Must("login-submit").Press("login-submit", "username", otto.Username, "password", "not it")
		if got := looksUp(t, desk, page.reference()).Must("trouble").Text("trouble"); !strings.Contains(got, "wrong_password") {
			t.Errorf("a wrong password: %s", got)
		}
		// The app, to which a cancelled sign-in comes back.
		page = page.Press("login-cancel")
		if !strings.HasPrefix(page.URL.String(), w.Origin("services")) {
			t.Fatalf("cancelled at %s", page)
		}
		if got := looksUp(t, desk, page.reference()).Text("content"); !strings.Contains(got, "cancelled") {
			t.Errorf("a cancelled sign-in: %s", got)
		}
		// The app, whose call of the API was refused.
		otto.SignIn(v.Open(w.Origin("services") + "/")).Must("change-password")
		page = v.Open(w.Origin("services")+"/password").Press("change-submit", "current", "not it either", "new", "kolme pientä porsasta metsässä", "repeat", "kolme pientä porsasta metsässä").Must("problems")
		seen := looksUp(t, desk, page.reference()).Must("trouble", "person")
		if who, what := seen.Text("person"), seen.Text("content"); !strings.Contains(who, otto.Username) || !strings.Contains(what, "me_password") || !strings.Contains(what, "current_password_wrong") || strings.Contains(what, "porsasta") {
			t.Errorf("%s: %s", who, what)
		}

		// The makers of a service that asked silently for what otto's employer does not permit.
		p, other := w.Party("strict", func(c *openid.Client) { c.MinimumACR = acrCard }), w.Party("nosy")
		back := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}})))
		reference, ok := strings.CutPrefix(back.Get("error_uri"), w.Issuer()+"/doctor/")
		if !ok || back.Get("error") != "unmet_authentication_requirements" {
			t.Fatalf("%v", back)
		}
		var told string
		eventually(t, "the service reads why", func() bool { told = p.asksWhy(reference); return strings.Contains(told, `"why":"policy"`) })
		for _, part := range []string{`"session_full"`, `"acr":"` + acrCode + `"`, `"error":"unmet_authentication_requirements"`, `"by":"minimum_acr"`} {
			if !strings.Contains(told, part) {
				t.Errorf("no %s in %s", part, told)
			}
		}
		for _, not := range []string{otto.Username, string(otto.ID), "tietoapu", "127.0.0.1", "Network", "user"} {
			if strings.Contains(told, not) {
				t.Errorf("the service reads %s: %s", not, told)
			}
		}
		if told := other.asksWhy(reference); strings.Contains(told, "policy") {
			t.Errorf("another service reads it: %s", told)
		}
	})
}

// ADR 0143: whatever fails while a device is let in opens at the help desk, the page of
// the sign-in says who asks, and the person reads it all as one of their logins.
func TestHowADeviceWentIsRead(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		desk := w.atDesk(w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk))
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.device("screen")
		b := p.Begin("openid profile")
		page := v.Open(b.URI).Press("device-submit", "user-code", "BCDF-GHJK").MustStatus(404)
		if got := looksUp(t, desk, page.reference()).Text("content"); !strings.Contains(got, "device_code_unknown") {
			t.Errorf("a wrong code: %s", got)
		}
		page = page.Press("device-submit", "user-code", b.User).Must("login-submit", "why")
		if !strings.Contains(page.Text("why"), "The Screen") {
			t.Errorf("nobody is said to ask: %s", page.Text("why"))
		}
		page = page.Press("login-submit", "username", otto.Username, "password", "not it")
		got := looksUp(t, desk, page.reference()).Must("trouble")
		if !strings.Contains(got.Text("trouble"), "wrong_password") {
			t.Errorf("a wrong password: %s", got.Text("trouble"))
		}
		otto.SignIn(page).Must("device-allow").Press("device-allow").Must("device-allowed")
		if got := p.Poll(b); got.Status != http.StatusOK {
			t.Fatalf("%+v", got)
		}
		var mine string
		eventually(t, "the person reads that the device has logged in", func() bool {
			mine = v.Open(w.Origin("services") + "/logins").Must("login-0").Text("content")
			return strings.Contains(mine, "The device logged in to The Screen.")
		})
		if strings.Count(mine, "The device was let in to The Screen.") != 1 || strings.Contains(mine, b.User) {
			t.Errorf("%s", mine)
		}
	})
}

// asksWhy asks the doctor as the client.
func (p *Party) asksWhy(reference string) string {
	t := p.W.T
	t.Helper()
	r := must(http.NewRequest(http.MethodPost, p.W.Issuer()+"/doctor", strings.NewReader(url.Values{"reference": {reference}}.Encode())))(t)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(p.ID, p.Secret)
	answer := must(p.http.Do(r))(t)
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	body := must(io.ReadAll(answer.Body))(t)
	if answer.StatusCode != http.StatusOK || !json.Valid(body) {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	return string(body)
}
