package openid

import (
	"context"
	"net/url"
	"strings"

	"github.com/portti-id/portti/internal/fault"
)

// Farewell is the end of a logout.
type Farewell struct {
	// Next is where the browser goes: the client's address with its state, or ""
	// for our own page.
	Next string
	// Frames are addresses for the browser to load in frames before it goes on: the
	// front channel (OpenID Connect Front-Channel Logout 1.0 §2). Mostly none.
	Frames []string
}

// frames are the front-channel logout addresses of the clients that got something
// in a session, by client. It is to be asked before the session ends.
func (p *Provider) frames(ctx context.Context, sid string) ([]string, error) {
	ids, err := p.Store.SessionClients(ctx, sid)
	if err != nil {
		return nil, err
	}
	var all []string
	for _, id := range ids {
		c, err := p.clients.get(ctx, id) // a disabled client still hears of logouts
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if c.FrontChannelURI != "" {
			all = append(all, withQuery(c.FrontChannelURI, url.Values{"iss": {p.Issuer}, "sid": {sid}}))
		}
	}
	return all, nil
}

// withQuery adds parameters to a registered address, whose own query stays as it
// is (RFC 6749 §3.1.2).
func withQuery(uri string, params url.Values) string {
	separator := "?"
	if strings.Contains(uri, "?") {
		separator = "&"
	}
	return uri + separator + params.Encode()
}
