package identity_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

// near is a card of Liisa's whose holder is nearly she; stranger one that is not.
func (h *house) near(fingerprint string) card.Result {
	seen := h.seen(fingerprint)
	seen.Holder.Name = "Liisa Meikalainen"
	return seen
}

func (h *house) stranger(fingerprint string) card.Result {
	seen := h.seen(fingerprint)
	seen.Holder.Name = "Matti Virtanen"
	return seen
}

func (h *house) rule(org identity.OrganisationID, rule identity.HolderRule) {
	h.t.Helper()
	_, err := h.ChangeOrganisation(h.t.Context(), operator, org, func(o *identity.Organisation) { o.HolderRule = rule })
	h.must(err)
}

// asked are the cards that wait.
func (h *house) asked() []identity.CardApproval {
	h.t.Helper()
	all, err := h.Store.CardApprovals(h.t.Context(), identity.ApprovalsOf{}, h.now())
	h.must(err)
	return all
}

func (h *house) codes(err error, want, what string) {
	h.t.Helper()
	if fault.Code(err) != want || want == "" && err != nil {
		h.t.Errorf("%s: %v, want %q", what, err, want)
	}
}

// S29: what each employer makes of cards whose holder is the person, nearly the
// person, and somebody else.
func TestTheEmployerDecidesOnCardsThatNearlyFit(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		for rule, want := range map[identity.HolderRule]string{"": "card_awaits_approval", identity.HolderApproved: "card_awaits_approval", identity.HolderRefused: "card_holder_differs", identity.HolderAccepted: ""} {
			org := h.organisation("org-"+string(rule)+"x", identity.MethodCard)
			h.rule(org, rule)
			name := "liisa" + string(rule)
			exact, near, other := h.settled(org, name+".e"), h.settled(org, name+".n"), h.settled(org, name+".o")
			h.codes(h.LinkCard(ctx, h.enrol(exact), h.seen("e"+name)), "", name+", the person's")
			h.codes(h.LinkCard(ctx, h.enrol(near), h.near("n"+name)), want, name+", nearly the person's")
			h.codes(h.LinkCard(ctx, h.enrol(other), h.stranger("o"+name)), "card_holder_differs", name+", somebody else's")
			if linked := h.person(near).Card != nil; linked != (want == "") {
				t.Errorf("%s: linked %v", name, linked)
			}
			if h.person(other).Card != nil || h.person(exact).Card == nil {
				t.Errorf("%s: the wrong cards are linked", name)
			}
			j, err := h.Judge(ctx, h.enrol(near), h.near("n").Holder)
			if refused := want == "card_holder_differs"; (err != nil) != refused || err == nil && (j.Match != identity.MatchNear || j.Waits != (want != "")) {
				t.Errorf("%s: judged %+v, %v", name, j, err)
			}
		}
		if n := h.letters(); n[mail.CardWaits] != 2 || n[mail.CardLinked] != 5 {
			t.Errorf("letters %v", n)
		}
		warned := 0
		for _, e := range h.events(audit.CardLinked) {
			if e.Details["holder"] == "near" {
				warned++
			}
		}
		if warned != 1 || len(h.events(audit.CardRefused)) != 6 {
			t.Errorf("the trail tells of %d near and %d refused", warned, len(h.events(audit.CardRefused)))
		}
	})
}

// S29: a card that waits opens nothing; it is linked when somebody has approved
// it, and gone when somebody has refused it.
func TestACardWaitsForAnApproval(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodCard, identity.MethodApp)
		id := h.settled(org, "liisa")
		h.codes(h.LinkCard(ctx, h.enrol(id), h.near("fp")), "card_awaits_approval", "asked")
		_, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"})
		h.codes(err, "card_awaits_approval", "the card at the door")
		_, err = h.CardHolder(ctx, card.Holder{Fingerprint: "other"})
		h.codes(err, "card_not_linked", "another card")
		if p := h.person(id); p.Card != nil || p.UsableCard(h.now()) {
			t.Error("it is linked")
		}
		waiting := h.asked()
		if len(waiting) != 1 || waiting[0].Card.User != id || waiting[0].Card.Fingerprint != "fp" || waiting[0].Card.HolderName != "Liisa Meikalainen" || waiting[0].Proved != 0 {
			t.Fatalf("waiting %+v", waiting)
		}
		key := waiting[0].Card.ID

		for _, by := range []identity.Actor{{}, {Name: "user:x"}, {Operator: true}} {
			h.codes(h.ApproveCard(ctx, by, key, "known"), "not_allowed", "approved by nobody")
			h.codes(h.RefuseCard(ctx, by, key, "known"), "not_allowed", "refused by nobody")
		}
		own := identity.Actor{Name: "user:" + string(id), Operator: true}
		h.codes(h.ApproveCard(ctx, own, key, "mine"), "own_account", "approved by its holder")
		h.codes(h.ApproveCard(ctx, operator, key, " "), "required", "without a reason")
		h.codes(h.ApproveCard(ctx, operator, "none", "known"), "card_approval_not_found", "another")
		h.must(h.RefuseCard(ctx, operator, key, "somebody else's"))
		h.codes(h.ApproveCard(ctx, operator, key, "known"), "card_approval_not_found", "after it was refused")

		h.codes(h.LinkCard(ctx, h.enrol(id), h.near("old")), "card_awaits_approval", "asked again")
		h.codes(h.LinkCard(ctx, h.enrol(id), h.near("fp")), "card_awaits_approval", "and for another card")
		if waiting = h.asked(); len(waiting) != 1 || waiting[0].Card.Fingerprint != "fp" {
			t.Fatalf("the newer card did not take the place of the older: %+v", waiting)
		}
		h.must(h.ApproveCard(ctx, operator, waiting[0].Card.ID, "seen the card"))
		p, err := h.CardHolder(ctx, card.Holder{Fingerprint: "fp"})
		h.must(err)
		if p.User.ID != id || !p.Card.Linked.Equal(h.now()) || len(h.asked()) != 0 {
			t.Errorf("approved as %+v", p.Card)
		}
		h.codes(h.ApproveCard(ctx, operator, waiting[0].Card.ID, "again"), "card_approval_not_found", "twice")
		if n := h.letters(); n[mail.CardWaits] != 3 || n[mail.CardNotApproved] != 1 || n[mail.CardLinked] != 1 {
			t.Errorf("letters %v", n)
		}
		if e := h.events(audit.CardLinked); len(e) != 1 || e[0].Actor != operator.Name || e[0].Details[audit.Note] != "seen the card" || e[0].User != string(id) {
			t.Errorf("trail %+v", e)
		}
		if e := h.events(audit.CardApprovalRefused); len(e) != 1 || e[0].Details[audit.Note] != "somebody else's" {
			t.Errorf("trail %+v", e)
		}
	})
}

// What was true when the card was confirmed must be true when it is approved.
func TestAnApprovalComesTooLate(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodCard, identity.MethodApp)
		n := 0
		for name, c := range map[string]struct {
			meanwhile func(id identity.UserID)
			want      string
		}{
			"a password alone asked, and an app was linked since (S28)": {func(id identity.UserID) { h.withApp(id) }, "card_approval_overtaken"},
			"a card was linked since (S27)":                             {func(id identity.UserID) { h.must(h.LinkCard(ctx, h.enrol(id), h.seen("own-"+string(id)))) }, "card_approval_not_found"},
			"the account was closed (S36)":                              {func(id identity.UserID) { h.must(h.DisableUser(ctx, operator, id, identity.Why{Reason: "left"})) }, "card_approval_not_found"},
			"a password was ordered (S54)": {func(id identity.UserID) {
				_, err := h.Order(ctx, operator, id, identity.Why{Reason: "lost"})
				h.must(err)
			}, "card_approval_not_found"},
			"two weeks have passed": {func(identity.UserID) { h.add(identity.ApprovalLasts) }, "card_approval_expired"},
		} {
			n++
			id := h.settled(org, fmt.Sprint("liisa", n))
			h.codes(h.LinkCard(ctx, h.enrol(id), h.near("fp-"+string(id))), "card_awaits_approval", name)
			waiting, err := h.Store.CardApprovals(ctx, identity.ApprovalsOf{User: id}, h.now())
			h.must(err)
			c.meanwhile(id)
			h.codes(h.ApproveCard(ctx, operator, waiting[0].Card.ID, "known"), c.want, name)
			_, err = h.CardHolder(ctx, card.Holder{Fingerprint: "fp-" + string(id)})
			if err == nil {
				t.Errorf("%s: the card opens", name)
			}
		}
	})
}

// S29: whose card it is, is judged again: the account may have got another name,
// and the employer another rule.
func TestAnApprovalIsJudgedAgain(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		for name, c := range map[string]struct {
			meanwhile func(org identity.OrganisationID, id identity.UserID) error
			want      string
		}{
			"renamed": {func(_ identity.OrganisationID, id identity.UserID) error {
				_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.GivenName, u.FamilyName = "Matti", "Virtanen" })
				return err
			}, "card_holder_differs"},
			"strict": {func(org identity.OrganisationID, _ identity.UserID) error {
				_, err := h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.HolderRule = identity.HolderRefused })
				return err
			}, "card_holder_differs"},
			"put-right": {func(_ identity.OrganisationID, id identity.UserID) error {
				_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.FamilyName = "Meikalainen" })
				return err
			}, ""},
		} {
			org := h.organisation(name, identity.MethodCard)
			id := h.settled(org, name)
			h.codes(h.LinkCard(ctx, h.enrol(id), h.near("fp-"+name)), "card_awaits_approval", name)
			waiting, err := h.Store.CardApprovals(ctx, identity.ApprovalsOf{User: id}, h.now())
			h.must(err)
			h.must(c.meanwhile(org, id))
			h.codes(h.ApproveCard(ctx, operator, waiting[0].Card.ID, "known"), c.want, name)
			if linked := h.person(id).Card != nil; linked != (c.want == "") {
				t.Errorf("%s: linked %v", name, linked)
			}
		}
	})
}

// S27: two people and one card, whoever asks, links or is approved first.
func TestOneCardIsOnePersonsWhileItWaits(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodCard)
		first, second, third := h.settled(org, "liisa1"), h.settled(org, "liisa2"), h.settled(org, "liisa3")
		h.codes(h.LinkCard(ctx, h.enrol(first), h.near("fp")), "card_awaits_approval", "the first")
		err := h.LinkCard(ctx, h.enrol(second), h.near("fp"))
		h.codes(err, "card_linked_elsewhere", "the second") // without any name
		h.must(h.LinkCard(ctx, h.enrol(third), h.seen("fp")))
		h.codes(h.ApproveCard(ctx, operator, h.asked()[0].Card.ID, "known"), "card_linked_elsewhere", "the first, approved")
		h.codes(h.LinkCard(ctx, h.enrol(second), h.near("fp")), "card_linked_elsewhere", "a card that is linked")
		h.add(identity.ApprovalLasts)
		h.codes(h.LinkCard(ctx, h.enrol(first), h.near("free")), "card_awaits_approval", "another card")
		h.add(identity.ApprovalLasts)
		h.codes(h.LinkCard(ctx, h.enrol(second), h.near("free")), "card_awaits_approval", "a card that waited too long")
	})
}

// Fifty approvals of one card, and of one card for fifty people: one counts.
func TestOneOfManyApprovalsCounts(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodCard)
		id := h.settled(org, "liisa")
		h.codes(h.LinkCard(ctx, h.enrol(id), h.near("fp")), "card_awaits_approval", "asked")
		key := h.asked()[0].Card.ID
		var all sync.WaitGroup
		var mu sync.Mutex
		counts := map[string]int{}
		for i := range 50 {
			all.Go(func() {
				var err error
				if i%2 == 0 {
					err = h.ApproveCard(ctx, operator, key, "known")
				} else {
					err = h.RefuseCard(ctx, operator, key, "unknown")
				}
				mu.Lock()
				defer mu.Unlock()
				counts[fault.Code(err)]++
			})
		}
		all.Wait()
		if counts[""] != 1 || counts["card_approval_not_found"] != 49 {
			t.Errorf("%v", counts)
		}
		if linked := h.person(id).Card != nil; linked != (len(h.events(audit.CardLinked)) == 1) || linked == (len(h.events(audit.CardApprovalRefused)) == 1) {
			t.Error("link and trail do not agree")
		}
	})
}

// S58: an Order by the person herself has every effect of S54, asks for a full
// sign-in that has just been made, and goes by letter or not at all (S55).
func TestOrderOwn(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodCard, identity.MethodApp)
		id := h.settled(org, "liisa")
		h.withApp(id)
		self := identity.Self{User: id, Session: "mine", Full: true, Proved: identity.MethodApp, AuthTime: h.now()}
		h.must(h.LinkCard(ctx, self, h.seen("fp")))
		epoch := h.person(id).User.Epoch

		for what, c := range map[string]struct {
			edit func(s *identity.Self)
			want string
		}{
			"by a password alone": {func(s *identity.Self) { s.Full, s.Proved = false, 0 }, "full_signin_required"},
			"signed in long ago":  {func(s *identity.Self) { s.AuthTime = h.now().Add(-6 * time.Minute) }, "reauthentication_required"},
		} {
			who := self
			c.edit(&who)
			h.codes(h.OrderOwn(ctx, who), c.want, what)
		}
		for what, edit := range map[string]func(o *identity.Organisation){
			"handed over": func(o *identity.Organisation) { o.Delivery = identity.ByHandover },
		} {
			_, err := h.ChangeOrganisation(ctx, operator, org, edit)
			h.must(err)
			h.codes(h.OrderOwn(ctx, self), "order_by_support", what)
			_, err = h.ChangeOrganisation(ctx, operator, org, func(o *identity.Organisation) { o.Delivery = identity.ByLetter })
			h.must(err)
		}
		h.add(time.Second)
		_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Email = "new@example.test" })
		h.must(err)
		h.codes(h.OrderOwn(ctx, self), "order_by_support", "to a new address")
		h.add(identity.NewAddress)
		self.AuthTime = h.now()
		if p := h.person(id); p.Card == nil || p.Password.Temporary {
			t.Fatal("a refused order did something")
		}

		h.must(h.OrderOwn(ctx, self))
		p := h.person(id)
		if p.Card != nil || !p.Password.Temporary || p.Authenticator == nil || p.User.Epoch == epoch {
			t.Errorf("after the order: %+v", p)
		}
		if _, err := h.Standing(ctx, id, epoch, "mine"); fault.Code(err) != "session_expired" {
			t.Errorf("the session that ordered: %v", err)
		}
		_, err = h.CardHolder(ctx, card.Holder{Fingerprint: "fp"})
		h.codes(err, "card_link_removed_by_order", "the old card")
		_, err = h.VerifyPassword(ctx, "liisa", own, here)
		h.codes(err, "wrong_credentials", "the old password")
		if n := h.letters(); n[mail.PasswordOrdered] != 1 {
			t.Errorf("letters %v", n)
		}
		if e := h.events(audit.PasswordOrdered); len(e) != 1 || e[0].Actor != "user:"+string(id) || e[0].Reason != "card_replaced" {
			t.Errorf("trail %+v", e)
		}
		h.codes(h.OrderOwn(ctx, self), "full_signin_required", "once more") // nothing but the letter's password opens now
	})
}

// Nobody orders again and again, in parallel neither.
func TestOrderOwnIsThrottled(t *testing.T) {
	each(t, func(h *house) {
		org := h.organisation("org", identity.MethodCard)
		id := h.settled(org, "liisa")
		self := identity.Self{User: id, Session: "mine", Full: true, Proved: identity.MethodCard, AuthTime: h.now()}
		h.must(h.LinkCard(t.Context(), h.enrol(id), h.seen("fp")))
		var all sync.WaitGroup
		var mu sync.Mutex
		counts := map[string]int{}
		for range 50 {
			all.Go(func() {
				err := h.OrderOwn(t.Context(), self)
				mu.Lock()
				defer mu.Unlock()
				counts[fault.Code(err)]++
			})
		}
		all.Wait()
		if counts[""] != 1 || counts[""]+counts["throttled"]+counts["full_signin_required"] != 50 {
			t.Errorf("%v", counts)
		}
		if n := h.letters(); n[mail.PasswordOrdered] != 1 {
			t.Errorf("letters %v", n)
		}
	})
}
