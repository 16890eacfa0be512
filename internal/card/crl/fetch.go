package crl

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/outgoing"
)

// How often is asked, and how long is waited.
const (
	askEvery     = time.Hour        // at the most; and four times in what is left of a list's time
	askSoonest   = time.Minute      // at the least, when a list is almost or long over
	firstRetry   = 30 * time.Second // after a failure, doubled with each
	lastRetry    = 15 * time.Minute
	wholeFetch   = 5 * time.Minute
	longestPause = 30 * time.Second // without a single octet
	longestETag  = 256
	askedAtOnce  = 4 // CAs
)

// ErrStalled says that a server stopped sending in the middle of a list.
var ErrStalled = errors.New("the server stopped sending")

// Fetcher asks the CAs' servers for their lists and puts them on the shelf. Of
// the replicas one asks at a time.
//
// The addresses are the operator's own settings: they may be private, and http,
// as lists are signed. Redirects are not followed.
type Fetcher struct {
	Shelf  Shelf
	Lists  *Lists
	Trust  func() *card.Trust
	Leases ephemeral.Store
	Now    func() time.Time
	Log    *slog.Logger

	Timeout time.Duration // of a whole list; 0: 5 min
	Stall   time.Duration // without a single octet; 0: 30 s

	mu       sync.Mutex
	attempts map[Authority]attempts
}

// attempts is what this replica has seen of a CA's servers.
type attempts struct {
	name   string
	failed int // since the last success
	all    int // failures, ever
	next   time.Time
}

// Run asks whom it is time to ask until ctx ends, and calls loaded after every
// round that brought a list.
func (f *Fetcher) Run(ctx context.Context, loaded func()) {
	again(ctx, f.Log, "fetch lists of revoked certificates", f.Round, loaded)
}

// Round asks for the lists that are due, of several CAs at once, so that a server
// that is silent keeps none but its own waiting. It tells whether any list came.
// What goes wrong with a CA's list is logged; the error is the shelf's own.
func (f *Fetcher) Round(ctx context.Context) (fresh bool, err error) {
	shelved, err := f.Shelf.Shelved(ctx)
	if err != nil {
		return false, err
	}
	sources := f.Trust().Sources()
	places := make(chan struct{}, askedAtOnce)
	var brought atomic.Bool
	var all sync.WaitGroup
	for _, s := range sources {
		if len(s.CRL) == 0 || !f.due(AuthorityOf(s.CA), wants(s, sources), shelved) {
			continue
		}
		all.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			if f.turn(ctx, s) {
				brought.Store(true)
			}
		})
	}
	all.Wait()
	return brought.Load(), ctx.Err()
}

// turn asks one CA, unless another replica does, and tells whether a list came.
func (f *Fetcher) turn(ctx context.Context, s card.Source) (fresh bool) {
	if ctx.Err() != nil {
		return false
	}
	lease := "crl-fetch:" + string(AuthorityOf(s.CA))
	switch err := f.Leases.Add(ctx, lease, []byte("1"), f.timeout()*time.Duration(len(s.CRL))+time.Minute); {
	case fault.Is(err, fault.Conflict):
		return false // another replica asks, or has failed and waits
	case err != nil:
		// Without leases every replica asks for itself: more work, and no harm.
		f.Log.WarnContext(ctx, "lease of a fetch", "error", err)
	}
	lists, err := f.Fetch(ctx, s)
	for _, list := range lists {
		fresh = fresh || list.new
	}
	if ctx.Err() != nil {
		_ = f.Leases.Delete(context.WithoutCancel(ctx), lease)
		return fresh
	}
	wait := f.note(s, err)
	if err != nil {
		f.Log.WarnContext(ctx, "a list of revoked certificates was not fetched", "ca", s.CA.Subject.CommonName, "retry_in", wait, "error", err)
		_ = f.Leases.Put(ctx, lease, []byte("1"), wait) // the others wait as well
	} else {
		_ = f.Leases.Delete(ctx, lease)
	}
	return fresh
}

// due tells whether it is time to ask a CA.
func (f *Fetcher) due(ca Authority, wanted []Scope, shelved []Shelved) bool {
	now := f.Now()
	f.mu.Lock()
	next := f.attempts[ca].next
	f.mu.Unlock()
	if now.Before(next) {
		return false
	}
	// Of every kind one list that was heard of lately: a CA that publishes in
	// another scope now leaves the old one behind.
	current := map[Scope]bool{}
	for _, s := range shelved {
		// One that was heard of in the future was noted by a wrong clock.
		if s.CA == ca && now.Before(s.Checked.Add(interval(s))) && !s.Checked.After(now.Add(skew)) {
			current[s.Scope] = true
		}
	}
	return !covers(current, wanted)
}

// interval is how long a list that was just asked for is taken for the newest. A
// tenth of it differs from list to list and from time to time, so that not all
// the world asks at the full hour.
func interval(s Shelved) time.Duration {
	wait := min(askEvery, max(askSoonest, s.NextUpdate.Sub(s.Checked)/4))
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %s %d", s.CA, s.Scope, s.Checked.UnixMicro())
	return wait - wait/10*time.Duration(h.Sum32()%1000)/1000
}

// wants are the kinds of certificates that a CA's lists must speak of: those of
// cards, and those of CAs below it.
func wants(s card.Source, all []card.Source) []Scope {
	var scopes []Scope
	if s.Kind != "" {
		scopes = append(scopes, Users)
	}
	if slices.ContainsFunc(all, func(below card.Source) bool { return below.Parent.Equal(s.CA) && !below.CA.Equal(s.CA) }) {
		scopes = append(scopes, CAs)
	}
	return scopes
}

func covers(have map[Scope]bool, wanted []Scope) bool {
	return have[All] || !slices.ContainsFunc(wanted, func(s Scope) bool { return !have[s] }) && len(have) > 0
}

// note remembers how asking went, and says how long to wait after a failure.
func (f *Fetcher) note(s card.Source, err error) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.attempts == nil {
		f.attempts = map[Authority]attempts{}
	}
	ca := AuthorityOf(s.CA)
	a := f.attempts[ca]
	a.name = s.CA.Subject.CommonName
	if err == nil {
		a.failed, a.next = 0, time.Time{}
		f.attempts[ca] = a
		return 0
	}
	wait := min(lastRetry, firstRetry<<min(a.failed, 10))
	a.failed, a.all, a.next = a.failed+1, a.all+1, f.Now().Add(wait)
	f.attempts[ca] = a
	return wait
}

// Failures is how often this replica has asked a CA in vain since it started, by
// the CA's common name.
func (f *Fetcher) Failures() map[string]int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := map[string]int{}
	for _, a := range f.attempts {
		n[a.name] += a.all
	}
	return n
}

// Fetched is a list that its server has.
type Fetched struct {
	Address string
	List    *List // nil when the server has nothing newer than what is held
	new     bool
}

// Fetch asks the addresses of a CA in their order, now, until there is a list of
// every kind that is needed. The error holds what went wrong with each, and is
// nil when all that is needed was had.
func (f *Fetcher) Fetch(ctx context.Context, s card.Source) ([]Fetched, error) {
	wanted := wants(s, f.Trust().Sources())
	have := map[Scope]bool{}
	var lists []Fetched
	var errs []error
	for _, address := range s.CRL {
		if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" {
			errs = append(errs, fmt.Errorf("%s: only http and https are asked", address))
			continue
		}
		got, scope, err := f.ask(ctx, s, address)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", address, err))
			continue
		}
		have[scope] = true
		lists = append(lists, got)
		if covers(have, wanted) {
			return lists, nil
		}
	}
	if len(errs) == 0 {
		errs = append(errs, fmt.Errorf("%w: no address has a list of all that is asked about", ErrScope))
	}
	return lists, errors.Join(errs...)
}

// ask fetches one address. What it brings goes to the shelf while it comes, and
// into Lists.
func (f *Fetcher) ask(ctx context.Context, s card.Source, address string) (got Fetched, scope Scope, err error) {
	known, err := f.known(ctx, s, address)
	if err != nil {
		return Fetched{}, "", err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	ctx, cancel := context.WithTimeout(ctx, f.timeout())
	defer cancel()

	stalled := cmp.Or(f.Stall, longestPause)
	watch := time.AfterFunc(stalled, func() { stop(ErrStalled) })
	defer watch.Stop()
	explain := func(err error) error {
		if cause := context.Cause(ctx); cause != nil {
			return cause
		}
		return err
	}

	answer, err := get(ctx, address, known)
	if err != nil {
		return Fetched{}, "", explain(err)
	}
	defer func() { _ = answer.Body.Close() }()
	from := Shelved{Source: address, ETag: short(answer.Header.Get("ETag")), LastModified: short(answer.Header.Get("Last-Modified"))}
	switch {
	case answer.StatusCode == http.StatusNotModified && known.CA != "":
		known.Checked, known.ETag, known.LastModified = f.Now(), cmp.Or(from.ETag, known.ETag), cmp.Or(from.LastModified, known.LastModified)
		return Fetched{Address: address}, known.Scope, f.Shelf.NoteChecked(ctx, known)
	case answer.StatusCode != http.StatusOK:
		return Fetched{}, "", outgoing.StatusError(answer.StatusCode)
	case answer.ContentLength > 2*MaxSize:
		return Fetched{}, "", ErrTooLarge
	}
	list, err := Put(ctx, f.Shelf, &watched{in: answer.Body, moved: func() { watch.Reset(stalled) }}, s.CA, from, f.Now())
	if err != nil {
		return Fetched{}, "", explain(err)
	}
	before := f.Lists.one(list.CA, list.Scope)
	if err := f.Lists.Keep(list); err != nil {
		return Fetched{}, "", err
	}
	fresh := before == nil || before.Digest != list.Digest
	if fresh {
		f.Log.InfoContext(ctx, "list of revoked certificates", "ca", list.Name, "scope", list.Scope, "number", list.Number.String(), "entries", list.Entries, "until", list.NextUpdate)
	}
	return Fetched{Address: address, List: list, new: fresh}, list.Scope, nil
}

// known is what came from the address before, if it is what we hold: only then
// may the server say that it has nothing newer.
func (f *Fetcher) known(ctx context.Context, s card.Source, address string) (Shelved, error) {
	shelved, err := f.Shelf.Shelved(ctx)
	if err != nil {
		return Shelved{}, err
	}
	var last Shelved
	for _, have := range shelved {
		if have.CA != AuthorityOf(s.CA) || have.Source != address || have.ETag == "" && have.LastModified == "" || have.Checked.Before(last.Checked) {
			continue // the last is what the server has there now, whatever its scope was before
		}
		if held := f.Lists.one(have.CA, have.Scope); held != nil && held.Digest == have.Digest {
			last = have
		}
	}
	return last, nil
}

func (f *Fetcher) timeout() time.Duration { return cmp.Or(f.Timeout, wholeFetch) }

// get makes the request. Nothing is kept between two: they are an hour apart.
func get(ctx context.Context, address string, known Shelved) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Accept", "application/pkix-crl, */*;q=0.5")
	r.Header.Set("User-Agent", "portti")
	if known.ETag != "" {
		r.Header.Set("If-None-Match", known.ETag)
	}
	if known.LastModified != "" {
		r.Header.Set("If-Modified-Since", known.LastModified)
	}
	client := &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DisableKeepAlives:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
			MaxResponseHeaderBytes: 64 << 10,
		},
	}
	return client.Do(r)
}

func short(validator string) string {
	if len(validator) > longestETag {
		return ""
	}
	return validator
}

// watched tells when something comes.
type watched struct {
	in    io.Reader
	moved func()
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.in.Read(b)
	if n > 0 {
		w.moved()
	}
	return n, err
}
