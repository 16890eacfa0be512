// Package ephemeraltest gives tests the stores of package ephemeral: both of
// them, so that no test proves a thing for one backend only.
package ephemeraltest

import (
	"crypto/rand"
	"os"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
)

// RedisAddress returns the host:port of the Redis for tests, from the
// environment variable PORTTI_TEST_REDIS. Without it the test is skipped, or
// fails when CI=true.
func RedisAddress(t testing.TB) string {
	t.Helper()
	address := os.Getenv("PORTTI_TEST_REDIS")
	if address == "" {
		Missing(t, "PORTTI_TEST_REDIS (host:port of a Redis) is not set; make test sets it")
	}
	return address
}

// Missing ends a test that lacks something it needs: under CI=true it fails,
// so that nothing goes unproved in silence, elsewhere it is skipped.
func Missing(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// Open returns a store on the Redis for tests. Its keys have a prefix that no
// other store has.
func Open(t testing.TB) ephemeral.Store {
	t.Helper()
	return Shared(t, "test:"+rand.Text()+":")
}

// Shared is Open with a prefix of the caller's: two replicas in one test share
// a prefix.
func Shared(t testing.TB, prefix string) ephemeral.Store {
	t.Helper()
	store, err := ephemeral.OpenRedis(t.Context(), ephemeral.RedisConfig{Addresses: []string{RedisAddress(t)}, Prefix: prefix})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// Each runs f twice, as subtests "memory" and "redis", each with an empty store.
func Each(t *testing.T, f func(t *testing.T, store ephemeral.Store)) {
	t.Helper()
	t.Run("memory", func(t *testing.T) { f(t, ephemeral.NewMemory(time.Now)) })
	t.Run("redis", func(t *testing.T) { f(t, Open(t)) })
}
