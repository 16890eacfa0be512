package storetest

import (
	"fmt"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
)

var (
	givenNames  = []string{"Aino", "Matti", "Maija", "Östen", "Liisa", "Pekka", "Kaarina", "Juhani", "Anna-Liisa", "Olavi", "Åsa", "Mikko", "Helena", "Veikko", "Johanna", "Tapio"}
	familyStems = []string{"Virta", "Mäke", "Lahde", "Niemi", "Korho", "Hämälä", "Laine", "Koski", "Järvi", "Saari", "Salo", "Heikki", "Rauta", "Tuomi", "Lind", "Berg"}
	familyEnds  = []string{"nen", "lä", "la", "kangas", "maa", "ström", "qvist", "niemi", "vuori", "ranta"}
)

// Crowd adds n people, half of them to CrowdHalf and a tenth to each of org1 to
// org5: usernames are the first letters of the family name and a number, e-mail is
// person.NNNNN@agency.example. One in five has a card, all
// but one in a hundred an authenticator, one in fifty an unused temporary password;
// one in 97 is disabled.
func Crowd(t testing.TB, s *store.Store, now time.Time, n int) {
	t.Helper()
	const atOnce = 1000
	change := func(f func(tx identity.Tx) error) {
		if err := s.Change(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx identity.Tx) error {
		for i := range 6 {
			o := identity.Organisation{ID: crowdOrganisation(i), Name: fmt.Sprint("Organisation ", i), Methods: identity.MethodsOf(identity.AllMethods...), Delivery: identity.ByLetter, Created: now, Version: 1}
			if err := tx.AddOrganisation(o); err != nil {
				return err
			}
		}
		return nil
	})
	for from := 0; from < n; from += atOnce {
		change(func(tx identity.Tx) error {
			for i := from; i < min(n, from+atOnce); i++ {
				if err := addOneOfCrowd(tx, now, i); err != nil {
					return err
				}
			}
			return nil
		})
	}
	vacuum(t)
}

// CrowdHalf is the organisation that half of a Crowd works for.
const CrowdHalf identity.OrganisationID = "org0"

func crowdOrganisation(i int) identity.OrganisationID {
	return identity.OrganisationID(fmt.Sprint("org", i))
}

func addOneOfCrowd(tx identity.Tx, now time.Time, i int) error {
	given, family := givenNames[i*7%len(givenNames)], familyStems[i*5%len(familyStems)]+familyEnds[i/16%len(familyEnds)]
	u := identity.User{ID: identity.UserID(fmt.Sprintf("crowd%06d", i)), Organisation: crowdOrganisation(max(0, i%10-4)), Username: fmt.Sprintf("%s%05d", identity.FoldUsername(family)[:3], i),
		GivenName: given, FamilyName: family, Email: fmt.Sprintf("person.%05d@agency.example", i), Language: "fi", Created: now, Updated: now, Epoch: 1, Version: 1}
	if i%97 == 0 {
		u.Disabled = now
	}
	// A hash that no password has.
	pw := identity.Password{Hash: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaA", Temporary: i%50 == 0, Expires: now.Add(24 * time.Hour), Changed: now}
	if err := tx.AddUser(u, pw); err != nil {
		return err
	}
	if i%5 == 0 {
		l := identity.CardLink{ID: identity.LinkID("card" + u.ID), User: u.ID, Fingerprint: "f-" + string(u.ID), Linked: now, NotAfter: now.AddDate(0, i%60, 1)}
		if err := tx.AddCardLink(l); err != nil {
			return err
		}
	}
	if i%100 != 2 {
		return tx.AddAuthenticator(identity.Authenticator{ID: identity.LinkID("app" + u.ID), User: u.ID, Kind: identity.MethodApp, SealedKey: "sealed", OwnDevice: true, Linked: now})
	}
	return nil
}
