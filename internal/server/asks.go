package server

import (
	"context"
	"time"
)

// askEvery is how often asks for a new password are decided: soon, and at a time of
// its own, so that the work of one cannot be told from the answers of the next
// requests (docs/adr/0124).
const askEvery = 2 * time.Second

func (s *Server) asks(ctx context.Context) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n, err := s.Directory.DecideAsks(ctx)
			if err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, "asks for a new password", "error", err)
			}
			if n > 0 && s.outbox != nil {
				s.outbox.Kick()
			}
		}
	}
}
