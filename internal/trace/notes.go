package trace

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// Notes is what one request gathers. It is carried by the request's context, so
// that what happens deep in the house is noted where it is known, without every
// function on the way handing it on. A nil Notes, and a context without one,
// gathers nothing.
type Notes struct {
	now func() time.Time

	mu     sync.Mutex
	id     string
	client string
	user   string
	proved bool
	before []Entry // of earlier requests of the same sign-in
	fresh  []Entry // of this one
}

type notesKey struct{}

// With has everything below ctx note into n.
func With(ctx context.Context, n *Notes) context.Context {
	return context.WithValue(ctx, notesKey{}, n)
}

// of is the context's Notes, or nil.
func of(ctx context.Context) *Notes {
	n, _ := ctx.Value(notesKey{}).(*Notes)
	return n
}

// Note notes something; details are names and values. Words of ours only.
func Note(ctx context.Context, what What, code string, details ...string) {
	n := of(ctx)
	if n == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	at := n.now()
	for _, earlier := range [][]Entry{n.before, n.fresh} { // the order stays, whatever the clocks of replicas say
		if i := len(earlier) - 1; i >= 0 && !at.After(earlier[i].At) {
			at = earlier[i].At.Add(time.Microsecond)
		}
	}
	n.fresh = append(n.fresh, entry(at, what, code, details))
}

// In says which sign-in this request belongs to, and for which service.
func In(ctx context.Context, tx, client string) {
	if n := of(ctx); n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		if tx != "" {
			n.id = ID(tx)
		}
		n.client = client
	}
}

// About says whom it is about; proved, that the person has proved it, in this
// sign-in or before. Who has proved it is not displaced by who has not.
func About(ctx context.Context, user string, proved bool) {
	if n := of(ctx); n != nil && user != "" {
		n.mu.Lock()
		defer n.mu.Unlock()
		if proved || !n.proved {
			n.user, n.proved = user, proved
		}
	}
}

// Before adds what earlier requests of the sign-in have noted.
func Before(ctx context.Context, earlier []Entry) {
	if n := of(ctx); n != nil && len(earlier) > 0 {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.before = merge(n.before, earlier)
	}
}

// Restart forgets the steps of earlier requests: whoever goes on may be another
// person. What the service asks for stays.
func Restart(ctx context.Context) {
	if n := of(ctx); n != nil {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.before = slices.DeleteFunc(slices.Clone(n.before), func(e Entry) bool { return e.What != Asked && e.What != Decided })
		n.user, n.proved = "", false
	}
}

// All is what there is to go on with the sign-in to its next request; stored where
// the context gathers nothing.
func All(ctx context.Context, stored []Entry) []Entry {
	n := of(ctx)
	if n == nil {
		return stored
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return bounded(merge(n.before, n.fresh))
}

// Broken notes how a request ended that ended in an error.
func (n *Notes) Broken(err error) {
	if n == nil || err == nil {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	what, code := Failed, "internal"
	if f, ok := fault.Of(err); ok {
		what, code = Shown, f.Code
	}
	n.fresh = append(n.fresh, entry(n.now(), what, code, nil))
}

// ends are the kinds of entries with which a request leaves a leg.
var ends = []What{Refused, Card, Shown, Started, Issued, Device, Renewal, Failed}

// leg is what is kept; false when nothing has happened that anybody would ask about.
func (n *Notes) leg() (Leg, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !slices.ContainsFunc(n.fresh, func(e Entry) bool { return e.tells() || e.What == Asked }) {
		return Leg{}, false
	}
	if n.user == "" && slices.ContainsFunc(n.fresh, func(e Entry) bool { return e.What == Called }) {
		return Leg{}, false // a stranger's: there is nobody who could ask
	}
	return Leg{Trace: n.id, User: n.user, Proved: n.proved, Client: n.client, Entries: bounded(merge(n.before, n.fresh))}, true
}

// tells tells whether somebody was told something: the person, or the service.
func (e Entry) tells() bool { return slices.Contains(ends, e.What) || e.refusal() }

// refusal tells whether a decision was to tell the service no.
func (e Entry) refusal() bool { return e.What == Decided && e.Details["verdict"] == "refuse" }
