package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
)

func TestCardLinkIsFoundActiveOrElseTheLast(t *testing.T) {
	now := noon
	each(t, func(t *testing.T, s *store.Store) {
		_, err := s.CardLink(t.Context(), "f1")
		wantFault(t, err, fault.NotFound, "card_not_linked")

		first, second := someone(t, s), someone(t, s)
		link := func(u identity.UserID, removed time.Time, reason string) identity.CardLink {
			l := card(u, "f1")
			l.Removed, l.RemovedReason = removed, reason
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddCardLink(l) }))
			return l
		}
		link(first.ID, now.Add(-2*time.Hour), "user_disabled")
		last := link(first.ID, now.Add(-time.Hour), "order")
		got, err := s.CardLink(t.Context(), "f1")
		if err != nil || got.ID != last.ID || got.RemovedReason != "order" {
			t.Errorf("got %+v, %v; want the one removed last", got, err)
		}
		active := link(second.ID, time.Time{}, "")
		got, err = s.CardLink(t.Context(), "f1")
		if err != nil || got.ID != active.ID || !got.Removed.IsZero() {
			t.Errorf("got %+v, %v; want the active one", got, err)
		}
	})
}

// S27, S54: a removed link frees the card and the username.
func TestRemovedCardLinkFreesBoth(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, other := someone(t, s), someone(t, s)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			if err := tx.AddCardLink(card(u.ID, "f1")); err != nil {
				return err
			}
			for want, id := range map[bool]identity.UserID{true: u.ID, false: other.ID} {
				removed, err := tx.RemoveCardLink(id, "order")
				if err != nil {
					return err
				}
				if removed != want {
					t.Errorf("RemoveCardLink gave %v, want %v", removed, want)
				}
			}
			if err := tx.AddCardLink(card(other.ID, "f1")); err != nil {
				return err
			}
			return tx.AddCardLink(card(u.ID, "f2"))
		}))
		if p := person(t, s, u.ID); p.Card == nil || p.Card.Fingerprint != "f2" {
			t.Errorf("got %+v", p.Card)
		}
	})
}

func TestLinksSayWhatIsInTheWay(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, other := someone(t, s), someone(t, s)
		addAuthenticator(t, s, u.ID)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddCardLink(card(u.ID, "f1")) }))
		// One change meets all of them and may still commit.
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			wantFault(t, tx.AddCardLink(card(u.ID, "f2")), fault.Conflict, "card_already_linked")
			wantFault(t, tx.AddCardLink(card(u.ID, "f1")), fault.Conflict, "card_already_linked")
			wantFault(t, tx.AddCardLink(card(other.ID, "f1")), fault.Conflict, "card_linked_elsewhere")
			wantFault(t, tx.AddAuthenticator(authenticator(u.ID)), fault.Conflict, "totp_already_linked")
			return tx.AddCardLink(card(other.ID, "f3"))
		}))
		if p := person(t, s, other.ID); p.Card == nil || p.Card.Fingerprint != "f3" {
			t.Errorf("got %+v", p.Card)
		}
	})
}

// S27: two parallel link attempts of one card by two users.
func TestOneOfManyUsersGetsACard(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		users := make([]identity.User, 50)
		o := addOrganisation(t, s[0], "tax")
		for i := range users {
			users[i] = addUser(t, s[0], o.ID, fmt.Sprint("user", i))
		}
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error { return tx.AddCardLink(card(users[i].ID, "f1")) })
		})
		if n := tally(t, errs); n[""] != 1 || n["card_linked_elsewhere"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}

// S27: one active card per username.
func TestOneOfManyCardsGetsAUser(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error { return tx.AddCardLink(card(u.ID, fmt.Sprint("f", i))) })
		})
		if n := tally(t, errs); n[""] != 1 || n["card_already_linked"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}

// S41: one user, one authenticator.
func TestOneOfManyAuthenticatorsGetsAUser(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error { return tx.AddAuthenticator(authenticator(u.ID)) })
		})
		if n := tally(t, errs); n[""] != 1 || n["totp_already_linked"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
		must(t, s[0].Change(t.Context(), func(tx identity.Tx) error {
			removed, err := tx.RemoveAuthenticator(u.ID, "support")
			if !removed {
				t.Error("nothing was removed")
			}
			if err != nil {
				return err
			}
			return tx.AddAuthenticator(authenticator(u.ID))
		}))
	})
}

// S44: 50 parallel posts of one valid code, exactly one success.
func TestAStepIsUsedOnce(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		a := addAuthenticator(t, s[0], someone(t, s[0]).ID)
		fresh := make([]bool, 50)
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) (err error) {
				fresh[i], err = tx.UseStep(a.ID, 101, -1)
				return err
			})
		})
		tally(t, errs)
		winners := 0
		for _, f := range fresh {
			if f {
				winners++
			}
		}
		if winners != 1 {
			t.Errorf("%d callers used one step", winners)
		}
	})
}

func TestUseStepMovesForwardOnly(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		a := addAuthenticator(t, s, u.ID) // at step 100
		use := func(id identity.AuthenticatorID, step, drift int64) (fresh bool) {
			must(t, s.Change(t.Context(), func(tx identity.Tx) (err error) { fresh, err = tx.UseStep(id, step, drift); return err }))
			return fresh
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { _, err := tx.FailCode(a.ID); return err }))
		for _, step := range []int64{99, 100} {
			if use(a.ID, step, 9) {
				t.Errorf("step %d was used twice", step)
			}
		}
		if got := person(t, s, u.ID).Authenticator; got.LastStep != 100 || got.Drift != -2 || got.Failures != 1 {
			t.Errorf("a refused step changed %+v", got)
		}
		if !use(a.ID, 105, 3) {
			t.Error("a later step was refused")
		}
		if got := person(t, s, u.ID).Authenticator; got.LastStep != 105 || got.Drift != 3 || got.Failures != 0 {
			t.Errorf("got %+v", got)
		}
		if use(a.ID, 104, 0) || use("nobody", 200, 0) {
			t.Error("a step of the past, or of nobody, was used")
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { _, err := tx.RemoveAuthenticator(u.ID, "support"); return err }))
		if use(a.ID, 200, 0) {
			t.Error("a removed authenticator was used")
		}
	})
}

func TestFailuresAreCountedAndCodesBlocked(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		a := addAuthenticator(t, s[0], u.ID)
		seen := make([]int, 50)
		tally(t, race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) (err error) { seen[i], err = tx.FailCode(a.ID); return err })
		}))
		numbers := map[int]bool{}
		for _, n := range seen {
			numbers[n] = true
		}
		if len(numbers) != 50 || !numbers[1] || !numbers[50] {
			t.Errorf("failures were counted as %v", seen)
		}
		a.BlockedUntil = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
		must(t, s[0].Change(t.Context(), func(tx identity.Tx) error { return tx.BlockCodes(a) }))
		if got := person(t, s[1], u.ID).Authenticator; got.Failures != 50 || !got.BlockedUntil.Equal(a.BlockedUntil) {
			t.Errorf("got %+v", got)
		}
		err := s[0].Change(t.Context(), func(tx identity.Tx) error { _, err := tx.FailCode("nobody"); return err })
		wantFault(t, err, fault.NotFound, "totp_not_linked")
	})
}

// The locks follow one order: whoever touches a person and what hangs on the
// person in any order of calls waits, and is not thrown out of a deadlock.
func TestChangesOfOnePersonDoNotDeadlock(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		o := addOrganisation(t, s[0], "tax")
		u := addUser(t, s[0], o.ID, "aino")
		a := addAuthenticator(t, s[0], u.ID)
		addClient(t, s[0], client("rp"))
		steps := []func(tx identity.Tx) error{
			func(tx identity.Tx) error { _, err := tx.Person(u.ID); return err },
			func(tx identity.Tx) error { _, err := tx.UseStep(a.ID, 1000, 0); return err },
			func(tx identity.Tx) error { return tx.NoteSignIn(u.ID) },
			func(tx identity.Tx) error { _, err := tx.FailCode(a.ID); return err },
			func(tx identity.Tx) error { _, err := tx.RemoveCardLink(u.ID, "order"); return err },
			func(tx identity.Tx) error { return tx.EndSessions(u.ID, "") },
			func(tx identity.Tx) error { return tx.AddCardLink(card(u.ID, "f1")) },
		}
		errs := race(50, func(i int) error {
			if i%5 == 0 {
				g, at := grant(u, "rp", fmt.Sprint("sid", i))
				if err := s[i%2].Issue(t.Context(), g, at); err != nil && fault.Code(err) != "session_ended" {
					return err
				}
				return nil
			}
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error {
				if i%5 == 1 {
					if _, err := tx.Organisation(o.ID); err != nil {
						return err
					}
					if _, err := tx.PeopleOf(o.ID); err != nil {
						return err
					}
				}
				for n := range steps {
					if err := steps[(n*3+i)%len(steps)](tx); err != nil && fault.Code(err) != "card_already_linked" {
						return err
					}
				}
				return nil
			})
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v, want 50 successes", n)
		}
	})
}

// Of any number of callers one records a change of what a card's CA says.
func TestCardStatusIsSetOnce(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		link := card(u.ID, "f1")
		must(t, s[0].Change(t.Context(), func(tx identity.Tx) error { return tx.AddCardLink(link) }))
		var set atomic.Int32
		for _, err := range race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error {
				ok, err := tx.SetCardStatus(link, "revoked", noon)
				if ok {
					set.Add(1)
				}
				return err
			})
		}) {
			must(t, err)
		}
		if got := person(t, s[1], u.ID).Card; set.Load() != 1 || got.Status != "revoked" || !got.StatusAt.Equal(noon) {
			t.Errorf("set %d times: %+v", set.Load(), got)
		}
	})
}

func TestCardLinksComeInPages(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		want := map[identity.LinkID]bool{}
		for i := range 7 {
			l := card(someone(t, s).ID, fmt.Sprint("f", i))
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddCardLink(l) }))
			want[l.ID] = true
		}
		gone := someone(t, s)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			if err := tx.AddCardLink(card(gone.ID, "gone")); err != nil {
				return err
			}
			_, err := tx.RemoveCardLink(gone.ID, "order")
			return err
		}))
		after := identity.LinkID("")
		for n := 3; n == 3; {
			page, err := s.CardLinks(t.Context(), after, 3)
			must(t, err)
			for _, l := range page {
				if !want[l.ID] || l.ID <= after {
					t.Errorf("%s comes again, or should not come", l.ID)
				}
				delete(want, l.ID)
				after = l.ID
			}
			n = len(page)
		}
		if len(want) != 0 {
			t.Errorf("missing: %v", want)
		}
	})
}
