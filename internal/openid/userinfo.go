package openid

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
)

const maxUserinfoRequest = 8 << 10

// userinfo is the userinfo endpoint (OpenID Connect Core §5.3).
func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	if preflight(w, r, "GET, POST") {
		return
	}
	private(w)
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		w.Header().Set("Allow", "GET, POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use GET or POST."})
		return
	}
	ctx := r.Context()
	r.Body = http.MaxBytesReader(w, r.Body, maxUserinfoRequest)
	a, err := p.presented(w, r, true)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	body, kind, err := p.aboutPerson(ctx, a)
	if err != nil {
		p.refuseBearer(w, r, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}

// typUserinfo is our own, as OpenID Connect names none: with an ID token's it would
// pass for one as an id_token_hint (RFC 8725 §3.11).
const typUserinfo = "userinfo+jwt"

// aboutPerson is the userinfo response with its media type: JSON, or what the
// client is registered for (OpenID Connect Core §5.3.2).
func (p *Provider) aboutPerson(ctx context.Context, a access) (body []byte, kind string, err error) {
	g, c := a.Grant, a.Client
	if !slices.Contains(g.Scopes, "openid") || g.User == "" {
		return nil, "", errScope
	}
	person, err := p.People.Standing(ctx, identity.UserID(g.User), g.Epoch, g.Session)
	if err != nil {
		return nil, "", err
	}
	if body, err = p.userinfoBody(c, g, &person); err != nil {
		return nil, "", err
	}
	if c.UserinfoAlg == "" && c.UserinfoEncAlg == "" {
		return body, "application/json", nil
	}
	var cty string
	if c.UserinfoAlg != "" {
		token, err := p.Keys.Sign(c.UserinfoAlg, typUserinfo, body)
		if err != nil {
			return nil, "", fmt.Errorf("sign userinfo: %w", err)
		}
		body, cty = []byte(token), "JWT"
	}
	answer, err := p.encrypted(ctx, c, c.UserinfoEncAlg, c.UserinfoEnc, body, cty)
	return []byte(answer), "application/jwt", err
}

// userinfoBody is what the userinfo endpoint says of a person.
func (p *Provider) userinfoBody(c Client, g Grant, person *identity.Person) ([]byte, error) {
	claims := userinfoClaims(c, g, person)
	claims.add("sub", p.subject(c, g.User))
	if c.UserinfoAlg != "" {
		claims.add("iss", p.Issuer)
		claims.add("aud", c.ID)
	}
	return claims.bytes()
}

// refuseBearer answers by RFC 6750 §3: the status belongs to the error, and the
// challenge repeats it.
func (p *Provider) refuseBearer(w http.ResponseWriter, r *http.Request, err error) {
	var e Error
	switch {
	case errors.As(err, &e):
	case fault.Is(err, fault.Unauthenticated):
		e = errToken
	case unavailable(err):
		p.Log.ErrorContext(r.Context(), "userinfo failed", "error", err)
		w.Header().Set("Retry-After", "5")
		writeError(w, http.StatusServiceUnavailable, errUnavailable)
		return
	default:
		p.Log.ErrorContext(r.Context(), "userinfo failed", "error", err)
		writeError(w, http.StatusInternalServerError, errServer)
		return
	}
	status := http.StatusUnauthorized
	switch e.Code {
	case "invalid_request":
		status = http.StatusBadRequest
	case "insufficient_scope":
		status = http.StatusForbidden
	}
	challengeFor(w, r, "userinfo", e)
	if e.Code == "" {
		w.WriteHeader(status)
		return
	}
	writeError(w, status, e)
}
