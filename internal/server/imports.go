package server

import (
	"context"
	"time"
)

// importsEvery is how soon an import begins that somebody has applied.
const importsEvery = 2 * time.Second

// imports creates and changes the people of files, one at a time: of the hashes that
// passwords take, one is made at once, and sign-ins go on beside it.
func (s *Server) imports(ctx context.Context) {
	tick := time.NewTicker(importsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			n, err := s.Directory.WorkImports(ctx)
			if err != nil && ctx.Err() == nil {
				s.deps.Log.WarnContext(ctx, "people from files", "error", err)
			}
			if n > 0 && s.outbox != nil {
				s.outbox.Kick()
			}
		}
	}
}
