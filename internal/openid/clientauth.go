package openid

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"

	"github.com/portti-id/portti/internal/fault"
)

// credentials is what a request says of its client.
type credentials struct {
	ID        string
	Secret    string
	Method    AuthMethod
	Assertion bool // a client_assertion came along
}

var errClient = Error{"invalid_client", "The client is unknown, or its authentication failed."}

type askingKey struct{}

// asking authenticates a request to the token endpoint and reads what every
// grant needs of it. Its errors are Errors, or failures of ours.
func (p *Provider) asking(r *http.Request) (asking, error) {
	c, err := p.caller(r)
	if err != nil {
		return asking{}, err
	}
	return asking{Client: c}, nil
}

// caller authenticates the client that calls an endpoint with a form: token,
// pushed requests, introspection, revocation, device authorization. The form has
// been parsed, and has every parameter once. Its errors are Errors, or failures
// of ours.
func (p *Provider) caller(r *http.Request) (Client, error) {
	if e := checkAuthorization(r); e != (Error{}) {
		return Client{}, e
	}
	proof := credentials{ID: r.PostForm.Get("client_id"), Secret: r.PostForm.Get("client_secret"), Method: AuthNone, Assertion: r.PostForm.Has("client_assertion")}
	if id, secret, ok := r.BasicAuth(); ok {
		inForm := proof.ID
		proof.ID, _ = url.QueryUnescape(id) // checkAuthorization has seen that they can be
		proof.Method = AuthBasic
		if inForm != "" && inForm != proof.ID {
			return Client{}, Error{"invalid_request", "The client_id differs from the one in the Authorization header."}
		}
		if proof.Secret != "" {
			return Client{}, Error{"invalid_request", "Send the client's secret once, in the Authorization header or in the form."}
		}
		proof.Secret, _ = url.QueryUnescape(secret)
	} else if proof.Secret != "" {
		proof.Method = AuthPost
	}
	return p.authenticate(r.Context(), proof)
}

// authenticate checks a client's proof. Only the registered method will do: a
// client that could choose would let an attacker choose the weakest.
func (p *Provider) authenticate(ctx context.Context, proof credentials) (Client, error) {
	refused := func(reason string) (Client, error) {
		p.Log.WarnContext(ctx, "client authentication failed", "client", proof.ID, "reason", reason)
		return Client{}, errClient
	}
	if proof.Assertion {
		return refused("client_assertion is not supported")
	}
	c, err := p.client(ctx, proof.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return refused("unknown")
	case fault.Is(err, fault.Denied):
		return refused("disabled")
	case err != nil:
		return Client{}, err
	case c.ID == houseID:
		return refused("the house is no client")
	case proof.Method != c.AuthMethod:
		return refused("method is not the registered one")
	case c.AuthMethod == AuthNone:
		return c, nil
	case !p.hasSecret(c, proof.Secret):
		return refused("wrong secret")
	}
	return c, nil
}

// hasSecret compares a secret with the two that may work at once while a client
// moves from one to the other.
func (p *Provider) hasSecret(c Client, secret string) bool {
	presented := []byte(digest(secret))
	now := c.SecretHash != "" && subtle.ConstantTimeCompare(presented, []byte(c.SecretHash)) == 1
	before := c.OldSecretHash != "" && subtle.ConstantTimeCompare(presented, []byte(c.OldSecretHash)) == 1 && p.Now().Before(c.OldSecretUntil)
	return now || before
}

// refuseCaller answers a client whose request cannot be taken, as the token
// endpoint does (RFC 6749 §5.2).
func (p *Provider) refuseCaller(w http.ResponseWriter, r *http.Request, err error) {
	var e Error
	switch {
	case errors.As(err, &e):
		p.Log.InfoContext(r.Context(), "client refused", "path", r.URL.Path, "code", e.Code, "description", e.Description)
		writeTokenError(w, http.StatusBadRequest, e)
	case unavailable(err):
		p.Log.ErrorContext(r.Context(), "client not answered", "path", r.URL.Path, "error", err)
		writeTokenError(w, http.StatusServiceUnavailable, errUnavailable)
	default:
		p.Log.ErrorContext(r.Context(), "client not answered", "path", r.URL.Path, "error", err)
		writeTokenError(w, http.StatusInternalServerError, errServer)
	}
}
