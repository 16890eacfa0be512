package api

import (
	"net/http"
	"net/netip"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/pkg/portti"
)

// located finds the grant behind the access token of a call, and gives the call the
// sign-in and the address that the trail and the limits know it by: the peer's, as everywhere, or
// the one that the app tells of the browser that it calls for. The app is believed
// if an operator has registered its client so (openid.Client.Forwards), which the
// token says, and no address or network: whoever else sends the header is passed
// over, as is what is not one plain address.
func (a *API) located(w http.ResponseWriter, r *http.Request) (openid.Grant, *http.Request, error) {
	g, err := a.Tokens.Caller(w, r)
	if err != nil {
		return openid.Grant{}, nil, err
	}
	address, err := a.addressOf(r, g)
	ctx := openid.From(r.Context(), address)
	if g.User != "" {
		ctx = audit.WithSignIn(ctx, audit.SignIn{Actor: "user:" + g.User, Session: g.Session, Method: string(g.Method)})
	}
	return g, r.WithContext(ctx), err
}

func (a *API) addressOf(r *http.Request, g openid.Grant) (netip.Addr, error) {
	var peer netip.Addr
	if a.Address != nil {
		peer = a.Address(r)
	}
	told := visitor(r)
	if !told.IsValid() {
		return peer, nil
	}
	c, err := a.Registered.Client(r.Context(), g.Client)
	switch {
	case fault.Is(err, fault.NotFound):
		return peer, nil
	case err != nil:
		return netip.Addr{}, err
	case c.Forwards():
		return told, nil
	}
	return peer, nil
}

// visitor is the address in the header, or the zero Addr unless there is exactly one.
func visitor(r *http.Request) netip.Addr {
	values := r.Header.Values(portti.VisitorHeader)
	if len(values) != 1 {
		return netip.Addr{}
	}
	told, err := netip.ParseAddr(values[0])
	if err != nil || told.Zone() != "" || told.IsUnspecified() || told.IsMulticast() {
		return netip.Addr{}
	}
	return told.Unmap()
}
