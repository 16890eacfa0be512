package openid

import (
	"context"
	"net/http"

	"github.com/portti-id/portti/internal/fault"
)

var errNotTheirs = Error{"invalid_grant", "The token was given to another client."}

// revoke lets a client give its tokens back (RFC 7009). A refresh token takes its
// whole grant with it, an access token only itself and what it was exchanged for.
// What is no live token is revoked already, so the answer is 200 (§2.2); another
// client's is refused, and nothing happens to it (§2.1).
func (p *Provider) revoke(w http.ResponseWriter, r *http.Request) {
	if preflight(w, r, "POST") {
		return
	}
	c, ok := p.called(w, r)
	if !ok {
		return
	}
	raw := r.PostForm.Get("token")
	if raw == "" {
		p.refuseCaller(w, r, Error{"invalid_request", "The token is missing."})
		return
	}
	if err := p.giveBack(r.Context(), c, raw); err != nil {
		p.refuseCaller(w, r, err)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (p *Provider) giveBack(ctx context.Context, c Client, raw string) error {
	if refreshForm(raw) {
		g, live, err := p.refreshGrant(ctx, raw)
		switch {
		case err != nil || !live:
			return err
		case g.Client != c.ID:
			return errNotTheirs
		}
		return p.Store.RevokeGrant(ctx, g.ID, p.Now().UTC())
	}
	a, err := p.access(ctx, raw)
	switch {
	case fault.Is(err, fault.Unauthenticated):
		return nil
	case err != nil:
		return err
	case a.Client.ID != c.ID:
		return errNotTheirs
	}
	return p.Store.DropToken(ctx, a.Token.Hash)
}
