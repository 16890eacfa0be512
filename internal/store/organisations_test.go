package store_test

import (
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
)

func TestOrganisationComesBackAsItWasSaved(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax", identity.MethodCard, identity.MethodToken)
		o.Created = utc(o.Created)
		got, err := s.Organisation(t.Context(), "tax")
		must(t, err)
		if got != o {
			t.Errorf("got  %+v\nwant %+v", got, o)
		}
		o.Name, o.Methods, o.PersonalPhones, o.SharedWorkstations, o.Delivery, o.ITContact = "Vero", identity.Methods(identity.MethodApp), false, false, identity.ByLetter, ""
		o.Disabled = noon.Add(time.Hour).UTC()
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveOrganisation(o) }))
		o.Version++
		if got, err = s.Organisation(t.Context(), "tax"); err != nil || got != o {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, o)
		}
	})
}

// An organisation from before there was a rule for cards has the strict one.
func TestAnOrganisationWithoutAHolderRule(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := organisation("old")
		o.HolderRule = ""
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddOrganisation(o) }))
		if got, err := s.Organisation(t.Context(), "old"); err != nil || got.HolderRule != identity.HolderApproved {
			t.Errorf("%q %v", got.HolderRule, err)
		}
	})
}

func TestOrganisationsAreListedByName(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for id, name := range map[string]string{"a": "zeta", "b": "Beta", "c": "alpha"} {
			o := organisation(id)
			o.Name = name
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddOrganisation(o) }))
		}
		list, err := s.Organisations(t.Context())
		must(t, err)
		if len(list) != 3 || list[0].Name != "alpha" || list[1].Name != "Beta" || list[2].Name != "zeta" {
			t.Errorf("got %+v", list)
		}
	})
}

func TestOrganisationsRefuse(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax")
		_, err := s.Organisation(t.Context(), "nobody")
		wantFault(t, err, fault.NotFound, "organisation_not_found")
		inside := func(f func(tx identity.Tx) error) error { return s.Change(t.Context(), f) }

		wantFault(t, inside(func(tx identity.Tx) error { return tx.AddOrganisation(o) }), fault.Conflict, "organisation_exists")
		wantFault(t, inside(func(tx identity.Tx) error { _, err := tx.Organisation("nobody"); return err }), fault.NotFound, "organisation_not_found")
		old := o
		old.Version--
		wantFault(t, inside(func(tx identity.Tx) error { return tx.SaveOrganisation(old) }), fault.Conflict, "changed_meanwhile")
		wantFault(t, inside(func(tx identity.Tx) error { return tx.SaveOrganisation(organisation("nobody")) }), fault.NotFound, "organisation_not_found")

		o.Methods = 0 // S5: never empty, whoever forgets to check
		if err := inside(func(tx identity.Tx) error { return tx.SaveOrganisation(o) }); err == nil {
			t.Error("an organisation without a method was saved")
		}
	})
}

func TestOneOfManySavesOfOneVersionWins(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		o := addOrganisation(t, s[0], "tax")
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error { return tx.SaveOrganisation(o) })
		})
		if n := tally(t, errs); n[""] != 1 || n["changed_meanwhile"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}

// Reads inside a change lock: nobody who reads and then saves finds the version
// another one meanwhile.
func TestReadsOfAChangeLockTheirRow(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error {
				if i%4 < 2 {
					o, err := tx.Organisation(u.Organisation)
					if err != nil {
						return err
					}
					return tx.SaveOrganisation(o)
				}
				p, err := tx.Person(u.ID)
				if err != nil {
					return err
				}
				return tx.SaveUser(p.User)
			})
		})
		if n := tally(t, errs); n[""] != 50 {
			t.Errorf("got %v, want 50 successes", n)
		}
		p := person(t, s[0], u.ID)
		if p.User.Version+p.Organisation.Version != 52 {
			t.Errorf("versions %d and %d: a save was lost", p.User.Version, p.Organisation.Version)
		}
	})
}

// A planned change comes back as it was saved, and counts from its time on in every
// read; while it is to come, nothing else does.
func TestAPlanIsKeptWithItsOrganisation(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax", identity.MethodCard, identity.MethodToken)
		o.Created = utc(o.Created)
		o.SessionIdle, o.SessionAbsolute, o.ResponsibleContact, o.SupportPhone, o.SupportHours = 10*time.Minute, 8*time.Hour, "responsible@example.org", "09 123", "8–16"
		for from, begun := range map[time.Time]bool{noon.Add(time.Second): false, noon: true, noon.Add(-time.Hour): true} {
			plan := identity.Plan{Policy: identity.Policy{Methods: identity.Methods(identity.MethodApp), ITContact: "new"}, From: from.UTC(), Was: o.Methods, By: "user:x", Made: noon.UTC()}
			o.Planned = plan
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveOrganisation(o) }))
			o.Version++
			want := o
			if begun {
				want = o.With(plan.Policy)
			}
			if got, err := s.Organisation(t.Context(), "tax"); err != nil || got != want {
				t.Errorf("from %v:\ngot  %+v, %v\nwant %+v", from, got, err, want)
			}
			due, err := s.DuePlans(t.Context(), noon, 10)
			if must(t, err); (len(due) == 1) != begun {
				t.Errorf("from %v: due %v", from, due)
			}
		}
		o.Planned.Policy.Methods = 0
		if err := s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveOrganisation(o) }); err == nil {
			t.Error("a plan without a method was saved")
		}
	})
}

// Of fifty who go on with a notice, one does.
func TestAPolicyNoticeIsMovedByOne(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		addOrganisation(t, s[0], "tax")
		n := identity.PolicyNotice{ID: "n1", Organisation: "tax", Before: 7, After: 1, From: noon.UTC(), Made: noon.UTC()}
		must(t, s[0].Change(t.Context(), func(tx identity.Tx) error { return tx.AddPolicyNotice(n) }))
		for _, over := range []bool{false, true} {
			list, err := s[1].PolicyNotices(t.Context())
			if must(t, err); len(list) != 1 || list[0] != n {
				t.Fatalf("listed %+v, want %+v", list, n)
			}
			moved := make([]bool, 50)
			for _, err := range race(50, func(i int) error {
				return s[i%2].Change(t.Context(), func(tx identity.Tx) (err error) {
					moved[i], err = tx.MovePolicyNotice(n, "aino", over)
					return err
				})
			}) {
				must(t, err)
			}
			won := 0
			for _, m := range moved {
				if m {
					won++
				}
			}
			if won != 1 {
				t.Errorf("over %v: %d moved it", over, won)
			}
			n.Told = "aino"
		}
		if list, err := s[0].PolicyNotices(t.Context()); err != nil || len(list) != 0 {
			t.Errorf("left %+v, %v", list, err)
		}
	})
}
