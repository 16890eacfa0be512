// Package dpoptest makes DPoP proofs for tests, good ones and any others.
package dpoptest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Key is a client's key pair.
type Key struct {
	Algorithm string
	Signer    crypto.Signer
	Now       func() time.Time // for iat

	t testing.TB
}

// New makes a key for ES256.
func New(t testing.TB) *Key {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return Of(t, private)
}

// Of uses a key that there is: P-256, Ed25519 or RSA.
func Of(t testing.TB, private crypto.Signer) *Key {
	t.Helper()
	k := &Key{Signer: private, Now: time.Now, t: t}
	switch private.(type) {
	case *ecdsa.PrivateKey:
		k.Algorithm = "ES256"
	case ed25519.PrivateKey:
		k.Algorithm = "EdDSA"
	case *rsa.PrivateKey:
		k.Algorithm = "PS256"
	default:
		t.Fatalf("no algorithm for a %T", private)
	}
	return k
}

// Proof makes a proof as RFC 9449 §4.2 wants it, each time another one. accessToken
// and nonce are left out when empty.
func (k *Key) Proof(method, url, accessToken, nonce string) string {
	k.t.Helper()
	return k.Sign(k.Header(), k.Claims(method, url, accessToken, nonce))
}

// Header is that of a good proof, to be spoilt.
func (k *Key) Header() map[string]any {
	k.t.Helper()
	return map[string]any{"typ": "dpop+jwt", "alg": k.Algorithm, "jwk": k.JWK()}
}

// Claims are those of a good proof, to be spoilt.
func (k *Key) Claims(method, url, accessToken, nonce string) map[string]any {
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": k.Now().Unix()}
	if accessToken != "" {
		claims["ath"] = sum(accessToken)
	}
	if nonce != "" {
		claims["nonce"] = nonce
	}
	return claims
}

// JWK is the public key.
func (k *Key) JWK() map[string]any {
	k.t.Helper()
	raw, err := jose.JSONWebKey{Key: k.Signer.Public()}.MarshalJSON()
	if err != nil {
		k.t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		k.t.Fatal(err)
	}
	return members
}

// Thumbprint is the key's jkt.
func (k *Key) Thumbprint() string {
	k.t.Helper()
	print, err := (&jose.JSONWebKey{Key: k.Signer.Public()}).Thumbprint(crypto.SHA256)
	if err != nil {
		k.t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(print)
}

// Sign signs any header and claims.
func (k *Key) Sign(header, claims map[string]any) string {
	k.t.Helper()
	return k.SignRaw(k.encode(header), k.encode(claims))
}

// SignRaw signs any bytes in the places of header and claims.
func (k *Key) SignRaw(header, claims []byte) string {
	k.t.Helper()
	input := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	return input + "." + base64.RawURLEncoding.EncodeToString(k.signature([]byte(input)))
}

func (k *Key) signature(input []byte) []byte {
	k.t.Helper()
	digest := sha256.Sum256(input)
	var signature []byte
	var err error
	switch private := k.Signer.(type) {
	case ed25519.PrivateKey:
		return ed25519.Sign(private, input)
	case *rsa.PrivateKey:
		signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, private, digest[:])
		if failed != nil {
			k.t.Fatal(failed)
		}
		size := (private.Curve.Params().BitSize + 7) / 8
		signature = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
	}
	if err != nil {
		k.t.Fatal(err)
	}
	return signature
}

func (k *Key) encode(members map[string]any) []byte {
	k.t.Helper()
	raw, err := json.Marshal(members)
	if err != nil {
		k.t.Fatal(err)
	}
	return raw
}

// With returns a copy with one member changed; Absent takes it out.
func With(object map[string]any, name string, value any) map[string]any {
	changed := maps.Clone(object)
	changed[name] = value
	if value == Absent {
		delete(changed, name)
	}
	return changed
}

type absent struct{}

// Absent is the value of a member that is not there.
var Absent any = absent{}

func sum(s string) string {
	hash := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(hash[:])
}
