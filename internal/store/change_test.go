package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// everything does one thing of each kind.
func everything(u identity.User, aid identity.AuthenticatorID) func(tx identity.Tx) error {
	return func(tx identity.Tx) error {
		if err := tx.AddOrganisation(organisation("new")); err != nil {
			return err
		}
		if err := tx.AddUser(user("new", "new"), password); err != nil {
			return err
		}
		if err := tx.SetPassword(u.ID, identity.Password{Hash: "new"}); err != nil {
			return err
		}
		if err := tx.AddCardLink(card(u.ID, "new")); err != nil {
			return err
		}
		if _, err := tx.UseStep(aid, 5000, 3); err != nil {
			return err
		}
		if err := tx.EndSessions(u.ID, ""); err != nil {
			return err
		}
		if err := tx.Record(audit.Event{Type: audit.PasswordOrdered, User: string(u.ID)}); err != nil {
			return err
		}
		return tx.Send(mail.Letter{To: u.Email, Template: mail.PasswordOrdered})
	}
}

// S54: crash injected between steps leaves all or nothing.
func TestChangeIsAllOrNothing(t *testing.T) {
	own := errors.New("f's own error")
	refusal := fault.New(fault.Denied, "not_allowed", "No.")
	for name, end := range map[string]func() error{
		"error": func() error { return own },
		"fault": func() error { return refusal },
		"panic": func() error { panic(own) },
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s *store.Store) {
				u := someone(t, s)
				a := addAuthenticator(t, s, u.ID)
				addClient(t, s, client("rp"))
				_, at := issue(t, s, u, "rp", "sid")
				before := person(t, s, u.ID)

				err := func() (err error) {
					defer func() {
						if r := recover(); r != nil {
							err = r.(error)
						}
					}()
					return s.Change(t.Context(), func(tx identity.Tx) error {
						must(t, everything(u, a.ID)(tx))
						return end()
					})
				}()
				if err != own && err != refusal {
					t.Errorf("got %v, want f's error as it is", err)
				}
				_, err = s.Organisation(t.Context(), "new")
				wantFault(t, err, fault.NotFound, "organisation_not_found")
				after := person(t, s, u.ID)
				if after.User != before.User || after.Password != before.Password || after.Card != nil || *after.Authenticator != *before.Authenticator {
					t.Errorf("before %+v\nafter  %+v", before, after)
				}
				if !lives(t, s, at) {
					t.Error("a grant was revoked")
				}
				if events, err := s.AuditEvents(t.Context(), store.Trail{User: string(u.ID)}); err != nil || len(events) != 0 {
					t.Errorf("events: %v, %v", events, err)
				}
				if letters, err := s.LeaseLetters(t.Context(), 10, noon, time.Minute); err != nil || len(letters) != 0 {
					t.Errorf("letters: %v, %v", letters, err)
				}
				if notices, err := s.LeaseLogouts(t.Context(), 10, noon, time.Minute); err != nil || len(notices) != 0 {
					t.Errorf("notices: %v, %v", notices, err)
				}

				must(t, s.Change(t.Context(), everything(u, a.ID))) // the store is none the worse
				if after = person(t, s, u.ID); after.Card == nil || after.Password.Hash != "new" || after.User.Epoch != 2 {
					t.Errorf("not everything was committed: %+v", after)
				}
				if lives(t, s, at) {
					t.Error("the grant outlived its session")
				}
			})
		})
	}
}

// What PostgreSQL refuses to commit after a failed statement, SQLite does not
// commit either, even when f lets the error drop.
func TestNothingIsCommittedAfterAFailedStatement(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax")
		err := s.Change(t.Context(), func(tx identity.Tx) error {
			must(t, tx.AddOrganisation(organisation("new")))
			broken := o
			broken.Methods = 8 // against a check of the table
			if err := tx.SaveOrganisation(broken); err == nil {
				t.Error("methods 8 were saved")
			}
			return nil
		})
		if _, ok := fault.Of(err); err == nil || ok {
			t.Errorf("got %v, want the statement's error", err)
		}
		_, err = s.Organisation(t.Context(), "new")
		wantFault(t, err, fault.NotFound, "organisation_not_found")
	})
}

// A refusal is an answer, and the change may go on after it.
func TestAChangeGoesOnAfterAConflict(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "tax")
		addUser(t, s, o.ID, "aino")
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			wantFault(t, tx.AddUser(user(o.ID, "Aino"), password), fault.Conflict, "username_taken")
			wantFault(t, tx.AddOrganisation(o), fault.Conflict, "organisation_exists")
			return tx.AddUser(user(o.ID, "aino2"), password)
		}))
		_, err := s.PersonByName(t.Context(), "aino2")
		must(t, err)
	})
}

// performance.md 0.9: writers queue; none sees "database is locked". The second
// store is what another process with the file open is.
func TestManyWritersNeverFindTheDatabaseLocked(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		u := someone(t, s[0])
		a := addAuthenticator(t, s[0], u.ID)
		errs := race(100, func(i int) error {
			switch i % 4 {
			case 0:
				return s[i%2].Record(t.Context(), audit.Event{Type: audit.SignInRefused, User: string(u.ID)})
			case 1:
				_, err := s[i%2].Person(t.Context(), u.ID)
				return err
			default:
				return s[i%2].Change(t.Context(), func(tx identity.Tx) error {
					if _, err := tx.FailCode(a.ID); err != nil {
						return err
					}
					return tx.Record(audit.Event{Type: audit.SignInRefused, User: string(u.ID)})
				})
			}
		})
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		events, err := s[1].AuditEvents(t.Context(), store.Trail{User: string(u.ID), Limit: 1000})
		if p := person(t, s[0], u.ID); err != nil || len(events) != 75 || p.Authenticator.Failures != 50 {
			t.Errorf("%d events, %d failures, %v: something was lost", len(events), p.Authenticator.Failures, err)
		}
	})
}

func TestALeavingCallerIsNoOutage(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Person(ctx, "anybody")
		if !errors.Is(err, context.Canceled) || fault.Is(err, fault.Unavailable) {
			t.Errorf("read: %v", err)
		}
		err = s.Change(ctx, func(tx identity.Tx) error { return tx.AddOrganisation(organisation("new")) })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("change: %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		err = s.Change(ctx, func(tx identity.Tx) error {
			must(t, tx.AddOrganisation(organisation("new")))
			cancel()
			return tx.AddUser(user("new", "new"), password)
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled half-way: %v", err)
		}
		_, err = s.Organisation(t.Context(), "new")
		wantFault(t, err, fault.NotFound, "organisation_not_found")
	})
}

// Letters hold temporary passwords: they are sealed at rest, bound to their ID.
func TestLettersAreSealed(t *testing.T) {
	const canary = "Canary-7-temporary-password"
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := connect(t, c)
		want := mail.Letter{To: "aino@example.org", Language: "fi", Template: mail.Welcome, Args: map[string]string{"password": canary}}
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.Send(want) }))
		letters, err := s.LeaseLetters(t.Context(), 10, noon, time.Minute)
		if err != nil || len(letters) != 1 || letters[0].ID == "" || !letters[0].Created.Equal(noon) {
			t.Fatalf("got %+v, %v", letters, err)
		}
		plain, err := storetest.Unseal(letters[0].Sealed, letters[0].ID)
		must(t, err)
		var got mail.Letter
		must(t, json.Unmarshal(plain, &got))
		want.ID = letters[0].ID
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
		if _, err := storetest.Unseal(letters[0].Sealed, "another"); err == nil {
			t.Error("the letter opens under another ID")
		}
		if c.Driver == store.SQLite {
			for _, file := range []string{c.Path, c.Path + "-wal"} {
				if b, err := os.ReadFile(file); err != nil || bytes.Contains(b, []byte(canary)) {
					t.Errorf("%s holds the password in clear (%v)", file, err)
				}
			}
		}
	})
}

func TestALetterThatCannotBeSealedStopsTheChange(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := storetest.Connect(t, c, func(d *store.Deps) {
			d.Seal = func([]byte, string) (string, error) { return "", errors.New("no key") }
		})
		err := s.Change(t.Context(), func(tx identity.Tx) error {
			must(t, tx.AddOrganisation(organisation("new")))
			_ = tx.Send(mail.Letter{})
			return nil
		})
		if err == nil {
			t.Error("the change was committed without its letter")
		}
		_, err = s.Organisation(t.Context(), "new")
		wantFault(t, err, fault.NotFound, "organisation_not_found")
	})
}
