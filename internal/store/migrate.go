package store

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed migrations
var migrations embed.FS

// Migrate brings the schema up to date. Replicas may start at once: on
// PostgreSQL one of them holds an advisory lock while the others wait; on
// SQLite whoever comes second finds the work done. With nothing to do it is
// one look and takes no lock.
func (s *Store) Migrate(ctx context.Context) error {
	const tries, pause = 20, 100 * time.Millisecond
	for try := 1; ; try++ {
		err := s.migrate(ctx)
		if err == nil || s.postgres || try == tries || ctx.Err() != nil {
			return err
		}
		// Another process may be at it: its transaction made ours fail.
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

func (s *Store) migrate(ctx context.Context) error {
	pending, err := s.pending(ctx)
	if err != nil || !pending {
		return err
	}
	p, err := s.provider()
	if err != nil {
		return err
	}
	if _, err := p.Up(ctx); err != nil {
		return explain(ctx, "migrate the schema", err)
	}
	return nil
}

// pending tells whether the schema is older than the program. It is asked
// without goose, which would make its table before it looks.
func (s *Store) pending(ctx context.Context) (bool, error) {
	p, err := s.provider()
	if err != nil {
		return false, err
	}
	exists := "select count(*) from sqlite_master where type = 'table' and name = 'goose_db_version'"
	if s.postgres {
		exists = "select count(*) from pg_class where oid = to_regclass('goose_db_version')"
	}
	var n int64
	if err := s.pool().QueryRowContext(ctx, exists).Scan(&n); err != nil {
		return false, explain(ctx, "look for the schema", err)
	}
	if n == 0 {
		return true, nil
	}
	applied := make(map[int64]bool)
	rows, err := s.pool().QueryContext(ctx, "select version_id from goose_db_version where is_applied")
	if err != nil {
		return false, explain(ctx, "read the schema's version", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&n); err != nil {
			return false, explain(ctx, "read the schema's version", err)
		}
		applied[n] = true
	}
	if err := rows.Err(); err != nil {
		return false, explain(ctx, "read the schema's version", err)
	}
	return slices.ContainsFunc(p.ListSources(), func(f *goose.Source) bool { return !applied[f.Version] }), nil
}

// SchemaID names the schema that this program wants: it changes with every
// migration file.
func SchemaID(driver string) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(migrations, "migrations/"+driver, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := migrations.ReadFile(path)
		h.Write([]byte(path))
		h.Write(b)
		return err
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}

func (s *Store) pool() *sql.DB { return s.pools[0] }

func (s *Store) provider() (*goose.Provider, error) {
	dialect, dir := goose.DialectSQLite3, SQLite
	// Files of changes that were made side by side are merged in any order, and a
	// database may have met the higher number first.
	options := []goose.ProviderOption{goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true)}
	if s.postgres {
		dialect, dir = goose.DialectPostgres, Postgres
		locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
		if err != nil {
			return nil, fmt.Errorf("migration lock: %w", err)
		}
		options = append(options, goose.WithSessionLocker(locker))
	}
	files, err := fs.Sub(migrations, "migrations/"+dir)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	p, err := goose.NewProvider(dialect, s.pool(), files, options...)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	return p, nil
}
