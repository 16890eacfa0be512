package userservices

import (
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// waiting makes a service wait for the person, and returns where it goes on.
func (k *kit) waiting() string {
	resume := k.op.URL + "/signin/resume"
	k.api.set(func(me *portti.Me) {
		me.Waiting = &portti.Waiting{Service: map[string]string{"fi": "Palvelu", "sv": "Tjänsten", "en": "The Service"}, Resume: resume}
	})
	return resume
}

// links makes the API's account show what has been linked, as an enrol session
// sees it.
func (k *kit) links() {
	k.api.locked(func() {
		k.api.then = func(path string) {
			switch path {
			case "POST /authenticator/confirm":
				k.api.me.App = &portti.Authenticator{Kind: portti.App, Linked: time.Now(), Permitted: true}
				k.api.me.May = portti.May{Card: "code_required", App: "totp_already_linked", Token: "totp_already_linked"}
			case "POST /card/link":
				k.api.me.Card = &portti.LinkedCard{Tail: "9f31", NotAfter: time.Now().AddDate(1, 0, 0), Linked: time.Now()}
				k.api.me.May = portti.May{Card: "card_already_linked", App: "link_closed", Token: "link_closed"}
			}
		}
	})
}

// stated is the first page of linking an app, filled in.
var stated = []string{"kind", "app", "own_device", "yes", "work_phone", "yes"}

// S18, S20, S37, S41, S42: choose, link, and on to the service that waits.
func TestFirstDayWithAnAuthenticator(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	resume := k.waiting()
	b := k.browser()
	b.get("/").want(200, "/", "link-card", "link-authenticator").says("Choose how you will log in", "The Service waits for you")
	page := b.get("/authenticator").want(200, "/authenticator", "kind-app", "kind-token", "own_device", "work_phone")
	page = page.submit("/authenticator", stated...).want(200, "/authenticator", "qr", "key", "code").says(testKey, "Portti-1 TOTP-2FA")
	page.submit("/authenticator/confirm", "code", " 492 039 ").want(303, resume)
	sent := k.api.bodies("POST /authenticator/confirm")
	want := map[string]any{"code": testCode, "kind": "app", "own_device": true, "work_phone": true, "personal_phone": false}
	if len(sent) != 1 || !maps.Equal(sent[0], want) {
		t.Errorf("the API got %v, want %v", sent, want)
	}
	// Nobody is left without a way on: the start leads to the same place, by a link.
	b.get("/").want(200, "/", "linked", "service").says("Continue to The Service")
	b.get("/continue").want(303, resume)
}

// S20: with nothing waiting, the new method is proved to User Services itself.
func TestFirstDayForUserServicesAlone(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	b := k.browser()
	page := b.get("/authenticator").submit("/authenticator", stated...)
	k.op.Set(func(s *rptest.Script) { s.ACR = rp.ACRPasswordOTP })
	k.api.locked(func() {
		link := k.api.then
		k.api.then = func(path string) {
			if link(path); path == "POST /authenticator/confirm" {
				k.api.me.Full = true // from the next sign-in on
			}
		}
	})
	page.submit("/authenticator/confirm", "code", testCode).want(200, "/authenticator/linked", "linked", "try").says("The authenticator app has been linked").without("service")
	if got := k.op.LastAuthorize().Get("acr_values"); got != rp.ACRPasswordOTP {
		t.Errorf("acr_values %q", got)
	}
}

// S19: the provider answers the demand for the new method with an enrol session
// again; that is no full sign-in, and nobody goes in circles.
func TestAnEnrolSessionDoesNotPassForTheNewMethod(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	b := k.browser()
	page := b.get("/authenticator").submit("/authenticator", stated...)
	page.submit("/authenticator/confirm", "code", testCode).want(403, "*", "error").says("log in with your card, or with your password and a code")
}

// S26: read, look, confirm; then the card is used once (S20).
func TestFirstDayWithACard(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	resume := k.waiting()
	b := k.browser()
	page := b.get("/card").want(200, "/card", "card-start")
	page.submit("/card").want(303, "https://abc.card.example.test:8443/attempt?t=TICKET")
	if got := k.api.bodies("POST /card/attempt")[0]["return"]; got != k.url+"/card/return" {
		t.Errorf("the card host returns to %v", got)
	}
	page = b.get("/card/return?code=RESULT").want(200, "/card/return?code=RESULT", "card-confirm", "holder", "tail").says("Maija Meikäläinen", "Esimerkkivirasto", "Test CA", "9f31", "maija")
	page.submit("/card/confirm").want(303, resume)
	if got := k.api.bodies("POST /card/link")[0]["fingerprint"]; got != testFinger {
		t.Errorf("linked %v", got)
	}
	b.get("/").want(200, "/", "linked", "service").says("9f31")
}

func TestACardAddedInAFullSession(t *testing.T) {
	k := newKit(t)
	k.api.set(func(me *portti.Me) { me.Card, me.May.Card = nil, "" })
	k.links()
	b := k.browser()
	b.get("/").want(200, "/", "link-card", "try", "change-password").without("link-authenticator")
	b.get("/card").submit("/card")
	b.get("/card/return?code=RESULT").submit("/card/confirm").want(200, "/card/linked", "linked").says("9f31")
}

// A double click sends a form twice; one of them comes second, and its answer is
// what the person sees.
func TestDoubleClicks(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.links()
	resume := k.waiting()
	b := k.browser()
	page := b.get("/authenticator").submit("/authenticator", stated...)
	forms := b.snapshot()
	page.submit("/authenticator/confirm", "code", testCode).want(303, resume)
	k.api.refuses("POST /authenticator/confirm", 409, "totp_already_linked")
	forms.again(page, "/authenticator/confirm", "code", testCode).want(303, resume)

	k.api.set(func(me *portti.Me) { me.App, me.May = nil, portti.May{} })
	page = b.get("/card/return?code=RESULT")
	page.submit("/card/confirm").want(303, resume)
	k.api.refuses("POST /card/link", 410, "card_ticket_spent")
	page.submit("/card/confirm").want(303, resume)
}

// An authenticator that was linked long ago is another one than the key at hand.
func TestAnotherAuthenticatorIsNoDoubleClick(t *testing.T) {
	k := newKit(t)
	k.enrol()
	b := k.browser()
	page := b.get("/authenticator").submit("/authenticator", stated...)
	k.api.set(func(me *portti.Me) {
		me.App = &portti.Authenticator{Kind: portti.App, Linked: time.Now().Add(-time.Hour), Permitted: true}
	})
	k.api.refuses("POST /authenticator/confirm", 409, "totp_already_linked")
	page.submit("/authenticator/confirm", "code", testCode).want(409, "*", "error").says("An authenticator is already linked", "Only user support can remove it")
}

// Two tabs that link at once: neither breaks, and each code goes with the
// statement of the key that works now, the later one.
func TestTwoTabs(t *testing.T) {
	k := newKit(t)
	k.enrol()
	b := k.browser()
	first := b.get("/authenticator").submit("/authenticator", stated...)
	b.get("/authenticator").submit("/authenticator", "kind", "token", "own_device", "yes", "model", "Evvis", "serial", "1 2; é\"")
	first.submit("/authenticator/confirm", "code", testCode)
	if got := k.api.bodies("POST /authenticator/confirm")[0]; got["kind"] != "token" || got["model"] != "Evvis" || got["serial"] != `1 2; é"` || got["work_phone"] != false {
		t.Errorf("the API got %v", got)
	}
}

// The app must be good for many people at once; -race looks on.
func TestManyPeopleAtOnce(t *testing.T) {
	k := newKit(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			b := k.browser()
			for _, path := range []string{"/", "/authenticator/try", "/password", "/signed-out"} {
				if s := b.get(path); s.status != 200 {
					t.Errorf("%s: %d", path, s.status)
				}
			}
		})
	}
	all.Wait()
	if strings.Contains(k.log.String(), `"level":"ERROR"`) {
		t.Error(k.log.String())
	}
}
