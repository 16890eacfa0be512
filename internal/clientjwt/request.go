package clientjwt

import (
	"bytes"
	"context"
	"encoding/json"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/keys"
)

// Limits of a request object.
const (
	maxRequestBytes   = 32 << 10
	maxRequestMembers = 64
	// oldestRequest and longestRequest are of strict clients (FAPI 2.0 Message
	// Signing §5.3.1).
	oldestRequest  = time.Hour
	longestRequest = time.Hour
)

var (
	// ErrClient is a request object that names another client.
	ErrClient = &Error{Reason: "client", Description: "The client_id of the request object is not the client's."}
	// ErrNotBeforeMissing is a strict client's request object without nbf.
	ErrNotBeforeMissing = &Error{Reason: "no_not_before", Description: "The JWT needs an nbf."}
	// ErrTooOld is a strict client's request object that was made long ago.
	ErrTooOld = &Error{Reason: "too_old", Description: "The nbf of the JWT is too long ago."}
	// ErrNested is a request object inside another.
	ErrNested = &Error{Reason: "nested", Description: "A request object must not hold request or request_uri."}
	// ErrMember is a parameter of a type that it cannot have.
	ErrMember = &Error{Reason: "member", Description: "A parameter in the request object has a type that it cannot have."}
)

// RequestRules is what a request object must fit.
type RequestRules struct {
	Client     string           // client_id
	Keys       Source           // of that client
	Algorithms []keys.Algorithm // the registered one, or those allowed; RS256 is not for FAPI clients
	Issuer     string           // ours
	// Strict asks for client_id, exp and nbf, at most an hour apart and nbf at most
	// an hour ago; otherwise they are checked if they are there.
	Strict bool
	Now    time.Time
}

// claimMembers are about the JWT, and no parameters of the request.
var claimMembers = []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti"}

// textMembers are parameters that are one string, where a list would be taken for
// something else; scope is one string with blanks in between.
var textMembers = []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "response_mode", "display", "prompt",
	"ui_locales", "claims_locales", "id_token_hint", "login_hint", "acr_values", "code_challenge", "code_challenge_method", "dpop_jkt"}

// VerifyRequestObject checks a request object (RFC 9101, OpenID Connect Core 1.0
// §6) and returns the parameters in it, with client_id, as they would have come in
// a query: a number in plain decimals, an object or array such as claims as compact
// JSON, resource several times (RFC 8707 §2). Errors are *Error.
func VerifyRequestObject(ctx context.Context, raw string, rules RequestRules) (url.Values, error) {
	t, err := parse(raw, maxRequestBytes)
	if err != nil {
		return nil, err
	}
	if !typed(t.typ, "", "jwt", "oauth-authz-req+jwt") {
		return nil, ErrType
	}
	if err := rules.claims(t); err != nil {
		return nil, err
	}
	values, err := parameters(t.claims)
	if err != nil {
		return nil, err
	}
	if err := t.verify(ctx, rules.Algorithms, rules.Keys); err != nil {
		return nil, err
	}
	values.Set("client_id", rules.Client)
	return values, nil
}

// claims checks whose the object is, for whom, and when.
func (r RequestRules) claims(t token) error {
	for _, name := range []string{"request", "request_uri"} {
		if _, there := t.claims[name]; there {
			return ErrNested // RFC 9101 §4
		}
	}
	if iss, _, ok := t.claims.text("iss"); !ok || iss != r.Client || r.Client == "" {
		return ErrIssuer
	}
	// With the client as subject it could be used, or have been made, as a client
	// assertion (RFC 9101 §10.8).
	if sub, _, ok := t.claims.text("sub"); !ok || sub == r.Client {
		return ErrSubject
	}
	if id, there, ok := t.claims.text("client_id"); !ok || there && id != r.Client || !there && r.Strict {
		return ErrClient
	}
	if audience, _, err := t.audience(); err != nil || r.Issuer == "" || !slices.Contains(audience, r.Issuer) {
		return ErrAudience
	}
	expires, notBefore, err := t.current(r.Now)
	switch {
	case err != nil:
		return err
	case !r.Strict:
		return nil
	case expires.IsZero():
		return ErrExpiryMissing
	case notBefore.IsZero():
		return ErrNotBeforeMissing
	case notBefore.Before(r.Now.Add(-oldestRequest)):
		return ErrTooOld
	case expires.Sub(notBefore) > longestRequest:
		return ErrTooLasting
	}
	return nil
}

// parameters writes the members of a request object as a query would have them.
func parameters(all members) (url.Values, error) {
	if len(all) > maxRequestMembers {
		return nil, ErrTooLong
	}
	values := url.Values{}
	for name, raw := range all {
		if slices.Contains(claimMembers, name) {
			continue
		}
		list, err := written(name, raw)
		if err != nil {
			return nil, err
		}
		values[name] = list
	}
	return values, nil
}

func written(name string, raw json.RawMessage) ([]string, error) {
	switch first := raw[0]; {
	case first == '"':
		var text string
		if json.Unmarshal(raw, &text) != nil {
			return nil, ErrMember
		}
		return []string{text}, nil
	case first == 'n': // null is neither a value nor its absence
		return nil, ErrMember
	case first == 't', first == 'f':
		if slices.Contains(textMembers, name) {
			return nil, ErrMember
		}
		return []string{string(raw)}, nil
	case first == '-', first >= '0' && first <= '9':
		return decimal(string(raw))
	case slices.Contains(textMembers, name):
		return nil, ErrMember
	case name == "resource":
		var list []*string
		if first != '[' || json.Unmarshal(raw, &list) != nil || len(list) == 0 || slices.Contains(list, nil) {
			return nil, ErrMember
		}
		var texts []string
		for _, s := range list {
			texts = append(texts, *s)
		}
		return texts, nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return nil, ErrMember
	}
	return []string{compact.String()}, nil
}

// decimal writes a JSON number without an exponent: 1e4 is 10000.
func decimal(number string) ([]string, error) {
	const longest = 1e15 // beyond it a float64 loses units
	if !strings.ContainsAny(number, "eE") && len(number) <= len("1000000000000000") {
		return []string{number}, nil
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || value > longest || value < -longest {
		return nil, ErrMember
	}
	return []string{strconv.FormatFloat(value, 'f', -1, 64)}, nil
}
