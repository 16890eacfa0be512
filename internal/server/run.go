package server

import (
	"context"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/mail"
)

// sweepEvery is how often what is long over is deleted.
const sweepEvery = 10 * time.Minute

// Run does the background work until ctx ends, and returns when it has stopped.
// Any number of replicas may run it side by side.
func (s *Server) Run(ctx context.Context) {
	var all sync.WaitGroup
	all.Go(func() { s.Provider.Run(ctx) })
	all.Go(func() { s.ring.Run(ctx) })
	all.Go(func() { s.sweep(ctx) })
	all.Go(func() { s.policies(ctx) })
	all.Go(func() { s.sealer.Run(ctx) })
	all.Go(func() { s.asks(ctx) })
	all.Go(func() { s.imports(ctx) })
	all.Go(func() { s.traces.Run(ctx) })
	if s.Cards != nil {
		all.Go(func() { s.Cards.run(ctx) })
	}
	if s.outbox != nil {
		all.Go(func() { s.outbox.Run(ctx) })
	}
	all.Wait()
}

func (s *Server) sweep(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	if err := s.indexPeople(ctx); err != nil && ctx.Err() == nil {
		s.deps.Log.WarnContext(ctx, "what people are found by", "error", err)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.deps.Store.Sweep(ctx, s.deps.Now()); err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, "sweep", "error", err)
			}
			if err := s.indexPeople(ctx); err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, "what people are found by", "error", err)
			}
			if _, err := s.Directory.NoticeExpiringCards(ctx); err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, "letters on cards that expire", "error", err)
			}
		}
	}
}

// policiesEvery is how soon a change of policy becomes part of its organisation, and
// those whom it leaves without a way in hear of it. It counts before that
// (docs/adr/0122).
const policiesEvery = 30 * time.Second

// policies does at once what was due while nobody was there to do it.
func (s *Server) policies(ctx context.Context) {
	tick := time.NewTicker(policiesEvery)
	defer tick.Stop()
	for {
		if n, err := s.Directory.CarryOutPlans(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "planned policies", "error", err)
		} else if n > 0 {
			s.deps.Log.InfoContext(ctx, "planned policies", "organisations", n)
		}
		if n, err := s.Directory.TellStranded(ctx); err != nil && ctx.Err() == nil {
			s.deps.Log.WarnContext(ctx, "letters on policies", "error", err)
		} else if n > 0 {
			s.deps.Log.InfoContext(ctx, "letters on policies", "people", n)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// indexPeople makes people findable whom an older program has written: all of them
// after an update, and those that replicas not updated yet write beside us.
func (s *Server) indexPeople(ctx context.Context) error {
	const atOnce = 200
	for {
		if n, err := s.deps.Store.IndexPeople(ctx, atOnce); err != nil || n < atOnce {
			return err
		}
	}
}

func (s *Server) letters() *mail.Outbox {
	return &mail.Outbox{Store: s.deps.Store, Open: s.deps.Master.Open, Texts: s.Site.Texts(), Carrier: s.deps.Carrier, Gateway: s.deps.Gateway, Every: s.config.LettersEvery, Now: s.deps.Now, Log: s.deps.Log}
}
