//go:build cgo

package pkcs11

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"

	p11 "github.com/miekg/pkcs11"

	"github.com/portti-id/portti/internal/keys"
)

type token struct{ *line }

// Open loads the module and logs in to the token. It fails when there is no such
// token, or when that refuses the PIN.
func Open(c Config) (Token, error) {
	l, err := openLine(c)
	if err != nil {
		return nil, err
	}
	return token{l}, nil
}

// p256 is the object identifier of the curve, DER.
var p256 = []byte{0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}

// sha256Info is what RS256 puts before a digest (RFC 8017 §9.2 note 1).
var sha256Info = []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}

// errKept is a private key that is not kept as it must be.
var errKept = errors.New("the private key in the token can be taken out of it: that is not how this program made it")

func (t token) Generate(kind keys.Kind) (name string, public crypto.PublicKey, err error) {
	name = "portti-" + rand.Text()
	mechanism, attributes := uint(p11.CKM_RSA_PKCS_KEY_PAIR_GEN), []*p11.Attribute{
		p11.NewAttribute(p11.CKA_MODULUS_BITS, 2048), p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, []byte{1, 0, 1})}
	switch kind {
	case keys.RSA2048:
	case keys.P256:
		mechanism, attributes = p11.CKM_EC_KEY_PAIR_GEN, []*p11.Attribute{p11.NewAttribute(p11.CKA_EC_PARAMS, p256)}
	default:
		return "", nil, fmt.Errorf("no %s keys are made in a token", kind)
	}
	named := []*p11.Attribute{p11.NewAttribute(p11.CKA_TOKEN, true), p11.NewAttribute(p11.CKA_LABEL, name), p11.NewAttribute(p11.CKA_ID, []byte(name))}
	attributes = append(attributes, p11.NewAttribute(p11.CKA_VERIFY, true))
	private := append([]*p11.Attribute{p11.NewAttribute(p11.CKA_PRIVATE, true), p11.NewAttribute(p11.CKA_SENSITIVE, true),
		p11.NewAttribute(p11.CKA_EXTRACTABLE, false), p11.NewAttribute(p11.CKA_SIGN, true)}, named...)
	err = t.use(func(c *connection, _ p11.SessionHandle) error {
		s, err := t.writing(c)
		if err != nil {
			return err
		}
		defer t.written(s)
		handle, secret, err := t.ctx.GenerateKeyPair(s, []*p11.Mechanism{p11.NewMechanism(mechanism, nil)}, append(attributes, named...), private)
		if err != nil {
			return err
		}
		if public, err = t.public(s, handle, kind); err == nil {
			err = t.kept(s, secret)
		}
		if err != nil {
			return errors.Join(err, t.ctx.DestroyObject(s, secret), t.ctx.DestroyObject(s, handle))
		}
		return nil
	})
	if err != nil {
		return "", nil, fmt.Errorf("make a %s key in the token: %w", kind, err)
	}
	return name, public, nil
}

func (t token) public(s p11.SessionHandle, handle p11.ObjectHandle, kind keys.Kind) (crypto.PublicKey, error) {
	if kind == keys.RSA2048 {
		a, err := t.ctx.GetAttributeValue(s, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_MODULUS, nil), p11.NewAttribute(p11.CKA_PUBLIC_EXPONENT, nil)})
		if err != nil {
			return nil, err
		}
		return &rsa.PublicKey{N: new(big.Int).SetBytes(a[0].Value), E: int(new(big.Int).SetBytes(a[1].Value).Int64())}, nil
	}
	a, err := t.ctx.GetAttributeValue(s, handle, []*p11.Attribute{p11.NewAttribute(p11.CKA_EC_POINT, nil)})
	if err != nil {
		return nil, err
	}
	point := a[0].Value
	var wrapped []byte
	if rest, err := asn1.Unmarshal(point, &wrapped); err == nil && len(rest) == 0 {
		point = wrapped // an OCTET STRING around the point by §2.3.3; some tokens leave it out
	}
	return ecdsa.ParseUncompressedPublicKey(elliptic.P256(), point)
}

// kept returns an error when a private key is not as Generate makes it.
func (t token) kept(s p11.SessionHandle, secret p11.ObjectHandle) error {
	a, err := t.ctx.GetAttributeValue(s, secret, []*p11.Attribute{p11.NewAttribute(p11.CKA_SENSITIVE, nil), p11.NewAttribute(p11.CKA_EXTRACTABLE, nil)})
	if err != nil {
		return err
	}
	if !bytes.Equal(a[0].Value, []byte{1}) || !bytes.Equal(a[1].Value, []byte{0}) {
		return errKept
	}
	return nil
}

func (t token) Find(name string, public crypto.PublicKey) error {
	digest := sha256.Sum256([]byte(rand.Text()))
	alg, verifies := keys.RS256, func([]byte) bool { return false }
	switch k := public.(type) {
	case *rsa.PublicKey:
		verifies = func(signature []byte) bool { return rsa.VerifyPKCS1v15(k, crypto.SHA256, digest[:], signature) == nil }
	case *ecdsa.PublicKey:
		alg, verifies = keys.ES256, func(signature []byte) bool {
			return ecdsa.Verify(k, digest[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
		}
	}
	signature, err := t.Sign(name, alg, digest[:])
	if err != nil {
		return err
	}
	if !verifies(signature) {
		return fmt.Errorf("the key %s in the token is another one", name)
	}
	return nil
}

func (t token) Sign(name string, alg keys.Algorithm, digest []byte) (signature []byte, err error) {
	if len(digest) != sha256.Size {
		return nil, errors.New("a SHA-256 digest is wanted")
	}
	var mechanism *p11.Mechanism
	input, length := digest, 256
	switch alg {
	case keys.RS256:
		mechanism, input = p11.NewMechanism(p11.CKM_RSA_PKCS, nil), append(bytes.Clone(sha256Info), digest...)
	case keys.PS256: // RFC 7518 §3.5: the salt is as long as the hash
		mechanism = p11.NewMechanism(p11.CKM_RSA_PKCS_PSS, p11.NewPSSParams(p11.CKM_SHA256, p11.CKG_MGF1_SHA256, sha256.Size))
	case keys.ES256: // r and s side by side, as JWS has it (§2.3.6)
		mechanism, length = p11.NewMechanism(p11.CKM_ECDSA, nil), 64
	default:
		return nil, fmt.Errorf("a key in a token does not sign %s", alg)
	}
	err = t.use(func(c *connection, s p11.SessionHandle) error {
		err := t.begin(c, s, mechanism, name)
		if is(err, p11.CKR_KEY_HANDLE_INVALID) || is(err, p11.CKR_OBJECT_HANDLE_INVALID) {
			c.keys.Delete(name) // another program deleted it: that is no reason to connect anew
			err = t.begin(c, s, mechanism, name)
		}
		if err != nil {
			return err
		}
		signature, err = t.ctx.Sign(s, input)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("sign in the token: %w", err)
	}
	if len(signature) != length {
		return nil, fmt.Errorf("the token's signature has %d bytes, not %d", len(signature), length)
	}
	return signature, nil
}

func (t token) begin(c *connection, s p11.SessionHandle, mechanism *p11.Mechanism, name string) error {
	key, err := t.key(c, s, name)
	if err != nil {
		return err
	}
	return t.ctx.SignInit(s, []*p11.Mechanism{mechanism}, key)
}

// key finds a private key, once for each connection.
func (t token) key(c *connection, s p11.SessionHandle, name string) (p11.ObjectHandle, error) {
	if handle, ok := c.keys.Load(name); ok {
		return handle.(p11.ObjectHandle), nil
	}
	found, err := t.find(s, p11.NewAttribute(p11.CKA_CLASS, p11.CKO_PRIVATE_KEY), p11.NewAttribute(p11.CKA_LABEL, name), p11.NewAttribute(p11.CKA_ID, []byte(name)))
	if err != nil {
		return 0, err
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("the token has %d keys %s, not one", len(found), name)
	}
	if err := t.kept(s, found[0]); err != nil {
		return 0, err
	}
	c.keys.Store(name, found[0])
	return found[0], nil
}

func (t token) find(s p11.SessionHandle, by ...*p11.Attribute) ([]p11.ObjectHandle, error) {
	if err := t.ctx.FindObjectsInit(s, by); err != nil {
		return nil, err
	}
	found, _, err := t.ctx.FindObjects(s, 10)
	return found, errors.Join(err, t.ctx.FindObjectsFinal(s))
}

func (t token) Destroy(name string) error {
	err := t.use(func(c *connection, _ p11.SessionHandle) error {
		s, err := t.writing(c)
		if err != nil {
			return err
		}
		defer t.written(s)
		c.keys.Delete(name)
		found, err := t.find(s, p11.NewAttribute(p11.CKA_LABEL, name), p11.NewAttribute(p11.CKA_ID, []byte(name)))
		for _, handle := range found {
			err = errors.Join(err, t.ctx.DestroyObject(s, handle))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete the key %s from the token: %w", name, err)
	}
	return nil
}
