// Package store keeps what must last in SQL: through GORM, over SQLite (the
// embedded default) or PostgreSQL. Store is the one type behind identity.Store,
// openid.Store, mail.Store, audit.Recorder and, as Store.Keys, keys.Store; the
// promises stand beside those interfaces. No GORM type leaves the package.
//
//	store.go      Config, Open, Ping, Close
//	sqlite.go     one writing connection, a pool of readers      dialect.go  GORM's words for SQLite
//	postgres.go   a pool of pgx connections
//	migrate.go    the schema: migrations/<driver>/*.sql, run by goose
//	faults.go     what a database error means to people
//	columns.go    column types that the two databases share
//	change.go     Change and the inside of it: identity.Tx
//	organisations.go users.go cardlinks.go cardapprovals.go authenticators.go
//	desk.go      identity checks, linking codes      confirmations.go  acts that wait for a second person
//	clients.go grants.go tokens.go logouts.go sweep.go signingkeys.go secrets.go letters.go trail.go
//	mailedlinks.go links that letters carry      passwordasks.go who asked for a new password, until it is decided
//	keptletters.go  letters that wait or were given up, as operators see them
//	chain.go     the audit trail as a chain: sealing, checkpoints, retention; statistics.go: events by day
//	people.go    search, lists and counts of people      imports.go  people from a file
//	strangers.go CAs that nobody has configured, whose cards were shown
//	shelf.go     the CAs' lists of revoked certificates: crl.Shelf
//	sealings.go  every column of sealed values, for a change of the master key
//
// One rule on locks holds for every statement on PostgreSQL: organisation
// before user, user before the rows that hang on the user. Whoever changes a
// user's links holds the user's row, so a locked Person stays as it was read.
// SQLite has one writer at a time and needs no such rule.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
)

var (
	_ identity.Store = (*Store)(nil)
	_ identity.Tx    = (*change)(nil)
	_ openid.Store   = (*Store)(nil)
	_ mail.Store     = (*Store)(nil)
	_ audit.Recorder = (*Store)(nil)
	_ audit.Chain    = (*Store)(nil)
	_ card.Strangers = (*Store)(nil)
	_ keys.Store     = signingKeys{}
	_ crl.Shelf      = shelf{}
)

// Drivers.
const (
	SQLite   = "sqlite"
	Postgres = "postgres"
)

// Temporary as Config.Path is an SQLite database in a directory of its own,
// which Close removes. It survives nothing: for tests and the demo.
const Temporary = ":temporary:"

// Config says where the database is. Errors name its fields as the settings
// database.driver, database.path, database.dsn, database.password and
// database.max_conns.
type Config struct {
	Driver string // SQLite, also when empty, or Postgres
	Path   string // SQLite: the file; its directory must exist and be ours to write
	DSN    string // PostgreSQL: postgres://user@host:5432/name?sslmode=verify-full, or the keyword form

	// Password is PostgreSQL's, for a DSN without one, so that it can come from a
	// file of its own. It wins over the DSN's.
	Password string

	// MaxConns is how many connections are kept open: to PostgreSQL (0: 16), or
	// for reading from SQLite (0: 4), which always has one more for writing.
	MaxConns int

	// Timeout ends a call that waits for the database, its place in the queue
	// included. 0: 10 seconds. A context with an earlier deadline goes first.
	Timeout time.Duration

	// NoMigrations leaves the schema as it is; Open then fails when it is older
	// than the program. For installations that run migrations on their own
	// (Store.Migrate) with a role that the provider does not have.
	NoMigrations bool
}

// Deps is what the store needs of others.
type Deps struct {
	// Seal encrypts a letter, bound to its ID as additional data (keys.Master).
	Seal func(plaintext []byte, aad string) (string, error)
	// Marker makes the MAC of every audit event (keys.Master).
	Marker audit.Marker
	Now    func() time.Time // nil: time.Now
}

// Store is the database. Safe for concurrent use.
type Store struct {
	postgres bool
	write    *gorm.DB // SQLite: one connection
	read     *gorm.DB // the same as write on PostgreSQL
	pools    []*sql.DB
	timeout  time.Duration
	seal     func(plaintext []byte, aad string) (string, error)
	marker   audit.Marker
	now      func() time.Time
	cleanup  func() error
}

// Open connects to the database, brings its schema up to date and returns when
// both have worked. A database out of reach is fault.Unavailable
// "database_unavailable" with the setting as its field.
func Open(ctx context.Context, c Config, d Deps) (*Store, error) {
	if d.Seal == nil || d.Marker == nil {
		return nil, errors.New("store: Deps.Seal or Deps.Marker is missing")
	}
	s := &Store{timeout: c.Timeout, seal: d.Seal, marker: d.Marker, now: d.Now, cleanup: func() error { return nil }}
	if s.timeout == 0 {
		s.timeout = 10 * time.Second
	}
	if s.now == nil {
		s.now = time.Now
	}
	err := s.connect(ctx, c)
	if err == nil {
		err = s.schema(ctx, c)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) connect(ctx context.Context, c Config) error {
	switch c.Driver {
	case "", SQLite:
		return s.openSQLite(ctx, c)
	case Postgres:
		return s.openPostgres(ctx, c)
	}
	return fmt.Errorf("database.driver: %q is not one of %s, %s", c.Driver, SQLite, Postgres)
}

func (s *Store) schema(ctx context.Context, c Config) error {
	if !c.NoMigrations {
		return s.Migrate(ctx)
	}
	pending, err := s.pending(ctx)
	if err == nil && pending {
		err = errors.New("the schema is older than this program: run the migrations first")
	}
	return err
}

// Ping tells whether the database answers.
func (s *Store) Ping(ctx context.Context) error {
	return s.ask(ctx, "ping", func(db *gorm.DB) error { return db.Exec("select 1").Error })
}

// Close ends every connection.
func (s *Store) Close() error {
	var errs []error
	for _, pool := range s.pools {
		errs = append(errs, pool.Close())
	}
	return errors.Join(append(errs, s.cleanup())...)
}

// ask runs f with a connection for reading.
func (s *Store) ask(ctx context.Context, what string, f func(db *gorm.DB) error) error {
	return s.run(ctx, s.read, what, f)
}

// tell runs f, which makes one statement, with a connection for writing.
func (s *Store) tell(ctx context.Context, what string, f func(db *gorm.DB) error) error {
	return s.run(ctx, s.write, what, f)
}

func (s *Store) run(ctx context.Context, db *gorm.DB, what string, f func(db *gorm.DB) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	return explain(ctx, what, f(db.WithContext(ctx)))
}

// transact runs f in a transaction. An error or a panic of f rolls back.
//
// READ COMMITTED on PostgreSQL whatever the server's default is: every promise
// here rests on row locks and on statements that read what has been committed
// when they start.
func (s *Store) transact(ctx context.Context, what string, f func(db *gorm.DB) error) error {
	return s.tell(ctx, what, func(db *gorm.DB) (err error) {
		tx := db.Begin(&sql.TxOptions{Isolation: sql.LevelReadCommitted})
		if tx.Error != nil {
			return tx.Error
		}
		done := false
		defer func() {
			if !done {
				tx.Rollback()
			}
		}()
		if err := f(tx); err != nil {
			return err
		}
		done = true
		return tx.Commit().Error
	})
}

// gormConfig turns off what would cost a transaction a statement, and GORM's
// log: it prints values, and values are secrets. Errors are returned.
func gormConfig(prepare bool) *gorm.Config {
	return &gorm.Config{
		SkipDefaultTransaction:   true,
		DisableNestedTransaction: true,
		DisableAutomaticPing:     true,
		PrepareStmt:              prepare,
		Logger:                   logger.Discard,
	}
}
