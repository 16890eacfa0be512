// Package throttle counts attempts and refuses more of them than a limit
// allows. The limits are in limits.go, all of them; what an attempt is, and
// whether it was a right one, its callers know.
//
// There are two ways to count, and the difference is what parallel guesses can
// gain:
//
//	Attempt … work … Clear    the attempt counts before the work: of any number
//	                          at once no more than Max get to guess
//	Check … work … Fail       only failures count: for subjects that many
//	                          people share, where right attempts must be free
//	                          and may not wipe out the wrong ones
//
// Counters live in the ephemeral store. When it does not answer every call
// fails with fault.Unavailable: nobody guesses uncounted.
package throttle

import (
	"context"
	"net/netip"
	"strconv"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
)

// Throttle keeps the counters of every limit.
type Throttle struct {
	Store ephemeral.Store
}

// Use is one limit and whom it is counted for: a user's ID, a folded username,
// an AddressKey, or some of them joined.
type Use struct {
	Limit   Limit
	Subject string
}

// key hides the subject: who tried to sign in from where is nobody's business
// who reads the store.
func (u Use) key() string { return ephemeral.Key("throttle:"+u.Limit.Name, u.Subject) }

// Attempt counts one attempt against each use, in their order, and returns the
// fault "throttled" at the first that is past its limit; the uses after it are
// left as they are. So of any number of parallel attempts at most Max succeed.
func (t *Throttle) Attempt(ctx context.Context, uses ...Use) error {
	for _, u := range uses {
		n, left, err := t.Store.Increment(ctx, u.key(), u.Limit.Window)
		if err != nil {
			return err
		}
		if n > u.Limit.Max {
			return Refusal(left)
		}
	}
	return nil
}

// Check returns the fault "throttled" when a use has reached its limit. It
// counts nothing.
func (t *Throttle) Check(ctx context.Context, uses ...Use) error {
	for _, u := range uses {
		n, left, err := t.Store.Count(ctx, u.key())
		if err != nil {
			return err
		}
		if n >= u.Limit.Max {
			return Refusal(left)
		}
	}
	return nil
}

// Fail counts one failure against each use.
func (t *Throttle) Fail(ctx context.Context, uses ...Use) error {
	for _, u := range uses {
		if _, _, err := t.Store.Increment(ctx, u.key(), u.Limit.Window); err != nil {
			return err
		}
	}
	return nil
}

// Clear forgets what was counted against each use: a right attempt, or a person
// whom the help desk has spoken to.
func (t *Throttle) Clear(ctx context.Context, uses ...Use) error {
	for _, u := range uses {
		if err := t.Store.Delete(ctx, u.key()); err != nil {
			return err
		}
	}
	return nil
}

// Refusal is the fault "throttled" for somebody who may try again after left.
// Its placeholder n is the minutes to wait. Both are rounded up, for an attempt
// a moment too early would be refused once more.
func Refusal(left time.Duration) *fault.Fault {
	left = max(roundUp(left, time.Second), time.Second)
	n := strconv.Itoa(int(roundUp(left, time.Minute) / time.Minute))
	return fault.New(fault.Throttled, "throttled", "Too many failed attempts. Try again in %s minutes.", n).With("n", n).After(left)
}

func roundUp(d, unit time.Duration) time.Duration {
	return (d + unit - 1).Truncate(unit)
}

// AddressKey returns the subject of a network address: an IPv4 address, or the
// /64 of an IPv6 address, for that is the least that one subscriber holds and
// every address in it is his to change at will. Addresses that could not be
// told share one subject.
func AddressKey(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return "unknown"
	}
	if a.Is4() {
		return a.String()
	}
	return netip.PrefixFrom(a, 64).Masked().String()
}
