package openid

import (
	"context"
	"errors"
	"net/url"
	"slices"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/session"
)

// Token types (RFC 8693 §3). There is one that we take and give.
const typeAccessToken = "urn:ietf:params:oauth:token-type:access_token"

// A subject token that will not do is invalid_request, whatever is wrong with it
// (RFC 8693 §2.2.2); which it was is for the log.
var errSubjectToken = Error{"invalid_request", "The subject_token is not a live access token for a resource of this client."}

// exchangeToken gives a resource a token for the next one, in the name of the
// person who called it (RFC 8693). It only ever narrows: the subject token is for
// a resource that the client serves, the new one for a resource that the client
// is registered to call, with no scope, no day and no other person more. The
// token hangs under the same grant and under the subject token, so that it dies
// with either (ADR 0089).
func (p *Provider) exchangeToken(ctx context.Context, a asking, form url.Values) (*tokens, error) {
	if a.Client.AuthMethod == AuthNone {
		return nil, errClient
	}
	if e := checkExchange(form); e != nil {
		return nil, e
	}
	subject, err := p.access(ctx, form.Get("subject_token"))
	if fault.Is(err, fault.Unauthenticated) {
		return nil, errSubjectToken
	}
	if err != nil {
		return nil, err
	}
	if reason := a.cannotExchange(subject); reason != "" {
		p.Log.WarnContext(ctx, "token exchange refused", "client", a.Client.ID, "reason", reason)
		return nil, errSubjectToken
	}
	target := a.Resources[0]
	if target == p.Issuer || !slices.Contains(a.Client.ExchangeTo, target) {
		return nil, errTarget
	}
	if a.Scopes, err = exchangedScopes(a, subject.Grant.Scopes); err != nil {
		return nil, err
	}
	now := p.Now().UTC()
	g := subject.Grant
	g.Expires = subject.Token.Expires
	out := tokens{IssuedType: typeAccessToken}
	t, err := p.newAccessToken(&out, a, g, now)
	if err != nil {
		return nil, err
	}
	t.Client = a.Client.ID
	if err := p.Store.Exchange(ctx, subject.Token.Hash, t, now); err != nil {
		return nil, subjectDenied(err)
	}
	p.Log.InfoContext(ctx, "token exchanged", "client", a.Client.ID, "from", subject.Client.ID, "grant", g.ID, "resource", target)
	return &out, nil
}

// subjectDenied is denied, with the code that RFC 8693 §2.2.2 has for it.
func subjectDenied(err error) error {
	err = denied(err, errSubjectToken)
	if e := (Error{}); errors.As(err, &e) {
		return Error{"invalid_request", e.Description}
	}
	return err
}

// checkExchange refuses what RFC 8693 knows and we do not do.
func checkExchange(form url.Values) error {
	switch {
	case form.Get("subject_token_type") != typeAccessToken:
		return Error{"invalid_request", "The subject_token_type must be that of an access token."}
	case form.Get("requested_token_type") != "" && form.Get("requested_token_type") != typeAccessToken:
		return Error{"invalid_request", "The requested_token_type can only be that of an access token."}
	case form.Has("actor_token") || form.Has("actor_token_type"):
		return Error{"invalid_request", "An actor_token is not taken."}
	case form.Has("audience"):
		return Error{"invalid_target", "Name the resource, not an audience."}
	case len(form["resource"]) != 1 || form.Get("resource") == "":
		return Error{"invalid_target", "Exactly one resource is needed."}
	}
	return nil
}

// cannotExchange says why a client may not exchange a token, or "".
func (a asking) cannotExchange(subject access) string {
	switch {
	case subject.Grant.User == "" || subject.Grant.Level != session.Full:
		return "nobody has signed in"
	case subject.Token.Binding != "":
		// Whoever holds it must show the key at every use, and cannot do so here:
		// taking it would make a stolen one worth something (RFC 9449 §7).
		return "bound to a key"
	case !slices.ContainsFunc(subject.Grant.Resources, func(r string) bool { return slices.Contains(a.Client.Serves, r) }):
		return "for no resource of the client"
	}
	return ""
}

// exchangedScopes are those of the subject token that the client is registered
// for, or fewer if it asks for fewer.
func exchangedScopes(a asking, has []string) ([]string, error) {
	may := slices.DeleteFunc(slices.Clone(has), func(s string) bool { return !slices.Contains(a.Client.Scopes, s) })
	switch {
	case !within(a.Scopes, may):
		return nil, Error{"invalid_scope", "The subject_token or the client does not have all of the scope."}
	case a.Scopes != nil:
		return a.Scopes, nil
	case len(may) == 0:
		return nil, Error{"invalid_scope", "The subject_token has no scope that the client is registered for."}
	}
	return may, nil
}
