package e2e

import (
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/e2e/browser"
	"github.com/portti-id/portti/internal/identity"
)

const pin = "2580"

// reader is a reader for cards with a PIN, in which the people's cards have been made.
func (w *World) reader(t *testing.T, people ...*Employee) *browser.Reader {
	t.Helper()
	r := browser.NewReader(t)
	for _, e := range people {
		r.Issue(e.Card.Name, e.Card.Cert, e.Card.Key, pin)
	}
	return r
}

// chromiumWith is chromium with that reader plugged in.
func (w *World) chromiumWith(t *testing.T, r *browser.Reader, lang string) *browser.Browser {
	t.Helper()
	return browser.Start(t, browser.Options{ServerCA: w.PKI.Server.Cert, CardHosts: []string{"https://[*.]card.localhost"}, Lang: lang, Reader: r})
}

// heard checks what a reader has heard since the last time, and nothing else.
func heard(t *testing.T, r *browser.Reader, want ...string) {
	t.Helper()
	if got := slices.Compact(r.Heard()); !slices.Equal(got, want) {
		t.Errorf("the reader heard %q, not %q", got, want)
	}
}

// The card's own key signs the handshake after the PIN, on keys of every kind that
// cards have, and the PIN goes nowhere else. S2, S3.
func TestCardWithPINInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	people := []*Employee{w.Holder("elli.elliptinen", cardtest.WithKey(cardtest.P384)), w.Holder("risto.rsa", cardtest.WithKey(cardtest.RSA3072)), w.Holder("pertti.pieni", cardtest.WithKey(cardtest.P256))}
	r := w.reader(t, people...)
	b := w.chromiumWith(t, r, "en")
	deep := w.record("42")
	for _, e := range people {
		t.Run(e.Username, func(t *testing.T) {
			r := r.With(t)
			r.Insert(e.Card.Name, pin)
			s := w.screen(t, b, "en")
			s.Open(deep)
			s.says("card.pin")
			s.Click("#card-start")
			s.arrives(deep, acrCard, amrCard)
			s.is(e)
			heard(t, r, "pin right", "signed")
		})
	}
	if log := w.Log.String(); !strings.Contains(log, `"verdict":"all_good","tls":"1.3"`) || strings.Contains(log, `"`+pin+`"`) {
		t.Error("the handshakes were not of TLS 1.3, or the PIN was logged")
	}
}

// Whatever the holder does wrong, the page says what may have been the matter, and
// the next try in the same browser works at once: the card host has a new name, which
// "no certificate" does not stick to. S3, S34, S35.
func TestSecondAttemptWithPINInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	risto, elli := w.Holder("risto.rsa", cardtest.WithKey(cardtest.RSA2048)), w.Holder("elli.elliptinen")
	r := w.reader(t, risto, elli)
	b := w.chromiumWith(t, r, "fi")
	deep := w.record("42")
	for name, c := range map[string]struct {
		insert func(r *browser.Reader, card string)
		heard  []string
	}{
		"no card":       {func(*browser.Reader, string) {}, nil},
		"PIN cancelled": {func(r *browser.Reader, card string) { r.Insert(card, "") }, []string{"pin cancelled"}},
		"wrong PIN":     {func(r *browser.Reader, card string) { r.Insert(card, "1111") }, []string{"pin wrong"}},
	} {
		for _, e := range []*Employee{risto, elli} {
			t.Run(name+", "+e.Username, func(t *testing.T) {
				r := r.With(t)
				s := w.screen(t, b, "fi")
				s.Open(deep)
				c.insert(r, e.Card.Name)
				s.Click("#card-start")
				s.refused("no_certificate")
				s.says("card.pinlocked")
				for _, cookie := range s.Cookies() {
					if strings.TrimPrefix(cookie.Name, "__Host-") == "sid" {
						t.Error("a session was given")
					}
				}
				heard(t, r, c.heard...)
				r.Insert(e.Card.Name, pin)
				s.Click("#card-start")
				s.arrives(deep, acrCard, amrCard)
				s.is(e)
				heard(t, r, "pin right", "signed")
				r.Eject()
			})
		}
	}
}

// A workstation that people take turns at: whoever's card is in and whose PIN was
// typed is signed in, and nobody else. S34, S72.
func TestCardsTakenInTurnsInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	aino, bertta := w.Holder("aino.aamu", cardtest.WithKey(cardtest.RSA2048)), w.Holder("bertta.ilta")
	uuno := w.Newcomer("uuno.uusi", "saaristo") // his card is linked to nobody
	r := w.reader(t, aino, bertta, uuno)
	s := w.screen(t, w.chromiumWith(t, r, "sv"), "sv")
	deep := w.record("42")
	signIn := func(e *Employee) {
		t.Helper()
		r.Insert(e.Card.Name, pin)
		s.Open(deep)
		s.Click("#card-start")
		s.arrives(deep, acrCard, amrCard)
		s.is(e)
		heard(t, r, "pin right", "signed")
	}
	leave := func() {
		t.Helper()
		s.Click("#logout")
		s.WaitFor("#signed-out")
		r.Eject()
	}
	nobody := func(verdict string) {
		t.Helper()
		s.Open(deep)
		s.Click("#card-start")
		s.refused(verdict)
		s.Open(deep)
		s.WaitFor("#login-submit")
	}
	signIn(aino)
	leave()
	signIn(bertta)
	leave()
	nobody("no_certificate")
	heard(t, r)
	r.Insert(uuno.Card.Name, pin)
	nobody("card_not_linked")
	heard(t, r, "pin right", "signed")
	r.Insert(aino.Card.Name, "") // somebody finds her card, and does not know the PIN
	nobody("no_certificate")
	heard(t, r, "pin cancelled")
	signIn(aino)

	// She goes without a logout, and takes the card: the session is hers until it ends,
	// and another card does not slip into it. The one who comes logs out first.
	r.Insert(bertta.Card.Name, pin)
	s.Open(deep)
	s.is(aino)
	leave()
	signIn(bertta)
}

// Two cards that the server would take, one of them linked: the holder's choice
// counts. What the chooser of Chromium looks like, and that its "Cancel" is a handshake
// without a certificate, cannot be tried here: a browser without a screen shows none.
// What can: that the card that was chosen is sent.
func TestTwoCardsInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	other := kaisa.NewCard()
	deep := w.record("42")
	for _, chosen := range []*cardtest.Card{kaisa.Card, other} {
		t.Run(chosen.Name, func(t *testing.T) {
			t.Parallel()
			b := browser.Start(t, browser.Options{ServerCA: w.PKI.Server.Cert, CardHosts: []string{"https://[*.]card.localhost"}, Lang: "en", Choose: chosen.Cert.Subject.CommonName})
			insert(t, b, kaisa.Card)
			insert(t, b, other)
			s := w.screen(t, b, "en")
			s.Open(deep)
			s.Click("#card-start")
			if chosen == other {
				s.refused("card_not_linked")
				return
			}
			s.arrives(deep, acrCard, amrCard)
		})
	}
}

// is checks who is signed in to the Service.
func (s *screen) is(e *Employee) {
	s.t.Helper()
	given, family, _ := strings.Cut(e.Username, ".")
	if got, want := s.Text("#who"), capital(given)+" "+capital(family); got != want {
		s.t.Errorf("signed in as %q, not as %q", got, want)
	}
}
