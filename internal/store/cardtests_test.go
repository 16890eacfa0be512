package store_test

import (
	"testing"

	cards "github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/store"
)

// S66: the coded result is there for 30 days, and then it is gone.
func TestCardTestsAreKeptForThirtyDays(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		want := cards.Tested{Code: "K7QM2-XEA3B", Verdict: cards.Expired, Failed: cards.CheckValidity, Kind: cards.OrganisationCard, Mode: cards.OldTLS, TLS: "1.2", At: noon.UTC()}
		must(t, s.KeepCardTest(ctx, want))
		if s.KeepCardTest(ctx, want) == nil {
			t.Error("one code for two results")
		}
		must(t, s.Sweep(ctx, noon.Add(cards.TestKept)))
		if got, err := s.CardTest(ctx, want.Code); err != nil || got != want {
			t.Errorf("%+v, %v", got, err)
		}
		must(t, s.Sweep(ctx, noon.Add(cards.TestKept+1e9)))
		_, err := s.CardTest(ctx, want.Code)
		wantFault(t, err, fault.NotFound, "card_test_not_found")
	})
}
