package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gorm.io/gorm"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// openSQLite opens one connection that writes and a pool that reads.
//
// The writer begins every transaction with "immediate", so that it never has to
// give up half-way; all writers of this process queue for it in Go, and busy_timeout is
// for another process with the file open (porttictl). The write-ahead log lets
// readers go on meanwhile. synchronous=FULL, because what was committed must
// outlive a power failure: an ordered password, a spent code (docs/adr/0010).
func (s *Store) openSQLite(ctx context.Context, c Config) error {
	durability := "full"
	if c.Path == Temporary {
		dir, err := os.MkdirTemp("", "portti-")
		if err != nil {
			return fmt.Errorf("temporary database: %w", err)
		}
		s.cleanup = func() error { return os.RemoveAll(dir) }
		c.Path, durability = filepath.Join(dir, "portti.db"), "off"
	}
	if c.Path == "" {
		return errors.New("database.path: name the file of the SQLite database")
	}
	if err := private(c.Path); err != nil {
		return err
	}
	common := url.Values{
		"_busy_timeout":        {"5000"},
		"_foreign_keys":        {"on"},
		"_synchronous":         {durability},
		"_time_integer_format": {"unix_micro"},
		"_dqs":                 {"0"},
	}
	writer, reader := url.Values{"_txlock": {"immediate"}, "_journal_mode": {"wal"}}, url.Values{"_query_only": {"on"}}
	for k, v := range common {
		writer[k], reader[k] = v, v
	}
	if c.MaxConns == 0 {
		c.MaxConns = 4
	}
	var err error
	// GORM keeps prepared statements for the readers alone. With the writer's one
	// connection it would stand still: a statement on its way to being prepared waits for
	// the connection, and the transaction that has it waits for the statement.
	if s.write, err = s.sqlitePool(ctx, c.Path, writer, 1, false); err != nil {
		return err
	}
	s.read, err = s.sqlitePool(ctx, c.Path, reader, c.MaxConns, true)
	return err
}

// private makes the file, readable by its owner alone; SQLite gives its log and
// index the same permissions.
func private(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unreachable("database.path", "The database file cannot be opened.", err)
	}
	return f.Close()
}

func (s *Store) sqlitePool(ctx context.Context, path string, query url.Values, conns int, prepare bool) (*gorm.DB, error) {
	connector, err := sqlite.NewConnector("file:" + (&url.URL{Path: path}).EscapedPath() + "?" + query.Encode())
	if err != nil {
		return nil, fmt.Errorf("database.path: %w", err)
	}
	pool := sql.OpenDB(connector)
	pool.SetMaxOpenConns(conns)
	pool.SetMaxIdleConns(conns)
	s.pools = append(s.pools, pool)
	if err := s.reach(ctx, pool); err != nil {
		return nil, unreachable("database.path", "The database file cannot be opened.", err)
	}
	return gorm.Open(dialect{pool}, gormConfig(prepare))
}

// reach opens the first connection. Turning the write-ahead log on needs the
// file alone for a moment, and does not wait by itself when another process is
// at it (busy_timeout has no say there): so the waiting is done here.
func (s *Store) reach(ctx context.Context, pool *sql.DB) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	for {
		err := pool.PingContext(ctx)
		var failure *sqlite.Error
		if !errors.As(err, &failure) || failure.Code()&0xff != sqlite3.SQLITE_BUSY {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}
