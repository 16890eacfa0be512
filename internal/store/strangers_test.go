package store_test

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	cards "github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/store"
)

func stranger(id string) cards.Stranger {
	return cards.Stranger{ID: id, Issuer: "CN=" + id + ",O=Agency,C=FI", KeyID: "0a0b"}
}

func TestStrangersAreCounted(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		full := stranger("full")
		full.Certificate, full.SHA256, full.Root = "-----BEGIN CERTIFICATE-----", "abcd", ""
		must(t, s.MetStranger(ctx, full, noon))
		must(t, s.MetStranger(ctx, stranger("once"), noon.Add(time.Minute)))
		full.Root = "Gov. Root CA" // configured since
		must(t, s.MetStranger(ctx, full, noon.Add(time.Hour)))
		must(t, s.MetStranger(ctx, full, noon.Add(time.Minute))) // a replica whose clock is late

		full.Seen, full.First, full.Last = 3, noon.UTC(), noon.Add(time.Hour).UTC()
		once := stranger("once")
		once.Seen, once.First, once.Last = 1, noon.Add(time.Minute).UTC(), noon.Add(time.Minute).UTC()
		got, err := s.Strangers(ctx)
		if must(t, err); !reflect.DeepEqual(got, []cards.Stranger{full, once}) {
			t.Errorf("got %+v", got)
		}

		must(t, s.ForgetStranger(ctx, "once", audit.Event{Type: audit.CardIssuerForgotten}))
		wantFault(t, s.ForgetStranger(ctx, "once", audit.Event{Type: "refused"}), fault.NotFound, "unknown_issuer_not_found")
		if got, err = s.Strangers(ctx); err != nil || len(got) != 1 {
			t.Errorf("%+v, %v", got, err)
		}
		events, err := s.AuditEvents(ctx, store.Trail{})
		if must(t, err); len(events) != 1 || events[0].Type != audit.CardIssuerForgotten {
			t.Errorf("events %+v", events)
		}
		must(t, s.Sweep(ctx, noon.AddDate(0, 0, 179)))
		if got, err = s.Strangers(ctx); err != nil || len(got) != 1 {
			t.Errorf("swept too early: %+v, %v", got, err)
		}
		must(t, s.Sweep(ctx, noon.AddDate(0, 0, 181)))
		if got, err = s.Strangers(ctx); err != nil || len(got) != 0 {
			t.Errorf("not swept: %+v, %v", got, err)
		}
	})
}

// Fifty callers on two replicas: every one counts, whether the row is there or not.
func TestStrangersAreCountedAtOnce(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		errs := race(50, func(i int) error { return s[i%2].MetStranger(t.Context(), stranger(fmt.Sprint("s", i%5)), noon) })
		if got := tally(t, errs); got[""] != 50 {
			t.Fatalf("%v", got)
		}
		all, err := s[0].Strangers(t.Context())
		must(t, err)
		if len(all) != 5 {
			t.Errorf("%d rows", len(all))
		}
		for _, one := range all {
			if one.Seen != 10 {
				t.Errorf("%s was seen %d times", one.ID, one.Seen)
			}
		}
	})
}

// Whoever invents issuers fills no disk, and drives out neither those that a
// configured root has signed nor those that come often.
func TestStrangersAreBounded(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		ctx := t.Context()
		genuine := stranger("genuine")
		genuine.Root = "Gov. Root CA"
		must(t, s[0].MetStranger(ctx, genuine, noon.Add(-time.Hour)))
		for range 2 {
			must(t, s[0].MetStranger(ctx, stranger("often"), noon.Add(-time.Hour)))
		}
		for i := range store.MostStrangers - 3 {
			must(t, s[0].MetStranger(ctx, stranger(fmt.Sprint("old", i)), noon.Add(time.Duration(i)*time.Second)))
		}
		errs := race(50, func(i int) error { return s[i%2].MetStranger(ctx, stranger(fmt.Sprint("new", i)), noon.Add(time.Hour)) })
		if got := tally(t, errs); got[""] != 50 {
			t.Fatalf("%v", got)
		}
		all, err := s[1].Strangers(ctx)
		must(t, err)
		if len(all) != store.MostStrangers {
			t.Errorf("%d rows are kept, want %d", len(all), store.MostStrangers)
		}
		left := map[string]bool{}
		for _, one := range all {
			left[one.ID] = true
		}
		for _, id := range []string{"genuine", "often", "new49", "old196"} {
			if !left[id] {
				t.Errorf("%s is gone", id)
			}
		}
		for _, id := range []string{"old0", "old48"} { // 199 rows and 50 more are 49 too many
			if left[id] {
				t.Errorf("%s is still there", id)
			}
		}
		if !left["old49"] {
			t.Error("old49 went, though nothing needed its place")
		}
	})
}

// When all that is there came more often, a new one still gets its place.
func TestANewStrangerIsNoted(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for i := range store.MostStrangers {
			for range 2 {
				must(t, s.MetStranger(ctx, stranger(fmt.Sprint("twice", i)), noon))
			}
		}
		must(t, s.MetStranger(ctx, stranger("new"), noon.Add(-time.Minute)))
		all, err := s.Strangers(ctx)
		if must(t, err); len(all) != store.MostStrangers || all[len(all)-1].ID != "new" {
			t.Errorf("%d rows, the last is %+v", len(all), all[len(all)-1])
		}
	})
}
