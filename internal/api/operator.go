package api

import (
	"net/http"
	"slices"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// caller is who does what operators do.
type caller struct {
	actor  string // for the audit trail: "user:ID" or "client:ID"
	dryRun bool   // everything is checked and nothing is written
}

var errNotAllowed = fault.New(fault.Denied, "not_allowed", "Your role does not allow this.")

// operator finds who may do what operators do by the token: a person with the
// right, or a program of theirs. Whatever gives the right is read now, not when the
// token was made: a role, a scope or a method that is taken away is gone with the next call.
//
//	person    a token of the code flow, of a full sign-in by a method that the employer permits now
//	program   a token of client_credentials
//	both      scope "clients", of a client that is registered for it by an operator
func (a *API) operator(w http.ResponseWriter, r *http.Request, right identity.Right) (caller, *http.Request, error) {
	g, r, err := a.entrusted(w, r, scopeClients)
	switch {
	case err != nil:
		return caller{}, nil, err
	case g.Kind == openid.GrantClient && g.User == "":
		return caller{actor: "client:" + g.Client}, r, nil
	}
	by, err := a.actor(r, g, right)
	return caller{actor: by.Name}, r, err
}

// entrusted finds the grant behind a token with a scope, of a client that an
// operator has registered for it.
func (a *API) entrusted(w http.ResponseWriter, r *http.Request, scope string) (openid.Grant, *http.Request, error) {
	g, r, err := a.located(w, r)
	if err != nil {
		return openid.Grant{}, nil, err
	}
	if !slices.Contains(g.Scopes, scope) {
		return openid.Grant{}, nil, errScope
	}
	c, err := a.Registered.Client(r.Context(), g.Client)
	switch {
	case fault.Is(err, fault.NotFound):
		return openid.Grant{}, nil, errScope
	case err != nil:
		return openid.Grant{}, nil, err
	case !c.Disabled.IsZero() || !slices.Contains(c.Scopes, scope) || !slices.Contains(c.GrantTypes, g.Kind) || c.SelfRegistered():
		return openid.Grant{}, nil, errScope
	}
	return g, r, nil
}

// actor is the person behind a grant who has a right now. A device that somebody
// let in, or an exchanged token, does not count.
func (a *API) actor(r *http.Request, g openid.Grant, right identity.Right) (identity.Actor, error) {
	if g.Kind != openid.GrantCode || g.User == "" || g.Level != session.Full || proved[g.Method] == 0 {
		return identity.Actor{}, errScope
	}
	p, by, err := a.Directory.ActorFor(r.Context(), identity.UserID(g.User), g.Epoch, g.Session, openid.AddressOf(r.Context()))
	switch {
	case err != nil:
		return identity.Actor{}, err
	case p.Password.Temporary || !p.Permits(proved[g.Method]):
		return identity.Actor{}, errNotAllowed
	}
	return by, by.May(right)
}

// dryRun reads the query. Anything else in it is refused: who misspells dry_run
// would do what was only to be rehearsed.
func dryRun(r *http.Request) (bool, error) {
	query := r.URL.Query()
	values := query["dry_run"]
	switch {
	case len(query) == 0 && r.URL.RawQuery == "":
		return false, nil
	case len(query) == 1 && len(values) == 1 && values[0] == "true":
		return true, nil
	case len(query) == 1 && len(values) == 1 && values[0] == "false":
		return false, nil
	}
	return false, fault.New(fault.Invalid, "query_invalid", "dry_run: the query may hold dry_run=true and nothing else.").In("dry_run")
}
