package keys

import (
	"context"
	"fmt"
	"slices"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// List returns all keys, oldest first, without what is sealed.
func (r *Ring) List() []Stored {
	rows := slices.Clone(r.now.Load().rows)
	for i := range rows {
		rows[i].Sealed = ""
	}
	return rows
}

// Prepare publishes the next key of a kind, and returns its ID. When there is one
// already it is that one.
func (r *Ring) Prepare(ctx context.Context, kind Kind) (id string, err error) {
	if err := r.mine(kind); err != nil {
		return "", err
	}
	if err := r.Refresh(ctx); err != nil {
		return "", err
	}
	if row, ok := r.find(kind, Next); ok {
		return row.ID, nil
	}
	if _, err := r.add(ctx, kind, Next); err != nil && !fault.Is(err, fault.Conflict) {
		return "", err
	}
	if err := r.Refresh(ctx); err != nil {
		return "", err
	}
	row, ok := r.find(kind, Next) // ours, or that of a replica which was quicker
	if !ok {
		return "", fault.New(fault.Conflict, "key_moved_meanwhile", "The next %s key has become current meanwhile.", kind)
	}
	return row.ID, nil
}

// Promote makes the next key of a kind current, so that it signs from now on, and
// retires the current one. fault.Conflict "key_not_prepared" when there is no next
// key, "key_too_new" (RetryAfter) while clients may not have fetched it yet, and
// "key_moved_meanwhile" when somebody else rotated.
func (r *Ring) Promote(ctx context.Context, kind Kind) error {
	if err := r.mine(kind); err != nil {
		return err
	}
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	next, ok := r.find(kind, Next)
	if !ok {
		return fault.New(fault.Conflict, "key_not_prepared", "There is no next %s key. Prepare one first.", kind)
	}
	current, ok := r.find(kind, Current)
	if !ok {
		return fmt.Errorf("kind %s has no current key", kind)
	}
	now := r.o.Now().UTC()
	if wait := next.Moved.Add(r.o.PublishFor).Sub(now); wait > 0 {
		return fault.New(fault.Conflict, "key_too_new", "The next %s key was published %s ago; clients need %s to fetch it.", kind, now.Sub(next.Moved), r.o.PublishFor).After(wait)
	}
	if err := r.store.Rotate(ctx, kind, next.ID, current.ID, now); err != nil {
		if fault.Is(err, fault.Conflict) {
			return fault.New(fault.Conflict, "key_moved_meanwhile", "The %s keys have been rotated meanwhile.", kind)
		}
		return fmt.Errorf("rotate the %s keys: %w", kind, err)
	}
	if err := r.Refresh(ctx); err != nil {
		return err
	}
	if err := r.record(ctx, audit.KeyMoved, kind, next.ID, Current); err != nil {
		return err
	}
	return r.record(ctx, audit.KeyMoved, kind, current.ID, Retired)
}

// Retire drops the retired keys of a kind whose last token has expired, and
// returns how many.
func (r *Ring) Retire(ctx context.Context, kind Kind) (dropped int, err error) {
	if err := r.mine(kind); err != nil {
		return 0, err
	}
	if err := r.Refresh(ctx); err != nil {
		return 0, err
	}
	now := r.o.Now()
	for _, row := range r.now.Load().rows {
		if row.Kind != kind || row.State != Retired || now.Before(row.Moved.Add(r.o.KeepRetired)) {
			continue
		}
		if err := r.store.DropSigningKey(ctx, row.ID); fault.Is(err, fault.NotFound) {
			continue // another replica was quicker
		} else if err != nil {
			return dropped, fmt.Errorf("drop signing key %s: %w", row.ID, err)
		}
		dropped++
		if err := r.record(ctx, audit.KeyMoved, kind, row.ID, "dropped"); err != nil {
			return dropped, err
		}
	}
	return dropped, r.Refresh(ctx)
}

func (r *Ring) mine(kind Kind) error {
	if !slices.Contains(r.o.Kinds, kind) {
		return fault.New(fault.Invalid, "key_kind_unknown", "This installation has no %q keys.", kind).In("kind")
	}
	return nil
}

func (r *Ring) find(kind Kind, state State) (Stored, bool) {
	rows := r.now.Load().rows
	i := slices.IndexFunc(rows, func(k Stored) bool { return k.Kind == kind && k.State == state })
	if i < 0 {
		return Stored{}, false
	}
	return rows[i], true
}
