package store_test

import (
	"database/sql"
	"maps"
	"reflect"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

func TestEventsComeBackNewestFirst(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		full := audit.Event{At: noon.UTC(), Type: audit.SignInSucceeded, Actor: "user:1", User: "1", Organisation: "tax", Client: "rp", Session: "sid",
			Method: "card", Reason: "wrong_password", Address: "192.0.2.1", Details: map[string]string{"purpose": "trial"}}
		later := audit.Event{At: noon.Add(time.Hour).UTC(), Type: audit.SignedOut, User: "1", Organisation: "customs"}
		empty := audit.Event{Type: audit.KeyCreated}
		for _, e := range []audit.Event{full, later, empty} {
			must(t, s.Record(t.Context(), e))
		}
		empty.At = noon.UTC() // filled in
		for name, c := range map[string]struct {
			trail store.Trail
			want  []audit.Event
		}{
			"all":          {store.Trail{}, []audit.Event{empty, later, full}},
			"limit":        {store.Trail{Limit: 2}, []audit.Event{empty, later}},
			"user":         {store.Trail{User: "1"}, []audit.Event{later, full}},
			"organisation": {store.Trail{Organisation: "tax"}, []audit.Event{full}},
			"types":        {store.Trail{Types: []audit.Type{audit.SignedOut, audit.KeyCreated}}, []audit.Event{empty, later}},
			"since":        {store.Trail{Since: later.At}, []audit.Event{later}},
			"until":        {store.Trail{Until: later.At}, []audit.Event{empty, full}},
			"nothing":      {store.Trail{User: "2"}, []audit.Event{}},
		} {
			if got, err := s.AuditEvents(t.Context(), c.trail); err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s: got %+v, %v\nwant %+v", name, got, err, c.want)
			}
		}
	})
}

// What somebody does in a sign-in is kept with its session and method, by whichever
// way it is written; what others do meanwhile, and what says so itself, is not touched.
func TestEventsKnowTheSignInOfTheirActor(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := audit.WithSignIn(t.Context(), audit.SignIn{Actor: "user:1", Session: "sid", Method: "app", Address: "192.0.2.9", Details: map[string]string{"machine": "m"}})
		for _, e := range []audit.Event{{Type: audit.UserChanged, Actor: "user:1", Details: map[string]string{"machine": "n", "x": "y"}}, {Type: audit.CardLinked, Actor: "user:1", Method: "card"}, {Type: audit.CardRevoked, Actor: "system"}, {Type: audit.SignedOut, Actor: "user:1", Session: "another"}} {
			must(t, s.Record(ctx, e))
		}
		must(t, s.Change(ctx, func(tx identity.Tx) error { return tx.Record(audit.Event{Type: audit.UserEnabled, Actor: "user:1"}) }))
		must(t, s.AddRegistrationToken(ctx, openid.RegistrationToken{ID: "t", Hash: "h", Uses: 1, Created: noon, Expires: noon.Add(time.Hour)}, audit.Event{Type: audit.RegisterTokenMade, Actor: "user:1"}))
		events, err := s.AuditEvents(t.Context(), store.Trail{})
		must(t, err)
		for _, e := range events {
			want := map[audit.Type][2]string{audit.UserChanged: {"sid", "app"}, audit.UserEnabled: {"sid", "app"}, audit.RegisterTokenMade: {"sid", "app"}, audit.CardLinked: {"sid", "card"}, audit.CardRevoked: {"", ""}, audit.SignedOut: {"another", "app"}}[e.Type]
			place := map[string]string{"machine": "m"}
			switch e.Type {
			case audit.UserChanged:
				place = map[string]string{"machine": "n", "x": "y"} // as it says itself
			case audit.CardRevoked:
				place = nil // somebody else's
			}
			if !maps.Equal(e.Details, place) || (e.Address == "192.0.2.9") != (place != nil) {
				t.Errorf("%s: %q %v, want %v", e.Type, e.Address, e.Details, place)
			}
			if e.Session != want[0] || e.Method != want[1] {
				t.Errorf("%s: %q %q, want %v", e.Type, e.Session, e.Method, want)
			}
		}
		if len(events) != 6 {
			t.Errorf("%d events", len(events))
		}
	})
}

// Not even whoever gets at the provider's own connection rewrites the trail.
func TestTheTrailIsAppendOnly(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := connect(t, c)
		must(t, s.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded, User: "1"}))
		db := raw(t, c)
		statements := []string{"update audit_events set user_id = '2'", "delete from audit_events"}
		if c.Driver == store.Postgres {
			statements = append(statements, "truncate audit_events")
		}
		for _, statement := range statements {
			if _, err := db.ExecContext(t.Context(), statement); err == nil {
				t.Errorf("%s: no error", statement)
			}
		}
		if events, err := s.AuditEvents(t.Context(), store.Trail{User: "1"}); err != nil || len(events) != 1 {
			t.Errorf("got %+v, %v", events, err)
		}
	})
}

// raw opens the database beside the store.
func raw(t testing.TB, c store.Config) *sql.DB {
	t.Helper()
	driver, dsn := "sqlite", c.Path
	if c.Driver == store.Postgres {
		driver, dsn = "pgx", c.DSN
	}
	db, err := sql.Open(driver, dsn)
	must(t, err)
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}
