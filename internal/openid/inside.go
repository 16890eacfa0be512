package openid

import (
	"net/http"
	"time"
)

// Inside is a sign-in that a page of ours needs: the page where a device is let
// in, the operators' page of a refused request.
type Inside struct {
	Client string    // on whose behalf; "" for the house itself
	Return string    // path under the issuer, with its query, where the browser goes afterwards
	Trail  string    // whose trace it belongs to, of Device; "" for one of its own
	Since  time.Time // not zero: only a proof given after it will do
}

// houseID is the client that stands for the provider's own pages. No client can
// be registered under it: clientID does not match.
const houseID = "~house"

// SignInFor leads the browser to the sign-in pages, and from there to in.Return:
// also when the person cancels, so that page looks at the session itself. The
// faults are those of Request, and fault.Throttled "too_many_requests".
func (p *Provider) SignInFor(w http.ResponseWriter, r *http.Request, in Inside) error {
	ctx := withAddress(r.Context(), address(p.ClientAddr(r)))
	id := in.Client
	if id == "" {
		id = houseID
	}
	c, err := p.client(ctx, id)
	if err != nil {
		return err
	}
	q := pending{Client: c.ID, Inside: in.Return, Trail: in.Trail, Again: !in.Since.IsZero(), MaxAge: -1, Scopes: []string{"openid"}, Created: p.Now().UTC()}
	if err := p.keep(ctx, &q, p.Binding(w, r)); err != nil {
		return err
	}
	private(w)
	see(w, p.SignIn(q.ID))
	return nil
}
