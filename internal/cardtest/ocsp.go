package cardtest

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	_ "crypto/sha1" // a CertID may use it (RFC 6960 §4.1.1)
	_ "crypto/sha256"
	_ "crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// The messages of RFC 6960 §4, with what x/crypto/ocsp leaves out: nonces,
// several certificates in one request, and hashes of the client's choice.
type (
	certID struct {
		Hash       pkix.AlgorithmIdentifier
		IssuerName []byte
		IssuerKey  []byte
		Serial     *big.Int
	}
	ocspQuestion struct {
		CertID     certID
		Extensions []pkix.Extension `asn1:"explicit,tag:0,optional"`
	}
	ocspRequest struct {
		TBS struct {
			Version    int           `asn1:"explicit,tag:0,default:0,optional"`
			Requestor  asn1.RawValue `asn1:"explicit,tag:1,optional"`
			Questions  []ocspQuestion
			Extensions []pkix.Extension `asn1:"explicit,tag:2,optional"`
		}
		Signature asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	singleResponse struct {
		CertID     certID
		Status     asn1.RawValue
		ThisUpdate time.Time `asn1:"generalized"`
		NextUpdate time.Time `asn1:"generalized,explicit,tag:0,optional"`
	}
	responseData struct {
		Responder  asn1.RawValue
		ProducedAt time.Time `asn1:"generalized"`
		Responses  []singleResponse
		Extensions []pkix.Extension `asn1:"explicit,tag:1,optional"`
	}
	basicResponse struct {
		Data         asn1.RawValue
		Algorithm    pkix.AlgorithmIdentifier
		Signature    asn1.BitString
		Certificates []asn1.RawValue `asn1:"explicit,tag:0,optional"`
	}
	ocspResponse struct {
		Status asn1.Enumerated
		Bytes  struct {
			Type     asn1.ObjectIdentifier
			Response []byte
		} `asn1:"explicit,tag:0,optional"`
	}
)

// Statuses of a response that holds no answer (RFC 6960 §4.2.1).
const (
	malformedRequest = 1
	internalError    = 2
	tryLater         = 3
	unauthorized     = 6
)

func ocspError(status int) []byte { return []byte{0x30, 3, 0x0a, 1, byte(status)} }

var (
	oidBasicResponse   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 1}
	oidNonce           = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 2}
	oidNoCheck         = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 48, 1, 5}
	oidECDSAWithSHA256 = asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	oidRSAWithSHA256   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}

	certIDHashes = map[string]crypto.Hash{
		"1.3.14.3.2.26":          crypto.SHA1,
		"2.16.840.1.101.3.4.2.1": crypto.SHA256,
		"2.16.840.1.101.3.4.2.2": crypto.SHA384,
		"2.16.840.1.101.3.4.2.3": crypto.SHA512,
	}
)

// answer is the responder of ca: DER for DER.
func (s *Server) answer(ca *CA, question []byte, f Fault, now time.Time) ([]byte, error) {
	var q ocspRequest
	if rest, err := asn1.Unmarshal(question, &q); err != nil || len(rest) > 0 || len(q.TBS.Questions) == 0 {
		return ocspError(malformedRequest), nil
	}
	switch f {
	case TryLater:
		return ocspError(tryLater), nil
	case InternalError:
		return ocspError(internalError), nil
	case Unauthorized:
		return ocspError(unauthorized), nil
	}
	signer, err := s.responder(ca, f, now)
	if err != nil {
		return nil, err
	}

	d := responseData{ProducedAt: now}
	keyHash, err := hashOfKey(signer.cert, crypto.SHA1)
	if err != nil {
		return nil, err
	}
	octets, err := asn1.Marshal(keyHash)
	if err != nil {
		return nil, err
	}
	d.Responder = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2, IsCompound: true, Bytes: octets}
	for _, asked := range q.TBS.Questions {
		if !asked.CertID.names(ca.Cert) {
			return ocspError(unauthorized), nil
		}
		d.Responses = append(d.Responses, s.single(ca, asked.CertID, f, now))
	}
	for _, e := range q.TBS.Extensions {
		if !e.Id.Equal(oidNonce) || f == NoNonce {
			continue
		}
		if f == OtherNonce {
			e.Value = bytes.Clone(e.Value)
			e.Value[len(e.Value)-1] ^= 1
		}
		d.Extensions = append(d.Extensions, e)
	}
	return signer.sign(d, f)
}

// names tells whether the CertID speaks of certificates of ca.
func (id certID) names(ca *x509.Certificate) bool {
	h, known := certIDHashes[id.Hash.Algorithm.String()]
	if !known {
		return false
	}
	name := h.New()
	name.Write(ca.RawSubject)
	key, err := hashOfKey(ca, h)
	return err == nil && bytes.Equal(id.IssuerName, name.Sum(nil)) && bytes.Equal(id.IssuerKey, key)
}

// hashOfKey is the hash of the public key without its algorithm (RFC 6960 §4.1.1).
func hashOfKey(cert *x509.Certificate, h crypto.Hash) ([]byte, error) {
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		Key       asn1.BitString
	}
	if _, err := asn1.Unmarshal(cert.RawSubjectPublicKeyInfo, &info); err != nil {
		return nil, err
	}
	sum := h.New()
	sum.Write(info.Key.RightAlign())
	return sum.Sum(nil), nil
}

// single says what is known of one certificate.
func (s *Server) single(ca *CA, asked certID, f Fault, now time.Time) singleResponse {
	a := singleResponse{CertID: asked, ThisUpdate: now, NextUpdate: now.Add(s.ocspFor())}
	s.PKI.mu.Lock()
	fate, decided := s.PKI.fates[fateOf(ca, asked.Serial)]
	s.PKI.mu.Unlock()
	switch {
	case f == Unknown || fate.Unknown:
		a.Status = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 2}
	case decided:
		a.Status = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, IsCompound: true, Bytes: revokedInfo(fate)}
	default:
		a.Status = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0}
	}
	switch f {
	case Stale:
		a.ThisUpdate, a.NextUpdate = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	case Future:
		a.ThisUpdate, a.NextUpdate = now.Add(24*time.Hour), now.Add(48*time.Hour)
	case NoNextUpdate:
		a.NextUpdate = time.Time{}
	case OtherSerial:
		a.CertID.Serial = new(big.Int).Add(asked.Serial, big.NewInt(1))
	case OtherIssuer:
		a.CertID.IssuerKey = slices.Clone(asked.IssuerKey)
		a.CertID.IssuerKey[0] ^= 1
	}
	return a
}

func revokedInfo(f fate) []byte {
	at, _ := asn1.MarshalWithParams(f.Since.UTC(), "generalized") // a time of this millennium always encodes
	reason, _ := asn1.MarshalWithParams(asn1.Enumerated(f.Reason), "explicit,tag:0")
	return append(at, reason...)
}

// signer is who signs the answers about an authority's certificates.
type signer struct {
	cert  *x509.Certificate
	key   crypto.Signer
	alone bool // the authority itself: its certificate is not sent along
}

func (r signer) sign(d responseData, f Fault) ([]byte, error) {
	data, err := asn1.Marshal(d)
	if err != nil {
		return nil, err
	}
	digest := crypto.SHA256.New()
	digest.Write(data)
	signature, err := r.key.Sign(rand.Reader, digest.Sum(nil), crypto.SHA256)
	if err != nil {
		return nil, err
	}
	if f == BadSignature {
		signature[len(signature)-1] ^= 1
	}
	basic := basicResponse{Data: asn1.RawValue{FullBytes: data}, Signature: asn1.BitString{Bytes: signature, BitLength: 8 * len(signature)}}
	basic.Algorithm.Algorithm = oidECDSAWithSHA256
	if _, ok := r.key.(*rsa.PrivateKey); ok {
		basic.Algorithm = pkix.AlgorithmIdentifier{Algorithm: oidRSAWithSHA256, Parameters: asn1.NullRawValue}
	}
	if !r.alone {
		basic.Certificates = []asn1.RawValue{{FullBytes: r.cert.Raw}}
	}
	var answer ocspResponse
	answer.Bytes.Type = oidBasicResponse
	if answer.Bytes.Response, err = asn1.Marshal(basic); err != nil {
		return nil, err
	}
	return asn1.Marshal(answer)
}

// responder is who answers for ca: a delegate (RFC 6960 §4.2.2.2), or whom the
// fault puts in its place.
func (s *Server) responder(ca *CA, f Fault, now time.Time) (signer, error) {
	if f == Direct {
		return signer{ca.Cert, ca.Key, true}, nil
	}
	name := ca.Name
	switch f {
	case Impostor, ExpiredResponder, NoCheckMissing, OtherResponder:
		name += " " + string(f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r, ok := s.responders[name]; ok && (f == ExpiredResponder || now.After(r.cert.NotBefore) && now.Before(r.cert.NotAfter)) {
		return r, nil
	}
	r, err := newResponder(ca, f, now)
	if err == nil {
		s.responders[name] = r
	}
	return r, err
}

func newResponder(ca *CA, f Fault, now time.Time) (signer, error) {
	key, err := P256.generate()
	if err != nil {
		return signer{}, err
	}
	t := &x509.Certificate{
		Subject:         pkix.Name{Country: []string{"FI"}, Organization: []string{"Portti Test Agency"}, CommonName: "Portti TEST OCSP Responder"},
		NotBefore:       now.Add(-24 * time.Hour),
		NotAfter:        now.AddDate(1, 0, 0),
		KeyUsage:        x509.KeyUsageDigitalSignature,
		ExtKeyUsage:     []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning},
		ExtraExtensions: []pkix.Extension{{Id: oidNoCheck, Value: asn1.NullBytes}},
	}
	issuer := ca
	switch f {
	case Impostor: // any card of the same CA; see standards 2.7
		t.ExtKeyUsage, t.ExtraExtensions = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, nil
		t.Subject.CommonName = "MEIKÄLÄINEN MAIJA 123456789X"
	case ExpiredResponder:
		t.NotBefore, t.NotAfter = now.Add(-48*time.Hour), now.Add(-24*time.Hour)
	case NoCheckMissing:
		t.ExtraExtensions = nil
	case OtherResponder: // one of another authority, with every right there
		if issuer, err = NewCA("other", "Another Portti TEST CA", P256, nil, now); err != nil {
			return signer{}, err
		}
	}
	cert, err := sign(t, issuer.Cert, key.Public(), issuer.Key)
	if err != nil {
		return signer{}, err
	}
	return signer{cert: cert, key: key}, nil
}
