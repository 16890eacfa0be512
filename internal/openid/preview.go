package openid

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

// Preview is what would come of a person's login to a client, made by the code that
// makes the real answers. It is claims and no token: nobody has signed it, and nothing
// was issued.
type Preview struct {
	Demand   string          `json:"demand,omitempty"` // the level that the registration demands; "" for any
	Reason   string          `json:"reason,omitempty"` // why the session is not enough, one of the Reason words; "" when it is
	Scope    string          `json:"scope"`            // what a login can be granted
	IDToken  json.RawMessage `json:"id_token,omitempty"`
	Userinfo json.RawMessage `json:"userinfo,omitempty"` // both only where nothing but the person's consent is missing
}

// Why nobody logs in to a client at all, beside the Reason words.
const (
	ReasonClientClosed = "client_disabled"
	ReasonNoLogins     = "no_logins" // it is not registered for the code flow
)

// Preview tells what a client would be told of the person behind a grant if they
// logged in there with the session that the grant stands on, and the client asked
// for everything that it is registered for. fault.Unauthenticated when that session
// is over.
func (p *Provider) Preview(ctx context.Context, c Client, g Grant) (Preview, error) {
	s := session.Session{ID: g.Session, User: g.User, Epoch: g.Epoch, Level: g.Level, Method: g.Method, AuthTime: g.AuthTime}
	person, err := p.People.Standing(ctx, identity.UserID(g.User), g.Epoch, g.Session)
	if err != nil {
		return Preview{}, err
	}
	now, have := p.Now().UTC(), strengthOf(s)
	q := pending{Client: c.ID, Scopes: c.Scopes, MaxAge: -1, Created: now}
	need := p.demand(q, c, false)
	scopes := p.granted(q, have)
	out := Preview{Demand: p.ACR.name(need.Need, nil), Scope: strings.Join(scopes, " ")}
	switch {
	case !c.Disabled.IsZero():
		out.Reason = ReasonClientClosed
		return out, nil
	case !c.may(GrantCode):
		out.Reason = ReasonNoLogins
		return out, nil
	}
	d, err := p.decide(ctx, need, q, c, &s, person, nil)
	if err != nil {
		return Preview{}, err
	}
	if out.Reason = d.Reason; out.Reason != "" && out.Reason != ReasonConsent || !slices.Contains(scopes, "openid") {
		return out, nil
	}
	as := Grant{Kind: GrantCode, Client: c.ID, User: g.User, Session: g.Session, Epoch: g.Epoch, Level: g.Level, Method: g.Method, Scopes: scopes,
		ACR: p.ACR.name(have, nil), AMR: amrOf(have), AuthTime: g.AuthTime}
	if out.IDToken, err = p.idTokenPayload(ctx, c, as, "", now); err != nil {
		return Preview{}, err
	}
	out.Userinfo, err = p.userinfoBody(c, as, &person)
	return out, err
}
