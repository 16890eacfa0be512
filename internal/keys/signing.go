package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"sync"

	"github.com/go-jose/go-jose/v4"
)

// signing is a key pair that is ready for use. It never changes.
type signing struct {
	id      string
	kind    Kind
	private crypto.Signer
	jwk     jose.JSONWebKey // public
	headers sync.Map        // header → string: the encoded protected header with its dot
}

type header struct {
	alg Algorithm
	typ string
}

// kindOf tells which kind of key signs with an algorithm.
func kindOf(alg Algorithm) (Kind, bool) {
	switch alg {
	case RS256, PS256:
		return RSA2048, true
	case ES256:
		return P256, true
	case EdDSA:
		return Ed25519, true
	}
	return "", false
}

// kidLength is that of a SHA-256 in base64url.
const kidLength = 43

func generate(kind Kind) (crypto.Signer, error) {
	switch kind {
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case Ed25519:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("unknown kind of key %q", kind)
}

// newSigning prepares a key pair; its ID is the thumbprint (RFC 7638).
func newSigning(kind Kind, private crypto.Signer) (*signing, error) {
	right := false
	switch k := private.Public().(type) {
	case *rsa.PublicKey:
		right = kind == RSA2048 && k.N.BitLen() == 2048
	case *ecdsa.PublicKey:
		right = kind == P256 && k.Curve == elliptic.P256()
	case ed25519.PublicKey:
		right = kind == Ed25519
	}
	if !right {
		return nil, fmt.Errorf("a %T is not a key of kind %s", private.Public(), kind)
	}
	jwk := jose.JSONWebKey{Key: private.Public(), Use: "sig"}
	switch kind {
	case P256:
		jwk.Algorithm = string(ES256)
	case Ed25519:
		jwk.Algorithm = string(EdDSA)
	case RSA2048:
		// No alg: it signs RS256 and PS256, and naming one would make clients that
		// compare it refuse the other (RFC 7517 §4.4: optional).
	}
	print, err := jwk.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("thumbprint: %w", err)
	}
	jwk.KeyID = base64.RawURLEncoding.EncodeToString(print)
	return &signing{id: jwk.KeyID, kind: kind, private: private, jwk: jwk}, nil
}

// seal returns the private key, or where it is, as SQL keeps it.
func (s *signing) seal(m *Master) (string, error) {
	if k, ok := s.private.(*inToken); ok {
		return k.seal(m, s.id)
	}
	der, err := x509.MarshalPKCS8PrivateKey(s.private)
	if err != nil {
		return "", err
	}
	return m.Seal(der, s.id)
}

// unseal is the way back, and trusts nothing that the row says.
func (r *Ring) unseal(row Stored) (*signing, error) {
	plain, err := r.master.Open(row.Sealed, row.ID)
	if err != nil {
		return nil, err
	}
	private, err := r.private(plain)
	if err != nil {
		return nil, err
	}
	s, err := newSigning(row.Kind, private)
	if err != nil {
		return nil, err
	}
	if s.id != row.ID {
		return nil, errors.New("the private key belongs to another ID")
	}
	return s, nil
}

func (r *Ring) private(plain []byte) (crypto.Signer, error) {
	if isReference(plain) {
		return openReference(plain, r.o.Token)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, errors.New("the private key is broken")
	}
	private, ok := parsed.(crypto.Signer)
	if !ok {
		return nil, errors.New("the private key cannot sign")
	}
	return private, nil
}

// protected returns the encoded header of a token, with the dot behind it. There
// are as many as algorithms times types, so they are made once.
func (s *signing) protected(alg Algorithm, typ string) (string, error) {
	if h, ok := s.headers.Load(header{alg, typ}); ok {
		return h.(string), nil
	}
	body, err := json.Marshal(struct {
		Alg Algorithm `json:"alg"`
		Kid string    `json:"kid"`
		Typ string    `json:"typ,omitempty"`
	}{alg, s.id, typ})
	if err != nil {
		return "", err
	}
	h := base64.RawURLEncoding.EncodeToString(body) + "."
	s.headers.Store(header{alg, typ}, h)
	return h, nil
}

// token signs a payload: the compact serialization of RFC 7515 §7.1 in one buffer.
func (s *signing) token(alg Algorithm, typ string, payload []byte) (string, error) {
	head, err := s.protected(alg, typ)
	if err != nil {
		return "", err
	}
	b64 := base64.RawURLEncoding
	signed := len(head) + b64.EncodedLen(len(payload))
	out := make([]byte, signed, signed+1+b64.EncodedLen(256))
	copy(out, head)
	b64.Encode(out[len(head):], payload)
	signature, err := s.sign(alg, out)
	if err != nil {
		return "", err
	}
	out = append(out, '.')
	out = b64.AppendEncode(out, signature)
	return string(out), nil
}

func (s *signing) sign(alg Algorithm, input []byte) ([]byte, error) {
	if kind, ok := kindOf(alg); !ok || kind != s.kind {
		return nil, fmt.Errorf("a key of kind %s does not sign %s", s.kind, alg)
	}
	if alg == EdDSA {
		return ed25519.Sign(s.private.(ed25519.PrivateKey), input), nil
	}
	digest := sha256.Sum256(input)
	if k, ok := s.private.(*inToken); ok {
		return k.sign(alg, digest[:])
	}
	switch alg {
	case RS256:
		return rsa.SignPKCS1v15(rand.Reader, s.private.(*rsa.PrivateKey), crypto.SHA256, digest[:])
	case PS256: // RFC 7518 §3.5: the salt is as long as the hash
		return rsa.SignPSS(rand.Reader, s.private.(*rsa.PrivateKey), crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	default: // ES256, RFC 7518 §3.4: r and s side by side
		r, t, err := ecdsa.Sign(rand.Reader, s.private.(*ecdsa.PrivateKey), digest[:])
		if err != nil {
			return nil, err
		}
		signature := make([]byte, 64)
		r.FillBytes(signature[:32])
		t.FillBytes(signature[32:])
		return signature, nil
	}
}

// verifies tells whether the signature over input is this key's.
func (s *signing) verifies(alg Algorithm, input, signature []byte) bool {
	if kind, ok := kindOf(alg); !ok || kind != s.kind {
		return false
	}
	if alg == EdDSA {
		return ed25519.Verify(s.jwk.Key.(ed25519.PublicKey), input, signature)
	}
	digest := sha256.Sum256(input)
	switch alg {
	case RS256:
		return rsa.VerifyPKCS1v15(s.jwk.Key.(*rsa.PublicKey), crypto.SHA256, digest[:], signature) == nil
	case PS256:
		return rsa.VerifyPSS(s.jwk.Key.(*rsa.PublicKey), crypto.SHA256, digest[:], signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
	default: // ES256
		if len(signature) != 64 {
			return false
		}
		r, t := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
		return ecdsa.Verify(s.jwk.Key.(*ecdsa.PublicKey), digest[:], r, t)
	}
}
