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
	s.posting(ctx, askEvery, "asks for a new password", s.Directory.DecideAsks)
}

// posting does a work again and again that writes letters, and has them leave at
// once. do returns how much it has done.
func (s *Server) posting(ctx context.Context, every time.Duration, what string, do func(context.Context) (int, error)) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n, err := do(ctx)
			if err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, what, "error", err)
			}
			if n > 0 && s.outbox != nil {
				s.outbox.Kick()
			}
		}
	}
}
