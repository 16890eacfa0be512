package e2e

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
)

// temporaryIn is how a letter has a temporary password, on a line of its own or not.
var temporaryIn = regexp.MustCompile(`\b[a-z2-9]{4}(?:-[a-z2-9]{4}){3}\b`)

// readsThePage is how long a person takes at least; who is back sooner than User
// Services expect of anybody is told so, and not sent in circles.
const readsThePage = 10 * time.Second

// letter waits for the next letter to her after the first n, and returns its text.
func (e *Employee) letter(t *testing.T, n int) string {
	t.Helper()
	eventually(t, "a letter comes", func() bool { return len(e.w.Mailbox.Letters(e.Email)) > n })
	return e.w.Mailbox.Letters(e.Email)[n].Body
}

// "My card was replaced", from the button to the new card: prove who you are, order,
// the letter, the temporary password with a code, a password of one's own, the new
// card. S54, S57, S58.
func TestMyCardWasReplacedInABrowser(t *testing.T) {
	t.Parallel()
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := NewWorld(t, Options{Pair: SQLiteMemory})
			molla := w.Settled("molla."+m.lang, "kuntala", identity.MethodApp, identity.MethodCard)
			b := w.chromium(t, m.lang)
			s := m.screen(t, w, b)
			home := w.Origin("services")
			s.Open(home)
			s.signIn(molla)
			s.WaitURL(home)
			w.Clock.Advance(6 * time.Minute) // too old to order with
			s.Click("#order")
			s.signIn(molla)
			s.WaitURL(home + "/order")
			s.look("order", "#order-submit")
			s.says("us.order.effects", "hours", "24")
			s.says("us.order.steps")
			before := len(w.Mailbox.Letters(molla.Email))
			w.Clock.Advance(readsThePage)
			s.Click("#order-submit")
			s.look("ordered", "#ordered")
			s.says("us.ordered.text")
			s.says("us.order.steps")
			if s.Has("#logout") {
				t.Error("a session is shown that has ended")
			}

			molla.Temporary, molla.Password = temporaryIn.FindString(molla.letter(t, before)), ""
			s.Open(home)
			s.login(molla.Username, ownSecret)
			s.look("old password after an order", "#problems")
			s.login(molla.Username, molla.Temporary)
			s.typeCode(molla.Code())
			s.choose(chosenAnew)
			s.WaitURL(home)
			s.look("my login methods, after an order", "#link-card")
			s.says("us.card.none")
			old := m.screen(t, w, b)
			old.Open(w.record("42"))
			old.present(molla.Card)
			old.refused("card_link_removed_by_order") // S54

			fresh := molla.NewCard()
			insert(t, b, fresh)
			s.Click("#link-card")
			s.readCard(fresh)
			s.look("new card linked", "#linked")
			again := m.screen(t, w, b)
			again.Open(w.record("42"))
			again.Click("#card-start")
			again.arrives(w.record("42"), acrCard, amrCard)
		})
	}
}

// A person with nothing but the card proves who she is with it, as long as it works;
// one whom no letter reaches is told whom to ask. S55, S58.
func TestOrderingWithTheCardAloneInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	kaisa, otto := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
	b := w.chromium(t, "sv")
	insert(t, b, kaisa.Card)
	s := w.screen(t, b, "sv")
	home := w.Origin("services")
	s.Open(home)
	s.Click("#card-start")
	s.WaitURL(home)
	w.Clock.Advance(6 * time.Minute)
	s.Click("#order")
	s.WaitFor("#login-submit")
	s.Click("#card-start")
	s.WaitURL(home + "/order")
	s.WaitFor("#order-submit")

	other := w.screen(t, b, "sv")
	other.Open(home)
	other.signIn(otto)
	other.WaitURL(home)
	other.Open(home + "/order")
	other.look("order, whom to ask", "#order-ask")
	other.says("us.order.ask.text")
	if other.Has("#order-submit") {
		t.Error("an order is offered that no letter can follow")
	}
}

// cardOf is a card of somebody of another name.
func (e *Employee) cardOf(given, family string) *cardtest.Card {
	e.w.T.Helper()
	n := cardNumber.Add(1)
	return e.w.PKI.TestCard(e.w.T, fmt.Sprintf("other-%d", n), cardtest.Person{Given: given, Family: family, Serial: fmt.Sprintf("9%08dX", n)}, cardtest.WithKey(cardtest.P256))
}

// A card whose name is not quite the person's waits until somebody has looked, opens
// nothing meanwhile, and signs in once it is approved. One that is refused does not,
// and one of somebody else does not even wait. S29.
func TestCardWaitsForApprovalInABrowser(t *testing.T) {
	t.Parallel()
	for i, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			w := NewWorld(t, Options{Pair: SQLiteMemory})
			w.Organisation("saaristo", func(o *identity.Organisation) { o.ITContact = "it@saaristo.example" })
			aino := w.Newcomer("aino.kortelainen", "saaristo")
			directory := w.Replicas[0].Directory
			b := w.chromium(t, m.lang)
			s := m.screen(t, w, b)
			deep := w.record("42")
			s.Open(deep)
			s.login(aino.Username, aino.Temporary)
			s.choose(ownSecret)
			s.WaitURL(w.Origin("services"))

			stranger := aino.cardOf("Pertti", "Pokela")
			insert(t, b, stranger)
			s.Click("#link-card")
			s.Click("#card-start")
			s.WaitFor(`#card-failed[data-verdict="card_holder_differs"]`)
			s.look("link card, of somebody else", "#card-start")
			s.says("verdict.card_holder_differs.do")
			b.EjectCard(stranger.Name)

			near := aino.cardOf("Aino", "Kortelainen-Laine")
			insert(t, b, near)
			s.Click("#card-start")
			s.look("link card, near", "#near")
			s.says("confirmcard.near", "name", "Aino Kortelainen")
			s.says("confirmcard.waits")
			before := len(w.Mailbox.Letters(aino.Email))
			s.Click("#card-confirm")
			s.look("card waits", "#waits")
			s.says("us.asked.lead")
			s.says("us.asked.contact", "contact", "it@saaristo.example")
			s.shows(tailOf(near))
			if !strings.Contains(aino.letter(t, before), tailOf(near)) {
				t.Error("the letter does not name the card")
			}
			s.Open(w.Origin("services"))
			s.look("choose, a card waits", "#asked")

			// It opens nothing.
			again := m.screen(t, w, b)
			again.Open(deep)
			again.Click("#card-start")
			again.refused("card_awaits_approval")

			asked := must(directory.Store.CardApprovals(t.Context(), identity.ApprovalsOf{User: aino.ID}, w.Clock.Now()))(t)
			if len(asked) != 1 {
				t.Fatalf("%d cards wait", len(asked))
			}
			decide, refusedAs := directory.ApproveCard, ""
			if i == 1 {
				decide, refusedAs = directory.RefuseCard, "card_not_linked"
			}
			must(0, decide(t.Context(), operator, asked[0].Card.ID, "has shown it at the desk"))(t)
			s.Open(w.Origin("services") + "/card/waiting")
			again.Click("#card-start")
			if refusedAs != "" {
				again.refused(refusedAs)
				s.look("choose, the card was refused", "#link-card")
				return
			}
			again.arrives(deep, acrCard, amrCard)
			s.look("the card was approved", "#linked")
			again.Open(w.Origin("services"))
			again.look("my login methods, an approved card", "#order")
			again.shows("Aino Kortelainen-Laine")
		})
	}
}

// A card that is about to end, and one that its CA has revoked, on one's own page; and
// for those who have nothing else, why nothing can be linked. S24, S30.
func TestCardThatEndsInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			molla := w.Settled("molla."+m.lang, "kuntala", identity.MethodApp)
			now := w.Clock.Now()
			ends := molla.NewCard(cardtest.Valid(now.Add(-24*time.Hour), now.Add(20*24*time.Hour)))
			directory := w.Replicas[0].Directory
			self := identity.Self{User: molla.ID, Session: "seed", AuthTime: now, Full: true, Proved: identity.MethodApp}
			must(0, directory.LinkCard(t.Context(), self, card.Result{Verdict: card.Good, Holder: card.HolderOf(ends.Cert), At: now}))(t)
			s := m.screen(t, w, w.chromium(t, m.lang))
			home := w.Origin("services")
			signIn := func() {
				t.Helper()
				s.Open(home)
				s.signIn(molla)
				s.WaitURL(home)
			}
			signIn()
			s.look("my login methods, a card that expires", "#card-soon")
			if s.Has("#card-state") {
				t.Error("the card is said to be over")
			}
			w.Clock.Advance(readsThePage)
			link := must(directory.Store.Person(t.Context(), molla.ID))(t).Card
			must(directory.NoteCardStatus(t.Context(), *link, card.Status{State: card.WasRevoked, Source: "crl"}))(t)
			s.Open(home)
			s.WaitFor("#login-submit") // every session has ended
			signIn()
			s.look("my login methods, a revoked card", "#card-state")
			s.says("us.card.state.revoked")
			s.says("us.card.state.then")
			s.Click("#order")
			s.WaitFor("#order-submit")

			kaisa := w.Settled("kaisa."+m.lang, "saaristo", identity.MethodCard)
			link = must(directory.Store.Person(t.Context(), kaisa.ID))(t).Card
			must(directory.NoteCardStatus(t.Context(), *link, card.Status{State: card.WasRevoked, Source: "crl"}))(t)
			only := m.screen(t, w, w.chromium(t, m.lang))
			only.Open(w.record("42"))
			only.login(kaisa.Username, kaisa.Password)
			only.look("blocked, a revoked card", "#blocked")
			only.says("us.card.state.revoked")
			if only.Has("#link-card") || only.Has("#link-authenticator") {
				t.Error("something can be linked with a password alone")
			}
		})
	}
}

// A session that nobody uses warns before it ends. To go on keeps it, at the provider
// too; to log out ends it; not to answer ends it as well, and clears the screen. S72.
func TestSessionWarnsInABrowser(t *testing.T) {
	t.Parallel()
	w := NewWorld(t, Options{Pair: SQLiteMemory})
	w.Organisation("saaristo", func(o *identity.Organisation) { o.SharedWorkstations = true })
	home := w.Origin("services")
	for _, m := range manners {
		t.Run(m.name, func(t *testing.T) {
			kaisa := w.Settled("kaisa."+m.lang, "saaristo", identity.MethodCard)
			b := w.chromium(t, m.lang)
			insert(t, b, kaisa.Card)
			s := m.screen(t, w, b)
			signIn := func() {
				t.Helper()
				s.Open(home)
				s.Click("#card-start")
				s.WaitURL(home)
				s.WaitFor("#order")
			}
			// later lets time pass for everybody, and wakes the page as a computer does.
			later := func(d time.Duration) {
				t.Helper()
				w.Clock.Advance(d)
				s.Eval(fmt.Sprintf(`(now => { Date.now = () => now() + %d; document.dispatchEvent(new Event("visibilitychange")); })(Date.now)`, d.Milliseconds()), nil)
			}
			signIn()
			if m.noScript {
				w.Clock.Advance(13 * time.Minute)
				if s.Has("#session-warning") {
					t.Error("the question is shown, and nobody takes it away")
				}
				s.Open(home)
				s.WaitFor("#order")
				w.Clock.Advance(16 * time.Minute)
				s.Open(home)
				s.WaitFor("#login-submit")
				return
			}
			later(12 * time.Minute)
			if s.Has("#session-continue") {
				t.Fatal("it warns already")
			}
			later(time.Minute)
			s.look("session warning", "#session-continue")
			s.says("session.warn")
			s.says("session.warn.text")
			var focused string
			s.Eval(`document.activeElement.id`, &focused)
			if focused != "session-continue" {
				t.Errorf("%q has the focus", focused)
			}
			s.Click("#session-continue")
			eventually(t, "the question goes", func() bool { return !s.Has("#session-continue") })
			later(10 * time.Minute) // 23 in all: it is kept
			if s.Has("#session-continue") {
				t.Error("it warns, and has just been used")
			}
			later(4 * time.Minute)
			s.WaitFor("#session-continue")
			s.Press("\x1b") // Escape is no way to lose what is on the screen
			eventually(t, "the question goes", func() bool { return !s.Has("#session-continue") })
			s.Reload()
			s.WaitFor("#order")
			later(13 * time.Minute)
			s.Click("#session-logout")
			s.WaitFor("#logged-out")
			s.Open(home)
			s.WaitFor("#login-submit")

			signIn()
			later(13 * time.Minute)
			s.WaitFor("#session-continue")
			later(3 * time.Minute)
			s.WaitFor("#login-submit")
		})
	}
}
