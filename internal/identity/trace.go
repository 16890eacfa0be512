package identity

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// TracesAtOnce is how many sign-ins a list shows at a time.
const TracesAtOnce = 50

// Trace is how a sign-in went, by the reference that a page of it has shown. Who
// looked is in the audit trail. fault.NotFound "trace_not_found"; a person out of
// the actor's reach is as a reference that was never given out.
func (d *Directory) Trace(ctx context.Context, by Actor, said, ticket string) (trace.Trace, error) {
	if err := first(by.May(TraceSee), text("ticket", ticket, 100, true)); err != nil {
		return trace.Trace{}, err
	}
	if !by.Operator { // at the command line nobody is counted
		if err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.TraceLookups, Subject: by.Name}); err != nil {
			return trace.Trace{}, err
		}
	}
	reference, err := trace.Reference(said)
	if err != nil {
		return trace.Trace{}, err
	}
	legs, at, err := d.Traces.Trace(ctx, reference, d.now())
	if err != nil {
		return trace.Trace{}, err
	}
	all := trace.Join(legs, at.User)
	if len(all) != 1 {
		return trace.Trace{}, trace.ErrNone
	}
	t := all[0]
	u := User{ID: UserID(t.User)}
	if t.User != "" {
		p, err := d.Store.Account(ctx, u.ID)
		if err != nil && !fault.Is(err, fault.NotFound) {
			return trace.Trace{}, err
		}
		if err == nil {
			u = p.User
		}
	}
	if err := by.Sees(TraceSee, u); fault.Is(err, fault.NotFound) {
		return trace.Trace{}, trace.ErrNone
	} else if err != nil {
		return trace.Trace{}, err
	}
	return t, d.traceSeen(ctx, by, u, map[string]string{"reference": reference, "ticket": ticket})
}

// TracesOf lists a person's sign-ins, the newest first; before is the Until of the
// last one that was shown, or zero.
func (d *Directory) TracesOf(ctx context.Context, by Actor, id UserID, before time.Time) ([]trace.Trace, error) {
	if err := by.May(TraceSee); err != nil {
		return nil, err
	}
	p, err := d.Store.Account(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := by.Sees(TraceSee, p.User); err != nil {
		return nil, err
	}
	all, err := d.traces(ctx, id, before)
	if err != nil {
		return nil, err
	}
	return all, d.traceSeen(ctx, by, p.User, nil)
}

// OwnTraces is TracesOf for the person herself, after a full sign-in: a password alone
// tells nobody where she works and when.
func (d *Directory) OwnTraces(ctx context.Context, self Self, before time.Time) ([]trace.Trace, error) {
	if !self.Full {
		return nil, fault.New(fault.Denied, "full_signin_required", "Sign in with your card, or with your password and a code, to see this.")
	}
	return d.traces(ctx, self.User, before)
}

func (d *Directory) traces(ctx context.Context, id UserID, before time.Time) ([]trace.Trace, error) {
	legs, err := d.Traces.TracesOf(ctx, string(id), before, d.now(), TracesAtOnce)
	return trace.Join(legs, string(id)), err
}

func (d *Directory) traceSeen(ctx context.Context, by Actor, u User, details map[string]string) error {
	e := d.event(audit.TraceSeen, by.Name, by.Address, u)
	for name, value := range details {
		if value == "" {
			delete(details, name)
		}
	}
	e.Details = details
	return d.Audit.Record(ctx, e)
}
