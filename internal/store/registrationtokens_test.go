package store_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
)

func initial(id string) openid.RegistrationToken {
	return openid.RegistrationToken{ID: id, Hash: "hash of " + id, Note: "Kuntala", Uses: 1, Created: noon.UTC(), Expires: noon.Add(time.Hour).UTC()}
}

func TestRegistrationTokensWork(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		for _, id := range []string{"one", "two"} {
			must(t, s.AddRegistrationToken(ctx, initial(id), audit.Event{Type: audit.RegisterTokenMade}))
		}
		got, err := s.RegistrationToken(ctx, "hash of one", noon)
		if err != nil || !reflect.DeepEqual(got, initial("one")) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, initial("one"))
		}
		for hash, now := range map[string]time.Time{"one": noon, "": noon, "hash of one": noon.Add(time.Hour)} {
			_, err := s.RegistrationToken(ctx, hash, now)
			wantFault(t, err, fault.Unauthenticated, "invalid_token")
			wantFault(t, s.RegisterClient(ctx, client("late"), hash, now, audit.Event{Type: "refused"}), fault.Unauthenticated, "invalid_token")
		}
		must(t, s.RegisterClient(ctx, client("rp"), "hash of one", noon, audit.Event{Type: audit.ClientCreated}))
		wantFault(t, s.RegisterClient(ctx, client("other"), "hash of one", noon, audit.Event{Type: "refused"}), fault.Unauthenticated, "invalid_token")
		// What fails spends no use.
		wantFault(t, s.RegisterClient(ctx, client("rp"), "hash of two", noon, audit.Event{Type: "refused"}), fault.Conflict, "client_exists")
		if got, err = s.RegistrationToken(ctx, "hash of two", noon); err != nil || got.Used != 0 {
			t.Errorf("%+v, %v", got, err)
		}
		must(t, s.RevokeRegistrationToken(ctx, "two", noon, audit.Event{Type: audit.RegisterTokenRevoked}))
		wantFault(t, s.RevokeRegistrationToken(ctx, "two", noon, audit.Event{Type: "refused"}), fault.NotFound, "registration_token_not_found")
		wantFault(t, s.RegisterClient(ctx, client("other"), "hash of two", noon, audit.Event{Type: "refused"}), fault.Unauthenticated, "invalid_token")
		if events, err := s.AuditEvents(ctx, store.Trail{Types: []audit.Type{"refused"}}); err != nil || len(events) != 0 {
			t.Errorf("what was refused is in the trail: %+v, %v", events, err)
		}
		c, err := s.Client(ctx, "rp")
		if err != nil || c.Version != 1 {
			t.Errorf("%+v, %v", c, err)
		}
		must(t, s.Sweep(ctx, noon.Add(32*24*time.Hour)))
		if list, err := s.RegistrationTokens(ctx); err != nil || len(list) != 0 {
			t.Errorf("%+v, %v", list, err)
		}
	})
}

func TestOneOfManyGetsTheLastUse(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		must(t, s[0].AddRegistrationToken(t.Context(), initial("one"), audit.Event{}))
		errs := race(50, func(i int) error {
			return s[i%2].RegisterClient(t.Context(), client("rp"+string(rune('a'+i))), "hash of one", noon, audit.Event{})
		})
		if n := tally(t, errs); n[""] != 1 || n["invalid_token"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}
