// Package fault says what went wrong in a way that is safe to show: a kind that
// decides the status, a code that programs and catalogues know, and an English
// sentence for the command line and the log.
//
// An error that is not a Fault is ours, not the person's: it is logged with its
// text and shown only as "something went wrong" with a reference.
package fault

import (
	"errors"
	"fmt"
	"time"
)

// Kind is the family of a fault; web.Handler makes it an HTTP status.
type Kind uint8

const (
	Invalid         Kind = iota + 1 // the input is wrong: 400
	Unauthenticated                 // nobody is signed in, or no longer: 401
	Denied                          // signed in, but not allowed: 403
	NotFound                        // 404
	Conflict                        // it exists already, or changed meanwhile: 409
	Gone                            // it was there, and is spent or expired: 410
	Throttled                       // too many attempts: 429, see RetryAfter
	Unavailable                     // a part we need does not answer: 503
)

// Fault is a failure that the reader can understand and act on.
type Fault struct {
	Kind       Kind
	Code       string            // stable reason such as "card_linked_elsewhere"; the catalogues hold its text as "fault."+Code
	Message    string            // an English sentence, for the command line, the API and the log
	Field      string            // the form field or setting that is wrong, "" when none is
	Args       map[string]string // values for the catalogue text's placeholders
	RetryAfter time.Duration     // for Throttled and Unavailable, 0 when unknown
	Reference  string            // of the request to another program of ours that was refused: it is what user support can look up; "" mostly
}

// New makes a fault. The message is for people and must hold no secret.
func New(kind Kind, code, format string, args ...any) *Fault {
	return &Fault{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...)}
}

func (f *Fault) Error() string { return f.Message }

// In returns a copy that names the field which is wrong.
func (f *Fault) In(field string) *Fault {
	c := *f
	c.Field = field
	return &c
}

// With returns a copy with a value for the placeholder name of the catalogue text.
func (f *Fault) With(name, value string) *Fault {
	c := *f
	c.Args = map[string]string{name: value}
	for k, v := range f.Args {
		if k != name {
			c.Args[k] = v
		}
	}
	return &c
}

// After returns a copy that says when another attempt makes sense.
func (f *Fault) After(d time.Duration) *Fault {
	c := *f
	c.RetryAfter = d
	return &c
}

// Of finds the fault in err's chain.
func Of(err error) (*Fault, bool) {
	var f *Fault
	ok := errors.As(err, &f)
	return f, ok
}

// Is tells whether err is a fault of this kind.
func Is(err error, kind Kind) bool {
	f, ok := Of(err)
	return ok && f.Kind == kind
}

// Code returns the code of the fault in err, or "".
func Code(err error) string {
	if f, ok := Of(err); ok {
		return f.Code
	}
	return ""
}
