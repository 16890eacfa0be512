package revocation

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
)

const (
	// callsAtOnce is to one responder. Whoever comes on top waits for a place as
	// long as for an answer.
	callsAtOnce = 32

	// A responder that has not answered so many times in a row is left alone for
	// a while, so that sign-ins go straight to the lists. Then one question tries
	// whether it is back.
	failuresInRow = 3
	pause         = 10 * time.Second
)

var (
	errPaused = errors.New("the responder has failed repeatedly and is left alone for some seconds")
	errBusy   = errors.New("too many questions wait for the responder")
)

// responders are those that were asked, by host. Their number is bounded by what
// the operator has configured and allowed.
type responders struct {
	mu     sync.Mutex
	byHost map[string]*oneResponder
}

func (r *responders) of(host string) *oneResponder {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.byHost == nil {
		r.byHost = map[string]*oneResponder{}
	}
	one := r.byHost[host]
	if one == nil {
		one = &oneResponder{places: make(chan struct{}, callsAtOnce), stats: Responder{Host: host, Answers: map[Outcome]uint64{}, Latency: newLatency()}}
		r.byHost[host] = one
	}
	return one
}

// oneResponder is how one does, as this replica sees it.
type oneResponder struct {
	places chan struct{}

	mu       sync.Mutex
	failures int       // in a row
	resumes  time.Time // while failures is at its limit
	trying   bool      // somebody is finding out whether it is back
	stats    Responder
}

// enter waits for a place; leave gives it back.
func (o *oneResponder) enter(ctx context.Context, now time.Time) error {
	if !o.mayTry(now, false) {
		return errPaused // without waiting for those who are finding out
	}
	select {
	case o.places <- struct{}{}:
	case <-ctx.Done():
		return errBusy
	}
	if !o.mayTry(now, true) { // it has failed for those who were before
		<-o.places
		return errPaused
	}
	return nil
}

// mayTry tells whether the responder can be asked; with really, it is.
func (o *oneResponder) mayTry(now time.Time, really bool) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.failures < failuresInRow {
		return true
	}
	if o.trying || now.Before(o.resumes) {
		return false
	}
	o.trying = really
	return true
}

func (o *oneResponder) leave(now time.Time, took time.Duration, how Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	<-o.places
	o.trying = false
	if how.away() {
		o.failures++
		o.resumes = now.Add(pause)
	} else {
		o.failures = 0
	}
	o.stats.Answers[how]++
	o.stats.Latency.add(took)
	if how == Outcome(card.NotRevoked) && now.After(o.stats.LastGood) {
		o.stats.LastGood = now
	}
}

// Outcome is what a question came to: a card.State, or one of these.
type Outcome string

const (
	SaidUnknown Outcome = "unknown"     // it does not know the certificate
	NotInTime   Outcome = "timeout"     // no answer in time
	NoAnswer    Outcome = "unreachable" // no answer at all
	HTTPFailure Outcome = "http"        // HTTP status 429 or 5xx
	Declined    Outcome = "declined"    // a responseStatus other than successful
	TryLater    Outcome = "try_later"   // the responseStatus that says so, or an internal error
	Refused     Outcome = "refused"     // an answer that is not believed
)

// away tells whether the responder is out of order, rather than without an
// answer to one question: nobody's odd certificate may close it to the others.
func (o Outcome) away() bool {
	return o == NotInTime || o == NoAnswer || o == HTTPFailure || o == TryLater
}

func outcome(r *response, err error) Outcome {
	var net *netError
	var web httpError
	var status statusError
	switch {
	case err == nil:
		return Outcome(r.state)
	case errors.Is(err, errUnknown):
		return SaidUnknown
	case errors.As(err, &net) && errors.Is(err, context.DeadlineExceeded):
		return NotInTime
	case errors.As(err, &net):
		return NoAnswer
	case errors.As(err, &web) && (web >= 500 || web == http.StatusTooManyRequests):
		return HTTPFailure
	case errors.As(err, &status) && (status == tryLater || status == internalError):
		return TryLater
	case errors.As(err, &status):
		return Declined
	}
	return Refused
}
