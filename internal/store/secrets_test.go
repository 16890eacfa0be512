package store_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/store"
)

func TestManyReplicasGetOneSecret(t *testing.T) {
	master, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster()))
	must(t, err)
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		got := make([][]byte, 50)
		for _, err := range race(50, func(i int) (err error) {
			got[i], err = keys.OpenSecret(t.Context(), s[i%2].Keys(), master, "pairwise-subjects")
			return err
		}) {
			must(t, err)
		}
		for i := range got {
			if !bytes.Equal(got[i], got[0]) {
				t.Errorf("caller %d got another secret", i)
			}
		}
		other, err := keys.OpenSecret(t.Context(), s[0].Keys(), master, "other")
		must(t, err)
		if bytes.Equal(other, got[0]) {
			t.Error("two names share a secret")
		}
	})
}

func TestASecretIsKeptAsItIs(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for i := range 3 {
			if stored, err := s.Keys().KeepSecret(t.Context(), "a", fmt.Sprint("sealed-", i)); err != nil || stored != "sealed-0" {
				t.Errorf("got %q, %v", stored, err)
			}
		}
	})
}
