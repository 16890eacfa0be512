package revocation

import (
	"crypto"
	_ "crypto/sha1" // names certificates in OCSP, see question
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"
)

// nonceLength is in octets (RFC 9654 §2.1).
const nonceLength = 32

var (
	oidNonce   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidNoCheck = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidBasic   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidSHA1    = asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}
)

// hashes are those that a CertID may be made with.
var hashes = []struct {
	oid  asn1.ObjectIdentifier
	hash crypto.Hash
}{
	{oidSHA1, crypto.SHA1},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, crypto.SHA256},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, crypto.SHA384},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, crypto.SHA512},
}

// question is an OCSPRequest for one certificate, DER (RFC 6960 §4.1.1).
//
// CertID is made with SHA-1, which every responder knows, and which those that
// answer from signed-in-advance answers require (RFC 5019 §2.1.1). It only says
// whom the question is about: nobody gains from two issuers with one hash, since
// the answer must be signed by ours.
func question(cert, issuer *x509.Certificate, nonce []byte) ([]byte, error) {
	key, err := publicKey(issuer)
	if err != nil {
		return nil, err
	}
	var b cryptobyte.Builder
	b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { // OCSPRequest
		b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { // TBSRequest
			b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { // requestList
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { // Request
					b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) { // CertID
						b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
							b.AddASN1ObjectIdentifier(oidSHA1)
							b.AddASN1NULL()
						})
						b.AddASN1OctetString(sum(crypto.SHA1, issuer.RawSubject))
						b.AddASN1OctetString(sum(crypto.SHA1, key))
						b.AddASN1BigInt(cert.SerialNumber)
					})
				})
			})
			b.AddASN1(cryptobyte_asn1.Tag(2).ContextSpecific().Constructed(), func(b *cryptobyte.Builder) { // requestExtensions
				b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1(cryptobyte_asn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1ObjectIdentifier(oidNonce)
						b.AddASN1OctetString(nonceValue(nonce))
					})
				})
			})
		})
	})
	return b.Bytes()
}

// nonceValue is what stands in the extension: an OCTET STRING of its own
// (RFC 9654 §2.1).
func nonceValue(nonce []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1OctetString(nonce)
	return b.BytesOrPanic() // the length is ours
}

// publicKey is the key of a certificate as OCSP hashes it: the bits of
// subjectPublicKey, without tag and length (RFC 6960 §4.1.1).
func publicKey(cert *x509.Certificate) ([]byte, error) {
	var spki, algorithm cryptobyte.String
	var key []byte
	s := cryptobyte.String(cert.RawSubjectPublicKeyInfo)
	if !s.ReadASN1(&spki, cryptobyte_asn1.SEQUENCE) || !spki.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !spki.ReadASN1BitStringAsBytes(&key) {
		return nil, errors.New("the public key of a certificate cannot be read")
	}
	return key, nil
}

func sum(h crypto.Hash, data []byte) []byte {
	w := h.New()
	_, _ = w.Write(data) // never fails (hash.Hash)
	return w.Sum(nil)
}

func hashOf(oid asn1.ObjectIdentifier) (crypto.Hash, error) {
	for _, h := range hashes {
		if h.oid.Equal(oid) {
			return h.hash, nil
		}
	}
	return 0, fmt.Errorf("hash %v is not known", oid)
}
