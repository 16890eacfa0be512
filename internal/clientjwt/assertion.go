package clientjwt

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

// AssertionType is the client_assertion_type of RFC 7523 §2.2.
const AssertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Limits of an assertion.
const (
	maxAssertionBytes = 16 << 10
	maxClaimBytes     = 256 // iss, sub, jti
	// An assertion's mark lies until it expires. One that lasts longer than an
	// hour was signed to be kept somewhere, which is what a password is.
	longestAssertion = time.Hour
)

var (
	// ErrReplayed is an assertion that was used before.
	ErrReplayed = &Error{Reason: "replayed", Description: "The JWT was used before."}
	// ErrID is an assertion without a usable jti.
	ErrID = &Error{Reason: "no_id", Description: "The JWT needs a jti, a string of 1 to 256 bytes."}
)

// Replay remembers what was used; ephemeral.Store is one.
type Replay interface {
	// Add sets key if it is absent; otherwise it returns fault.Conflict. Of any
	// number of callers one succeeds.
	Add(ctx context.Context, key string, value []byte, ttl time.Duration) error
}

// AssertionRules is what an assertion must fit.
type AssertionRules struct {
	Client     string           // client_id
	Keys       Source           // of that client
	Algorithms []keys.Algorithm // the registered one, or those allowed; RS256 is not for FAPI clients
	Issuer     string           // ours
	// Endpoints may stand in aud instead of the issuer: the token endpoint and the
	// one that was called (OpenID Connect Core 1.0 §9, RFC 9126 §2).
	Endpoints []string
	// Strict takes the issuer alone, as one string: an assertion for another
	// server, or for several, is one that another server can use here (FAPI 2.0
	// Security Profile §5.3.2.1).
	Strict bool
	Now    time.Time
	Replay Replay
}

// VerifyAssertion checks a private_key_jwt client assertion (RFC 7523 §3, OpenID
// Connect Core 1.0 §9) and spends it: of fifty callers with the same one, one gets
// nil and the rest ErrReplayed. Errors are *Error, or fault.Unavailable when the
// replay store does not answer; then the assertion counts for nothing.
func VerifyAssertion(ctx context.Context, raw string, rules AssertionRules) error {
	t, id, err := readAssertion(raw)
	if err != nil {
		return err
	}
	if id != rules.Client || rules.Client == "" {
		return ErrSubject
	}
	expires, _, err := t.current(rules.Now)
	switch {
	case err != nil:
		return err
	case expires.IsZero():
		return ErrExpiryMissing
	case expires.After(rules.Now.Add(longestAssertion + skew)):
		return ErrTooLasting
	}
	if err := rules.audience(t); err != nil {
		return err
	}
	jti, there, ok := t.claims.text("jti")
	if !ok || !there || jti == "" || len(jti) > maxClaimBytes {
		return ErrID
	}
	if err := t.verify(ctx, rules.Algorithms, rules.Keys); err != nil {
		return err
	}
	// Spent last, so that only the client itself can spend its jti. The mark
	// outlives the assertion by more than two replicas' clocks differ.
	mark := ephemeral.Key("assertion", rules.Client+"\x00"+jti)
	err = rules.Replay.Add(ctx, mark, nil, expires.Sub(rules.Now)+skew)
	switch {
	case fault.Is(err, fault.Conflict):
		return ErrReplayed
	case err != nil:
		return fmt.Errorf("spend client assertion: %w", err)
	}
	return nil
}

// ClaimedClient returns the client that an assertion says it is from, when the
// request names none (RFC 7521 §4.2). Nothing is proved by it: VerifyAssertion must
// follow.
func ClaimedClient(raw string) (string, error) {
	_, id, err := readAssertion(raw)
	return id, err
}

// readAssertion takes an assertion apart and returns its iss, which is its sub.
func readAssertion(raw string) (t token, client string, err error) {
	if t, err = parse(raw, maxAssertionBytes); err != nil {
		return token{}, "", err
	}
	if !typed(t.typ, "", "jwt", "client-authentication+jwt") {
		return token{}, "", ErrType
	}
	iss, there, ok := t.claims.text("iss")
	if !ok || !there || iss == "" || len(iss) > maxClaimBytes {
		return token{}, "", ErrIssuer
	}
	if sub, _, ok := t.claims.text("sub"); !ok || sub != iss {
		return token{}, "", ErrSubject
	}
	return t, iss, nil
}

func (r AssertionRules) audience(t token) error {
	list, single, err := t.audience()
	switch {
	case err != nil:
		return err
	case r.Strict && !single:
		return ErrAudience
	}
	for _, a := range list {
		if a != "" && (a == r.Issuer || !r.Strict && slices.Contains(r.Endpoints, a)) {
			return nil
		}
	}
	return ErrAudience
}
