package openid

import (
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"

	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/fault"
)

var (
	errNoToken    = Error{"", "An access token is missing."} // no code: the request did not try (RFC 6750 §3.1)
	errTwice      = Error{"invalid_request", "Send the access token once, in the Authorization header or in the form."}
	errToken      = Error{"invalid_token", "The access token is wrong, expired or revoked."}
	errScope      = Error{"insufficient_scope", "The access token lacks the scope openid."}
	errBound      = Error{"invalid_token", "The access token is bound to a key: send it with the scheme DPoP and a proof."}
	errUnbound    = Error{"invalid_token", "The access token is not bound to a key: send it with the scheme Bearer."}
	errTokenProof = Error{dpop.InvalidProof, "A DPoP proof is missing."}
	errOtherCert  = Error{"invalid_token", "The access token is bound to a certificate that did not come along."}
)

// Schemes of access tokens, in any case (RFC 9110 §11.1).
const (
	schemeBearer = "Bearer"
	schemeDPoP   = "DPoP"
)

// Caller returns the grant of the live access token with which the JSON API is
// called, a person's or a client's own, its scopes being the token's. The token is
// for us, and comes with the proof of its key if it is bound to one. Otherwise it
// is fault.Unauthenticated "invalid_token", and what w has to say of it is set.
func (p *Provider) Caller(w http.ResponseWriter, r *http.Request) (Grant, error) {
	a, err := p.presented(w, r, false)
	var e Error
	switch {
	case err == nil:
		return a.Grant, nil
	case errors.As(err, &e):
	case fault.Is(err, fault.Unauthenticated):
		e = errToken
	default:
		return Grant{}, err
	}
	challengeFor(w, r, "api", e)
	return Grant{}, errInvalidToken
}

// presented finds the access token that a request shows, in its form as well where
// that is allowed; one that is for us, and whose key is proved.
func (p *Provider) presented(w http.ResponseWriter, r *http.Request, form bool) (access, error) {
	scheme, raw, err := shownToken(r, form)
	if err != nil {
		return access{}, err
	}
	a, err := p.access(r.Context(), raw)
	switch {
	case err != nil:
		return access{}, err
	case !p.forUs(a.Grant.Resources):
		return access{}, errToken
	}
	return a, p.possessed(w, r, scheme, raw, a.Token.Binding)
}

// shownToken finds the access token of a request and the scheme that it came with
// (RFC 6750 §2.1, §2.2; RFC 9449 §7.1). Not in the address: addresses end up in
// logs.
func shownToken(r *http.Request, form bool) (scheme, token string, err error) {
	header := r.Header.Values("Authorization")
	var posted string
	if form && r.Method == http.MethodPost {
		if err := r.ParseForm(); err != nil {
			return "", "", errForm
		}
		if len(r.PostForm["access_token"]) > 1 {
			return "", "", errTwice
		}
		posted = r.PostForm.Get("access_token")
	}
	switch {
	case len(header) > 1, len(header) == 1 && posted != "":
		return "", "", errTwice
	case posted != "":
		return schemeBearer, posted, nil
	case len(header) == 0:
		return "", "", errNoToken
	}
	scheme, token, ok := strings.Cut(header[0], " ")
	for _, known := range []string{schemeBearer, schemeDPoP} {
		if ok && strings.EqualFold(scheme, known) {
			return known, strings.TrimSpace(token), nil
		}
	}
	return "", "", errNoToken
}

// possessed tells whether a request may use a token that it shows: a bound one
// needs the proof of its key, and no other is taken for bound (RFC 9449 §7.1, RFC
// 8705 §3). Errors are Errors, or failures of ours.
func (p *Provider) possessed(w http.ResponseWriter, r *http.Request, scheme, token string, bound Binding) error {
	if print, is := strings.CutPrefix(string(bound), boundToKey); is {
		if scheme != schemeDPoP {
			return errBound // a thief has no proof, and calls it a bearer token
		}
		proved, err := p.proofOf(w, r, token, print)
		if err == nil && proved == "" {
			err = errTokenProof
		}
		return err
	}
	switch certificate := certificateOf(r.Context()); {
	case scheme != schemeBearer:
		return errUnbound
	case bound == "":
		return nil
	case certificate == nil || subtle.ConstantTimeCompare([]byte(thumbprint(certificate)), []byte(bound)) != 1:
		return errOtherCert
	}
	return nil
}

// challengeFor writes WWW-Authenticate for a refused token: the scheme that was used,
// with what is wrong, and the other one (RFC 6750 §3, RFC 9449 §7.1).
func challengeFor(w http.ResponseWriter, r *http.Request, realm string, e Error) {
	h := w.Header()
	bearer, dpop := `Bearer realm="`+realm+`"`, `DPoP realm="`+realm+`", algs="`+strings.Join(dpop.Algorithms, " ")+`"`
	wrong := ""
	if e.Code != "" {
		wrong = `, error="` + e.Code + `", error_description="` + e.Description + `"`
	}
	h.Del("WWW-Authenticate")
	if scheme, _, _ := shownToken(r, false); scheme == schemeDPoP {
		h.Add("WWW-Authenticate", dpop+wrong)
		h.Add("WWW-Authenticate", bearer)
		return
	}
	h.Add("WWW-Authenticate", bearer+wrong)
	h.Add("WWW-Authenticate", dpop)
}
