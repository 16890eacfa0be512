package server

import (
	"context"
	"math/big"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/identity"
)

const (
	cardsEvery  = 5 * time.Minute // at the latest; a new list is looked into at once
	linksAtOnce = 500
)

// Cards are the lists of revoked certificates of one replica: where they come from
// and what is done with them.
type Cards struct {
	Lists   *crl.Lists
	Loader  *crl.Loader
	Fetcher *crl.Fetcher

	directory *identity.Directory
	deps      *Deps
	news      chan struct{}
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
	issuers := map[string][]card.Source{}
	for _, s := range c.deps.Trust().Sources() {
		name := card.SubjectDN(s.CA)
		issuers[name] = append(issuers[name], s)
	}
	now := c.deps.Now()
	noted, err := c.directory.CheckCards(ctx, linksAtOnce, func(_ context.Context, l identity.CardLink) card.Status {
		return c.status(issuers[l.IssuerDN], l.Serial, now)
	})
	if noted > 0 {
		c.deps.Log.InfoContext(ctx, "linked cards on the lists", "noted", noted)
	}
	return err
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
