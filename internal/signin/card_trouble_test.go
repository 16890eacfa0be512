package signin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/templates"
)

// note plays the card host: signs of handshakes for the place of an address.
func (k *kit) note(cardURL string, signs ...card.Sign) {
	k.t.Helper()
	u := must(url.Parse(cardURL))(k.t)
	for _, s := range signs {
		if err := (login.Attempts{Service: k.login}).Note(k.t.Context(), u.Hostname(), s); err != nil {
			k.t.Fatal(err)
		}
	}
}

// state is what the script of a sign-in's page is told.
func (p *person) state(tx string) cardState {
	p.t.Helper()
	page := p.get(tx + "/card/state")
	var s cardState
	if err := json.Unmarshal([]byte(page.body), &s); err != nil || page.status != 200 || page.header.Get("Cache-Control") != "no-store" || page.header.Get("Content-Type") != "application/json" {
		p.t.Fatalf("%d %v %v: %s", page.status, err, page.header, page.body)
	}
	return s
}

// S35: the page that stays open while the browser asks is told how it goes.
func TestCardState(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	tx := b.visit("service").at
	is := func(want cardState) {
		t.Helper()
		if got := b.state(tx); got != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	}
	outcome := func(verdict string) string { return tx + "/card?refused=" + verdict + "&tail=" }
	is(cardState{State: login.NoAttempt})
	to := b.get(tx).press("card-start").to.String()
	is(cardState{State: login.Waiting})
	k.note(to, card.Began)
	is(cardState{State: login.Reached})
	k.note(to, card.Broke)
	is(cardState{State: login.Broken})
	k.add(61 * time.Second)
	is(cardState{State: login.Decided, Verdict: "handshake_broken", To: outcome("handshake_broken"), Silent: true})
	k.note(to, card.Began, card.Broke)
	is(cardState{State: login.Decided, Verdict: "handshake_broken", To: outcome("handshake_broken")})

	to = b.get(tx).press("card-start").to.String() // a new attempt has nothing of the former
	is(cardState{State: login.Waiting})
	k.add(61 * time.Second)
	is(cardState{State: login.Decided, Verdict: "never_reached", To: outcome("never_reached"), Silent: true})
	k.present(to, card.Result{Verdict: card.Expired, At: k.now(), Holder: card.Holder{Serial: "00ff9f31"}})
	is(cardState{State: login.Decided, Verdict: "expired", To: outcome("expired"), Result: true})

	stranger := k.browser()
	stranger.visit("service")
	if page := stranger.get(tx + "/card/state"); page.status != http.StatusNotFound {
		t.Errorf("another browser is told: %d %s", page.status, page.body)
	}
	for site, status := range map[string]int{"cross-site": 404, "same-site": 404, "none": 404, "same-origin": 200} {
		r := must(http.NewRequest(http.MethodGet, k.url+tx+"/card/state", nil))(t)
		r.Header.Set("Sec-Fetch-Site", site)
		if page := b.do(r); page.status != status {
			t.Errorf("%s: %d", site, page.status)
		}
	}
}

// Polling is bounded, and what polls in vain is not an alarm.
func TestCardStateIsLimited(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	tx := b.visit("service").at
	for range 120 {
		b.state(tx)
	}
	if page := b.get(tx + "/card/state"); page.status != http.StatusTooManyRequests || page.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", page.status, page.header)
	}
	b.get(tx).is(200, "card-start")
}

// S35, S68: one click back from the browser's own error page shows what became of
// the attempt, in every language and without script, on both pages that lead to
// the card; and it dead-ends nowhere.
func TestBackFromTheBrowsersErrorPage(t *testing.T) {
	k := newKit(t)
	id := k.settled("Matti", identity.MethodCard)
	k.linkCard(id, "01")
	for name, begin := range map[string]func(b *person) *shown{
		"login": func(b *person) *shown { return b.visit("service") },
		"use card": func(b *person) *shown {
			return b.visit("service").press("login-submit", "username", "matti", "password", ownPassword)
		},
	} {
		for verdict, signs := range map[string][]card.Sign{
			"never_reached":    nil,
			"no_certificate":   {card.Began, card.Bare},
			"handshake_broken": {card.Began, card.Broke},
		} {
			b := k.browser()
			page := begin(b)
			if page.has("card-trouble") {
				t.Fatalf("%s: trouble before there was any", name)
			}
			tx, to := page.at, page.press("card-start").to.String()
			k.note(to, signs...)
			for _, lang := range templates.Languages {
				page = b.get(tx+"?lang="+lang).is(200, "card-trouble", "card-start", "card-outcome", "card-live").says("action.retry")
				for _, part := range []string{"title", "meaning", "do"} {
					page.says("verdict." + verdict + "." + part)
				}
				if page.has("card-oldtls") != (verdict == "handshake_broken") || !strings.Contains(page.body, `data-verdict="`+verdict+`"`) {
					t.Errorf("%s, %s: %s", name, verdict, page.body)
				}
			}
			outcome := b.get(tx+"/card?refused="+verdict).is(403, "card-failed", "card-start", "restart", "login-cancel").says("card.pin").says("card.browsers").says("support.steps")
			if outcome.has("card-oldtls") != (verdict == "handshake_broken") {
				t.Errorf("%s: %s", verdict, outcome.body)
			}
			// What was typed wrong comes first.
			if name == "login" {
				if wrong := page.press("login-submit", "username", "matti", "password", "wrong wrong wrong"); wrong.has("card-trouble") || !wrong.has("card-start") {
					t.Errorf("%s: %s", verdict, wrong.body)
				}
			}
			// The attempt is open all the same: should the card answer after all, it counts.
			back := b.get(k.present(to, k.good("01")))
			if back.to == nil || !strings.HasPrefix(back.to.String(), serviceBack) {
				t.Errorf("%s: %d to %v", verdict, back.status, back.to)
			}
		}
	}
}

// The person's own word decides, and a result is told on the way back, too.
func TestItDidNotWork(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.visit("service")
	f := page.form("card-said")
	b.post(f.action, f.values).is(200, "card-start") // no attempt: the same page
	k.note(page.press("card-start").to.String(), card.Began)
	said := page.press("card-said").is(403, "card-failed").says("verdict.handshake_broken.title")
	if s := b.state(page.at); s.State != login.Decided || s.Silent || s.Verdict != "handshake_broken" {
		t.Errorf("%+v", s)
	}
	said.press("card-oldtls").sentTo("https://tls12random.card.example:8443/attempt/")
	if s := b.state(page.at); s.State != login.Waiting {
		t.Errorf("%+v", s)
	}
	b.get(page.at+"/card/failed").is(200, "card-start") // the form's address, typed

	refused := b.get(k.present(said.press("card-start").to.String(), k.good("00ff"))).is(403, "card-failed")
	if !strings.Contains(refused.at, "refused=card_not_linked") {
		t.Error(refused.at)
	}
	b.get(page.at).is(200, "card-trouble").says("verdict.card_not_linked.title")
	refused.press("restart").is(200, "card-start")
	if b.get(page.at).has("card-trouble") {
		t.Error("another method was chosen, and the page still tells of the card")
	}
	refused.press("login-cancel").sentTo(serviceBack)
}

// AnyCA is for tests of a card, and a mode that is not offered is not tried.
func TestCardModes(t *testing.T) {
	k := newKit(t, func(k *kit) {
		place := k.login.CardPlace
		k.login.CardPlace = func(m card.Mode) (card.Place, bool) {
			p, ok := place(m)
			return p, ok && m == card.Strict
		}
	})
	b := k.browser()
	page := b.visit("service")
	f := page.form("card-start")
	for _, mode := range []string{"any", "tls12", "tls11"} {
		f.values.Set("mode", mode)
		b.post(f.action, f.values).is(503, "error").says("fault.card_unavailable")
	}
	f.values.Del("mode")
	k.note(b.post(f.action, f.values).sentTo("https://random.card.example:8443/").to.String(), card.Began, card.Broke)
	if page = b.get(page.at).is(200, "card-trouble"); page.has("card-oldtls") {
		t.Error("TLS 1.2 is offered, and there is no host for it")
	}
	if page = b.get(page.at + "/card?refused=handshake_broken"); page.has("card-oldtls") {
		t.Error("TLS 1.2 is offered, and there is no host for it")
	}
}
