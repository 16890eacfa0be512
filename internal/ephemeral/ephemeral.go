// Package ephemeral keeps small values that expire: sign-in flows, sessions,
// authorization codes, replay marks and counters.
//
// There are two stores behind one promise: Memory for one process, Redis for
// any number of replicas. Every verb touches one key and is atomic, so that
// Redis Cluster needs no hash tags and two replicas never disagree on who came
// first. What must survive a restart does not belong here.
//
// Keys are "kind:name", e.g. "code:4f6c…". A name that is a secret (a cookie, a
// code, a token) is hashed first: see Key.
package ephemeral

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"time"
)

// Store is what Memory and Redis promise. Every method returns
// fault.Unavailable when the backend does not answer; ttl is always positive
// and counts from now.
type Store interface {
	// Put sets key, whether it was there or not.
	Put(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Get returns the value of key, or fault.NotFound.
	Get(ctx context.Context, key string) ([]byte, error)

	// Take returns the value of key and deletes it, so that of any number of
	// callers one gets the value and the rest get fault.NotFound.
	Take(ctx context.Context, key string) ([]byte, error)

	// Swap returns the value of key and leaves another in its place, so that of
	// any number of callers one gets the first value and the rest see what it
	// left. A key that is not there gives fault.NotFound and stays absent.
	Swap(ctx context.Context, key string, value []byte, ttl time.Duration) ([]byte, error)

	// Add sets key if it is absent; otherwise it changes nothing and returns
	// fault.Conflict. Of any number of callers one succeeds.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) error

	// Replace sets key to value if it still holds old. It returns
	// fault.Conflict when the value is another one, and fault.NotFound when the
	// key is gone.
	Replace(ctx context.Context, key string, old, value []byte, ttl time.Duration) error

	// Delete removes key; a key that is not there is no error.
	Delete(ctx context.Context, key string) error

	// Increment adds one to the counter key and returns its new value and the
	// time until it starts again from nothing. The first increment starts the
	// window; later ones do not move its end.
	Increment(ctx context.Context, key string, window time.Duration) (n int64, left time.Duration, err error)

	// Count returns the counter's value and the time it has left, 0 and 0 when
	// it is absent. It changes nothing.
	Count(ctx context.Context, key string) (n int64, left time.Duration, err error)

	// Ping tells whether the store answers.
	Ping(ctx context.Context) error

	Close() error
}

// Key makes the key of a value whose name is a secret: the store sees only its
// SHA-256, so that a copy of the store opens nothing.
func Key(kind, secret string) string {
	h := sha256.Sum256([]byte(secret))
	return kind + ":" + base64.RawURLEncoding.EncodeToString(h[:])
}
