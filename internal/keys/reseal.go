package keys

import (
	"context"
	"fmt"
	"maps"
	"slices"
)

// Sealing is a value in SQL that a Master sealed.
type Sealing struct {
	Of    string // what it is, such as "signing keys"
	ID    string // whose: the row's primary key
	AAD   string // what it is bound to
	Value string
}

// Sealings is all that is sealed in SQL, whoever put it there.
type Sealings interface {
	// KindsOfSealings are the values of Sealing.Of.
	KindsOfSealings() []string
	// SealingsWithout returns up to n values that do not begin with a prefix, in the
	// order of their IDs, from behind one ID on.
	SealingsWithout(ctx context.Context, of, prefix, behind string, n int) ([]Sealing, error)
	// Reseal writes a value unless it was changed or deleted meanwhile, and tells
	// whether it did.
	Reseal(ctx context.Context, s Sealing, fresh string) (bool, error)
}

// Resealed is what came of one kind of sealed values.
type Resealed struct {
	Of       string   `json:"of"`
	Found    int      `json:"found"`              // sealed by another master key than the first
	Resealed int      `json:"resealed"`           //
	Left     int      `json:"left"`               // still sealed by another one
	Unopened []string `json:"unopened,omitempty"` // IDs of the first that no key of the ring opens
}

const (
	resealAtOnce = 100
	unopenedTold = 10
)

// Reseal encrypts what was sealed by another master key under the first one, so
// that old keys can be taken out of the ring. It may run beside any number of
// replicas: a value that was changed or deleted meanwhile stays as it is, and each
// is one statement. Without apply it tries to open everything and writes nothing.
// What cannot be opened is counted, named and left alone.
func Reseal(ctx context.Context, store Sealings, master *Master, apply bool) ([]Resealed, error) {
	var all []Resealed
	for _, of := range store.KindsOfSealings() {
		done, err := reseal(ctx, store, master, of, apply)
		if err != nil {
			return all, fmt.Errorf("reseal %s: %w", of, err)
		}
		all = append(all, done)
	}
	return all, nil
}

func reseal(ctx context.Context, store Sealings, master *Master, of string, apply bool) (Resealed, error) {
	done := Resealed{Of: of}
	prefix := sealedVersion + "." + master.first + "."
	err := walk(ctx, store, of, prefix, func(s Sealing) error {
		done.Found++
		plain, err := master.Open(s.Value, s.AAD)
		if err != nil {
			if len(done.Unopened) < unopenedTold {
				done.Unopened = append(done.Unopened, s.ID)
			}
			return nil
		}
		if !apply {
			return nil
		}
		fresh, err := master.Seal(plain, s.AAD)
		if err != nil {
			return err
		}
		written, err := store.Reseal(ctx, s, fresh)
		if written {
			done.Resealed++
		}
		return err
	})
	if err != nil || !apply {
		done.Left = done.Found
		return done, err
	}
	// Counted, not reckoned: a replica with the old file may have sealed more.
	err = walk(ctx, store, of, prefix, func(Sealing) error { done.Left++; return nil })
	return done, err
}

func walk(ctx context.Context, store Sealings, of, prefix string, f func(s Sealing) error) error {
	behind := ""
	for {
		some, err := store.SealingsWithout(ctx, of, prefix, behind, resealAtOnce)
		if err != nil {
			return err
		}
		for _, s := range some {
			if err := f(s); err != nil {
				return fmt.Errorf("%s: %w", s.ID, err)
			}
			behind = s.ID
		}
		if len(some) < resealAtOnce {
			return nil
		}
	}
}

// First is the ID of the key that seals.
func (m *Master) First() string { return m.first }

// Others are the IDs of the keys that only open.
func (m *Master) Others() []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(m.keys)), func(id string) bool { return id == m.first })
}
