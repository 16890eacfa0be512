package identity_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
)

// heard empties the outbox and says who got which letter on policies.
func (h *house) heard(t mail.Template) (names []string) {
	h.t.Helper()
	for _, l := range h.post() {
		if l.Template == t {
			names = append(names, l.Args["username"])
		}
	}
	slices.Sort(names)
	return names
}

// Whoever was told of a change hears that it was withdrawn, once, also who has done
// since what the letter asked for; whoever was not told hears nothing.
func TestAWithdrawnPlanIsToldToThoseWhoWereTold(t *testing.T) {
	timely(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		told, helped, closed := h.settled(org, "told"), h.settled(org, "helped"), h.settled(org, "closed")
		for _, id := range []identity.UserID{told, helped, closed} {
			h.withApp(id)
		}
		h.withCard(h.settled(org, "with.card"), "fp1")
		plan := func(from time.Duration) {
			t.Helper()
			_, err := h.plan(org, h.now().Add(from), permit(identity.MethodCard))
			h.must(err)
		}
		withdraw := func() {
			t.Helper()
			_, err := h.WithdrawPlan(ctx, operator, org)
			h.must(err)
		}

		// Withdrawn before a letter has left: neither that one nor another.
		plan(48 * time.Hour)
		withdraw()
		h.tellPolicies()
		if got := append(h.heard(mail.PolicyWithdrawn), h.heard(mail.PolicyTightened)...); len(got) != 0 {
			t.Errorf("nobody was told: %v", got)
		}

		plan(48 * time.Hour)
		h.tellPolicies()
		if got := h.heard(mail.PolicyTightened); !slices.Equal(got, []string{"closed", "helped", "told"}) {
			t.Fatalf("told of the plan: %v", got)
		}
		h.withCardAfterCode(helped)
		late := h.settled(org, "late")
		h.withApp(late)
		h.must(h.DisableUser(ctx, operator, closed, lost))
		h.heard("")

		refused := &breaks{Store: h.db, after: 1, stop: func() error { return errBroken }}
		broken := *h.Directory
		broken.Store = refused
		if _, err := broken.WithdrawPlan(ctx, operator, org); !errors.Is(err, errBroken) {
			t.Errorf("a withdrawal that breaks: %v", err)
		}
		h.tellPolicies()
		if got := h.heard(mail.PolicyWithdrawn); len(got) != 0 {
			t.Errorf("the plan stands, and they hear that it does not: %v", got)
		}

		withdraw()
		var all sync.WaitGroup
		var n atomic.Int64
		for range 50 {
			all.Go(func() {
				letters, err := h.TellStranded(ctx)
				if err != nil {
					t.Error(err)
				}
				n.Add(int64(letters))
			})
		}
		all.Wait()
		if got := h.heard(mail.PolicyWithdrawn); !slices.Equal(got, []string{"helped", "told"}) || n.Load() != 2 {
			t.Errorf("told that it was withdrawn: %v, %d letters", got, n.Load())
		}

		// The same day once more: its own letters, and its own withdrawal.
		plan(48 * time.Hour)
		h.tellPolicies()
		if got := h.heard(mail.PolicyTightened); !slices.Equal(got, []string{"late", "told"}) {
			t.Errorf("told of the second plan: %v", got)
		}
		withdraw()
		h.tellPolicies()
		if got := h.heard(mail.PolicyWithdrawn); !slices.Equal(got, []string{"late", "told"}) {
			t.Errorf("the second withdrawal: %v", got)
		}

		// A plan that has come is not withdrawn, and nothing is owed.
		plan(time.Hour)
		h.tellPolicies()
		h.add(2 * time.Hour)
		if _, err := h.CarryOutPlans(ctx); err != nil {
			t.Error(err)
		}
		_, err := h.WithdrawPlan(ctx, operator, org)
		is(t, "what has come", err, "policy_not_planned")
		h.tellPolicies()
		if got := h.heard(mail.PolicyWithdrawn); len(got) != 0 {
			t.Errorf("told that it was withdrawn: %v", got)
		}
	})
}

// More people than one batch, withdrawn while letters are being written by several
// replicas: as many are told of the one as of the other.
func TestAPlanWithdrawnWhileItIsTold(t *testing.T) {
	timely(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		h.must(h.Store.Change(ctx, func(tx identity.Tx) error {
			for i := range 230 {
				id := identity.UserID(fmt.Sprintf("u%03d", i))
				u := identity.User{ID: id, Username: string(id), Organisation: org, GivenName: "A", FamilyName: "B", Email: string(id) + "@example.test", Language: "en", Created: h.now(), Epoch: 1, Version: 1}
				if err := tx.AddUser(u, identity.Password{Hash: "x"}); err != nil {
					return err
				}
				if err := tx.AddAuthenticator(identity.Authenticator{ID: identity.AuthenticatorID("a" + id), User: id, Kind: identity.MethodApp, SealedKey: "x", Linked: h.now()}); err != nil {
					return err
				}
			}
			return nil
		}))
		_, err := h.plan(org, h.now().Add(48*time.Hour), permit(identity.MethodCard))
		h.must(err)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				if _, err := h.TellStranded(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		all.Go(func() {
			if _, err := h.WithdrawPlan(ctx, operator, org); err != nil {
				t.Error(err)
			}
		})
		all.Wait()
		h.tellPolicies()
		letters := map[mail.Template][]string{}
		for _, l := range h.post() {
			letters[l.Template] = append(letters[l.Template], l.To)
		}
		for _, to := range letters {
			slices.Sort(to)
		}
		if !slices.Equal(letters[mail.PolicyTightened], letters[mail.PolicyWithdrawn]) || len(slices.Compact(slices.Clone(letters[mail.PolicyWithdrawn]))) != len(letters[mail.PolicyWithdrawn]) {
			t.Errorf("told %d, and %d that it was withdrawn", len(letters[mail.PolicyTightened]), len(letters[mail.PolicyWithdrawn]))
		}
	})
}

// The debt is written in the transaction that withdraws, and paid in the one that
// writes the letter: a letter that cannot be written is owed still.
func TestALetterOnAWithdrawalIsOwedUntilItIsWritten(t *testing.T) {
	timely(t, func(h *house) {
		org := h.organisation("org", identity.MethodApp, identity.MethodCard)
		h.withApp(h.settled(org, "liisa"))
		_, err := h.plan(org, h.now().Add(48*time.Hour), permit(identity.MethodCard))
		h.must(err)
		h.tellPolicies()
		w := &witness{Store: h.db}
		h.Store = w
		_, err = h.WithdrawPlan(t.Context(), operator, org)
		h.must(err)
		if len(w.done) != 1 || !w.done[0].owed {
			t.Errorf("%+v", w.done)
		}
		h.heard("")
		broken := *h.Directory
		broken.Store = &breaks{Store: h.db, after: 1, stop: func() error { return errBroken }} // after the letter
		if n, err := broken.TellStranded(context.Background()); n != 0 || !errors.Is(err, errBroken) {
			t.Errorf("%d letters, %v", n, err)
		}
		if got := h.heard(mail.PolicyWithdrawn); len(got) != 0 {
			t.Errorf("half of it: %v", got)
		}
		h.tellPolicies()
		if got := h.heard(mail.PolicyWithdrawn); !slices.Equal(got, []string{"liisa"}) {
			t.Errorf("told %v", got)
		}
	})
}
