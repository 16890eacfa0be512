package keys

import (
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"slices"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
)

// Token is a device in which private keys are made and which they never leave:
// package keys/pkcs11. Safe for concurrent use.
type Token interface {
	// Generate makes a key pair, RSA-2048 or P-256, and names it.
	Generate(kind Kind) (name string, public crypto.PublicKey, err error)

	// Find returns an error unless the private key of that name is there, kept as
	// it must be and the one of the public key.
	Find(name string, public crypto.PublicKey) error

	// Sign returns a JWS signature over a SHA-256 digest (RFC 7518 §3.3 to §3.5):
	// RS256, PS256 with a salt as long as the hash, ES256 as r and s of 32 bytes each.
	Sign(name string, alg Algorithm, digest []byte) ([]byte, error)

	// Destroy deletes a key pair; one that is not there is no error.
	Destroy(name string) error
}

// inToken is a key pair in a token. It signs for libraries as well.
type inToken struct {
	token  Token // nil: none is configured here, so it verifies only
	name   string
	public crypto.PublicKey
}

// reference is what SQL keeps instead of the private key. It is sealed not to
// hide it, but so that nobody who writes to SQL can add a public key of his own.
type reference struct {
	Token  string `json:"token"`  // the key pair's name in there
	Public []byte `json:"public"` // SubjectPublicKeyInfo, DER: keys verify while the token is away
}

// isReference tells a reference from PKCS #8, which is an ASN.1 sequence.
func isReference(plain []byte) bool { return len(plain) > 0 && plain[0] == '{' }

func (k *inToken) seal(m *Master, id string) (string, error) {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(reference{Token: k.name, Public: der})
	if err != nil {
		return "", err
	}
	return m.Seal(plain, id)
}

func openReference(plain []byte, token Token) (crypto.Signer, error) {
	var ref reference
	if err := json.Unmarshal(plain, &ref); err != nil || ref.Token == "" {
		return nil, errors.New("the reference to the token is broken")
	}
	public, err := x509.ParsePKIXPublicKey(ref.Public)
	if err != nil {
		return nil, errors.New("the reference to the token has no public key")
	}
	return &inToken{token: token, name: ref.Token, public: public}, nil
}

func (k *inToken) Public() crypto.PublicKey { return k.public }

func (k *inToken) sign(alg Algorithm, digest []byte) ([]byte, error) {
	if k.token == nil {
		return nil, errNoToken
	}
	return k.token.Sign(k.name, alg, digest)
}

var errNoToken = errors.New("the key is in a PKCS #11 token, and none is configured here")

// Sign is crypto.Signer's: SHA-256 only, and of PSS only what PS256 is.
func (k *inToken) Sign(_ io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	if o.HashFunc() != crypto.SHA256 || len(digest) != crypto.SHA256.Size() {
		return nil, errors.New("a key in a token signs SHA-256 only")
	}
	if _, ok := k.public.(*rsa.PublicKey); ok {
		pss, is := o.(*rsa.PSSOptions)
		switch {
		case !is:
			return k.sign(RS256, digest)
		case pss.SaltLength == rsa.PSSSaltLengthEqualsHash || pss.SaltLength == crypto.SHA256.Size():
			return k.sign(PS256, digest)
		}
		return nil, errors.New("a key in a token signs PSS with a salt as long as the hash only")
	}
	raw, err := k.sign(ES256, digest)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[:32]))
		b.AddASN1BigInt(new(big.Int).SetBytes(raw[32:]))
	})
	return b.Bytes()
}

// generate makes a key pair where keys of its kind are to be.
func (r *Ring) generate(kind Kind) (*signing, error) {
	if !slices.Contains(r.o.TokenKinds, kind) {
		private, err := generate(kind)
		if err != nil {
			return nil, err
		}
		return newSigning(kind, private)
	}
	if r.o.Token == nil {
		return nil, errNoToken
	}
	name, public, err := r.o.Token.Generate(kind)
	if err != nil {
		return nil, err
	}
	s, err := newSigning(kind, &inToken{token: r.o.Token, name: name, public: public})
	if err == nil {
		err = s.tried()
	}
	if err != nil {
		return nil, errors.Join(err, r.o.Token.Destroy(name))
	}
	return s, nil
}

// tried signs with a new key, before anybody relies on it.
func (s *signing) tried() error {
	for _, alg := range Algorithms {
		if kind, _ := kindOf(alg); kind != s.kind {
			continue
		}
		signature, err := s.sign(alg, []byte("portti"))
		if err != nil {
			return fmt.Errorf("the new key does not sign %s: %w", alg, err)
		}
		if !s.verifies(alg, []byte("portti"), signature) {
			return fmt.Errorf("what the new key signs is not %s", alg)
		}
	}
	return nil
}

// checkTokens returns an error when a key that is to sign cannot.
func (r *Ring) checkTokens() error {
	for kind, s := range r.now.Load().current {
		if err := s.found(); err != nil {
			return fmt.Errorf("signing key %s (%s): %w", s.id, kind, err)
		}
		if _, there := s.private.(*inToken); !there && slices.Contains(r.o.TokenKinds, kind) {
			r.o.Log.Info("signing key not in the token yet: its successor will be", "key", s.id, "kind", kind)
		}
	}
	return nil
}

// found returns an error when a key that lies in a token is not in this one's.
func (s *signing) found() error {
	k, ok := s.private.(*inToken)
	switch {
	case !ok:
		return nil
	case k.token == nil:
		return errNoToken
	}
	return k.token.Find(k.name, k.public)
}

// foresee tells, once for each key, that the next one will not sign here: tokens
// of replicas must hold the same keys.
func (r *Ring) foresee(ctx context.Context, known map[string]bool) {
	now := r.now.Load()
	for _, row := range now.rows {
		if row.State != Next || known[row.ID] {
			continue
		}
		known[row.ID] = true
		if err := now.keys[row.ID].found(); err != nil {
			r.o.Log.ErrorContext(ctx, "next signing key not in this replica's token", "key", row.ID, "kind", row.Kind, "error", err)
		}
	}
}

// destroy deletes a key pair from its token, when SQL has forgotten it. If that
// fails the operator has to: nothing will use it any more.
func (r *Ring) destroy(ctx context.Context, s *signing) {
	if s == nil {
		return
	}
	k, ok := s.private.(*inToken)
	if !ok {
		return
	}
	err := errNoToken
	if k.token != nil {
		err = k.token.Destroy(k.name)
	}
	if err != nil {
		r.o.Log.WarnContext(ctx, "unused key left in the token", "name", k.name, "error", err)
	}
}
