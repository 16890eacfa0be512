package identity_test

import (
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// Whoever tells services that sessions have ended hears of each change that has ended
// some, once it is in the database; and of no other.
func TestEndedSessionsAreMadeKnown(t *testing.T) {
	each(t, func(h *house) {
		ctx, why := t.Context(), identity.Why{Reason: "test"}
		id := h.settled(h.organisation("a", identity.MethodApp), "liisa")
		var seen []int64
		h.Ended = func() { seen = append(seen, h.person(id).User.Epoch) } // reads: the change is over
		known := func(what string, want int) {
			t.Helper()
			if len(seen) != want || want > 0 && seen[want-1] != h.person(id).User.Epoch {
				t.Fatalf("%s: known at %v, want %d times; epoch %d", what, seen, want, h.person(id).User.Epoch)
			}
		}
		h.must(h.EndSessions(ctx, operator, id, why))
		known("sessions ended", 1)
		_, err := h.Order(ctx, operator, id, why)
		h.must(err)
		known("an order", 2)

		is(t, "of nobody", h.EndSessions(ctx, operator, "nobody", why), "user_not_found")
		is(t, "frozen", h.Unfreeze(ctx, operator, id, why), "account_not_frozen")
		_, err = h.ChangeOrganisation(ctx, operator, "a", func(o *identity.Organisation) { o.Name = "Another" })
		h.must(err)
		known("nothing ended", 2)
		h.DryRun = true
		h.must(h.EndSessions(ctx, operator, id, why))
		known("a dry run", 2)
	})
}
