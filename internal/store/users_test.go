package store_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

func TestPersonIsReadWithEverything(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax")
		u := user(o.ID, "Aino.Virtanen")
		u.Claims = identity.Claims{Nickname: "Ainu", EmailVerified: true, Address: identity.Address{Formatted: "Katu 1\nKylä"}}
		u.Roles, u.Updated = identity.RolesOf(identity.RoleOperator), noon.Add(time.Hour)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddUser(u, password) }))
		bare := person(t, s, u.ID)
		if bare.Card != nil || bare.Authenticator != nil {
			t.Errorf("a new user has links: %+v", bare)
		}
		c, a := card(u.ID, "f1"), authenticator(u.ID)
		a.BlockedUntil, a.Failures = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC), 7
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			if err := tx.AddCardLink(c); err != nil {
				return err
			}
			return tx.AddAuthenticator(a)
		}))
		o.Created, u.Created, u.Updated = utc(o.Created), utc(u.Created), utc(u.Updated)
		c.Linked, c.NotAfter, a.Linked = utc(c.Linked), utc(c.NotAfter), utc(a.Linked)
		pw := password
		pw.Expires, pw.Changed = utc(pw.Expires), utc(pw.Changed)
		want := identity.Person{User: u, Organisation: o, Password: pw, Card: &c, Authenticator: &a}

		got := person(t, s, u.ID)
		byName, err := s.PersonByName(t.Context(), identity.FoldUsername("AINO.virtanen"))
		must(t, err)
		var inside identity.Person
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { inside, err = tx.Person(u.ID); return err }))
		for _, p := range []identity.Person{got, byName, inside} {
			if !reflect.DeepEqual(p, want) {
				t.Errorf("got  %+v\nwant %+v", p, want)
			}
		}
		account, err := s.Account(t.Context(), u.ID)
		must(t, err)
		if want.Card, want.Authenticator = nil, nil; !reflect.DeepEqual(account, want) {
			t.Errorf("got  %+v\nwant %+v", account, want)
		}
		if _, err := s.Account(t.Context(), "nobody"); !fault.Is(err, fault.NotFound) {
			t.Errorf("nobody's account: %v", err)
		}
	})
}

// Rows from before there were claims, and those that the program before still adds
// during an update of replicas, read as of somebody of whom no more is known.
func TestRowsWithoutClaimsAreRead(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, db := connect(t, c), raw(t, c)
		u := someone(t, s)
		_, err := db.ExecContext(t.Context(), `insert into users (id, username, username_folded, organisation, given_name, family_name, email, language,
			created, epoch, version, password_hash, password_temporary)
			select 'old', 'old', 'old', organisation, given_name, family_name, email, language, created, epoch, version, password_hash, password_temporary
			from users where id = '`+string(u.ID)+"'")
		must(t, err)
		got := person(t, s, "old").User
		if got.Claims != (identity.Claims{}) || got.Roles != 0 || !got.Updated.Equal(noon) || !got.Created.Equal(noon) {
			t.Errorf("got %+v", got)
		}
		got.Claims.Nickname = "Vanha"
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveUser(got) }))
		got.Claims, got.Version = identity.Claims{}, 2
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveUser(got) }))
		var bare int
		must(t, db.QueryRowContext(t.Context(), "select count(*) from users where id = 'old' and version = 3 and claims is null").Scan(&bare))
		if bare != 1 {
			t.Errorf("forgotten claims are not null again")
		}
	})
}

func TestPeopleAreListedByUsername(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		a, b := addOrganisation(t, s, "a"), addOrganisation(t, s, "b")
		var inA []identity.UserID
		for _, name := range []string{"Cecilia", "anna", "Bertil"} {
			u := addUser(t, s, a.ID, name)
			inA = append(inA, u.ID)
		}
		addUser(t, s, b.ID, "aaron")
		names := func(org identity.OrganisationID) (names []string) {
			people, err := s.People(t.Context(), org)
			must(t, err)
			for _, p := range people {
				names = append(names, p.User.Username)
			}
			return names
		}
		if got := names("a"); !reflect.DeepEqual(got, []string{"anna", "Bertil", "Cecilia"}) {
			t.Errorf("of a: %v", got)
		}
		if got := names(""); !reflect.DeepEqual(got, []string{"aaron", "anna", "Bertil", "Cecilia"}) {
			t.Errorf("of all: %v", got)
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			got, err := tx.PeopleOf("a")
			if len(got) != len(inA) {
				t.Errorf("PeopleOf gave %v, want %v", got, inA)
			}
			return err
		}))
	})
}

// S9, S13: one username, one account, however it is written.
func TestUsernamesAreUniqueAsTheyAreCompared(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o, other := addOrganisation(t, s, "tax"), addOrganisation(t, s, "customs")
		addUser(t, s, o.ID, "Päivi")
		free := addUser(t, s, o.ID, "free")
		for _, name := range []string{"Päivi", "PÄIVI", "pa\u0308ivi", "PA\u0308IVI"} {
			err := s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddUser(user(other.ID, name), password) })
			wantFault(t, err, fault.Conflict, "username_taken")
			moved := free
			moved.Username = name
			err = s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveUser(moved) })
			wantFault(t, err, fault.Conflict, "username_taken")
		}
	})
}

func TestOneOfManyUsersGetsAUsername(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		o := addOrganisation(t, s[0], "tax")
		names := []string{"Päivi", "PÄIVI", "pa\u0308ivi"}
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error { return tx.AddUser(user(o.ID, names[i%3]), password) })
		})
		if n := tally(t, errs); n[""] != 1 || n["username_taken"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}

func TestSaveUserLeavesStandingAlone(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			if err := tx.NoteSignIn(u.ID); err != nil {
				return err
			}
			return tx.EndSessions(u.ID, "kept")
		}))
		change := u
		change.Epoch, change.KeptSession, change.SignedIn, change.Created = 77, "mine", noon.AddDate(1, 0, 0), noon.AddDate(1, 0, 0)
		change.Username, change.GivenName, change.FamilyName, change.Email, change.Language, change.Disabled = "Other", "B", "C", "", "sv", noon
		change.Claims, change.Roles, change.Updated = identity.Claims{Birthdate: "1980"}, 0, noon.Add(time.Hour)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveUser(change) }))
		got := person(t, s, u.ID)
		want := change
		want.Epoch, want.KeptSession, want.SignedIn, want.Created, want.Disabled, want.Updated, want.Version = 2, "kept", noon.UTC(), noon.UTC(), noon.UTC(), change.Updated.UTC(), 2
		if got.User != want {
			t.Errorf("got  %+v\nwant %+v", got.User, want)
		}
		if got.Password.Hash != password.Hash {
			t.Error("SaveUser touched the password")
		}
	})
}

func TestOneOfManySavesOfAUserWins(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		errs := race(50, func(i int) error {
			return s[i%2].Change(t.Context(), func(tx identity.Tx) error {
				u := u
				u.GivenName = fmt.Sprint(i)
				return tx.SaveUser(u)
			})
		})
		if n := tally(t, errs); n[""] != 1 || n["changed_meanwhile"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}

// S14: the first full sign-in is noted once.
func TestOnlyTheFirstSignInIsNoted(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		if p := person(t, s, u.ID); !p.User.SignedIn.IsZero() {
			t.Fatalf("signed in before: %v", p.User.SignedIn)
		}
		for range 2 {
			must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.NoteSignIn(u.ID) }))
		}
		if p := person(t, s, u.ID); !p.User.SignedIn.Equal(noon) {
			t.Errorf("signed in at %v, want %v", p.User.SignedIn, noon)
		}
	})
}

func TestPasswordIsReplacedWhole(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		own := identity.Password{Hash: "$argon2id$other", Changed: noon.Add(time.Minute).UTC()}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SetPassword(u.ID, own) }))
		if got := person(t, s, u.ID).Password; got != own {
			t.Errorf("got %+v, want %+v", got, own)
		}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SetPassword(u.ID, identity.Password{}) }))
		if got := person(t, s, u.ID).Password; got != (identity.Password{}) {
			t.Errorf("got %+v, want none", got)
		}
	})
}

func TestUnknownUsersAreNotFound(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		_, err := s.Person(t.Context(), "nobody")
		wantFault(t, err, fault.NotFound, "user_not_found")
		_, err = s.PersonByName(t.Context(), "nobody")
		wantFault(t, err, fault.NotFound, "user_not_found")
		for name, f := range map[string]func(tx identity.Tx) error{
			"Person":       func(tx identity.Tx) error { _, err := tx.Person("nobody"); return err },
			"SaveUser":     func(tx identity.Tx) error { return tx.SaveUser(user("tax", "nobody")) },
			"SetPassword":  func(tx identity.Tx) error { return tx.SetPassword("nobody", password) },
			"NoteSignIn":   func(tx identity.Tx) error { return tx.NoteSignIn("nobody") },
			"EndSessions":  func(tx identity.Tx) error { return tx.EndSessions("nobody", "") },
			"AddCardLink":  func(tx identity.Tx) error { return tx.AddCardLink(card("nobody", "f")) },
			"Authenticate": func(tx identity.Tx) error { return tx.AddAuthenticator(authenticator("nobody")) },
		} {
			t.Run(name, func(t *testing.T) {
				wantFault(t, s.Change(t.Context(), f), fault.NotFound, "user_not_found")
			})
		}
	})
}
