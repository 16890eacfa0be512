package e2e

import (
	"testing"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
)

// What is typed wrong: each refusal says what happened and what to do, and none
// tells whether there is such a username. S7, S16, S31, S43, S44.
func TestWrongInputInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	b := w.chromium(t, "en")
	deep := w.record("42")
	open := func(t *testing.T) *screen {
		t.Helper()
		s := w.screen(t, b, "en")
		s.Open(deep)
		return s
	}

	t.Run("nothing typed", func(t *testing.T) {
		s := open(t)
		s.Click("#login-submit")
		s.look("login, nothing typed", "#problems")
		s.says("fault.required.username")
		s.says("fault.required.password")
	})
	t.Run("wrong password, unknown name, expired temporary password", func(t *testing.T) {
		otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		viivi := w.newcomerAt("viivi.vanha", "kuntala", w.Clock.Now().Add(-15*24*time.Hour)) // S16: 14 days
		s := open(t)
		for _, typed := range [][2]string{{otto.Username, "not the right password"}, {"nobody.here", "not the right password"}, {viivi.Username, viivi.Temporary}} {
			s.login(typed[0], typed[1])
			s.look("login, wrong", "#problems")
			s.says("fault.wrong_credentials")
			if got := s.Text("#problems li"); got != s.text("fault.wrong_credentials") {
				t.Errorf("%s: %q", typed[0], got)
			}
			if got := s.Text("#username"); got != typed[0] {
				t.Errorf("the field forgot %q: %q", typed[0], got)
			}
		}
		s.login(otto.Username, otto.Password) // not a dead end
		s.WaitFor("#code")
	})
	t.Run("wrong codes", func(t *testing.T) {
		tero := w.Settled("tero.tarkka", "tietoapu", identity.MethodApp)
		s := open(t)
		s.login(tero.Username, tero.Password)
		for range 4 {
			s.typeCode(tero.wrongCode())
			s.look("code, wrong", "#problems")
			s.says("fault.otp_wrong")
		}
		s.typeCode(tero.wrongCode())
		s.look("login, too many codes", "#login-submit")
		s.says("fault.otp_too_many")
		s.login(tero.Username, tero.Password)
		s.typeCode(tero.Code()) // the right one, but too soon
		s.look("code, throttled", "#problems")
		s.says("fault.throttled", "n", "1")
		w.Clock.Advance(time.Minute)
		s.typeCode(tero.Code())
		s.arrives(deep, acrCode, amrCode)
	})
	t.Run("replayed code", func(t *testing.T) {
		riku := w.Settled("riku.replay", "tietoapu", identity.MethodApp)
		code := riku.Code()
		s := open(t)
		s.login(riku.Username, riku.Password)
		s.typeCode(code)
		s.arrives(deep, acrCode, amrCode)
		thief := open(t)
		thief.login(riku.Username, riku.Password)
		thief.typeCode(code)
		thief.look("code, replayed", "#problems")
		thief.says("fault.otp_used")
	})
	t.Run("clock that is fast", func(t *testing.T) { // S46
		kello := w.Settled("kello.kala", "tietoapu", identity.MethodApp)
		s := open(t)
		s.login(kello.Username, kello.Password)
		s.typeCode(kello.CodeAt(10))
		s.look("code, clock fast", "#problems")
		s.says("fault.otp_clock_fast", "n", "5")
	})
	t.Run("password of somebody with a card", func(t *testing.T) { // S31, S32
		kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
		s := open(t)
		s.login(kaisa.Username, kaisa.Password)
		s.look("card only", "#card-start")
		s.says("card.only")
		if s.Has("#code") || s.Has("#link-authenticator") {
			t.Error("a code is asked, or an authenticator offered")
		}
		s.Click("#restart")
		s.WaitFor("#login-submit")
	})
	t.Run("cancelled", func(t *testing.T) {
		s := open(t)
		s.Click("#login-cancel")
		s.look("service, cancelled", "#error-code")
		s.Click("#retry")
		s.WaitFor("#login-submit")
	})
}

// Cards that sign nobody in, each with its own page. Chromium offers only cards
// that are in order; the others are sent by hand. S22, S23, S25, S33–S36, S54.
func TestRefusedCardsInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard)
	b := w.chromium(t, "fi")
	deep := w.record("42")
	open := func(t *testing.T) *screen {
		t.Helper()
		s := w.screen(t, b, "fi")
		s.Open(deep)
		return s
	}
	// with has the card in the reader while f runs.
	with := func(t *testing.T, c *cardtest.Card, f func()) {
		t.Helper()
		insert(t, b, c)
		defer b.EjectCard(c.Name)
		f()
	}

	t.Run("no card, then the card", func(t *testing.T) {
		s := open(t)
		s.Click("#card-start")
		s.refused("no_certificate")
		s.says("card.pinlocked") // S3
		with(t, kaisa.Card, func() {
			s.Click("#card-start") // S34: no new browser is needed
			s.arrives(deep, acrCard, amrCard)
		})
	})
	t.Run("not linked", func(t *testing.T) {
		with(t, w.Newcomer("uuno.uusi", "saaristo").Card, func() {
			s := open(t)
			s.Click("#card-start")
			s.refused("card_not_linked")
		})
	})
	t.Run("another card", func(t *testing.T) { // S33
		other := kaisa.NewCard()
		with(t, other, func() {
			s := open(t)
			s.login(kaisa.Username, kaisa.Password)
			s.Click("#card-start")
			s.refused("other_card_linked", "tail", tailOf(other))
		})
		with(t, kaisa.Card, func() { // the link is as it was
			s := open(t)
			s.Click("#card-start")
			s.arrives(deep, acrCard, amrCard)
		})
	})
	for name, verdict := range map[string]string{"expired": "expired", "signature": "signature_certificate_chosen", "not-yet": "not_yet_valid",
		"citizen": "card_kind_not_accepted", "stranger": "untrusted_issuer", "rsa1024": "weak_or_malformed"} {
		t.Run(name, func(t *testing.T) {
			s := open(t)
			s.present(w.PKI.TestCase(t, name))
			s.refused(verdict)
			s.Reload() // the page stands by itself
			s.refused(verdict)
		})
	}
	t.Run("the browser offers no expired card", func(t *testing.T) {
		with(t, w.PKI.TestCase(t, "expired"), func() {
			s := open(t)
			s.Click("#card-start")
			s.refused("no_certificate")
		})
	})
	t.Run("a result in another browser", func(t *testing.T) {
		victim := open(t)
		attacker := open(t)
		victim.Open(attacker.presented(kaisa.Card))
		victim.look("restart, another browser", "#restart")
		victim.says("restart.do")
	})
	t.Run("attempt used twice", func(t *testing.T) {
		s := open(t)
		result := s.presented(kaisa.Card)
		s.Open(result)
		s.arrives(deep, acrCard, amrCard)
		s.Open(result)
		s.look("restart, used twice", "#restart")
	})
	t.Run("after a new password was ordered", func(t *testing.T) { // S54
		oili := w.Settled("oili.order", "saaristo", identity.MethodCard)
		must(w.Replicas[0].Directory.Order(t.Context(), operator, oili.ID, identity.Why{Reason: "card replaced"}))(t)
		with(t, oili.Card, func() {
			s := open(t)
			s.Click("#card-start")
			s.refused("card_link_removed_by_order")
		})
	})
	t.Run("account disabled", func(t *testing.T) { // S36
		lasse := w.Settled("lasse.lopetti", "saaristo", identity.MethodCard)
		if err := w.Replicas[0].Directory.DisableUser(t.Context(), operator, lasse.ID, identity.Why{Reason: "left"}); err != nil {
			t.Fatal(err)
		}
		with(t, lasse.Card, func() {
			s := open(t)
			s.Click("#card-start")
			s.refused("account_disabled")
		})
	})
	t.Run("while linking", func(t *testing.T) { // S26
		with(t, kaisa.Card, func() { // somebody else's
			mikko := w.Newcomer("mikko.muu", "saaristo")
			s := open(t)
			s.login(mikko.Username, mikko.Temporary)
			s.choose(ownSecret)
			s.Click("#link-card")
			s.Click("#card-start")
			s.WaitFor(`#card-failed[data-verdict="card_holder_differs"]`) // S29
			s.look("link card, somebody else's", "#card-start")
			s.says("verdict.card_holder_differs.do")

			namesake := w.Newcomer("kaisa-kaisa.kortti", "saaristo")
			s = open(t)
			s.login(namesake.Username, namesake.Temporary)
			s.choose(ownSecret)
			s.Click("#link-card")
			s.Click("#card-start")
			s.Click("#card-confirm")
			s.look("link card, linked elsewhere", "#problems")
			s.says("fault.card_linked_elsewhere")
			s.present(w.PKI.TestCase(t, "signature"))
			s.WaitFor(`#card-failed[data-verdict="signature_certificate_chosen"]`)
			s.look("link card, signature certificate", "#card-start")
			s.says("verdict.signature_certificate_chosen.do")
		})
	})
}
