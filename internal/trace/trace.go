// Package trace keeps why a sign-in went as it did: what was asked for, what was
// there already, what was decided and why, and what was refused. The person reads
// it as "why was I asked", the help desk under the reference of an error page, and
// a service's makers as what was made of their request.
//
//	trace.go   What, Entry, Leg, Trace; what may stand in them
//	notes.go   Notes: what one request gathers, carried by its context
//	book.go    Book: what is kept of it, how long, and how much of strangers
//	cure.go    who can do something about it
//	protocol.go  what the makers of a service may read of it, in terms of the protocol
//
// A sign-in takes several requests, and its entries go with it in the ephemeral
// store. A request that fails, and the one that finishes, leaves a Leg in SQL: one
// row with all that led there, under the reference that its page shows; so do, for
// a day, the latest requests of a service that led to a sign-in. The legs of a
// sign-in together are its Trace. A call of an app that was refused is a trace of
// its own, under the reference that the app's page shows.
//
//	request ─▶ With ─▶ Note, Note … ─▶ Book.Keep ─▶ queue ─▶ Store.AddTraces
//	              ▲        │
//	              └─ flow ◀┘ (Before, All)
//
// Never a secret, a code, a token, nor a name that somebody typed: people type
// passwords there. A person is in it by ID alone.
package trace

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base32"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// What is the kind of an entry.
type What string

const (
	Asked   What = "asked"   // what a service demands of a sign-in: code any, card, pwd_otp or enrol; details from (client, claims, methods, request), max_age, prompt, methods, person, grant (a device, which shows a code)
	Had     What = "had"     // what the browser's session has proved before: none, over, ended (the account has changed), full, enrol; details method, age (seconds since the proof)
	Decided What = "decided" // whether that is enough: a Reason of package openid, or "issue"; details verdict, error, by (prompt, max_age, level, methods)
	Stepped What = "stepped" // a step of the sign-in: the Event of package login; details step, linked, permitted
	Refused What = "refused" // what was wrong with what was typed or shown, as the trail has it
	Card    What = "card"    // what became of a card attempt: a card.Verdict, or the fault that the card met; details check, mode
	Shown   What = "shown"   // what a page said, by the fault's code
	Started What = "started" // a session: full or enrol; details method
	Issued  What = "issued"  // the answer to the service; details acr, amr
	Device  What = "device"  // letting a device in, whose trace begins where it asked for its codes: entered (its code was typed), allowed, denied, redeemed, late, hurried; details acr, amr
	Renewal What = "renewal" // a service was refused new tokens
	Called  What = "called"  // an app asked the API for something: the operation
	Failed  What = "failed"  // something of ours
)

// Whats is all of them, for the catalogues.
var Whats = []What{Asked, Had, Decided, Stepped, Refused, Card, Shown, Started, Issued, Device, Renewal, Called, Failed}

// Entry is one thing that happened.
type Entry struct {
	At      time.Time         `json:"at"` // UTC, microseconds
	What    What              `json:"what"`
	Code    string            `json:"code,omitempty"`
	Details map[string]string `json:"details,omitempty"` // few, short
}

const (
	mostEntries = 40 // of a leg, and of what goes with a sign-in
	mostDetails = 6  // of an entry
)

var (
	codeForm   = regexp.MustCompile(`^[a-z0-9_]{1,60}$`)
	detailForm = regexp.MustCompile(`^[A-Za-z0-9_.:,/ -]{1,60}$`)
)

// entry leaves out what no code of ours looks like. Callers give words of the
// programs, never what somebody sent; this is for the one that is careless.
func entry(at time.Time, what What, code string, details []string) Entry {
	e := Entry{At: at.UTC().Truncate(time.Microsecond), What: what, Code: code}
	if code != "" && !codeForm.MatchString(code) {
		e.Code = "other"
	}
	for i := 0; i+1 < len(details) && len(e.Details) < mostDetails; i += 2 {
		if detailForm.MatchString(details[i+1]) {
			if e.Details == nil {
				e.Details = map[string]string{}
			}
			e.Details[details[i]] = details[i+1]
		}
	}
	return e
}

func (e Entry) same(other Entry) bool {
	return e.At.Equal(other.At) && e.What == other.What && e.Code == other.Code
}

// merge puts entries in the order of time, each once.
func merge(lists ...[]Entry) []Entry {
	var all []Entry
	for _, e := range slices.Concat(lists...) {
		if !slices.ContainsFunc(all, e.same) {
			all = append(all, e)
		}
	}
	slices.SortStableFunc(all, func(a, b Entry) int { return a.At.Compare(b.At) })
	return all
}

// bounded keeps the beginning and the end of what became too long.
func bounded(all []Entry) []Entry {
	if len(all) <= mostEntries {
		return all
	}
	return slices.Concat(all[:mostEntries/4], all[len(all)-mostEntries*3/4:])
}

// Leg is what is kept of one request.
type Leg struct {
	Trace     string // the sign-in's; see ID
	Reference string // the request's, as its page shows it
	At        time.Time
	Expires   time.Time
	User      string // whom it is about, "" when nobody is known
	Proved    bool   // that person has proved who she is, in this sign-in or before
	Client    string // the service
	Network   string // roughly where the browser is; see Network
	Entries   []Entry
}

// SignIn tells whether a leg is of a sign-in, and not of an app's call.
func (l Leg) SignIn() bool {
	return !slices.ContainsFunc(l.Entries, func(e Entry) bool { return e.What == Called })
}

// waits tells whether a leg is of a request that led to a sign-in, and nothing more:
// no page has shown its reference.
func (l Leg) waits() bool { return !slices.ContainsFunc(l.Entries, Entry.tells) }

// ID names the trace of an authorization request that waits. The request's own ID is
// part of an address that people have open: it is not kept.
func ID(tx string) string {
	sum := sha256.Sum256([]byte("trace:" + tx))
	return base32.StdEncoding.EncodeToString(sum[:15])
}

// Network is an address without what tells one household from the next.
func Network(a netip.Addr) string {
	a = a.Unmap().WithZone("")
	if !a.IsValid() {
		return ""
	}
	bits := 48
	if a.Is4() {
		bits = 24
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.Masked().String()
}

// Entries are those of the legs of one sign-in, whosever they are, in the order of
// time.
func Entries(legs []Leg, id string) []Entry {
	var lists [][]Entry
	for _, l := range legs {
		if l.Trace == id {
			lists = append(lists, l.Entries)
		}
	}
	return merge(lists...)
}

// Trace is the legs of a sign-in together.
type Trace struct {
	ID         string
	References []string // in the order of time
	At, Until  time.Time
	User       string
	Proved     bool // whoever it was has proved to be User
	Client     string
	Network    string
	Entries    []Entry
}

// Last is the entry that says what it came to.
func (t Trace) Last() Entry {
	if len(t.Entries) == 0 {
		return Entry{}
	}
	return t.Entries[len(t.Entries)-1]
}

// Join puts legs together, by trace, the newest first. Of each it takes what is
// about a person; "" is whoever proved to be somebody last, or else nobody, where there
// is something of nobody's. What another person did in the same browser is left out.
func Join(legs []Leg, about string) []Trace {
	var ids []string
	of := map[string][]Leg{}
	for _, l := range legs {
		if of[l.Trace] == nil {
			ids = append(ids, l.Trace)
		}
		of[l.Trace] = append(of[l.Trace], l)
	}
	var all []Trace
	for _, id := range ids {
		legs := of[id]
		slices.SortStableFunc(legs, func(a, b Leg) int { return a.At.Compare(b.At) })
		user := about
		for _, l := range slices.Backward(legs) {
			if user == "" && l.Proved {
				user = l.User
			}
		}
		if !slices.ContainsFunc(legs, func(l Leg) bool { return l.User == "" }) {
			user = cmp.Or(user, legs[len(legs)-1].User)
		}
		if t, ok := join(legs, user); ok {
			all = append(all, t)
		}
	}
	slices.SortStableFunc(all, func(a, b Trace) int { return b.Until.Compare(a.Until) })
	return all
}

func join(legs []Leg, user string) (Trace, bool) {
	t := Trace{User: user}
	// Nobody knows whose a leg without a person is: it is shown with those of the
	// person who then proved who she is in the same browser, or let the same device in.
	proved := slices.ContainsFunc(legs, func(l Leg) bool { return l.User == user && l.Proved })
	var lists [][]Entry
	for _, l := range legs {
		if l.User != user && (l.User != "" || !proved) {
			continue
		}
		if t.At.IsZero() {
			t.At = l.At
			if len(l.Entries) > 0 && l.Entries[0].At.Before(l.At) {
				t.At = l.Entries[0].At
			}
		}
		t.ID, t.Until, t.Proved = l.Trace, l.At, t.Proved || l.Proved && l.User == user
		t.Client, t.Network = cmp.Or(l.Client, t.Client), cmp.Or(l.Network, t.Network)
		if l.Reference != "" && !l.waits() {
			t.References = append(t.References, l.Reference)
		}
		lists = append(lists, l.Entries)
	}
	t.Entries = merge(lists...)
	return t, len(lists) > 0
}

// Store keeps legs: package store.
type Store interface {
	// AddTraces adds legs, all or none.
	AddTraces(ctx context.Context, legs []Leg) error
	// Trace returns the legs of the sign-in in which a request had this reference, and
	// the leg of that request; fault.NotFound "trace_not_found".
	Trace(ctx context.Context, reference string, now time.Time) (legs []Leg, at Leg, err error)
	// TracesOf returns the legs, calls of apps left out, of up to n sign-ins about a person, those whose last leg
	// is older than before; the zero time is no bound.
	TracesOf(ctx context.Context, user string, before, now time.Time, n int) ([]Leg, error)
	// TracesFor returns the latest n legs of sign-ins to a service, the newest first.
	TracesFor(ctx context.Context, client string, now time.Time, n int) ([]Leg, error)
}

// ErrNone is the fault of a reference under which nothing is kept.
var ErrNone = fault.New(fault.NotFound, "trace_not_found", "Nothing is kept under this reference. Check it with the caller; after 30 days it is gone.")

var referenceForm = regexp.MustCompile(`^[A-Z2-7]{8}$`)

// Reference reads a reference as it was read out: in small letters, with spaces or
// hyphens, 0 for O, 1 for I, 8 for B. ErrNone for what can be none.
func Reference(said string) (string, error) {
	said = strings.NewReplacer(" ", "", "-", "", "\u00a0", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(strings.TrimSpace(said)))
	if !referenceForm.MatchString(said) {
		return "", ErrNone
	}
	return said, nil
}
