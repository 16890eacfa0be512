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

// Creating and dropping a database costs the server a checkpoint each, which is
// more than most tests take. So databases are kept on the server, numbered, and
// lent: whoever holds the advisory lock of a number has the database to itself,
// and wipes it before use. A test process that dies gives its locks back.
const (
	lentLock     = 0x706f7274 // class of the locks of lent databases; the number is the key
	templateLock = 0x706f7469 // held while the first database is migrated
	mostLent     = 500
)

// server is the PostgreSQL of the environment.
type server struct {
	dsn   *url.URL
	admin *sql.DB // a pool on the database of the environment
	name  string  // of lent databases and of their template, without the number: it changes with the schema
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
	id, err := store.SchemaID(store.Postgres)
	if err != nil {
		return nil, err
	}
	admin, err := sql.Open("pgx", env)
	if err != nil {
		return nil, fmt.Errorf("PORTTI_TEST_POSTGRES: %w", err)
	}
	s := &server{dsn: dsn, admin: admin, name: "portti_test_" + id}
	return s, s.migrateTemplate(context.Background())
})

func connectServer(t testing.TB) *server {
	t.Helper()
	s, err := connectOnce()
	if err != nil {
		t.Fatal(err)
	}
	if s == nil {
		missing(t, "PORTTI_TEST_POSTGRES (a URL of a PostgreSQL role that may create databases) is not set; make test sets it")
	}
	return s
}

// config is how to reach a database of the server.
func (s *server) config(database string) store.Config {
	dsn := *s.dsn
	dsn.Path = "/" + database
	return store.Config{Driver: store.Postgres, DSN: dsn.String(), MaxConns: 8}
}

// migrateTemplate makes the template unless an earlier run or a package that is
// tested at the same time has made it. It gets its name when it is whole.
func (s *server) migrateTemplate(ctx context.Context) error {
	conn, err := s.admin.Conn(ctx)
	if err != nil {
		return fmt.Errorf("PORTTI_TEST_POSTGRES: %w", err)
	}
	defer conn.Close() // goes back to the pool
	if _, err := conn.ExecContext(ctx, "select pg_advisory_lock($1)", templateLock); err != nil {
		return err
	}
	defer conn.ExecContext(ctx, "select pg_advisory_unlock($1)", templateLock) // ends with the session at the latest
	if there, err := exists(ctx, conn, s.name); err != nil || there {
		return err
	}
	draft := newName()
	if _, err := conn.ExecContext(ctx, "create database "+draft); err != nil {
		return err
	}
	migrated, err := store.Open(ctx, s.config(draft), store.Deps{Seal: Seal, Marker: Marker})
	if err != nil {
		return err
	}
	if err := migrated.Close(); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "alter database "+draft+" rename to "+s.name)
	return err
}

// lend finds a database that nobody uses and empties it.
func (s *server) lend(t testing.TB) store.Config {
	t.Helper()
	conn, err := s.admin.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	number := -1
	for i := 0; number < 0 && i < mostLent; i++ {
		var got bool
		if err := conn.QueryRowContext(t.Context(), "select pg_try_advisory_lock($1, $2)", lentLock, i).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if got {
			number = i
		}
	}
	if number < 0 {
		t.Fatalf("all %d databases are lent", mostLent)
	}
	t.Cleanup(func() {
		if _, err := conn.ExecContext(context.Background(), "select pg_advisory_unlock($1, $2)", lentLock, number); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	name := fmt.Sprintf("%s_%d", s.name, number)
	there, err := exists(t.Context(), conn, name)
	if err == nil && there {
		there, err = s.small(t.Context(), conn, name)
	}
	if err == nil && !there {
		_, err = conn.ExecContext(t.Context(), "create database "+name+" template "+s.name)
	}
	if err == nil && there {
		err = s.wipe(t.Context(), conn, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	lent.Store(t.Name(), s.config(name).DSN)
	return s.config(name)
}

// lent is the DSN of the database that a test was lent last, by the test's name.
var lent sync.Map

// vacuum does what PostgreSQL does by itself some minutes after many rows were
// written: reading the index alone is possible then, and the statistics are right.
func vacuum(t testing.TB) {
	t.Helper()
	dsn, ok := lent.Load(t.Name())
	if !ok {
		return // SQLite
	}
	db, err := sql.Open("pgx", dsn.(string))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close() // nothing was left open
	if _, err := db.ExecContext(t.Context(), "vacuum (analyze)"); err != nil {
		t.Fatal(err)
	}
}

// small drops a database that emptying would cost more than creating anew: the
// rows of a Crowd take minutes.
func (s *server) small(ctx context.Context, conn *sql.Conn, name string) (kept bool, err error) {
	const most = 100 << 20 // bytes; a database with the rows of a test has some fifteen million
	var size int64
	if err := conn.QueryRowContext(ctx, "select pg_database_size($1)", name).Scan(&size); err != nil || size < most {
		return err == nil, err
	}
	_, err = conn.ExecContext(ctx, "drop database "+name+" with (force)")
	return false, err
}

// wipe deletes every row, of the audit trail too, which takes its owner's right to
// turn the trigger off. Whoever the last borrower left connected is thrown out.
func (s *server) wipe(ctx context.Context, conn *sql.Conn, name string) error {
	if _, err := conn.ExecContext(ctx, "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name); err != nil {
		return err
	}
	db, err := sql.Open("pgx", s.config(name).DSN)
	if err != nil {
		return err
	}
	defer db.Close() // nothing was left open
	_, err = db.ExecContext(ctx, `do $$
		declare name text;
		begin
			for name in select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname like 'audit%' loop
				execute format('alter table %I disable trigger user', name);
			end loop;
			for name in select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname <> 'goose_db_version'
					order by case relname when 'organisations' then 2 when 'users' then 1 else 0 end
			loop
				execute format('delete from %I', name);
			end loop;
			for name in select relname from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace and relname like 'audit%' loop
				execute format('alter table %I enable trigger user', name);
			end loop;
		end $$`)
	return err
}

// EmptyPostgres is Config for a PostgreSQL database without any table.
func EmptyPostgres(t testing.TB) store.Config {
	t.Helper()
	s := connectServer(t)
	name := newName()
	if _, err := s.admin.ExecContext(t.Context(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.admin.ExecContext(context.Background(), "drop database "+name+" with (force)"); err != nil {
			t.Error(err)
		}
	})
	return s.config(name)
}

func exists(ctx context.Context, conn *sql.Conn, database string) (there bool, err error) {
	err = conn.QueryRowContext(ctx, "select exists (select 1 from pg_database where datname = $1)", database).Scan(&there)
	return there, err
}

func newName() string { return "portti_test_" + strings.ToLower(rand.Text()) }

// Cut breaks every connection to a PostgreSQL database, as a network or a server
// that dies does; whatever is under way there is rolled back. On SQLite there is
// nothing to cut, and it tells so.
func Cut(t testing.TB, c store.Config) bool {
	t.Helper()
	if c.Driver != store.Postgres {
		return false
	}
	dsn, err := url.Parse(c.DSN)
	if err != nil {
		t.Fatal(err)
	}
	_, err = connectServer(t).admin.ExecContext(t.Context(), "select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", strings.TrimPrefix(dsn.Path, "/"))
	if err != nil {
		t.Fatal(err)
	}
	return true
}
