// Package storetest gives tests real databases: a file of SQLite and a database
// of PostgreSQL, each empty and alone with its test.
//
//	storetest.go   Each, Open, Config, Connect
//	postgres.go    databases that are lent, EmptyPostgres
package storetest

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/store"
)

// Drivers are the databases that every promise holds on.
var Drivers = []string{store.SQLite, store.Postgres}

// Each runs f twice, as subtests "sqlite" and "postgres", each with an empty
// database.
func Each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Helper()
	EachConfig(t, func(t *testing.T, c store.Config) { f(t, Connect(t, c)) })
}

// EachConfig is Each for tests that open the database themselves, or more than once.
func EachConfig(t *testing.T, f func(t *testing.T, c store.Config)) {
	t.Helper()
	for _, driver := range Drivers {
		t.Run(driver, func(t *testing.T) { f(t, Config(t, driver)) })
	}
}

// Open returns a store on an empty database.
func Open(t testing.TB, driver string) *store.Store {
	t.Helper()
	return Connect(t, Config(t, driver))
}

// Config says where a fresh, empty and migrated database is. Several stores may be
// opened on it, as replicas have it. Without PORTTI_TEST_POSTGRES a test that
// wants PostgreSQL is skipped, or fails when CI=true.
func Config(t testing.TB, driver string) store.Config {
	t.Helper()
	if driver == store.Postgres {
		return connectServer(t).lend(t)
	}
	file := filepath.Join(t.TempDir(), "portti.db")
	migrated, err := migratedFile()
	if err == nil {
		err = os.WriteFile(file, migrated, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return store.Config{Driver: driver, Path: file}
}

// migratedFile is an empty SQLite database with its tables. Making them takes longer
// than most tests, so it is done once a test run, and each test begins with a copy.
var migratedFile = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "portti-template-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // what stays is in memory
	file := filepath.Join(dir, "portti.db")
	s, err := store.Open(context.Background(), store.Config{Driver: store.SQLite, Path: file}, store.Deps{Seal: Seal, Marker: Marker})
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	if _, err := os.Stat(file + "-wal"); err == nil {
		return nil, errors.New("the last connection has left the write-ahead log behind")
	}
	return os.ReadFile(file)
})

// Connect opens a store, which is closed with the test. Its letters are sealed
// with Seal, its events marked by Marker; edit changes what else it is given.
func Connect(t testing.TB, c store.Config, edit ...func(d *store.Deps)) *store.Store {
	t.Helper()
	d := store.Deps{Seal: Seal, Marker: Marker}
	for _, e := range edit {
		e(&d)
	}
	s, err := store.Open(t.Context(), c, d)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		checkReasons(t, s)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// checkReasons holds every event that a test has led to against audit.Reasons, so
// that no code is recorded that nobody can read. A database that the test has taken
// away has nothing to tell.
func checkReasons(t testing.TB, s *store.Store) {
	t.Helper()
	events, err := s.AuditEvents(context.Background(), audit.Query{Limit: 100_000})
	if err != nil {
		return
	}
	for _, e := range events {
		if _, known := audit.Reasons[e.Reason]; e.Reason != "" && !known {
			t.Errorf("%s was recorded with the reason %q, which is not in audit.Reasons: words that somebody has typed are a Note", e.Type, e.Reason)
		}
	}
}

// missing ends a test that lacks something it needs: under CI=true it fails, so
// that nothing goes unproved in silence, elsewhere it is skipped.
func missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// aead is this test run's own key.
var aead = func() cipher.AEAD {
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	a, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	return a
}()

// Seal encrypts like the provider's master key.
func Seal(plaintext []byte, aad string) (string, error) {
	return base64.RawStdEncoding.EncodeToString(aead.Seal(nil, nil, plaintext, []byte(aad))), nil
}

// Unseal opens what Seal made.
func Unseal(sealed, aad string) ([]byte, error) {
	b, err := base64.RawStdEncoding.DecodeString(sealed)
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, nil, b, []byte(aad))
}

// Marker marks audit events like the provider's master key.
var Marker audit.Marker = func() *keys.Master {
	m, err := keys.ReadMaster(strings.NewReader(keys.GenerateMaster()))
	if err != nil {
		panic(err)
	}
	return m
}()
