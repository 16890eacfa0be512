package cardtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
)

// Rebuild takes a certificate apart, lets edit change the fields of what is
// signed (RFC 5280 §4.1: version, serial number, algorithm, issuer, validity,
// subject, key, extensions), and signs it again. So certificates come about
// that x509.CreateCertificate refuses to make. The signature algorithm becomes
// algorithm with hash; with a nil algorithm it stays, with the hash given.
func Rebuild(cert *x509.Certificate, key crypto.Signer, algorithm asn1.ObjectIdentifier, hash crypto.Hash, edit func(fields []asn1.RawValue) []asn1.RawValue) (*x509.Certificate, error) {
	var outer struct {
		TBS       asn1.RawValue
		Algorithm asn1.RawValue
		Signature asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.Raw, &outer); err != nil {
		return nil, err
	}
	fields, err := split(outer.TBS.Bytes)
	if err != nil {
		return nil, err
	}
	if algorithm != nil {
		id := pkix.AlgorithmIdentifier{Algorithm: algorithm}
		if _, ok := key.(*rsa.PrivateKey); ok {
			id.Parameters = asn1.NullRawValue // RFC 4055 §5; ECDSA has none
		}
		der, err := asn1.Marshal(id)
		if err != nil {
			return nil, err
		}
		outer.Algorithm = asn1.RawValue{FullBytes: der}
		fields[2] = outer.Algorithm
	}
	if edit != nil {
		fields = edit(fields)
	}
	tbs, err := asn1.Marshal(join(fields))
	if err != nil {
		return nil, err
	}
	digest := hash.New()
	digest.Write(tbs)
	signature, err := key.Sign(rand.Reader, digest.Sum(nil), hash)
	if err != nil {
		return nil, err
	}
	outer.TBS = asn1.RawValue{FullBytes: tbs}
	outer.Signature = asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}
	der, err := asn1.Marshal(outer)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func split(der []byte) ([]asn1.RawValue, error) {
	var fields []asn1.RawValue
	for len(der) > 0 {
		var field asn1.RawValue
		rest, err := asn1.Unmarshal(der, &field)
		if err != nil {
			return nil, err
		}
		fields, der = append(fields, field), rest
	}
	if len(fields) < 7 {
		return nil, errors.New("not a certificate")
	}
	return fields, nil
}

func join(fields []asn1.RawValue) asn1.RawValue {
	var body bytes.Buffer
	for _, f := range fields {
		body.Write(f.FullBytes)
	}
	return asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: body.Bytes()}
}
