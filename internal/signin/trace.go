package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/web"
)

// traced keeps how a request of a sign-in went, when it has failed or finished, under
// the reference that its page shows.
func (p *Pages) traced(f web.HandlerFunc) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		ctx, notes := p.Traces.Begin(r.Context())
		r = r.WithContext(ctx)
		defer func() { p.Traces.Keep(ctx, notes, web.Reference(r), p.Site.ClientAddr(r)) }()
		err := f(w, r)
		notes.Broken(err)
		return err
	}
}
