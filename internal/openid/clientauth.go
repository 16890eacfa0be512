package openid

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

// credentials is what a request says of its client.
type credentials struct {
	ID        string // "" when only the assertion tells
	Method    AuthMethod
	Secret    string
	Assertion string
	Kind      string // client_assertion_type
	Audiences []string
}

var errClient = Error{"invalid_client", "The client is unknown, or its authentication failed."}

type askingKey struct{}

// asking authenticates a request to the token endpoint and reads what every
// grant needs of it. Its errors are Errors, or failures of ours.
func (p *Provider) asking(w http.ResponseWriter, r *http.Request) (asking, error) {
	c, err := p.caller(r)
	if err != nil {
		return asking{}, err
	}
	bound, err := p.binding(w, r, c)
	if err != nil {
		return asking{}, err
	}
	return asking{Client: c, Binding: bound}, nil
}

// caller authenticates the client that calls an endpoint with a form: token,
// pushed requests, introspection, revocation, device authorization. The form has
// been parsed, and has every parameter once. Its errors are Errors, or failures
// of ours.
func (p *Provider) caller(r *http.Request) (Client, error) {
	proof, err := p.credentials(r)
	if err != nil {
		return Client{}, err
	}
	return p.authenticate(r.Context(), proof)
}

// credentials reads what the request proves its client with. A request that
// tries two ways has no meaning (RFC 6749 §2.3), whichever of them is right.
func (p *Provider) credentials(r *http.Request) (credentials, error) {
	if e := checkAuthorization(r); e != (Error{}) {
		return credentials{}, e
	}
	form := r.PostForm
	proof := credentials{ID: form.Get("client_id"), Method: AuthNone}
	id, secret, basic := r.BasicAuth()
	posted := form.Get("client_secret") != ""
	asserted := form.Has("client_assertion") || form.Has("client_assertion_type")
	switch {
	case basic && posted:
		return credentials{}, Error{"invalid_request", "Send the client's secret once, in the Authorization header or in the form."}
	case asserted && (basic || posted):
		return credentials{}, Error{"invalid_request", "Send one proof of the client, an assertion or a secret."}
	case basic:
		inForm := proof.ID
		proof.ID, _ = url.QueryUnescape(id) // checkAuthorization has seen that they can be
		proof.Secret, _ = url.QueryUnescape(secret)
		proof.Method = AuthBasic
		if inForm != "" && inForm != proof.ID {
			return credentials{}, Error{"invalid_request", "The client_id differs from the one in the Authorization header."}
		}
	case posted:
		proof.Method, proof.Secret = AuthPost, form.Get("client_secret")
	case asserted:
		proof.Method, proof.Assertion, proof.Kind = AuthPrivateKeyJWT, form.Get("client_assertion"), form.Get("client_assertion_type")
		proof.Audiences = []string{p.url(TokenPath), p.endpoint(r)}
		if alias, is := p.aliasOf(p.base + TokenPath); is {
			proof.Audiences = append(proof.Audiences, alias)
		}
	}
	return proof, nil
}

// endpoint is the address under which the request's endpoint is known. It is made
// of settings and of our own path, never of the Host header.
func (p *Provider) endpoint(r *http.Request) string {
	if _, mutual := handshakeOf(r.Context()); mutual {
		alias, _ := p.aliasOf(r.URL.Path)
		return alias
	}
	return p.url(strings.TrimPrefix(r.URL.EscapedPath(), p.base))
}

// authenticate checks a client's proof. Only the registered method will do: a
// client that could choose would let an attacker choose the weakest.
func (p *Provider) authenticate(ctx context.Context, proof credentials) (Client, error) {
	refused := func(reason string, answer Error) (Client, error) {
		id := proof.ID
		if !clientID.MatchString(id) {
			id = "" // nobody's, and as long as a stranger likes
		}
		p.Log.WarnContext(ctx, "client authentication failed", "client", id, "reason", reason)
		return Client{}, answer
	}
	if proof.Method == AuthPrivateKeyJWT && proof.ID == "" {
		// The client_id may be left out (RFC 7521 §4.2). Nothing is proved by what
		// stands in the assertion: it is verified against that client's keys.
		proof.ID, _ = clientjwt.ClaimedClient(proof.Assertion)
	}
	c, err := p.client(ctx, proof.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return refused("unknown", errClient)
	case fault.Is(err, fault.Denied):
		return refused("disabled", errClient)
	case err != nil:
		return Client{}, err
	case c.ID == houseID:
		return refused("the house is no client", errClient)
	case c.fapi() && !c.AuthMethod.asymmetric():
		return refused("the profile forbids the method", errClient)
	case proof.Method != c.AuthMethod.presented():
		return refused("method is not the registered one", errClient)
	}
	switch c.AuthMethod {
	case AuthNone:
		return c, nil
	case AuthBasic, AuthPost:
		if !p.hasSecret(c, proof.Secret) {
			return refused("wrong secret", errClient)
		}
		return c, nil
	case AuthPrivateKeyJWT:
		err := p.checkAssertion(ctx, c, proof)
		var bad *clientjwt.Error
		if errors.As(err, &bad) {
			return refused("assertion: "+err.Error(), Error{"invalid_client", bad.Description})
		}
		if err != nil {
			return Client{}, err
		}
		return c, nil
	case AuthTLS, AuthSelfSignedTLS:
		err := p.checkCertificate(ctx, c)
		if unavailable(err) {
			return Client{}, err
		}
		if err != nil {
			return refused("certificate: "+err.Error(), errCertificate)
		}
		return c, nil
	}
	return refused("unknown method", errClient)
}

var errCertificate = Error{"invalid_client", "The certificate that came with the request, if any, does not prove this client."}

// presented is what a request looks like that uses the method: a certificate is no
// part of the request.
func (m AuthMethod) presented() AuthMethod {
	if m == AuthTLS || m == AuthSelfSignedTLS {
		return AuthNone
	}
	return m
}

// checkAssertion verifies a private_key_jwt assertion and spends it.
func (p *Provider) checkAssertion(ctx context.Context, c Client, proof credentials) error {
	if proof.Kind != clientjwt.AssertionType {
		return errAssertionType
	}
	source, err := p.keysOf(c)
	if err != nil {
		return err
	}
	return clientjwt.VerifyAssertion(ctx, proof.Assertion, clientjwt.AssertionRules{
		Client:     c.ID,
		Keys:       source,
		Algorithms: c.assertionAlgorithms(),
		Issuer:     p.Issuer,
		Endpoints:  proof.Audiences,
		Strict:     c.fapi(),
		Now:        p.Now(),
		Replay:     p.Ephemeral,
	})
}

var errAssertionType = &clientjwt.Error{Reason: "assertion_type", Description: "The client_assertion_type is not the one of RFC 7523."}

// assertionAlgorithms is what the client may sign its assertions with. FAPI 2.0
// Security Profile §5.4.1 leaves RS256 out, also where it was registered.
func (c Client) assertionAlgorithms() []keys.Algorithm {
	allowed := keys.Algorithms
	if c.fapi() {
		allowed = fapiAlgorithms
	}
	if c.AuthAlgorithm == "" {
		return allowed
	}
	return slices.DeleteFunc(slices.Clone(allowed), func(a keys.Algorithm) bool { return a != c.AuthAlgorithm })
}

// authMethods is how clients may prove themselves, for the metadata.
func (p *Provider) authMethods() []AuthMethod {
	methods := []AuthMethod{AuthBasic, AuthPost, AuthPrivateKeyJWT, AuthNone}
	if p.MTLS.ClientCAs != nil && p.MTLS.URL != "" {
		methods = append(methods, AuthTLS)
	}
	if p.MTLS.URL != "" {
		methods = append(methods, AuthSelfSignedTLS)
	}
	return methods
}

// hasSecret compares a secret with the two that may work at once while a client
// moves from one to the other.
func (p *Provider) hasSecret(c Client, secret string) bool {
	presented := []byte(digest(secret))
	now := c.SecretHash != "" && subtle.ConstantTimeCompare(presented, []byte(c.SecretHash)) == 1
	before := c.OldSecretHash != "" && subtle.ConstantTimeCompare(presented, []byte(c.OldSecretHash)) == 1 && p.Now().Before(c.OldSecretUntil)
	return now || before
}

// answerCaller answers a client that called an endpoint with a form: with JSON, or
// with why not.
func (p *Provider) answerCaller(w http.ResponseWriter, r *http.Request, answer any, err error) {
	var body []byte
	if err == nil {
		body, err = json.Marshal(answer)
	}
	if err != nil {
		p.refuseCaller(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// refuseBlamed is refuseCaller, and keeps for the doctor what was wrong with the
// request; its reference goes with the answer.
func (p *Provider) refuseBlamed(w http.ResponseWriter, r *http.Request, client *Client, err error) {
	if reference := p.blame(r, client, err); reference != "" {
		p.help(w, reference)
	}
	p.refuseCaller(w, r, err)
}

// help tells a client's software where its makers read what went wrong (RFC 8288).
func (p *Provider) help(w http.ResponseWriter, reference string) {
	w.Header().Set("Link", "<"+p.refusalPage(reference)+`>; rel="help"`)
}

// refuseCaller answers a client whose request cannot be taken, as the token
// endpoint does (RFC 6749 §5.2).
func (p *Provider) refuseCaller(w http.ResponseWriter, r *http.Request, err error) {
	var e Error
	switch {
	case errors.As(err, &e):
		p.Log.InfoContext(r.Context(), "client refused", "path", r.URL.Path, "code", e.Code, "description", e.Description)
		writeTokenError(w, http.StatusBadRequest, e)
	case fault.Is(err, fault.Throttled):
		p.Log.InfoContext(r.Context(), "client refused", "path", r.URL.Path, "code", errTooMany.Code, "description", errTooMany.Description)
		retryAfter(w, err)
		writeTokenError(w, http.StatusTooManyRequests, errTooMany)
	case unavailable(err):
		p.Log.ErrorContext(r.Context(), "client not answered", "path", r.URL.Path, "error", err)
		writeTokenError(w, http.StatusServiceUnavailable, errUnavailable)
	default:
		p.Log.ErrorContext(r.Context(), "client not answered", "path", r.URL.Path, "error", err)
		writeTokenError(w, http.StatusInternalServerError, errServer)
	}
}
