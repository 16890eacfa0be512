package store_test

import (
	"crypto/rand"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
)

// confirmation adds a check of the user, by somebody, and an act that waits on it.
func confirmation(t testing.TB, s *store.Store, u identity.User, act identity.Right, asked time.Time) identity.Confirmation {
	t.Helper()
	k := identity.Check{ID: identity.CheckID(rand.Text()), User: u.ID, By: "user:a", Method: identity.CalledBack, Ticket: "T-1", Note: "n", At: asked.UTC(), Expires: asked.Add(identity.CheckLasts).UTC()}
	c := identity.Confirmation{ID: identity.ConfirmationID(rand.Text()), Check: k, Act: act, Reason: "r", Asked: asked.UTC()}
	must(t, s.Change(t.Context(), func(tx identity.Tx) error {
		if err := tx.AddCheck(k); err != nil {
			return err
		}
		return tx.AddConfirmation(c)
	}))
	return c
}

func TestConfirmations(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u, other := someone(t, s), someone(t, s)
		late := confirmation(t, s, other, identity.PasswordOrder, noon)
		early := confirmation(t, s, u, identity.AccountUnfreeze, noon.Add(-time.Minute))
		over := confirmation(t, s, u, identity.PasswordOrder, noon.Add(-identity.CheckLasts))
		list := func(of identity.ConfirmationsOf) (ids []identity.ConfirmationID) {
			t.Helper()
			found, err := s.Confirmations(t.Context(), of, noon)
			must(t, err)
			for _, c := range found {
				ids = append(ids, c.ID)
			}
			return ids
		}
		for what, c := range map[string]struct {
			of   identity.ConfirmationsOf
			want []identity.ConfirmationID
		}{
			"all":             {identity.ConfirmationsOf{}, []identity.ConfirmationID{early.ID, late.ID}},
			"one":             {identity.ConfirmationsOf{Limit: 1}, []identity.ConfirmationID{early.ID}},
			"of an employer":  {identity.ConfirmationsOf{Organisation: other.Organisation}, []identity.ConfirmationID{late.ID}},
			"of a check":      {identity.ConfirmationsOf{Check: early.Check.ID}, []identity.ConfirmationID{early.ID}},
			"by its ID":       {identity.ConfirmationsOf{ID: late.ID}, []identity.ConfirmationID{late.ID}},
			"after one":       {identity.ConfirmationsOf{AfterAsked: early.Asked, After: early.ID}, []identity.ConfirmationID{late.ID}},
			"after the last":  {identity.ConfirmationsOf{AfterAsked: late.Asked, After: late.ID}, nil},
			"whose check was": {identity.ConfirmationsOf{ID: over.ID}, nil},
		} {
			if got := list(c.of); len(got) != len(c.want) || len(got) > 0 && (got[0] != c.want[0] || got[len(got)-1] != c.want[len(c.want)-1]) {
				t.Errorf("%s: %v, want %v", what, got, c.want)
			}
		}
		err := s.Change(t.Context(), func(tx identity.Tx) error {
			got, err := tx.Confirmation(early.ID)
			if err == nil && got != early {
				t.Errorf("got  %+v\nwant %+v", got, early)
			}
			return err
		})
		must(t, err)

		confirm := func(id identity.ConfirmationID) (done bool) {
			t.Helper()
			must(t, s.Change(t.Context(), func(tx identity.Tx) (err error) {
				done, err = tx.Confirm(id, other.ID, noon)
				return err
			}))
			return done
		}
		spend := func(check identity.CheckID, act identity.Right, reason string) (by identity.UserID, err error) {
			err = s.Change(t.Context(), func(tx identity.Tx) (err error) {
				by, err = tx.SpendConfirmation(check, act, reason)
				return err
			})
			return by, err
		}
		if _, err := spend(early.Check.ID, early.Act, "r"); err == nil {
			t.Error("spent before it was confirmed")
		}
		if !confirm(early.ID) || confirm(early.ID) || confirm("nothing") {
			t.Error("confirmed other than once")
		}
		if got := list(identity.ConfirmationsOf{Waiting: true}); len(got) != 1 || got[0] != late.ID {
			t.Errorf("what waits: %v", got)
		}
		end := func(f func(tx identity.Tx) (bool, error)) (done bool) {
			t.Helper()
			must(t, s.Change(t.Context(), func(tx identity.Tx) (err error) {
				done, err = f(tx)
				return err
			}))
			return done
		}
		refuse := func(id identity.ConfirmationID) bool {
			return end(func(tx identity.Tx) (bool, error) { return tx.RefuseConfirmation(id, other.ID, "no", noon) })
		}
		withdraw := func(id identity.ConfirmationID) bool {
			return end(func(tx identity.Tx) (bool, error) { return tx.WithdrawConfirmation(id) })
		}
		if refuse(early.ID) || withdraw(early.ID) || refuse("nothing") || withdraw("nothing") {
			t.Error("refused or withdrawn when it waited no more")
		}
		refused := confirmation(t, s, u, identity.LinkingCodeIssue, noon.Add(-time.Second))
		if !refuse(refused.ID) || refuse(refused.ID) || withdraw(refused.ID) || confirm(refused.ID) {
			t.Error("refused other than once")
		}
		if _, err := spend(refused.Check.ID, refused.Act, "r"); err == nil {
			t.Error("spent though it was refused")
		}
		refused.RefusedBy, refused.Refused, refused.Refusal = other.ID, noon.UTC(), "no"
		if got, err := s.Confirmations(t.Context(), identity.ConfirmationsOf{ID: refused.ID}, noon); err != nil || len(got) != 1 || got[0] != refused {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, refused)
		}
		withdrawn := confirmation(t, s, u, identity.AuthenticatorRemove, noon.Add(-time.Second))
		if !withdraw(withdrawn.ID) || withdraw(withdrawn.ID) || confirm(withdrawn.ID) {
			t.Error("withdrawn other than once")
		}
		if got := list(identity.ConfirmationsOf{Waiting: true}); len(got) != 1 || got[0] != late.ID {
			t.Errorf("what waits then: %v", got)
		}
		for what, err := range map[string]error{
			"another reason": func() error { _, err := spend(early.Check.ID, early.Act, "q"); return err }(),
			"another act":    func() error { _, err := spend(early.Check.ID, late.Act, "r"); return err }(),
			"another check":  func() error { _, err := spend(late.Check.ID, early.Act, "r"); return err }(),
		} {
			if err == nil {
				t.Errorf("%s: spent", what)
			}
		}
		if by, err := spend(early.Check.ID, early.Act, "r"); err != nil || by != other.ID {
			t.Errorf("spent: %s, %v", by, err)
		}
		if _, err := spend(early.Check.ID, early.Act, "r"); err == nil {
			t.Error("spent twice")
		}
		must(t, s.Sweep(t.Context(), noon.Add(identity.CheckLasts+time.Second)))
		if err := s.Change(t.Context(), func(tx identity.Tx) error { _, err := tx.Confirmation(late.ID); return err }); err == nil {
			t.Error("what is over is never swept")
		}
	})
}
