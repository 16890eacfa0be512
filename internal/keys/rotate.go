package keys

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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
		return fault.New(fault.Conflict, "key_too_new", "The next %s key was published %s ago; services need %s to fetch it. It can be promoted in %s.",
			kind, spell(max(0, now.Sub(next.Moved))), spell(r.o.PublishFor), spell(wait)).After(wait)
	}
	if err := r.now.Load().keys[next.ID].found(); err != nil {
		return fmt.Errorf("promote the next %s key: %w", kind, err)
	}
	err := r.store.Rotate(ctx, kind, next.ID, current.ID, now, r.event(ctx, audit.KeyMoved, kind, next.ID, Current), r.event(ctx, audit.KeyMoved, kind, current.ID, Retired))
	if fault.Is(err, fault.Conflict) {
		return errMoved(kind)
	}
	if err != nil {
		return fmt.Errorf("rotate the %s keys: %w", kind, err)
	}
	return r.Refresh(ctx)
}

// Retire drops the retired keys of a kind whose last token has expired, and
// returns how many.
func (r *Ring) Retire(ctx context.Context, kind Kind) (n int, err error) {
	if err := r.mine(kind); err != nil {
		return 0, err
	}
	if err := r.Refresh(ctx); err != nil {
		return 0, err
	}
	now, known := r.o.Now(), r.now.Load()
	for _, row := range known.rows {
		if row.Kind != kind || !r.over(row, now) {
			continue
		}
		there, err := r.store.DropSigningKey(ctx, row.ID, r.event(ctx, audit.KeyMoved, kind, row.ID, dropped))
		if err != nil {
			return n, fmt.Errorf("drop signing key %s: %w", row.ID, err)
		}
		if !there {
			continue // another replica was quicker
		}
		n++
		r.destroy(ctx, known.keys[row.ID])
	}
	if n == 0 {
		return 0, nil
	}
	return n, r.Refresh(ctx)
}

// over tells whether the last token that a key signed has expired.
func (r *Ring) over(row Stored, now time.Time) bool {
	return row.State == Retired && !now.Before(row.Moved.Add(r.o.KeepRetired))
}

// Replace is for a key that somebody else may have: a new key of its kind signs at
// once, although nobody has seen it yet, and every other key of the kind is
// withdrawn, since the next one lay beside the one that is out: tokens that they
// signed verify no longer, here and wherever the JWK set is fetched anew. With keep
// they stay published as after Promote. It returns the new key's ID.
// fault.Conflict "key_moved_meanwhile" when somebody else rotated.
func (r *Ring) Replace(ctx context.Context, kind Kind, keep bool) (id string, err error) {
	if err := r.mine(kind); err != nil {
		return "", err
	}
	if err := r.Refresh(ctx); err != nil {
		return "", err
	}
	current, ok := r.find(kind, Current)
	if !ok {
		return "", fmt.Errorf("kind %s has no current key", kind)
	}
	row, s, err := r.make(kind, Current)
	if err != nil {
		return "", err
	}
	known := r.now.Load()
	former, events := []string{}, []audit.Event{r.event(ctx, audit.KeyCreated, kind, row.ID, Current)}
	if keep {
		events = append(events, r.event(ctx, audit.KeyMoved, kind, current.ID, Retired))
	} else {
		for _, k := range known.rows {
			if k.Kind == kind {
				former, events = append(former, k.ID), append(events, r.event(ctx, audit.KeyMoved, kind, k.ID, withdrawn))
			}
		}
	}
	if err := r.store.Replace(ctx, row, current.ID, former, events...); err != nil {
		if !fault.Is(err, fault.Unavailable) {
			r.destroy(ctx, s)
		}
		if fault.Is(err, fault.Conflict) {
			return "", errMoved(kind)
		}
		return "", fmt.Errorf("replace the %s key: %w", kind, err)
	}
	for _, id := range former {
		r.destroy(ctx, known.keys[id])
	}
	return row.ID, r.Refresh(ctx)
}

func errMoved(kind Kind) error {
	return fault.New(fault.Conflict, "key_moved_meanwhile", "The %s keys have been rotated meanwhile. Look at them again.", kind)
}

// spell writes a duration for people, to the minute: "2 days 3 h", "23 h 59 min".
func spell(d time.Duration) string {
	minutes := int64((d + time.Minute - 1) / time.Minute)
	var parts []string
	for _, unit := range []struct {
		name    string
		minutes int64
	}{{"days", 24 * 60}, {"h", 60}, {"min", 1}} {
		n := minutes / unit.minutes
		minutes %= unit.minutes
		if n == 1 && unit.name == "days" {
			unit.name = "day"
		}
		if n > 0 {
			parts = append(parts, fmt.Sprint(n, " ", unit.name))
		}
	}
	if len(parts) == 0 {
		return "0 min"
	}
	return strings.Join(parts, " ")
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
