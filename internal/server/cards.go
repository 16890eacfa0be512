package server

import (
	"context"
	"crypto/x509"
	"math/big"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
)

const (
	cardsEvery  = 5 * time.Minute // at the latest; a new list is looked into at once
	linksAtOnce = 500

	// usedWithin is whose card is asked about at a responder: a session ends 12 hours
	// after its sign-in at the latest.
	usedWithin = 12 * time.Hour
)

// Cards are the lists of revoked certificates of one replica: where they come from
// and what is done with them.
type Cards struct {
	Lists   *crl.Lists
	Loader  *crl.Loader
	Fetcher *crl.Fetcher

	directory  *identity.Directory
	responders card.Revocation // nil: nobody is asked
	deps       *Deps
	news       chan struct{}
}

// cards makes them, and reads what is on the shelf: a restart needs no network.
func (s *Server) cards(ctx context.Context) *Cards {
	d := &s.deps
	lists := &crl.Lists{Trust: d.Trust}
	c := &Cards{Lists: lists, directory: s.Directory, deps: d, news: make(chan struct{}, 1),
		Loader:  &crl.Loader{Shelf: d.Store.Shelf(), Lists: lists, Trust: d.Trust, Now: d.Now, Log: d.Log},
		Fetcher: &crl.Fetcher{Shelf: d.Store.Shelf(), Lists: lists, Trust: d.Trust, Leases: d.Ephemeral, Now: d.Now, Log: d.Log}}
	if _, err := c.Loader.Load(ctx); err != nil {
		d.Log.WarnContext(ctx, "lists of revoked certificates: the shelf", "error", err)
	}
	return c
}

// run keeps the lists fresh, and ends the sessions of those whose cards turn up on
// them, until ctx ends.
func (c *Cards) run(ctx context.Context) {
	loaded := func() {
		select {
		case c.news <- struct{}{}:
		default: // it is known already
		}
	}
	var all sync.WaitGroup
	all.Go(func() { c.Loader.Run(ctx, loaded) })
	all.Go(func() { c.Fetcher.Run(ctx, loaded) })
	all.Go(func() { c.watch(ctx) })
	all.Wait()
}

func (c *Cards) watch(ctx context.Context) {
	tick := time.NewTicker(cardsEvery)
	defer tick.Stop()
	for {
		if err := c.Check(ctx); err != nil && ctx.Err() == nil {
			c.deps.Log.WarnContext(ctx, "look for linked cards on the lists", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := c.Ask(ctx); err != nil && ctx.Err() == nil {
				c.deps.Log.WarnContext(ctx, "ask about linked cards", "error", err)
			}
		case <-c.news:
		}
	}
}

// Check looks for every linked card on the lists that are held (S24). Every replica
// does, and of a change each hears once: see identity.NoteCardStatus.
func (c *Cards) Check(ctx context.Context) error {
	if len(c.Lists.All()) == 0 {
		return nil
	}
	issuers, now := c.issuers(), c.deps.Now()
	noted, err := c.directory.CheckCards(ctx, linksAtOnce, func(_ context.Context, l identity.CardLink) card.Status {
		return c.status(issuers[l.IssuerDN], l.Serial, now)
	})
	if noted > 0 {
		c.deps.Log.InfoContext(ctx, "linked cards on the lists", "noted", noted)
	}
	return err
}

// Ask asks the responders about linked cards of CAs that have no fresh list, as far as
// they were used within the life of a session (S24): one after the other, by one
// replica at a time, and not past its turn. Where nobody is in, nothing is noted.
func (c *Cards) Ask(ctx context.Context) error {
	if c.responders == nil {
		return nil
	}
	err := c.deps.Ephemeral.Add(ctx, "cards:ask", []byte("x"), cardsEvery-30*time.Second)
	if fault.Is(err, fault.Conflict) {
		return nil // another replica's turn
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, cardsEvery-30*time.Second)
	defer cancel()
	issuers, now := c.issuers(), c.deps.Now()
	noted, err := c.directory.CheckCards(ctx, linksAtOnce, func(ctx context.Context, l identity.CardLink) card.Status {
		of := issuers[l.IssuerDN]
		number, ok := new(big.Int).SetString(l.Serial, 16)
		if len(of) != 1 || !ok || now.Sub(l.Used) > usedWithin || c.Lists.Status(of[0].CA, number, now).State != card.Unavailable {
			return card.Status{State: card.Unavailable}
		}
		// The certificate is not kept: its number is what a responder wants to know.
		s := c.responders.Status(ctx, &x509.Certificate{SerialNumber: number, NotAfter: l.NotAfter}, of[0].CA, now)
		if s.Source == "" { // nobody has said it; see revocation.Soft
			return card.Status{State: card.Unavailable}
		}
		return s
	})
	if noted > 0 {
		c.deps.Log.InfoContext(ctx, "linked cards at the responders", "noted", noted)
	}
	return err
}

// issuers are the configured CAs by name. Two of one name have the one's cards apart
// by their keys, which a link does not hold.
func (c *Cards) issuers() map[string][]card.Source {
	issuers := map[string][]card.Source{}
	for _, s := range c.deps.Trust().Sources() {
		name := card.SubjectDN(s.CA)
		issuers[name] = append(issuers[name], s)
	}
	return issuers
}

// status is the worst that the CAs of one name say: name and serial number stand
// for one certificate (RFC 5280 §4.1.2.2), whichever key of the CA signed it.
func (c *Cards) status(issuers []card.Source, serial string, now time.Time) card.Status {
	worst := card.Status{State: card.Unavailable}
	number, ok := new(big.Int).SetString(serial, 16)
	if !ok {
		return worst
	}
	for i, s := range issuers {
		switch said := c.Lists.Status(s.CA, number, now); {
		case said.State == card.WasRevoked:
			return said
		case said.State == card.OnHold, i == 0:
			worst = said
		case worst.State == card.NotRevoked:
			worst = said // not sure any more
		}
	}
	return worst
}
