package rp

import (
	"context"
	"time"
)

// Record is one value of a Store.
type Record struct {
	Value   []byte // encrypted by this package
	Expires time.Time
	// SID and Subject find the sessions that a logout token names. They are hashes,
	// and empty on everything that is not a session.
	SID     string
	Subject string
}

// Store keeps sessions, pending sign-ins and marks until they expire. Keys are
// 64 hexadecimal characters. Replicas of an application share one Store; several
// applications may, too: their keys never meet.
//
// A record whose Expires has passed is not there. Every method is atomic and
// serves any number of callers at once.
type Store interface {
	// Add stores a record under a free key. It reports false, and changes nothing,
	// when the key is taken.
	Add(ctx context.Context, key string, r Record) (bool, error)
	// Get returns the record and whether there is one.
	Get(ctx context.Context, key string) (Record, bool, error)
	// Take returns the record and deletes it, so that of many callers with the same
	// callback one gets it.
	Take(ctx context.Context, key string) (Record, bool, error)
	// Replace stores new if the key still holds old's Value, and reports whether it
	// did. It never brings a deleted record back: a logout wins over a refresh.
	Replace(ctx context.Context, key string, old, new Record) (bool, error)
	// DeleteSID deletes the records with this SID, DeleteSubject those with this
	// Subject. None is no error.
	DeleteSID(ctx context.Context, sid string) error
	DeleteSubject(ctx context.Context, subject string) error
}
