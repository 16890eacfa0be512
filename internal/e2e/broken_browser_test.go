package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/e2e/browser"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/server"
)

// trouble checks what the sign-in page says of the attempt that came to nothing.
func (s *screen) trouble(verdict string) {
	s.t.Helper()
	s.look("card trouble "+verdict, `#card-trouble[data-verdict="`+verdict+`"]`)
	for _, part := range []string{"title", "meaning", "do"} {
		s.says("verdict." + verdict + "." + part)
	}
}

// A card that is pulled out while it signs ends on the browser's own page, on which we
// cannot say a word. One click back the sign-in says what was the matter, and goes on in
// the same browser: with the card put in again, or with the older protocol. S3, S34, S35.
func TestCardPulledOutInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	risto, elli := w.Holder("risto.rsa", cardtest.WithKey(cardtest.RSA2048)), w.Holder("elli.elliptinen")
	r := w.reader(t, risto, elli)
	b := w.chromiumWith(t, r, "fi")
	deep := w.record("42")
	for _, e := range []*Employee{risto, elli} {
		for _, again := range []struct{ button, tls string }{{"#card-start", "1.3"}, {"#card-oldtls", "1.2"}} {
			t.Run(e.Username+", "+again.button, func(t *testing.T) {
				r := r.With(t)
				s := w.screen(t, b, "fi")
				r.Insert(e.Card.Name, pin)
				s.Open(deep)
				r.PullOut()
				err := s.TryClick("#card-start")
				heard(t, r, "pin right", "pulled out")
				switch {
				case err == nil: // the page behind was told before the browser's own came
				case strings.Contains(err.Error(), "ERR_SSL_CLIENT_AUTH_SIGNATURE_FAILED"):
					s.Back()
					s.trouble("handshake_broken")
					s.Click("#card-outcome")
				default:
					t.Fatalf("pulled out while it signs: %v", err)
				}
				s.refused("handshake_broken")
				r.Insert(e.Card.Name, pin)
				before := len(w.Log.String())
				s.Click(again.button)
				s.arrives(deep, acrCard, amrCard)
				s.is(e)
				heard(t, r, "pin right", "signed")
				if log := w.Log.String()[before:]; !strings.Contains(log, `"verdict":"all_good","tls":"`+again.tls+`"`) {
					t.Errorf("signed in, and not with TLS %s: %s", again.tls, log)
				}
				r.Eject()
			})
		}
	}
}

// The same while a card is linked: User Services say what was the matter, and the card
// is linked from there. S26, S35.
func TestCardPulledOutWhileLinkingInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	risto, elli := w.Newcomer("risto.rsa", "saaristo"), w.Newcomer("elli.elliptinen", "saaristo")
	r := w.reader(t, risto, elli)
	b := w.chromiumWith(t, r, "fi")
	for _, again := range []struct {
		who         *Employee
		button, tls string
	}{{risto, "#card-start", "1.3"}, {elli, "#card-oldtls", "1.2"}} {
		t.Run(again.button, func(t *testing.T) {
			who, r := again.who, r.With(t)
			s := w.screen(t, b, "fi")
			s.Open(w.record("42"))
			s.login(who.Username, who.Temporary)
			s.choose(ownSecret)
			s.WaitURL(w.Origin("services"))
			s.Click("#link-card")
			r.Insert(who.Card.Name, pin)
			r.PullOut()
			if err := s.TryClick("#card-start"); err == nil || !strings.Contains(err.Error(), "ERR_SSL_CLIENT_AUTH_SIGNATURE_FAILED") {
				t.Fatalf("pulled out while it signs: %v", err)
			}
			s.Back()
			s.look("link card, trouble", `#card-trouble[data-verdict="handshake_broken"]`)
			for _, part := range []string{"title", "meaning", "do"} {
				s.says("verdict.handshake_broken." + part)
			}
			s.Click("#card-outcome")
			s.look("link card, broken", `#card-failed[data-verdict="handshake_broken"]`)
			s.says("verdict.handshake_broken.who")
			r.Insert(who.Card.Name, pin)
			before := len(w.Log.String())
			s.Click(again.button)
			s.WaitFor("#card-confirm")
			if log := w.Log.String()[before:]; !strings.Contains(log, `"verdict":"all_good","tls":"`+again.tls+`"`) {
				t.Errorf("read, and not with TLS %s: %s", again.tls, log)
			}
			s.Click("#card-confirm")
			s.WaitFor("#card-start")
			s.Click("#card-start")
			s.arrives(w.record("42"), acrCard, amrCard)
			r.Eject()
		})
	}
}

// A window of the browser that stands open and is not answered: the page behind it says
// how it goes, decides nothing by silence alone, and takes the person's word. That the
// window is Chromium's, and what closing it does, a browser without a screen does not
// show; that nothing comes while it is open, and the rest of the house waits well, is
// what is proved here. S35.
func TestWindowLeftOpenInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	b := browser.Start(t, browser.Options{ServerCA: w.PKI.Server.Cert, Lang: "en"}) // with no rule which card to send
	insert(t, b, kaisa.Card)
	s := w.screen(t, b, "en")
	s.Open(w.record("42"))
	// While the other page does not come, DevTools hear nothing of this one. Its own
	// script goes on: another tab reads what it says, and presses its button.
	s.Eval(`(live => {
		new MutationObserver(() => localStorage.setItem("live", live.dataset.told + ": " + live.innerText)).observe(live, {attributes: true, childList: true});
		addEventListener("storage", e => e.key === "press" && document.querySelector(e.newValue).click());
	})(document.getElementById("card-live"))`, nil)
	beside := s.another()
	beside.Open(w.Issuer() + "/order")
	reads := func(told, key string) {
		t.Helper()
		var live string
		eventually(t, "the page says "+told, func() bool {
			beside.Eval(`localStorage.getItem("live") ?? ""`, &live)
			return strings.HasPrefix(live, told+": ")
		})
		for line := range strings.Lines(s.text(key)) {
			if !strings.Contains(oneLine(live), oneLine(line)) {
				t.Errorf("the page does not say %q: %s", line, live)
			}
		}
	}
	state := s.URL() + "/card/state"
	s.StartClick("#card-start")
	reads("window", "card.live")
	// Chromium drops the first connection when it asks which certificate to send; from
	// then on there is silence.
	eventually(t, "the first connection is dropped", func() (dropped bool) {
		beside.Eval(`fetch("`+state+`").then(r => r.json()).then(c => c.state === "broken")`, &dropped)
		return dropped
	})
	w.Clock.Advance(61 * time.Second)
	reads("silent", "card.window")
	beside.Eval(`localStorage.setItem("press", "#card-said")`, nil)
	s.refused("handshake_broken")
}

// Nobody answers at the card host's address: one click back the sign-in says so. S35.
func TestCardHostOutOfReachInABrowser(t *testing.T) {
	t.Parallel()
	dead := must(card.ParseHost("https://*.card.localhost:1"))(t)
	w := NewWorld(t, Options{Pair: SQLiteMemory, Configure: func(c *server.Config) { c.CardHost = &dead }})
	kaisa := w.Settled("kaisa.kortti", "kuntala", identity.MethodApp)
	s := w.screen(t, w.chromium(t, "sv"), "sv")
	s.Open(w.record("42"))
	if err := s.TryClick("#card-start"); err == nil || !strings.Contains(err.Error(), "ERR_CONNECTION_REFUSED") && !strings.Contains(err.Error(), "ERR_UNSAFE_PORT") {
		t.Fatalf("a card host that is not there: %v", err)
	}
	s.Back()
	s.trouble("never_reached")
	s.login(kaisa.Username, kaisa.Password) // the other way is open
	s.typeCode(kaisa.Code())
	s.arrives(w.record("42"), acrCode, amrCode)
}
