// Package dpop verifies DPoP proofs (RFC 9449): a signed statement, sent beside a
// request, that its sender holds the key to which a token is bound.
//
//	dpop.go   Verifier, Verify: the rules of §4.3 from top to bottom
//	read.go   from the header field to members and bytes
//	key.go    the public key in the proof: form, signature, thumbprint
//	url.go    two URLs compared as RFC 3986 §6 wants it
//	nonce.go  nonces that every replica knows as ours
//	error.go  what a client is told, and what the log is told
//
// It knows no requests: whoever calls hands over method and URL, sees to it that
// the field DPoP came once (§4.3 check 1), and answers with the error's code and
// a nonce. Nothing is remembered but that a proof was used.
package dpop

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
)

// How old and how new a proof may be by its iat (§4.3 check 11, §11.1). FAPI 2.0
// clients may be ten seconds ahead.
const (
	Life  = 60 * time.Second // of a proof
	Ahead = 10 * time.Second // how far in the future a proof may have been made
	Skew  = 5 * time.Second  // on top of both: clocks of machines differ

	// ClockOff is how wrong a client's clock may be when a nonce of ours tells the
	// age instead. It stays bounded: a clock an hour off hides a mistake.
	ClockOff = 10 * time.Minute
)

// maxID bounds jti, in bytes.
const maxID = 256

// Algorithms are those that a Verifier knows, for the metadata's
// dpop_signing_alg_values_supported. EdDSA is Ed25519 alone; its name of RFC 9864,
// "Ed25519", is understood as well.
var Algorithms = []string{"ES256", "EdDSA", "PS256"}

// Sealer encrypts what only this provider may read; keys.Master is one.
type Sealer interface {
	Seal(plain []byte, meaning string) (string, error)
	Open(sealed, meaning string) ([]byte, error)
}

// Verifier checks proofs. It is safe for any number of callers; all replicas need
// the same Replay and keys of the same Sealer.
type Verifier struct {
	Replay       ephemeral.Store
	Sealer       Sealer
	Now          func() time.Time
	Algorithms   []string      // nil: all of Algorithms
	NonceLife    time.Duration // 0: five minutes
	RequireNonce bool          // proofs without a nonce are answered use_dpop_nonce

	latest struct {
		sync.Mutex
		nonce string
		made  time.Time
	}
}

// Expect is the request that came with the proof, as the provider sees it.
type Expect struct {
	Method      string // exactly, such as "POST"
	URL         string // absolute, as clients know it; query and fragment do not count
	AccessToken string // when set, ath must be its hash
	Thumbprint  string // when set, the key must be this one
}

// Proof is what a good proof proves.
type Proof struct {
	Thumbprint string // of the key: SHA-256 in base64url (RFC 7638), the jkt of RFC 9449
}

// Verify checks the value of the header field DPoP against its request. An Error
// is the client's fault, fault.Unavailable means that nobody could say whether the
// proof was used before, which is a refusal too.
//
// A good proof is spent by it: the same key, URL and jti pass once. A proof that
// is refused stays unspent, so that nobody can spend another's in advance, and a
// retry with a nonce may keep its jti.
func (v *Verifier) Verify(ctx context.Context, proof string, e Expect) (Proof, error) {
	target, ok := canonical(e.URL)
	if !ok || e.Method == "" {
		return Proof{}, errors.New("dpop: no method and absolute URL to expect")
	}
	token, ok := read(proof)
	if !ok {
		return Proof{}, refused(Malformed)
	}
	key, reason := v.signer(token)
	if reason != "" {
		return Proof{}, refused(reason)
	}
	if reason := mismatch(token.claims, key, e, target); reason != "" {
		return Proof{}, refused(reason)
	}
	now := v.Now()
	until, reason := v.fresh(token.claims, now)
	if reason != "" {
		return Proof{}, refused(reason)
	}
	// The thumbprint has one length and a canonical URL no NUL, so that two
	// different proofs never share a key.
	mark := ephemeral.Key("dpop", key.thumbprint+target+"\x00"+token.claims.text("jti"))
	// A replica whose clock is behind accepts the proof for longer than we do.
	err := v.Replay.Add(ctx, mark, nil, until.Sub(now)+2*Skew)
	if fault.Is(err, fault.Conflict) {
		return Proof{}, refused(Replayed)
	}
	if err != nil {
		return Proof{}, fmt.Errorf("mark a DPoP proof as used: %w", err)
	}
	return Proof{Thumbprint: key.thumbprint}, nil
}

// signer returns the key in the proof's header once it is proved that the key
// signed it (§4.3 checks 4 to 7).
func (v *Verifier) signer(t token) (publicKey, Reason) {
	if t.header.text("typ") != "dpop+jwt" {
		return publicKey{}, BadType
	}
	// What must be understood is not: we know no extension (RFC 7515 §4.1.11).
	if _, there := t.header["crit"]; there {
		return publicKey{}, Critical
	}
	alg := fullName(t.header.text("alg"))
	allowed := v.Algorithms
	if allowed == nil {
		allowed = Algorithms
	}
	if !slices.Contains(allowed, alg) {
		return publicKey{}, BadAlgorithm
	}
	jwk, ok := t.header["jwk"].(map[string]any)
	if !ok {
		return publicKey{}, BadKey
	}
	key, ok := readKey(jwk, alg)
	if !ok {
		return publicKey{}, BadKey
	}
	if !key.verifies(t.signed, t.signature) {
		return publicKey{}, BadSignature
	}
	return key, ""
}

// mismatch says in what a proof is not for this request, or "" (§4.3 checks 3, 8,
// 9 and 12).
func mismatch(claims members, key publicKey, e Expect, target string) Reason {
	if id := claims.text("jti"); id == "" || len(id) > maxID {
		return BadID
	}
	if claims.text("htm") != e.Method {
		return OtherMethod
	}
	if url, ok := canonical(claims.text("htu")); !ok || url != target {
		return OtherURL
	}
	if e.Thumbprint != "" && !same(key.thumbprint, e.Thumbprint) {
		return OtherKey
	}
	if e.AccessToken != "" {
		hash := sha256.Sum256([]byte(e.AccessToken))
		if !same(claims.text("ath"), base64.RawURLEncoding.EncodeToString(hash[:])) {
			return OtherAccessToken
		}
	}
	return ""
}

// fresh returns when the proof ends to be good (§4.3 checks 10 and 11). A nonce of
// ours tells its age better than the client's clock; a wrong or old one is never
// overlooked.
func (v *Verifier) fresh(claims members, now time.Time) (until time.Time, reason Reason) {
	made, ok := claims.moment("iat")
	if !ok {
		return until, BadTime
	}
	past, ahead := Life+Skew, Ahead+Skew
	until = made.Add(past)
	if nonce, there := claims["nonce"]; there {
		text, _ := nonce.(string)
		if until, ok = v.ours(text, now); !ok {
			return until, StaleNonce
		}
		past, ahead = ClockOff, ClockOff
	} else if v.RequireNonce {
		return until, NoNonce
	}
	if now.Sub(made) > past || made.Sub(now) > ahead {
		return until, BadTime
	}
	// RFC 9449 does not ask for exp and nbf; a client that sets them means them
	// (RFC 7519 §4.1.4, §4.1.5).
	if _, there := claims["exp"]; there {
		if ends, ok := claims.moment("exp"); !ok || now.Sub(ends) >= Skew {
			return until, BadTime
		}
	}
	if _, there := claims["nbf"]; there {
		if begins, ok := claims.moment("nbf"); !ok || begins.Sub(now) > ahead {
			return until, BadTime
		}
	}
	return until, ""
}

func same(a, b string) bool {
	return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}
