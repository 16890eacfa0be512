package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

var (
	givenNames  = []string{"Aino", "Matti", "Maija", "Östen", "Liisa", "Pekka", "Kaarina", "Juhani", "Anna-Liisa", "Olavi", "Åsa", "Mikko", "Helena", "Veikko", "Johanna", "Tapio"}
	familyStems = []string{"Virta", "Mäke", "Lahde", "Niemi", "Korho", "Hämälä", "Laine", "Koski", "Järvi", "Saari", "Salo", "Heikki", "Rauta", "Tuomi", "Lind", "Berg"}
	familyEnds  = []string{"nen", "lä", "la", "kangas", "maa", "ström", "qvist", "niemi", "vuori", "ranta"}
)

// crowd adds n people to organisations of a tenth of them each but the first,
// which has half. One in five has a card, one in two an authenticator.
func crowd(t testing.TB, s *store.Store, n int) {
	t.Helper()
	for i := range 6 {
		addOrganisation(t, s, fmt.Sprint("org", i), identity.AllMethods...)
	}
	const atOnce = 1000
	for from := 0; from < n; from += atOnce {
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			for i := from; i < min(n, from+atOnce); i++ {
				given, family := givenNames[i*7%len(givenNames)], familyStems[i*5%len(familyStems)]+familyEnds[i/16%len(familyEnds)]
				u := user(identity.OrganisationID(fmt.Sprint("org", max(0, i%10-4))), fmt.Sprintf("%s%05d", identity.FoldUsername(family)[:3], i))
				u.GivenName, u.FamilyName, u.Email = given, family, fmt.Sprintf("person.%05d@agency.example", i)
				pw := password
				pw.Temporary = i%50 == 0
				if i%97 == 0 {
					u.Disabled = noon
				}
				if err := tx.AddUser(u, pw); err != nil {
					return err
				}
				if i%5 == 0 {
					if err := tx.AddCardLink(cardUntil(u.ID, noon.AddDate(0, i%60, 1))); err != nil {
						return err
					}
				}
				if i%2 == 1 || i%100 != 2 {
					if err := tx.AddAuthenticator(authenticator(u.ID)); err != nil {
						return err
					}
				}
			}
			return nil
		}))
	}
}

// BenchmarkPeople is a page of a list among 100,000 people: the target is 200 ms
// of the server's time for everything that a page shows.
func BenchmarkPeople(b *testing.B) {
	for _, driver := range storetest.Drivers {
		b.Run(driver, func(b *testing.B) {
			c := storetest.Config(b, driver)
			c.Timeout = time.Minute // of a thousand people at once
			s := connect(b, c)
			crowd(b, s, 100_000)
			for _, org := range []identity.OrganisationID{"", "org0", "org5"} {
				for name, q := range map[string]identity.Search{
					"first page":  {},
					"middle page": {After: "lai"},
					"one":         {Text: "person.04711"},
					"rare name":   {Text: "lindström åsa"},
					"letter":      {Text: "m"},
					"two letters": {Text: "k v"},
					"nobody":      {Text: "m xyzzy"},
					"no meeting":  {Text: "person osten aino"},
					"unlinked":    {View: identity.ViewUnlinked},
					"expiring":    {View: identity.ViewExpiring},
					"unused":      {View: identity.ViewUnused},
					"blocked":     {View: identity.ViewBlocked},
					"disabled":    {View: identity.ViewDisabled, Text: "m"},
				} {
					q.Organisation, q.Limit = org, identity.PageSize+1
					b.Run(fmt.Sprintf("%s/%s", org, name), func(b *testing.B) {
						defer reportCPU(b)()
						for b.Loop() {
							_, err := s.FindPeople(b.Context(), q, noon)
							must(b, err)
						}
					})
				}
				b.Run(fmt.Sprintf("%s/counts", org), func(b *testing.B) {
					defer reportCPU(b)()
					for b.Loop() {
						_, err := s.CountPeople(b.Context(), org, noon)
						must(b, err)
					}
				})
			}
		})
	}
}
