package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// An event and the letter that tells of it are there together, or neither is.
func TestAnEventAndItsLettersAreOne(t *testing.T) { // S59
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		sealing := errors.New("the key is away")
		broken := false
		s := storetest.Connect(t, c, func(d *store.Deps) {
			d.Seal = func(plain []byte, aad string) (string, error) {
				if broken {
					return "", sealing
				}
				return storetest.Seal(plain, aad)
			}
		})
		u := someone(t, s)
		letter := mail.Letter{To: "a@example.fi", Language: "fi", Template: mail.ConsentGiven}
		event := func(what audit.Type) audit.Event {
			return audit.Event{Type: what, Actor: "user:" + string(u.ID), User: string(u.ID)}
		}
		acts := map[string]func() error{
			"tell": func() error { return s.Tell(t.Context(), event(audit.DeviceAllowed), letter, letter) },
			"consent": func() error {
				return s.SaveConsent(t.Context(), consent(u, "rp"), event(audit.ConsentGiven), letter)
			},
		}
		count := func() (events, letters int) {
			t.Helper()
			trail, err := s.AuditEvents(t.Context(), store.Trail{User: string(u.ID)})
			must(t, err)
			queued, err := s.LeaseLetters(t.Context(), 10, time.Now().Add(time.Hour), time.Nanosecond)
			must(t, err)
			return len(trail), len(queued)
		}
		broken = true
		for name, act := range acts {
			if err := act(); !errors.Is(err, sealing) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := s.Consent(t.Context(), string(u.ID), "rp"); !fault.Is(err, fault.NotFound) {
			t.Errorf("a consent without its letter: %v", err)
		}
		if events, letters := count(); events != 0 || letters != 0 {
			t.Errorf("%d events and %d letters of what has failed", events, letters)
		}
		broken = false
		for _, act := range acts {
			must(t, act())
		}
		if events, letters := count(); events != 2 || letters != 3 {
			t.Errorf("%d events, %d letters", events, letters)
		}
		must(t, s.Tell(t.Context(), event(audit.DeviceDenied)))
		if events, letters := count(); events != 3 || letters != 3 {
			t.Errorf("without a letter: %d events, %d letters", events, letters)
		}
	})
}

// Of fifty who take somebody to whom a letter is owed, one does; what was not
// withdrawn is owed to nobody, and goes when the change has come.
func TestWhoWasToldOfAPolicy(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		addOrganisation(t, s[0], "tax")
		u := someone(t, s[0])
		from := noon.Add(48 * time.Hour).UTC()
		change := func(f func(tx identity.Tx) error) { t.Helper(); must(t, s[0].Change(t.Context(), f)) }
		told := identity.PolicyTold{ID: "t1", Organisation: "tax", From: from, User: u.ID}
		owed := func() []identity.PolicyTold {
			t.Helper()
			list, err := s[1].WithdrawalsToTell(t.Context(), 10)
			must(t, err)
			return list
		}
		change(func(tx identity.Tx) error { return tx.AddPolicyTold(told) })
		change(func(tx identity.Tx) error { return tx.WithdrawPolicyTold("tax", from.Add(time.Second), noon) })
		if list := owed(); len(list) != 0 {
			t.Errorf("another plan was withdrawn: %+v", list)
		}
		change(func(tx identity.Tx) error { return tx.WithdrawPolicyTold("tax", from, noon) })
		change(func(tx identity.Tx) error { return tx.DropPolicyTold("tax", from) })
		if list := owed(); len(list) != 1 || list[0] != told {
			t.Fatalf("owed %+v, want %+v", list, told)
		}
		taken := make([]bool, 50)
		for _, err := range race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) (err error) {
				taken[i], err = tx.TakePolicyTold(told.ID)
				return err
			})
		}) {
			must(t, err)
		}
		n := 0
		for _, won := range taken {
			if won {
				n++
			}
		}
		if n != 1 || len(owed()) != 0 {
			t.Errorf("%d have taken it, %d are owed still", n, len(owed()))
		}

		change(func(tx identity.Tx) error { return tx.AddPolicyTold(told) })
		change(func(tx identity.Tx) error { return tx.DropPolicyTold("tax", from) })
		change(func(tx identity.Tx) error { return tx.WithdrawPolicyTold("tax", from, noon) })
		if list := owed(); len(list) != 0 {
			t.Errorf("withdrawn after it had come: %+v", list)
		}
		change(func(tx identity.Tx) error { return tx.AddPolicyTold(told) })
		must(t, s[0].Sweep(t.Context(), from.Add(29*24*time.Hour)))
		change(func(tx identity.Tx) error { return tx.WithdrawPolicyTold("tax", from, noon) })
		if len(owed()) != 1 {
			t.Error("swept too soon")
		}
		must(t, s[0].Sweep(t.Context(), from.Add(31*24*time.Hour)))
		if list := owed(); len(list) != 0 {
			t.Errorf("not swept: %+v", list)
		}
	})
}
