package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// Advance does what is due, and nothing when SignFor is 0:
//
//	current signs since          SignFor - PublishFor   SignFor       + KeepRetired
//	──────●──────────────────────────────●─────────────────●───────────────●────▶
//	                                  prepare           promote          retire
//
// Any number of replicas may do it side by side: each step is one statement or one
// transaction that one of them wins, and what is due is read from SQL, so that a
// replica which stops between two steps leaves nothing half done. A key that was
// prepared late is promoted late: it is always published for PublishFor first.
func (r *Ring) Advance(ctx context.Context) error {
	if r.o.SignFor == 0 {
		return nil
	}
	var errs []error
	for _, kind := range r.o.Kinds {
		if err := r.advance(ctx, kind, r.o.Now()); err != nil && !fault.Is(err, fault.Conflict) { // another replica was quicker
			errs = append(errs, fmt.Errorf("kind %s: %w", kind, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Ring) advance(ctx context.Context, kind Kind, now time.Time) error {
	current, ok := r.find(kind, Current)
	if !ok {
		return errors.New("there is no current key")
	}
	end := current.Moved.Add(r.o.SignFor)
	next, prepared := r.find(kind, Next)
	switch {
	case !prepared && !now.Before(end.Add(-r.o.PublishFor)):
		id, err := r.Prepare(ctx, kind)
		if err != nil {
			return err
		}
		r.o.Log.InfoContext(ctx, "signing key prepared", "kind", kind, "key", id)
	case prepared && !now.Before(end) && !now.Before(next.Moved.Add(r.o.PublishFor)):
		if err := r.Promote(ctx, kind); err != nil {
			return err
		}
		r.o.Log.InfoContext(ctx, "signing key promoted", "kind", kind, "key", next.ID, "retired", current.ID)
	}
	for _, row := range r.now.Load().rows {
		if row.Kind == kind && r.over(row, now) {
			_, err := r.Retire(ctx, kind)
			return err
		}
	}
	return nil
}
