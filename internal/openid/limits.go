package openid

import (
	"context"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/throttle"
)

var errTooMany = Error{"temporarily_unavailable", "Too many requests within a short time. Try again later."}

// count counts one more thing that a stranger has us do, against limits of the
// address that withAddress has put into ctx, the narrow one first. It is called
// before the thing is done: fault.Throttled "too_many_requests", or
// fault.Unavailable.
func (p *Provider) count(ctx context.Context, limits ...throttle.Limit) error {
	from, _ := netip.ParseAddr(addressOf(ctx)) // what is no address shares one count
	return p.attempt(ctx, throttle.AddressKey(from), limits...)
}

func (p *Provider) attempt(ctx context.Context, subject string, limits ...throttle.Limit) error {
	uses := make([]throttle.Use, len(limits))
	for i, l := range limits {
		uses[i] = throttle.Use{Limit: l, Subject: subject}
	}
	err := p.Throttle.Attempt(ctx, uses...)
	if f, ok := fault.Of(err); ok && f.Kind == fault.Throttled {
		// Nobody has failed at anything, and people are not told that they have.
		return fault.New(fault.Throttled, "too_many_requests", "Too many sign-ins have been started from this network. Try again in %s minutes.", f.Args["n"]).
			With("n", f.Args["n"]).After(f.RetryAfter)
	}
	return err
}

// mayAskForFetch counts a request that needs a client's server to be called.
func (p *Provider) mayAskForFetch(ctx context.Context) error {
	return p.count(ctx, throttle.FetchesPerAddress)
}

// mayFetch counts a call to a client's server.
func (p *Provider) mayFetch(ctx context.Context, client string) error {
	return p.attempt(ctx, client, throttle.FetchesPerClient)
}

// tooMany is the page for fault.Throttled.
func tooMany(err error, client Client) Problem {
	f, _ := fault.Of(err)
	return Problem{Status: http.StatusTooManyRequests, Code: errTooMany.Code, Description: errTooMany.Description, Client: &client, RetryAfter: f.RetryAfter}
}

func retryAfter(w http.ResponseWriter, err error) {
	if f, ok := fault.Of(err); ok && f.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter/time.Second)))
	}
}
