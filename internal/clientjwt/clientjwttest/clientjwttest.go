// Package clientjwttest is a client with a key, for tests of what clients sign.
package clientjwttest

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
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Key is a client's key pair for one algorithm. Its methods panic where signing is
// impossible.
type Key struct {
	ID      string
	Alg     string
	Private crypto.Signer
}

// New makes a key for RS256, PS256, ES256, EdDSA, RSA-OAEP-256 or an ECDH-ES.
func New(t testing.TB, alg string) *Key {
	t.Helper()
	k := &Key{ID: rand.Text()[:8], Alg: alg}
	var err error
	switch alg {
	case "RS256", "PS256", "RSA-OAEP-256":
		k.Private, err = rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, k.Private, err = ed25519.GenerateKey(rand.Reader)
	default:
		k.Private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	}
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// JWK is the public half, with kid, alg and use.
func (k *Key) JWK() jose.JSONWebKey {
	use := "sig"
	switch k.Alg {
	case "RS256", "PS256", "ES256", "EdDSA":
	default:
		use = "enc"
	}
	return jose.JSONWebKey{Key: k.Private.Public(), KeyID: k.ID, Algorithm: k.Alg, Use: use}
}

// JWKS is a set with the public halves of the keys.
func JWKS(keys ...*Key) []byte {
	var set jose.JSONWebKeySet
	for _, k := range keys {
		set.Keys = append(set.Keys, k.JWK())
	}
	encoded, err := json.Marshal(set)
	if err != nil {
		panic(err)
	}
	return encoded
}

// JWKS is a set with this key alone.
func (k *Key) JWKS() []byte { return JWKS(k) }

// Sign makes a JWT. Members of header replace alg and kid, and go when nil.
func (k *Key) Sign(header, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return k.SignBytes(header, payload)
}

// SignBytes is Sign for a payload that need not be JSON.
func (k *Key) SignBytes(header map[string]any, payload []byte) string {
	h := map[string]any{"alg": k.Alg, "kid": k.ID}
	for name, value := range header {
		if h[name] = value; value == nil {
			delete(h, name)
		}
	}
	encoded, err := json.Marshal(h)
	if err != nil {
		panic(err)
	}
	return k.SignParts(encoded, payload)
}

// SignParts signs a header that need not be JSON, whatever it says, with Alg.
func (k *Key) SignParts(header, payload []byte) string {
	input := encode(header) + "." + encode(payload)
	hashed := sha256.Sum256([]byte(input))
	digest := hashed[:]
	var signature []byte
	var err error
	switch private := k.Private.(type) {
	case *rsa.PrivateKey:
		if k.Alg == "PS256" {
			signature, err = rsa.SignPSS(rand.Reader, private, crypto.SHA256, digest, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
		} else {
			signature, err = rsa.SignPKCS1v15(rand.Reader, private, crypto.SHA256, digest)
		}
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, []byte(input))
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, private, digest)
		signature, err = make([]byte, 64), failed
		if err == nil {
			r.FillBytes(signature[:32])
			s.FillBytes(signature[32:])
		}
	}
	if err != nil {
		panic(err)
	}
	return input + "." + encode(signature)
}

// Claims are those of a good assertion that lasts a minute.
func Claims(clientID, aud string) map[string]any {
	now := time.Now()
	return map[string]any{"iss": clientID, "sub": clientID, "aud": aud, "jti": rand.Text(), "iat": now.Unix(), "exp": now.Add(time.Minute).Unix()}
}

// Assertion is a client assertion for private_key_jwt.
func (k *Key) Assertion(clientID, aud string) string {
	return k.Sign(nil, Claims(clientID, aud))
}

// RequestObject signs a request object with these claims; iss is added from
// client_id, and nbf and exp for five minutes, unless they are there.
func (k *Key) RequestObject(claims map[string]any) string {
	now := time.Now()
	all := map[string]any{"iss": claims["client_id"], "nbf": now.Unix(), "exp": now.Add(5 * time.Minute).Unix()}
	for name, value := range claims {
		if all[name] = value; value == nil {
			delete(all, name)
		}
	}
	return k.Sign(map[string]any{"typ": "oauth-authz-req+jwt"}, all)
}

// Open decrypts a JWE that was made for this key, and returns its header.
func (k *Key) Open(t testing.TB, compact string) (jose.Header, []byte) {
	t.Helper()
	every := []jose.ContentEncryption{jose.A128GCM, jose.A256GCM, jose.A128CBC_HS256, jose.A256CBC_HS512}
	sealed, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{jose.KeyAlgorithm(k.Alg)}, every)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := sealed.Decrypt(k.Private)
	if err != nil {
		t.Fatal(err)
	}
	return sealed.Header, payload
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
