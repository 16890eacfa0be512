package store_test

import (
	"database/sql"
	"reflect"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/portti-id/portti/internal/audit"
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
