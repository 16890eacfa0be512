package crl

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portti-id/portti/internal/card"
)

const (
	lookEvery  = 15 * time.Second // at the shelf, which is one small query
	againAfter = 10 * time.Minute // a shelved list that could not be verified
)

// Loader brings what is on the shelf into Lists: at start, and whenever another
// replica or an operator has put a newer list there.
type Loader struct {
	Shelf Shelf
	Lists *Lists
	Trust func() *card.Trust
	Now   func() time.Time
	Log   *slog.Logger

	shelved atomic.Pointer[[]Shelved]
	mu      sync.Mutex           // one look at a time
	bad     map[string]time.Time // parts that could not be read, and when
}

// Run looks until ctx ends, and calls loaded after every look that brought a list.
func (l *Loader) Run(ctx context.Context, loaded func()) {
	again(ctx, l.Log, "lists of revoked certificates: the shelf", l.Load, loaded)
}

// again looks every lookEvery until ctx ends, and calls loaded after every look that
// brought a list.
func again(ctx context.Context, log *slog.Logger, what string, look func(context.Context) (fresh bool, err error), loaded func()) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		if fresh, err := look(ctx); err != nil && ctx.Err() == nil {
			log.WarnContext(ctx, what, "error", err)
		} else if fresh {
			loaded()
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Load looks once, and tells whether a list came. A list that cannot be verified
// is logged and left out: the error is only ever the shelf's own.
func (l *Loader) Load(ctx context.Context) (fresh bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all, err := l.Shelf.Shelved(ctx)
	if err != nil {
		return false, err
	}
	l.shelved.Store(&all)
	trust := l.Trust()
	l.Lists.Retain(trust)
	for _, s := range all {
		ca := authority(trust, s.CA)
		held := l.Lists.one(s.CA, s.Scope)
		if ca == nil || held != nil && (held.Number > s.Number || held.Digest == s.Digest) || l.Now().Before(l.bad[s.Parts].Add(againAfter)) {
			continue
		}
		list, err := Read(&partReader{ctx: ctx, shelf: l.Shelf, list: s}, ca, l.Now())
		if err == nil {
			err = l.Lists.Keep(list)
		}
		if err != nil {
			if ctx.Err() != nil {
				return fresh, ctx.Err()
			}
			l.mark(s.Parts)
			l.Log.ErrorContext(ctx, "a shelved list of revoked certificates is refused", "ca", s.Name, "scope", s.Scope, "number", s.Number.String(), "error", err)
			continue
		}
		fresh = true
		l.Log.InfoContext(ctx, "list of revoked certificates", "ca", list.Name, "scope", list.Scope, "number", list.Number.String(), "entries", list.Entries, "until", list.NextUpdate)
	}
	return fresh, nil
}

// mark remembers parts that could not be read, and forgets those of long ago.
func (l *Loader) mark(parts string) {
	now := l.Now()
	if l.bad == nil {
		l.bad = map[string]time.Time{}
	}
	for p, at := range l.bad {
		if now.After(at.Add(againAfter)) {
			delete(l.bad, p)
		}
	}
	l.bad[parts] = now
}

// Shelved is what was on the shelf when it was last looked at.
func (l *Loader) Shelved() []Shelved {
	if all := l.shelved.Load(); all != nil {
		return slices.Clone(*all)
	}
	return nil
}

func authority(trust *card.Trust, id Authority) *x509.Certificate {
	for _, s := range trust.Sources() {
		if AuthorityOf(s.CA) == id {
			return s.CA
		}
	}
	return nil
}

// Find tries a list with one CA after the other until it is of that one; try reads
// it from its beginning every time. ErrOtherCA: it is of none of them.
func Find(trust *card.Trust, try func(ca *x509.Certificate) (*List, error)) (*List, error) {
	for _, s := range trust.Sources() {
		list, err := try(s.CA)
		if errors.Is(err, ErrOtherCA) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.CA.Subject.CommonName, err)
		}
		return list, nil
	}
	return nil, fmt.Errorf("%w: its issuer is none of the CAs of the bundle", ErrOtherCA)
}
