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

var errNotOperator = fault.New(fault.Denied, "not_allowed", "Only an operator can do this.")

// operator finds an operator by the token: a person with the role, or a program
// of theirs. Whatever gives the right is read now, not when the token was made: a
// role, a scope or a method that is taken away is gone with the next call.
//
//	person    a token of the code flow, of a full sign-in by a method that the employer permits now
//	program   a token of client_credentials
//	both      scope "clients", of a client that is registered for it by an operator
func (a *API) operator(w http.ResponseWriter, r *http.Request) (caller, error) {
	ctx := r.Context()
	g, err := a.Tokens.Caller(w, r)
	if err != nil {
		return caller{}, err
	}
	if !slices.Contains(g.Scopes, scopeClients) {
		return caller{}, errScope
	}
	c, err := a.Registered.Client(ctx, g.Client)
	switch {
	case fault.Is(err, fault.NotFound):
		return caller{}, errScope
	case err != nil:
		return caller{}, err
	case !c.Disabled.IsZero() || !slices.Contains(c.Scopes, scopeClients) || !slices.Contains(c.GrantTypes, g.Kind) || c.SelfRegistered():
		return caller{}, errScope
	}
	switch g.Kind {
	case openid.GrantClient:
		if g.User != "" {
			return caller{}, errScope
		}
		return caller{actor: "client:" + g.Client}, nil
	case openid.GrantCode:
		if g.User == "" || g.Level != session.Full || proved[g.Method] == 0 {
			return caller{}, errScope
		}
		p, err := a.Directory.Standing(ctx, identity.UserID(g.User), g.Epoch, g.Session)
		switch {
		case err != nil:
			return caller{}, err
		case !p.User.Roles.Has(identity.RoleOperator) || p.Password.Temporary || !p.Permits(proved[g.Method]):
			return caller{}, errNotOperator
		}
		return caller{actor: "user:" + g.User}, nil
	}
	return caller{}, errScope // a device that somebody let in, an exchanged token
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
