package keys

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Outlook is what becomes of the keys of a kind, and when.
type Outlook struct {
	Scheduled bool                 // Run rotates them
	Prepares  time.Time            // when Run makes the next key; zero when there is one, or no schedule
	Promotes  time.Time            // when Run lets the next key sign; zero without a schedule
	Ready     time.Time            // from when the next key may be promoted; zero when there is none
	Drops     map[string]time.Time // of each retired key: when its last token has expired
}

// Kinds are those that the ring has.
func (r *Ring) Kinds() []Kind { return slices.Clone(r.o.Kinds) }

// Outlook says what Advance and Promote go by.
func (r *Ring) Outlook(kind Kind) Outlook {
	o := Outlook{Scheduled: r.o.SignFor > 0, Drops: map[string]time.Time{}}
	current, signs := r.find(kind, Current)
	next, prepared := r.find(kind, Next)
	if prepared {
		o.Ready = next.Moved.Add(r.o.PublishFor)
	}
	if o.Scheduled && signs {
		o.Promotes = current.Moved.Add(r.o.SignFor)
		if !prepared {
			o.Prepares = o.Promotes.Add(-r.o.PublishFor)
		} else if o.Promotes.Before(o.Ready) {
			o.Promotes = o.Ready
		}
	}
	for _, row := range r.now.Load().rows {
		if row.Kind == kind && row.State == Retired {
			o.Drops[row.ID] = row.Moved.Add(r.o.KeepRetired)
		}
	}
	return o
}

// acting is who acts, as audit.Event has it, and from where.
type acting struct{ name, address string }

type actingKey struct{}

// By names who acts and from where, for the events of what is done with the ring
// under this context; without it that is Options.Actor, from nowhere.
func By(ctx context.Context, actor, address string) context.Context {
	return context.WithValue(ctx, actingKey{}, acting{actor, address})
}

func (r *Ring) actor(ctx context.Context) acting {
	by, _ := ctx.Value(actingKey{}).(acting)
	by.name = cmp.Or(by.name, r.o.Actor)
	return by
}
