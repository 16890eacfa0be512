package audit

import (
	"cmp"
	"context"
)

// SignIn is the one in which somebody acts.
type SignIn struct {
	Actor   string // as in Event
	Session string
	Method  string
}

type signInKey struct{}

// WithSignIn says in which sign-in the calls under a context are made.
func WithSignIn(ctx context.Context, s SignIn) context.Context {
	return context.WithValue(ctx, signInKey{}, s)
}

// In is an event as it is kept: what somebody does in a sign-in of theirs has its
// session and method, unless it says so itself.
func (e Event) In(ctx context.Context) Event {
	if s, ok := ctx.Value(signInKey{}).(SignIn); ok && s.Actor == e.Actor {
		e.Session, e.Method = cmp.Or(e.Session, s.Session), cmp.Or(e.Method, s.Method)
	}
	return e
}
