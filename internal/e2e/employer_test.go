package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

const byEmployer = "method_not_permitted_by_employer"

// permit changes what an employer permits.
func (w *World) permit(id identity.OrganisationID, methods ...identity.Method) {
	w.T.Helper()
	w.Organisation(id, func(o *identity.Organisation) { o.Methods = identity.MethodsOf(methods...) })
}

// refusedByEmployer ends the test unless a token request was refused for S5's reason.
func refusedByEmployer(t *testing.T, what string, got Tokens) {
	t.Helper()
	if got.Status != http.StatusBadRequest || got.Error != "invalid_grant" || got.Why != byEmployer || got.Access != "" {
		t.Errorf("%s: %+v", what, got)
	}
}

// S5, S8: the employer permits the app no more. Tokens die, refreshes and sign-ins
// are refused with the reason, forged posts as well; password and code still lead
// to User Services, where a card is linked, and with it the Service opens.
func TestAnEmployerTakesTheAppAway(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
		deep := w.Origin("service") + "/records/7"
		otto.SignIn(v.Open(deep)).Must("acr")
		tokens := p.MustRedeem(p.Code(v.Open(p.URL(url.Values{"scope": {"openid offline_access"}}))))
		waiting := p.Code(v.Open(p.URL(nil))) // issued, not redeemed
		begun := w.Visitor()
		form := otto.TypePassword(begun.Open(p.URL(nil))).Must("code-submit") // in the middle of a sign-in

		w.permit("tietoapu", identity.MethodCard)
		w.Organisation("tietoapu", func(o *identity.Organisation) {
			o.ITContact, o.ResponsibleContact, o.SupportPhone, o.SupportHours = "it@tietoapu.example", "Viivi Vastuu", "09 555 0100", "8–16"
		})

		if p.alive(tokens.Access) {
			t.Error("the access token lives")
		}
		refusedByEmployer(t, "refresh", must(p.Renew(tokens.Refresh))(t))
		refusedByEmployer(t, "a code of before", must(p.Redeem(waiting, nil))(t))
		if answer := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))); answer.Has("code") {
			t.Errorf("the session of before still opens services: %v", answer)
		}

		// S71: whoever has proved the password reads whom to ask; a stranger who types the username does not.
		wrong := begun.Twin().Open(form.URL.String()).Press("code-submit", "code", "12345x").Must("problems", "contacts")
		for _, said := range []string{"it@tietoapu.example", "Viivi Vastuu", "09 555 0100", "8–16"} {
			if !strings.Contains(wrong.Text("contacts"), said) {
				t.Errorf("the contacts are %q", wrong.Text("contacts"))
			}
		}
		if page := w.Visitor().Open(p.URL(nil)).Press("login-submit", "username", otto.Username, "password", "something else entirely").Must("problems"); page.Has("contacts") {
			t.Error("a wrong password tells where somebody works")
		}

		// The code of the sign-in that had begun is typed: it proves who it is, and no more.
		page := form.Press("code-submit", "code", otto.Code())
		if page.URL.Host == hostOf(p.Redirect) || page.Has("acr") {
			t.Fatalf("a sign-in that had begun: %s", page)
		}

		// The next sign-in ends in User Services, which offer a card and no authenticator.
		fresh := w.Visitor()
		page = otto.SignIn(fresh.Open(deep))
		page.Must("link-card")
		if page.URL.Host != hostOf(w.Origin("services")) || page.Has("link-authenticator") {
			t.Fatalf("after password and code: %s", page)
		}
		for _, address := range []string{deep, p.URL(nil), p.URL(url.Values{"prompt": {"none"}}), w.Origin("service") + "/secret"} {
			got := fresh.Open(address)
			if got.Has("acr") || got.Has("secret") || got.URL.Host == hostOf(p.Redirect) && got.URL.Query().Has("code") {
				t.Errorf("the Service is open before a card is linked: %s → %s", address, got)
			}
		}

		fresh.Open(w.Origin("services")+"/authenticator").MustStatus(http.StatusForbidden).Must("error", "contacts")

		// Forged posts, with the right form token, do what the page does not offer.
		own := fresh.Open(w.Origin("services") + "/card").Form("card-start")
		must(0, own.ParseForm())(t)
		for _, kind := range []string{"app", "token"} {
			got := fresh.Post(w.Origin("services")+"/authenticator", "same-origin", url.Values{"csrf": {own.PostForm.Get("csrf")}, "kind": {kind}, "own_device": {"yes"}, "work_phone": {"yes"}})
			if got.Status < 400 {
				t.Errorf("a forged link of %s: %s", kind, got)
			}
		}

		// The card is linked, and opens what waits.
		page = otto.LinkCard(fresh.Open(w.Origin("services") + "/").Must("link-card"))
		if page.Has("card-start") {
			page = page.Press("card-start")
		}
		page.Must("acr")
		if page.Text("acr") != acrCard {
			t.Errorf("signed in with %q on %s", page.Text("acr"), page)
		}
		if got := must(p.Renew(tokens.Refresh))(t); got.Status == http.StatusOK {
			t.Errorf("the grant of the app lives again: %+v", got)
		}
		if otto.SignInWithCard(w.Visitor().Open(deep)).Text("acr") != acrCard {
			t.Error("the next day the card does not sign in")
		}
	})
}

// S5: a device that was let in with the app, and a consent that was given with it,
// end with the method.
func TestAnEmployersMethodsReachDevicesAndConsents(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		otto, v, screen := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.device("screen")
		third := w.Party("other", func(c *openid.Client) { c.ThirdParty = true })
		approve := func(b Begun) *Page {
			page := v.Open(b.Complete).Press("device-submit")
			if page.Has("login-submit") {
				page = otto.SignIn(page)
			}
			return page.Must("device-allow")
		}
		b := screen.Begin("openid offline_access")
		approve(b).Press("device-allow").Must("device-allowed")
		tokens := screen.Poll(b)
		if tokens.Status != http.StatusOK || tokens.Refresh == "" {
			t.Fatalf("the device is not let in: %+v", tokens)
		}
		allowed := screen.Begin("openid offline_access")
		approve(allowed).Press("device-allow").Must("device-allowed") // and not yet polled
		asked := approve(screen.Begin("openid"))                      // the question is on the screen
		consent := v.Open(third.URL(nil)).Must("consent-allow")

		w.permit("tietoapu", identity.MethodCard)

		if screen.alive(tokens.Access) {
			t.Error("the device's access token lives")
		}
		refusedByEmployer(t, "the device's refresh", must(screen.Renew(tokens.Refresh))(t))
		if got := screen.Poll(allowed); got.Status != http.StatusBadRequest || got.Access != "" {
			t.Errorf("a device that was let in before: %+v", got)
		}
		if page := asked.Press("device-allow"); page.Has("device-allowed") {
			t.Errorf("a device is let in by what is not permitted: %s", page)
		}
		if page := consent.Press("consent-allow"); page.URL.Host == hostOf(third.Redirect) && page.URL.Query().Has("code") {
			t.Errorf("a consent by what is not permitted: %s", page)
		}
	})
}

// S1, S5, S8: whatever is linked and whatever is permitted, by real sign-ins: who
// has a way in by the rule (Person.WaysIn) gets in by it, who has none gets to no
// service by anything, and is offered in User Services what the rule says
// (Person.MayEnable) after password and what is left.
func TestWhoHasAWayIn(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	card, app, token := identity.Methods(identity.MethodCard), identity.Methods(identity.MethodApp), identity.Methods(identity.MethodToken)
	p, n, tried := w.Party("other"), 0, map[string]int{}
	for _, linked := range [][]identity.Method{{}, {identity.MethodCard}, {identity.MethodApp}, {identity.MethodToken}, {identity.MethodCard, identity.MethodApp}} {
		for _, permitted := range []identity.Methods{card, app, token, app | token, card | app} {
			n++
			w.permit("tietoapu", identity.AllMethods...)
			e := w.Settled("person."+string(rune('a'+n/26))+string(rune('a'+n%26)), "tietoapu", linked...)
			w.permit("tietoapu", permitted.List()...)
			person := must(w.Replicas[0].Store.Person(t.Context(), e.ID))(t)
			ways, may := person.WaysIn(permitted, w.Clock.Now()), person.MayEnable(permitted, w.Clock.Now())
			in := func(page *Page) bool { return page.URL.Host == hostOf(p.Redirect) && page.URL.Query().Has("code") }
			name := "linked " + identity.MethodsOf(linked...).String() + ", permitted " + permitted.String()

			if slices.Contains(linked, identity.MethodCard) || permitted.Has(identity.MethodCard) {
				page := w.Visitor().Open(p.URL(nil))
				if page.Has("card-start") {
					tried["card"]++
					if got := in(e.SignInWithCard(page)); got != ways.Has(identity.MethodCard) {
						t.Errorf("%s: in by card: %v", name, got)
					}
				}
			}
			v := w.Visitor()
			page := v.Open(p.URL(nil))
			page = e.TypePassword(page)
			if page.Has("code-submit") {
				tried["code"]++
				page = page.Press("code-submit", "code", e.Code())
			}
			if ways == 0 && page.Has("card-start") { // a card that is barred proves who it is, after the password
				page = e.SignInWithCard(page)
			}
			if got, want := in(page), ways&^card != 0; got != want {
				t.Errorf("%s: in by password: %v on %s", name, got, page)
			}
			if ways != 0 {
				continue
			}
			if page.URL.Host != hostOf(w.Origin("services")) {
				t.Errorf("%s: whoever has no way in is led to %s", name, page)
				continue
			}
			tried["offer"]++
			if page.Has("link-card") != may.Has(identity.MethodCard) || page.Has("link-authenticator") != (may&^card != 0) {
				t.Errorf("%s: may enable %s, and is shown %s", name, may, page)
			}
		}
	}
	for what, least := range map[string]int{"card": 10, "code": 10, "offer": 8} {
		if tried[what] < least {
			t.Errorf("%s: tried %d times only", what, tried[what])
		}
	}
}
