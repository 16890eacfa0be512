package audit

import (
	"cmp"
	"context"
	"maps"
)

// SignIn is the one in which somebody acts: of a browser, or at a machine.
type SignIn struct {
	Actor   string // as in Event
	Session string
	Method  string
	Address string
	Details map[string]string // of a machine: Machine, Login, LoginSession
}

// Names of the details that tell where an operator was logged in at the command line,
// whatever name they gave.
const (
	Machine      = "machine"       // its host name
	Login        = "login"         // the user whom its operating system knows
	LoginSession = "login_session" // the number of that login in its own logs
)

type signInKey struct{}

// WithSignIn says in which sign-in the calls under a context are made.
func WithSignIn(ctx context.Context, s SignIn) context.Context {
	return context.WithValue(ctx, signInKey{}, s)
}

// In is an event as it is kept: what somebody does in a sign-in of theirs has its
// session, method, address and details, unless it says so itself.
func (e Event) In(ctx context.Context) Event {
	s, ok := ctx.Value(signInKey{}).(SignIn)
	if !ok || s.Actor != e.Actor {
		return e
	}
	e.Session, e.Method, e.Address = cmp.Or(e.Session, s.Session), cmp.Or(e.Method, s.Method), cmp.Or(e.Address, s.Address)
	if len(s.Details) > 0 {
		details := maps.Clone(s.Details)
		maps.Copy(details, e.Details)
		e.Details = details
	}
	return e
}

// Unplaced is an event without what tells from where it was done, for readers whom
// that does not concern.
func (e Event) Unplaced() Event {
	e.Address, e.Session = "", ""
	e.Details = maps.Clone(e.Details)
	for _, name := range []string{Machine, Login, LoginSession} {
		delete(e.Details, name)
	}
	return e
}
