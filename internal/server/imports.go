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
	s.posting(ctx, importsEvery, "people from files", s.Directory.WorkImports)
}
