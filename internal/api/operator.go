package api

import (
	"net/http"
	"net/url"
	"slices"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/pkg/portti"
)

// caller is who does what operators do.
type caller struct {
	actor  string       // for the audit trail: "user:ID" or "client:ID"
	grant  openid.Grant // behind the token
	dryRun bool         // everything is checked and nothing is written
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
		return caller{actor: "client:" + g.Client, grant: g}, r, nil
	}
	by, err := a.actor(r, g, right)
	return caller{actor: by.Name, grant: g}, r, err
}

// entrusted finds the grant behind a token with a scope, of a client that an
// operator has registered for it.
func (a *API) entrusted(w http.ResponseWriter, r *http.Request, scope string) (openid.Grant, *http.Request, error) {
	g, r, err := a.located(w, r)
	if err != nil {
		return openid.Grant{}, nil, err
	}
	trace.In(r.Context(), "", g.Client)
	trace.About(r.Context(), g.User, true)
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

// asked reads how an operation is asked for: whether it is a rehearsal and, of a
// change, why it is made (openid.Because), of those who want to say. The body of some
// is the registration and nothing else, and a query stands in the logs of proxies: so
// why is in headers (docs/adr/0148).
func asked(r *http.Request) (dry bool, _ *http.Request, err error) {
	if dry, err = dryRun(r); err != nil || r.Method == http.MethodGet {
		return dry, r, err
	}
	var why identity.Why
	if why.Reason, err = words(r, portti.ReasonHeader, "reason"); err != nil {
		return false, r, err
	}
	if why.Ticket, err = words(r, portti.TicketHeader, "ticket"); err != nil {
		return false, r, err
	}
	ctx, err := openid.Because(r.Context(), why)
	return dry, r.WithContext(ctx), err
}

// words reads a header with what somebody has typed: UTF-8 in percent-encoding; ""
// when it is not there.
func words(r *http.Request, header, field string) (string, error) {
	values := r.Header.Values(header)
	if len(values) == 0 {
		return "", nil
	}
	said, err := url.PathUnescape(values[0])
	if err != nil || len(values) > 1 || !utf8.ValidString(said) {
		return "", fault.New(fault.Invalid, "header_invalid", "%s: give it once, as UTF-8 in percent-encoding.", header).In(field)
	}
	return said, nil
}

// dryRun reads the query. Anything else in it is refused: who misspells dry_run
// would do what was only to be rehearsed.
func dryRun(r *http.Request) (bool, error) {
	query, err := only(r, "dry_run")
	if err != nil {
		return false, err
	}
	switch value := query.Get("dry_run"); {
	case !query.Has("dry_run"), value == "false":
		return false, nil
	case value == "true":
		return true, nil
	}
	return false, fault.New(fault.Invalid, "query_invalid", "dry_run: it is true or false.").In("dry_run")
}
