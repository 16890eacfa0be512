package clientjwt

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/portti-id/portti/internal/outgoing"
)

// Rhythm of the fetches.
const (
	keysLast     = 10 * time.Minute // fresh, where the client's server does not say
	shortestKeys = time.Minute      // whatever it says
	longestKeys  = time.Hour
	fetchAgain   = time.Minute      // between two fetches of one address, so that made-up kids cannot turn us on the client's server
	retryMissing = 10 * time.Second // between two fetches of an address that never answered
	staleKeys    = 24 * time.Hour   // served while the client's server is down
	maxAddresses = 1000             // remembered; the one unused longest goes
)

// Fetcher keeps the keys behind jwks_uris. One is shared by all requests of a
// process; every replica has its own.
type Fetcher struct {
	get func(ctx context.Context, uri string, known outgoing.Validators) (outgoing.Document, error)
	log *slog.Logger
	now func() time.Time

	flights singleflight.Group // one fetch per address at a time
	mu      sync.Mutex
	copies  map[string]*fetched
}

// fetched is what is known of one address. It is replaced whole.
type fetched struct {
	keys       *Keys // nil: never seen
	validators outgoing.Validators
	at         time.Time // when the keys were fetched, or confirmed
	fresh      time.Time // until when they need no look
	tried      time.Time // last fetch, failed or not
	err        error     // of the last fetch
	used       time.Time
}

// NewFetcher makes a Fetcher whose calls are guarded by o.
func NewFetcher(o outgoing.Options, log *slog.Logger, now func() time.Time) *Fetcher {
	client := o.Client()
	return &Fetcher{log: log, now: now, copies: map[string]*fetched{},
		get: func(ctx context.Context, uri string, known outgoing.Validators) (outgoing.Document, error) {
			return outgoing.Get(ctx, client, uri, "application/jwk-set+json, application/json", maxSetBytes, known)
		}}
}

// At is the Source of a client with that jwks_uri. Its errors are temporary, with
// the cause behind them: outgoing.ErrForbidden, outgoing.StatusError and others.
func (f *Fetcher) At(uri string) Source { return remote{f, uri} }

type remote struct {
	f   *Fetcher
	uri string
}

// Keys returns the copy that is in memory while it is fresh. It is fetched anew when
// it is not, or lacks a key and is a minute old. While the client's server is down
// the old copy serves for a day.
func (r remote) Keys(ctx context.Context, lacking *Keys) (*Keys, error) {
	c := r.f.copyOf(r.uri)
	if !c.due(lacking, r.f.now()) {
		return c.answer(r.f.now())
	}
	// The fetch belongs to all who wait for it, and ends by the client's timeout.
	flight := r.f.flights.DoChan(r.uri, func() (any, error) {
		if latest := r.f.copyOf(r.uri); latest.tried.After(c.tried) {
			return latest, nil // somebody fetched between our look and our turn
		}
		return r.f.fetch(context.WithoutCancel(ctx), r.uri, c), nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case result := <-flight:
		return result.Val.(fetched).answer(r.f.now())
	}
}

// due tells whether a copy must be fetched now.
func (c fetched) due(lacking *Keys, now time.Time) bool {
	since := now.Sub(c.tried)
	switch {
	case c.tried.IsZero():
		return true
	case !c.usable(now):
		return since >= retryMissing
	case lacking != nil && lacking == c.keys, !now.Before(c.fresh):
		return since >= fetchAgain
	}
	return false
}

func (c fetched) usable(now time.Time) bool { return c.keys != nil && now.Before(c.at.Add(staleKeys)) }

// answer gives the keys, or why there are none.
func (c fetched) answer(now time.Time) (*Keys, error) {
	if c.usable(now) {
		return c.keys, nil
	}
	return nil, &Error{Reason: "keys_unavailable", Description: "The client's keys could not be fetched from its jwks_uri.", Temporary: true, cause: c.err}
}

func (f *Fetcher) copyOf(uri string) fetched {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.copies[uri]
	if !ok {
		return fetched{}
	}
	c.used = f.now()
	return *c
}

// fetch asks the client's server and remembers what came of it.
func (f *Fetcher) fetch(ctx context.Context, uri string, c fetched) fetched {
	d, err := f.get(ctx, uri, c.validators)
	found := c.keys
	if err == nil && !d.Unchanged {
		found, err = parseKeys(d.Body, true)
	}
	now := f.now()
	c.tried, c.used, c.err = now, now, err
	switch {
	case err == nil:
		c.keys, c.validators, c.at, c.fresh = found, d.Validators, now, now.Add(life(d))
	case errors.Is(err, errSecret):
		c.keys, c.validators = nil, outgoing.Validators{} // whoever has read the document can sign
	case c.usable(now):
		f.log.WarnContext(ctx, "client keys not fetched, the old ones serve", "uri", uri, "fetched", c.at, "error", err)
	}
	f.remember(uri, c)
	return c
}

func (f *Fetcher) remember(uri string, c fetched) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.copies[uri]; !known && len(f.copies) >= maxAddresses {
		var oldest string
		for other, o := range f.copies {
			if oldest == "" || o.used.Before(f.copies[oldest].used) {
				oldest = other
			}
		}
		delete(f.copies, oldest)
	}
	f.copies[uri] = &c
}

// life is how long a document needs no look.
func life(d outgoing.Document) time.Duration {
	if !d.Stated {
		return keysLast
	}
	return min(max(d.MaxAge, shortestKeys), longestKeys)
}
