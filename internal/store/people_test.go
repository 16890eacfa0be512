package store_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	cards "github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// named is a user whose names are told apart.
func named(t testing.TB, s *store.Store, org identity.OrganisationID, username, given, family, email string) identity.User {
	t.Helper()
	u := user(org, username)
	u.GivenName, u.FamilyName, u.Email = given, family, email
	must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddUser(u, password) }))
	return u
}

func find(t testing.TB, s *store.Store, q identity.Search) []string {
	t.Helper()
	if q.Limit == 0 {
		q.Limit = 500
	}
	list, err := s.FindPeople(t.Context(), q, noon)
	must(t, err)
	names := []string{}
	for _, p := range list {
		names = append(names, p.User.Username)
	}
	return names
}

func TestPeopleAreFoundAsTheyAreTyped(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		west, east := addOrganisation(t, s, "west"), addOrganisation(t, s, "east")
		named(t, s, west.ID, "matti.virtanen", "Matti", "Virtanen", "matti.virtanen@west.example")
		named(t, s, west.ID, "VirtMai04711", "Maija-Liisa", "Virtanen", "")
		named(t, s, west.ID, "makela", "Östen", "Mäkelä", "o.makela@west.example")
		named(t, s, east.ID, "m.virta", "Martti", "Virta", "m%_@east.example")
		for typed, want := range map[string]string{
			"":                    "m.virta makela matti.virtanen VirtMai04711",
			"virtanen m":          "matti.virtanen VirtMai04711",
			"M virtanen":          "matti.virtanen VirtMai04711",
			"virtanen, maija":     "VirtMai04711",
			"liisa":               "VirtMai04711",
			"maija-liisa":         "VirtMai04711",
			"04711":               "VirtMai04711",
			"virt":                "m.virta matti.virtanen VirtMai04711",
			"VIRTA":               "m.virta matti.virtanen VirtMai04711",
			"makela":              "makela",
			"MÄKELÄ osten":        "makela",
			"matti.virtanen@west": "matti.virtanen",
			"o.m":                 "makela",
			"%":                   "",
			"m%":                  "m.virta",
			"_":                   "",
			",":                   "",
			"' or 1=1 --":         "",
			"\x00":                "",
			"\xff":                "",
			"west":                "",
			"nobody virtanen":     "",
		} {
			if got := strings.Join(find(t, s, identity.Search{Text: typed}), " "); got != want {
				t.Errorf("%q finds %q, want %q", typed, got, want)
			}
		}
		for _, typed := range []string{"", "m", "virt", "martti"} {
			for _, name := range find(t, s, identity.Search{Organisation: west.ID, Text: typed}) {
				if name == "m.virta" {
					t.Errorf("%q finds somebody of another organisation", typed)
				}
			}
		}
		if got := find(t, s, identity.Search{Organisation: "west", Text: "martti"}); len(got) != 0 {
			t.Errorf("somebody else's person: %v", got)
		}
	})
}

// Whoever has changed names is found by the new ones and by the old ones no more.
func TestChangedNamesAreFound(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s, db := connect(t, c), raw(t, c)
		o := addOrganisation(t, s, "west")
		u := named(t, s, o.ID, "someone", "Aino", "Virtanen", "")
		u.FamilyName = "Lahti"
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.SaveUser(u) }))
		if got := find(t, s, identity.Search{Text: "virtanen"}); len(got) != 0 {
			t.Errorf("by the former name: %v", got)
		}
		if got := find(t, s, identity.Search{Text: "lahti aino"}); len(got) != 1 {
			t.Errorf("by the new name: %v", got)
		}
		// The program before knows nothing of words.
		_, err := db.ExecContext(t.Context(), "update users set family_name = 'Salo', version = version + 1")
		must(t, err)
		n, err := s.IndexPeople(t.Context(), 10)
		if must(t, err); n != 1 {
			t.Errorf("%d people to index, want 1", n)
		}
		if got := find(t, s, identity.Search{Text: "salo"}); len(got) != 1 || len(find(t, s, identity.Search{Text: "lahti"})) != 0 {
			t.Errorf("after indexing: %v", got)
		}
		if n, err = s.IndexPeople(t.Context(), 10); err != nil || n != 0 {
			t.Errorf("again: %d %v", n, err)
		}
	})
}

// A view has whom the rules of identity put there, whatever became of the links.
func TestViewsFollowTheLinks(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		cardsOnly := addOrganisation(t, s, "cards", identity.MethodCard)
		all := addOrganisation(t, s, "all")
		own := identity.Password{Hash: password.Hash, Changed: noon}
		links := map[string]func(tx identity.Tx, u identity.User) error{
			"none": func(identity.Tx, identity.User) error { return nil },
			"card": func(tx identity.Tx, u identity.User) error {
				return tx.AddCardLink(cardUntil(u.ID, noon.AddDate(3, 0, 0)))
			},
			"soon": func(tx identity.Tx, u identity.User) error {
				return tx.AddCardLink(cardUntil(u.ID, noon.AddDate(0, 0, 59)))
			},
			"over": func(tx identity.Tx, u identity.User) error { return tx.AddCardLink(cardUntil(u.ID, noon)) },
			"revoked": func(tx identity.Tx, u identity.User) error {
				l := cardUntil(u.ID, noon.AddDate(0, 0, 59))
				if err := tx.AddCardLink(l); err != nil {
					return err
				}
				_, err := tx.SetCardStatus(l, cards.WasRevoked, noon)
				return err
			},
			"reinstated": func(tx identity.Tx, u identity.User) error {
				l := cardUntil(u.ID, noon.AddDate(3, 0, 0))
				if err := tx.AddCardLink(l); err != nil {
					return err
				}
				if _, err := tx.SetCardStatus(l, cards.OnHold, noon); err != nil {
					return err
				}
				l.Status = cards.OnHold
				_, err := tx.SetCardStatus(l, "", noon)
				return err
			},
			"removed": func(tx identity.Tx, u identity.User) error {
				if err := tx.AddCardLink(cardUntil(u.ID, noon.AddDate(0, 0, 59))); err != nil {
					return err
				}
				_, err := tx.RemoveCardLink(u.ID, "order")
				return err
			},
			"app": func(tx identity.Tx, u identity.User) error { return tx.AddAuthenticator(authenticator(u.ID)) },
			"noapp": func(tx identity.Tx, u identity.User) error {
				if err := tx.AddAuthenticator(authenticator(u.ID)); err != nil {
					return err
				}
				_, err := tx.RemoveAuthenticator(u.ID, "desk")
				return err
			},
			"blocked": func(tx identity.Tx, u identity.User) error {
				a := authenticator(u.ID)
				if err := tx.AddAuthenticator(a); err != nil {
					return err
				}
				a.BlockedUntil = noon.Add(time.Hour)
				return tx.BlockCodes(a)
			},
		}
		for _, o := range []identity.Organisation{cardsOnly, all} {
			for _, name := range slices.Sorted(maps.Keys(links)) {
				for _, temporary := range []bool{false, true} {
					for _, state := range []string{"open", "frozen", "disabled"} {
						u, pw := user(o.ID, fmt.Sprintf("%s-%s-%t-%s", o.ID, name, temporary, state)), own
						switch state {
						case "disabled":
							u.Disabled = noon
						case "frozen":
							u.Frozen = noon
						}
						if pw.Temporary = temporary; temporary {
							pw.Expires = noon.Add(-time.Hour)
						}
						must(t, s.Change(t.Context(), func(tx identity.Tx) error {
							if err := tx.AddUser(u, pw); err != nil {
								return err
							}
							return links[name](tx, u)
						}))
					}
				}
			}
		}
		people, err := s.People(t.Context(), "")
		must(t, err)
		for _, org := range []identity.OrganisationID{"", "cards", "all", "nowhere"} {
			counts, err := s.CountPeople(t.Context(), org, noon)
			must(t, err)
			for _, v := range identity.Views {
				want := []string{}
				for _, p := range people {
					if (org == "" || p.User.Organisation == org) && p.In(v, noon) {
						want = append(want, p.User.Username)
					}
				}
				for _, text := range []string{"", "ai"} { // both plans
					if got := find(t, s, identity.Search{Organisation: org, View: v, Text: text}); !slices.Equal(got, want) {
						t.Errorf("view %q of %q with %q:\ngot  %v\nwant %v", v, org, text, got, want)
					}
				}
				if counts[v] != len(want) {
					t.Errorf("view %q of %q counts %d, want %d", v, org, counts[v], len(want))
				}
				if org == "" && len(want) == 0 {
					t.Errorf("nobody is in view %q: nothing was proved", v)
				}
			}
		}
	})
}

func cardUntil(u identity.UserID, ends time.Time) identity.CardLink {
	l := card(u, "f-"+string(u))
	l.NotAfter = ends
	return l
}

// Nobody is lost and nobody comes twice while others are added and changed between
// the pages.
func TestPagesNeitherLoseNorRepeat(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		o := addOrganisation(t, s, "west")
		var there []string
		for i := range 120 {
			there = append(there, addUser(t, s, o.ID, fmt.Sprintf("person%03d", i*2)).Username)
		}
		for _, text := range []string{"", "person", "aino virt"} {
			var busy sync.WaitGroup
			stop := make(chan struct{})
			busy.Go(func() {
				for n := range 150 { // an end, or the lists could grow faster than they are read
					select {
					case <-stop:
						return
					default:
						addUser(t, s, o.ID, fmt.Sprintf("person%03d-%s-%d", rand.IntN(240), strings.ReplaceAll(text, " ", ""), n))
					}
				}
			})
			var seen []string
			for after := ""; ; {
				page := find(t, s, identity.Search{Organisation: o.ID, Text: text, After: after, Limit: 7})
				if len(page) == 0 {
					break
				}
				seen = append(seen, page...)
				after = identity.FoldUsername(page[len(page)-1])
			}
			close(stop)
			busy.Wait()
			if !slices.IsSorted(seen) || len(slices.Compact(slices.Clone(seen))) != len(seen) {
				t.Errorf("%q: repeated or out of order: %v", text, seen)
			}
			for _, name := range there {
				if _, ok := slices.BinarySearch(seen, name); !ok {
					t.Errorf("%q: %s was lost", text, name)
				}
			}
		}
	})
}

func TestLastSignInIsTheTrails(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := someone(t, s)
		if last, err := s.LastSignIn(t.Context(), u.ID); err != nil || !last.IsZero() {
			t.Errorf("before the first: %v %v", last, err)
		}
		for i, typ := range []audit.Type{audit.SignInSucceeded, audit.SignInSucceeded, audit.SignInRefused} {
			must(t, s.Record(t.Context(), audit.Event{At: noon.Add(time.Duration(i) * time.Hour), Type: typ, User: string(u.ID)}))
		}
		if last, err := s.LastSignIn(t.Context(), u.ID); err != nil || !last.Equal(noon.Add(time.Hour)) {
			t.Errorf("got %v %v", last, err)
		}
	})
}

// No list reads all the people's rows, and none that nothing was typed for sorts
// them: it walks an index in the order of names and stops when the page is full.
func TestListsWalkAnIndex(t *testing.T) {
	s := connect(t, storetest.Config(t, store.SQLite))
	named(t, s, addOrganisation(t, s, "west").ID, "virtanen", "Aino", "Virtanen", "")
	for _, org := range []identity.OrganisationID{"", "west"} {
		for _, text := range []string{"", "virt", "virt aino"} {
			for _, v := range identity.Views {
				plan, err := store.PlanOfPeople(t.Context(), s, identity.Search{Organisation: org, Text: text, View: v, Limit: 50}, noon)
				must(t, err)
				for _, step := range plan {
					scans := strings.HasPrefix(step, "SCAN u") || strings.HasPrefix(step, "SCAN w") || strings.HasPrefix(step, "SCAN c") || strings.HasPrefix(step, "SCAN a")
					if scans && !strings.Contains(step, "USING") {
						t.Errorf("%q %q %q: %s", org, text, v, step)
					}
				}
				walk := "users_listed "
				if org != "" {
					walk = "users_listed_organisation "
				}
				if whole := strings.Join(plan, "\n"); text == "" && !strings.Contains(whole, walk) {
					t.Errorf("%q %q does not walk %s:\n%s", org, v, walk, whole)
				}
			}
		}
	}
}
