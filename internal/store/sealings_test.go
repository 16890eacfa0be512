package store_test

import (
	"bytes"
	"crypto/rand"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// TestEverySealedColumnIsKnown finds a sealed column that a change of the master
// key would pass over.
func TestEverySealedColumnIsKnown(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		if got, want := store.SealedColumns(t.Context(), s), store.Sealings(); !slices.Equal(got, want) {
			t.Errorf("the schema has %v, sealings.go has %v", got, want)
		}
	})
}

func TestAllThatIsSealedMovesToTheNewMasterKey(t *testing.T) {
	old, fresh := keys.GenerateMaster(), keys.GenerateMaster()
	before, both, after := ring(t, old), ring(t, fresh+"\n"+old), ring(t, fresh)
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := storetest.Connect(t, c, func(d *store.Deps) { d.Seal = before.Seal })
		secret, err := keys.OpenSecret(t.Context(), s.Keys(), before, "pairwise-subjects")
		must(t, err)
		_, err = keys.OpenRing(t.Context(), s.Keys(), before, keys.Options{Kinds: []keys.Kind{keys.P256, keys.Ed25519}})
		must(t, err)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error {
			for range 103 { // more than are read at once
				if err := tx.Send(mail.Letter{ID: rand.Text(), To: "a@example.fi"}); err != nil {
					return err
				}
			}
			return nil
		}))
		u := someone(t, s).ID
		a := authenticator(u)
		a.SealedKey, err = before.Seal([]byte("seed"), "totp:"+string(u)+":"+string(a.ID))
		must(t, err)
		must(t, s.Change(t.Context(), func(tx identity.Tx) error { return tx.AddAuthenticator(a) }))

		want := map[string]int{"signing keys": 2, "secrets": 1, "authenticators": 1, "letters": 103}
		check := func(name string, m *keys.Master, apply bool, found, resealed func(of string) int, left func(of string) int) {
			t.Helper()
			all, err := keys.Reseal(t.Context(), s.Keys(), m, apply)
			must(t, err)
			if len(all) != len(want) {
				t.Fatalf("%s: %+v", name, all)
			}
			for _, r := range all {
				if r.Found != found(r.Of) || r.Resealed != resealed(r.Of) || r.Left != left(r.Of) || len(r.Unopened) != 0 {
					t.Errorf("%s: %+v", name, r)
				}
			}
		}
		allOf, none := func(of string) int { return want[of] }, func(string) int { return 0 }
		check("rehearsed", both, false, allOf, none, allOf)
		check("still nothing to do for the old key", before, true, none, none, none)
		check("applied", both, true, allOf, allOf, none)
		check("applied again", both, true, none, none, none)

		again, err := keys.OpenSecret(t.Context(), s.Keys(), after, "pairwise-subjects")
		if must(t, err); !bytes.Equal(again, secret) {
			t.Error("the secret changed")
		}
		_, err = keys.OpenRing(t.Context(), s.Keys(), after, keys.Options{Kinds: []keys.Kind{keys.P256, keys.Ed25519}})
		must(t, err)
		letters, err := s.LeaseLetters(t.Context(), 1000, time.Now().Add(time.Hour), time.Hour)
		if must(t, err); len(letters) != 103 {
			t.Errorf("%d letters", len(letters))
		}
		for _, l := range letters {
			if _, err := after.Open(l.Sealed, l.ID); err != nil {
				t.Fatal(err)
			}
		}
		p, err := s.Person(t.Context(), u)
		must(t, err)
		if seed, err := after.Open(p.Authenticator.SealedKey, "totp:"+string(u)+":"+string(a.ID)); err != nil || string(seed) != "seed" {
			t.Errorf("the authenticator's key: %q, %v", seed, err)
		}
	})
}

// What is changed while it is being sealed anew keeps the change.
func TestResealComparesAndSwaps(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		_, err := s[0].Keys().KeepSecret(t.Context(), "a", "v1.old.x")
		must(t, err)
		list, err := s[0].Keys().SealingsWithout(t.Context(), "secrets", "v1.new.", "", 10)
		if err != nil || len(list) != 1 || list[0].AAD != "secret:a" || list[0].Value != "v1.old.x" {
			t.Fatalf("got %+v, %v", list, err)
		}
		won := 0
		wrote := make([]bool, 50)
		for _, err := range race(50, func(i int) (err error) {
			wrote[i], err = s[i%2].Keys().Reseal(t.Context(), list[0], "v1.new."+rand.Text())
			return err
		}) {
			must(t, err)
		}
		for _, w := range wrote {
			if w {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d wrote", won)
		}
		if list, err := s[1].Keys().SealingsWithout(t.Context(), "secrets", "v1.new.", "", 10); err != nil || len(list) != 0 {
			t.Errorf("left %+v, %v", list, err)
		}
	})
}

func TestWhatCannotBeOpenedIsToldAndLeft(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		m := ring(t, keys.GenerateMaster())
		foreign, err := ring(t, keys.GenerateMaster()).Seal([]byte("x"), "secret:a")
		must(t, err)
		_, err = s.Keys().KeepSecret(t.Context(), "a", foreign)
		must(t, err)
		all, err := keys.Reseal(t.Context(), s.Keys(), m, true)
		must(t, err)
		i := slices.IndexFunc(all, func(r keys.Resealed) bool { return r.Of == "secrets" })
		if r := all[i]; r.Left != 1 || r.Resealed != 0 || !slices.Equal(r.Unopened, []string{"a"}) {
			t.Errorf("got %+v", r)
		}
		if now, err := s.Keys().KeepSecret(t.Context(), "a", ""); err != nil || now != foreign {
			t.Errorf("it was changed to %q, %v", now, err)
		}
	})
}

func ring(t *testing.T, lines string) *keys.Master {
	t.Helper()
	m, err := keys.ReadMaster(strings.NewReader(lines))
	must(t, err)
	return m
}
