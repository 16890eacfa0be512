package openid

import (
	"bytes"
	"context"
	"maps"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/portti-id/portti/internal/outgoing"
)

// fetchedLasts is how long one fetch serves whoever comes. However many strangers
// ask, a client's server hears from each replica once in that time and address.
const fetchedLasts = time.Second

// requestFetcher gets request objects from clients' servers, one call at a time for
// a client's address and all who wait for it.
type requestFetcher struct {
	calls   *http.Client
	address func(ctx context.Context) error                // counts who asks: before anybody waits
	client  func(ctx context.Context, client string) error // counts a call: before it is made
	now     func() time.Time

	flights singleflight.Group
	mu      sync.Mutex
	recent  map[string]fetchedRequest // by address
}

type fetchedRequest struct {
	object string
	err    error // failures are shared too
	at     time.Time
}

// fetch returns what lies at an address, as it was a moment ago at most. Errors:
// fault.Throttled, fault.Unavailable, and those of outgoing.Get.
func (f *requestFetcher) fetch(ctx context.Context, client, uri string) (string, error) {
	if d, ok := f.last(uri); ok {
		return d.object, d.err
	}
	// Of each by his own address, not of the one alone who happens to be first: his
	// refusal would be everybody's.
	if err := f.address(ctx); err != nil {
		return "", err
	}
	flight := f.flights.DoChan(client+" "+uri, func() (any, error) {
		if d, ok := f.last(uri); ok {
			return d.object, d.err // fetched between our look and our turn
		}
		// The fetch belongs to all who wait for it, and ends by the client's timeout.
		ctx := context.WithoutCancel(ctx)
		if err := f.client(ctx, client); err != nil {
			return "", err
		}
		d, err := outgoing.Get(ctx, f.calls, uri, "application/oauth-authz-req+jwt, application/jwt", maxRequestObject, outgoing.Validators{})
		object := string(bytes.TrimSpace(d.Body))
		f.remember(uri, fetchedRequest{object, err, f.now()})
		return object, err
	})
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case result := <-flight:
		return result.Val.(string), result.Err
	}
}

func (f *requestFetcher) last(uri string) (fetchedRequest, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, ok := f.recent[uri]
	return d, ok && f.fresh(d)
}

func (f *requestFetcher) fresh(d fetchedRequest) bool { return f.now().Sub(d.at) < fetchedLasts }

func (f *requestFetcher) remember(uri string, d fetchedRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	maps.DeleteFunc(f.recent, func(_ string, d fetchedRequest) bool { return !f.fresh(d) })
	if f.recent == nil {
		f.recent = map[string]fetchedRequest{}
	}
	f.recent[uri] = d
}
