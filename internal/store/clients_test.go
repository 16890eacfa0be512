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

func TestClientComesBackAsItWasSaved(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		c := client("rp")
		addClient(t, s, c)
		c.Version, c.Created = 1, utc(c.Created)
		got, err := s.Client(t.Context(), "rp")
		if err != nil || !reflect.DeepEqual(got, c) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, c)
		}
		changed := openid.Client{ID: "rp", AuthMethod: openid.AuthNone, Disabled: noon.Add(time.Hour).UTC(), Created: noon.AddDate(1, 0, 0), Version: 1}
		must(t, s.ChangeClient(t.Context(), changed, audit.Event{Type: audit.ClientDisabled, Client: "rp", Actor: "operator:x"}))
		changed.Version, changed.Created = 2, c.Created
		if got, err = s.Client(t.Context(), "rp"); err != nil || !reflect.DeepEqual(got, changed) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, changed)
		}
		events, err := s.AuditEvents(t.Context(), store.Trail{})
		if err != nil || len(events) != 2 || events[0].Type != audit.ClientDisabled || events[1].Type != audit.ClientCreated {
			t.Errorf("got %+v, %v", events, err)
		}
	})
}

func TestClientsRefuse(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		_, err := s.Client(t.Context(), "rp")
		wantFault(t, err, fault.NotFound, "client_not_found")
		addClient(t, s, client("rp"))
		addClient(t, s, client("a"))
		wantFault(t, s.ChangeClient(t.Context(), client("rp"), audit.Event{Type: "refused"}), fault.Conflict, "client_exists")
		old := client("rp")
		old.Version = 2
		wantFault(t, s.ChangeClient(t.Context(), old, audit.Event{Type: "refused"}), fault.Conflict, "changed_meanwhile")
		if events, err := s.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{"refused"}}); err != nil || len(events) != 0 {
			t.Errorf("a change that was refused is in the trail: %+v, %v", events, err)
		}
		list, err := s.Clients(t.Context())
		if err != nil || len(list) != 2 || list[0].ID != "a" || list[1].ID != "rp" {
			t.Errorf("got %+v, %v", list, err)
		}
	})
}

func TestOneOfManyClientChangesWins(t *testing.T) {
	replicas(t, func(t *testing.T, s [2]*store.Store) {
		errs := race(50, func(i int) error { return s[i%2].ChangeClient(t.Context(), client("rp"), audit.Event{}) })
		if n := tally(t, errs); n[""] != 1 || n["client_exists"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
		c := client("rp")
		c.Version = 1
		errs = race(50, func(i int) error { return s[i%2].ChangeClient(t.Context(), c, audit.Event{}) })
		if n := tally(t, errs); n[""] != 1 || n["changed_meanwhile"] != 49 {
			t.Errorf("got %v, want one winner", n)
		}
	})
}
