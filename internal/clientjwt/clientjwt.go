// Package clientjwt checks the JWTs that clients sign with the keys that they
// registered, and encrypts to those keys.
//
//	keys.go       Keys: a client's public JWK set, as registered or as fetched
//	fetch.go      Fetcher: the keys behind a jwks_uri, cached and guarded
//	jwt.go        what holds for every JWT: form, header, signature, times
//	assertion.go  private_key_jwt: who calls (RFC 7523 §3, OpenID Connect Core 1.0 §9)
//	request.go    request objects: what is asked for (RFC 9101)
//	encrypt.go    ID tokens and userinfo that only the client can read (RFC 7516)
//
// Who the client is, what it may use and how a refusal is worded in the protocol
// is package openid's. The kinds of JWT cannot stand in for each other: each
// refuses the type and the subject of the others (RFC 8725 §3.11, RFC 9101 §10.8).
package clientjwt

import (
	"context"
	"slices"
	"strings"
)

// Error is why a client's JWT or its keys will not do. It is safe to show and
// holds nothing of what was sent. Other errors of this package are ours, or a
// fault.Unavailable of the replay store.
type Error struct {
	Reason      string // a word for the log, such as "expired"
	Description string // a fixed sentence in ASCII for the client's software
	Temporary   bool   // the client's server does not answer: the same JWT may do later
	cause       error
}

func (e *Error) Error() string {
	if e.cause != nil {
		return e.Description + " " + e.cause.Error()
	}
	return e.Description
}

// Unwrap gives the log what is behind a temporary failure.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether another is the same refusal, whatever its cause.
func (e *Error) Is(other error) bool {
	o, ok := other.(*Error)
	return ok && o.Reason == e.Reason
}

// What every JWT can be refused for.
var (
	ErrTooLong       = &Error{Reason: "too_long", Description: "The JWT is too long."}
	ErrMalformed     = &Error{Reason: "malformed", Description: "The JWT is not a signed JWT in compact form."}
	ErrEncrypted     = &Error{Reason: "encrypted", Description: "Encrypted JWTs are not supported here."}
	ErrHeader        = &Error{Reason: "header", Description: "The header of the JWT has a member that is not supported."}
	ErrType          = &Error{Reason: "type", Description: "The typ of the JWT is not the expected one."}
	ErrAlgorithm     = &Error{Reason: "algorithm", Description: "The alg of the JWT is not allowed for this client."}
	ErrSignature     = &Error{Reason: "signature", Description: "The signature of the JWT fits none of the client's keys."}
	ErrAmbiguous     = &Error{Reason: "ambiguous", Description: "The JWT needs a kid, since the client has many keys."}
	ErrIssuer        = &Error{Reason: "issuer", Description: "The iss of the JWT must be the client_id."}
	ErrSubject       = &Error{Reason: "subject", Description: "The sub of the JWT is not the expected one."}
	ErrAudience      = &Error{Reason: "audience", Description: "The aud of the JWT is not this server."}
	ErrExpiryMissing = &Error{Reason: "no_expiry", Description: "The JWT needs an exp."}
	ErrExpired       = &Error{Reason: "expired", Description: "The JWT has expired."}
	ErrTooLasting    = &Error{Reason: "too_lasting", Description: "The exp of the JWT is too far ahead."}
	ErrNotYet        = &Error{Reason: "not_yet", Description: "The nbf or iat of the JWT is in the future."}
	ErrTime          = &Error{Reason: "time", Description: "A time in the JWT is not a NumericDate."}
)

// Source gives a client's keys: Keys as they were registered, or Fetcher.At.
type Source interface {
	// Keys returns the client's keys. lacking is nil, or the set that did not have
	// the key looked for: then a newer set if there is one, else the same again.
	// Errors are temporary: see Error.
	Keys(ctx context.Context, lacking *Keys) (*Keys, error)
}

// typed tells whether a typ is one of those that are allowed, in lower case. A
// media type may leave out "application/" (RFC 7515 §4.1.9).
func typed(typ string, allowed ...string) bool {
	return slices.Contains(allowed, strings.TrimPrefix(strings.ToLower(typ), "application/"))
}
