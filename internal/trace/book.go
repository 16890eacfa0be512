package trace

import (
	"cmp"
	"context"
	"crypto/rand"
	"log/slog"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/portti-id/portti/internal/throttle"
)

const (
	// Kept is how long a trace can be read: a caller may come back to a failure of last
	// month's night shift, and not later.
	Kept = 30 * 24 * time.Hour

	// quietKept is how long one is kept that nobody saw: a session was enough. There are
	// twenty of them a day for each sign-in.
	quietKept = 2 * 24 * time.Hour

	// waitingKept is how long a request is kept that led to a sign-in, for the makers of
	// its service, who look while they try.
	waitingKept = 24 * time.Hour

	queued      = 1024            // legs that wait for the database; those above it are lost, and counted in the log
	batch       = 100             // rows a statement
	patience    = 5 * time.Second // of one statement
	oncePerMost = 30 * time.Second
)

// Book keeps legs. Keeping never fails a request, nor makes it wait: where Run runs
// it is done behind its back. A nil Book keeps nothing.
type Book struct {
	Store    Store
	Throttle *throttle.Throttle
	Now      func() time.Time
	Log      *slog.Logger // nil: slog.Default()

	queue   atomic.Pointer[chan kept]
	lost    atomic.Int64
	lostLog atomic.Int64 // when the log told of losses last, UnixNano
}

type kept struct {
	leg  Leg
	from netip.Addr
}

// Begin returns a context that gathers what happens in a request.
func (b *Book) Begin(ctx context.Context) (context.Context, *Notes) {
	if b == nil {
		return ctx, nil
	}
	n := &Notes{now: b.Now}
	return With(ctx, n), n
}

// Keep keeps what a request has gathered under the request's reference; false when
// nothing happened that is worth it.
func (b *Book) Keep(ctx context.Context, n *Notes, reference string, from netip.Addr) bool {
	if b == nil || n == nil {
		return false
	}
	leg, worth := n.leg()
	if !worth {
		return false
	}
	leg.Trace = cmp.Or(leg.Trace, ID(rand.Text()))
	leg.Reference, leg.At, leg.Network = reference, b.Now().UTC().Truncate(time.Microsecond), Network(from)
	leg.Expires = leg.At.Add(Kept)
	switch {
	case leg.waits():
		leg.Expires = leg.At.Add(waitingKept)
	case quiet(leg):
		leg.Expires = leg.At.Add(quietKept)
	}
	q := b.queue.Load()
	if q == nil { // nobody would take it from the queue
		b.write(context.WithoutCancel(ctx), []kept{{leg, from}})
		return true
	}
	select {
	case *q <- kept{leg, from}:
	default:
		b.lose(1, "more than the database takes")
	}
	return true
}

// quiet tells whether a leg is a session's that was enough, with nothing shown.
func quiet(l Leg) bool {
	return !slices.ContainsFunc(l.Entries, func(e Entry) bool {
		return slices.Contains(ends, e.What) && e.What != Issued || e.What == Stepped
	})
}

// Run writes what Keep has queued until ctx ends, and then what is left. Legs that
// come while one statement is under way go into the next together.
func (b *Book) Run(ctx context.Context) {
	q := make(chan kept, queued)
	if !b.queue.CompareAndSwap(nil, &q) {
		return // it runs already
	}
	for {
		select {
		case k := <-q:
			b.write(ctx, gather(q, k))
		case <-ctx.Done():
			b.queue.Store(nil)
			for {
				select {
				case k := <-q:
					b.write(context.WithoutCancel(ctx), gather(q, k))
				default:
					return
				}
			}
		}
	}
}

func gather(q chan kept, first kept) []kept {
	all := []kept{first}
	for len(all) < batch {
		select {
		case k := <-q:
			all = append(all, k)
		default:
			return all
		}
	}
	return all
}

func (b *Book) write(ctx context.Context, all []kept) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	legs := make([]Leg, 0, len(all))
	for _, k := range all {
		if b.room(ctx, k) {
			legs = append(legs, k.leg)
		}
	}
	if len(legs) == 0 {
		return
	}
	if err := b.Store.AddTraces(ctx, legs); err != nil {
		b.lose(int64(len(legs)), err.Error())
	}
}

// room bounds what one subject can fill the table with; past it nothing is kept, and
// nobody is told. A finished sign-in of a person always is: it has limits of its own.
func (b *Book) room(ctx context.Context, k kept) bool {
	var uses []throttle.Use
	add := func(l throttle.Limit, subject string) { uses = append(uses, throttle.Use{Limit: l, Subject: subject}) }
	switch l := k.leg; {
	case l.waits():
		add(throttle.WaitingTracesPerClient, l.Client)
	case l.Proved && quiet(l):
		add(throttle.QuietTracesPerPerson, l.User)
	case l.Proved && l.finished():
		return true
	default:
		add(throttle.TracesPerSignIn, l.Trace)
		if l.Proved {
			add(throttle.TracesPerPerson, l.User)
		} else {
			add(throttle.TracesPerAddress, throttle.AddressKey(k.from))
		}
	}
	return b.Throttle.Attempt(ctx, uses...) == nil
}

// finished tells whether a session was started, or a service answered.
func (l Leg) finished() bool {
	return slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.What == Started || e.What == Issued })
}

// lose counts what is not kept, and tells the log twice a minute at most.
func (b *Book) lose(n int64, why string) {
	lost, now, last := b.lost.Add(n), b.Now().UnixNano(), b.lostLog.Load()
	if last != 0 && now-last < int64(oncePerMost) || !b.lostLog.CompareAndSwap(last, now) {
		return
	}
	cmp.Or(b.Log, slog.Default()).Warn("traces of sign-ins not kept", "lost", lost, "why", why)
}
