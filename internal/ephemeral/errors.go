package ephemeral

import (
	"fmt"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// Callers turn the first two into their own words: "that code was already
// used", "you are signed out".
var (
	errNotFound    = fault.New(fault.NotFound, "ephemeral_not_found", "It is not there, or it has expired.")
	errConflict    = fault.New(fault.Conflict, "ephemeral_conflict", "Somebody else was first.")
	errUnavailable = fault.New(fault.Unavailable, "ephemeral_unavailable", "A part of the service does not answer just now. Please try again in a moment.")
)

// outage is an unanswered call: people see the fault, the log sees the cause.
type outage struct {
	verb  string
	cause error
}

func (o *outage) Error() string   { return "redis: " + o.verb + ": " + o.cause.Error() }
func (o *outage) Unwrap() []error { return []error{errUnavailable, o.cause} }

// checkTTL refuses what the two stores would each understand differently: Redis
// keeps a value for ever when it is given no time.
func checkTTL(ttl time.Duration) error {
	if ttl <= 0 {
		return fmt.Errorf("ephemeral: a value must live for some time, not %v", ttl)
	}
	return nil
}
