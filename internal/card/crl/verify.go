package crl

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rsa"
	_ "crypto/sha256" // the hashes below
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// algorithm is a way to sign lists: those that package card takes for strong.
type algorithm struct {
	hash crypto.Hash
	kind signatureKind
}

type signatureKind int

const (
	pkcs1 signatureKind = iota
	pss
	ecdsaSignature
)

var (
	oidPSS     = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
	algorithms = []struct {
		oid asn1.ObjectIdentifier
		algorithm
	}{
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, algorithm{crypto.SHA256, pkcs1}},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, algorithm{crypto.SHA384, pkcs1}},
		{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, algorithm{crypto.SHA512, pkcs1}},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, algorithm{crypto.SHA256, ecdsaSignature}},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, algorithm{crypto.SHA384, ecdsaSignature}},
		{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, algorithm{crypto.SHA512, ecdsaSignature}},
	}
	pssHashes = []struct {
		oid  asn1.ObjectIdentifier
		hash crypto.Hash
	}{
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
		{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
	}
)

// algorithmOf reads the content of an AlgorithmIdentifier.
func algorithmOf(content []byte) (algorithm, error) {
	in := cryptobyte.String(content)
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1ObjectIdentifier(&oid) {
		return algorithm{}, malformed("its signature algorithm")
	}
	for _, a := range algorithms {
		if !a.oid.Equal(oid) {
			continue
		}
		if len(in) == 0 || a.kind == pkcs1 && bytes.Equal(in, asn1.NullBytes) {
			return a.algorithm, nil
		}
		return algorithm{}, fmt.Errorf("%w: parameters where there are none", ErrWeak)
	}
	if oid.Equal(oidPSS) {
		for _, h := range pssHashes {
			if bytes.Equal(in, pssParameters(h.oid, h.hash)) {
				return algorithm{h.hash, pss}, nil
			}
		}
		return algorithm{}, fmt.Errorf("%w: RSA-PSS with unusual parameters", ErrWeak)
	}
	return algorithm{}, fmt.Errorf("%w: %v", ErrWeak, oid)
}

// pssParameters are the only ones that are taken, as crypto/x509 does: one hash
// for everything, and a salt as long as it (RFC 4055 §3.1).
func pssParameters(oid asn1.ObjectIdentifier, hash crypto.Hash) []byte {
	var b cryptobyte.Builder
	hashID := func(b *cryptobyte.Builder) {
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1NULL()
		})
	}
	explicit := func(n uint8) cryptobyte_asn1.Tag {
		return cryptobyte_asn1.Tag(n).ContextSpecific().Constructed()
	}
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(explicit(0), hashID)
		b.AddASN1(explicit(1), func(b *cryptobyte.Builder) {
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1ObjectIdentifier(oidMGF1)
				hashID(b)
			})
		})
		b.AddASN1(explicit(2), func(b *cryptobyte.Builder) { b.AddASN1Int64(int64(hash.Size())) })
	})
	return b.BytesOrPanic() // of constants
}

// verify tells whether ca signed what has the digest.
func (a algorithm) verify(ca *x509.Certificate, digest, signature []byte) error {
	good := false
	switch key := ca.PublicKey.(type) {
	case *rsa.PublicKey:
		switch {
		case key.N.BitLen() < 2048:
			return fmt.Errorf("%w: the CA's key", ErrWeak)
		case a.kind == pkcs1:
			good = rsa.VerifyPKCS1v15(key, a.hash, digest, signature) == nil
		case a.kind == pss:
			good = rsa.VerifyPSS(key, a.hash, digest, signature, &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash}) == nil
		}
	case *ecdsa.PublicKey:
		if key.Curve.Params().BitSize < 256 {
			return fmt.Errorf("%w: the CA's key", ErrWeak)
		}
		good = a.kind == ecdsaSignature && ecdsa.VerifyASN1(key, digest, signature)
	}
	if !good {
		return ErrSignature
	}
	return nil
}
