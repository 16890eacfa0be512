package storetest

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/portti-id/portti/internal/store"
)

// server is the PostgreSQL of the environment: a pool on its own database for
// creating others, and the name of the migrated template.
type server struct {
	dsn      *url.URL
	admin    *sql.DB
	template string
}

// connectOnce looks at PORTTI_TEST_POSTGRES, a URL of a role that may create
// databases, once a test run; nil without it.
var connectOnce = sync.OnceValues(func() (*server, error) {
	env := os.Getenv("PORTTI_TEST_POSTGRES")
	if env == "" {
		return nil, nil
	}
	dsn, err := url.Parse(env)
	if err != nil {
		return nil, fmt.Errorf("PORTTI_TEST_POSTGRES: not a URL")
	}
	admin, err := sql.Open("pgx", env)
	if err != nil {
		return nil, fmt.Errorf("PORTTI_TEST_POSTGRES: %w", err)
	}
	admin.SetMaxOpenConns(2)
	admin.SetMaxIdleConns(1)
	s := &server{dsn: dsn, admin: admin}
	return s, s.migrateTemplate(context.Background())
})

// config is how to reach a database of the server.
func (s *server) config(database string) store.Config {
	dsn := *s.dsn
	dsn.Path = "/" + database
	return store.Config{Driver: store.Postgres, DSN: dsn.String(), MaxConns: 8}
}

// migrateTemplate makes the template unless an earlier run or a package that is
// tested at the same time has made it. It appears under its name when it is whole.
func (s *server) migrateTemplate(ctx context.Context) error {
	id, err := store.SchemaID(store.Postgres)
	if err != nil {
		return err
	}
	s.template = "portti_template_" + id
	conn, err := s.admin.Conn(ctx)
	if err != nil {
		return fmt.Errorf("PORTTI_TEST_POSTGRES: %w", err)
	}
	defer conn.Close() //nolint:errcheck // goes back to the pool
	const lock = 0x706f72747469
	if _, err := conn.ExecContext(ctx, "select pg_advisory_lock($1)", lock); err != nil {
		return err
	}
	defer conn.ExecContext(ctx, "select pg_advisory_unlock($1)", lock) //nolint:errcheck // ends with the session at the latest
	var there bool
	if err := conn.QueryRowContext(ctx, "select exists (select 1 from pg_database where datname = $1)", s.template).Scan(&there); err != nil || there {
		return err
	}
	draft := newName()
	if _, err := conn.ExecContext(ctx, "create database "+draft); err != nil {
		return err
	}
	migrated, err := store.Open(ctx, s.config(draft), store.Deps{Seal: Seal})
	if err != nil {
		return err
	}
	if err := migrated.Close(); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "alter database "+draft+" rename to "+s.template)
	return err
}

func freshPostgres(t testing.TB) store.Config {
	t.Helper()
	s, err := connectOnce()
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		missing(t, "PORTTI_TEST_POSTGRES (a URL of a PostgreSQL role that may create databases) is not set; make test sets it")
	}
	return s.create(t, " template "+s.template)
}

// EmptyPostgres is Config for a PostgreSQL database without any table.
func EmptyPostgres(t testing.TB) store.Config {
	t.Helper()
	freshPostgres(t) // for its checks of the environment
	s, _ := connectOnce()
	return s.create(t, "")
}

func (s *server) create(t testing.TB, from string) store.Config {
	t.Helper()
	name := newName()
	if _, err := s.admin.ExecContext(t.Context(), "create database "+name+from); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.admin.ExecContext(context.Background(), "drop database "+name+" with (force)"); err != nil {
			t.Error(err)
		}
	})
	return s.config(name)
}

func newName() string { return "portti_test_" + strings.ToLower(rand.Text()) }
