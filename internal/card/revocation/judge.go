package revocation

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/card"
)

const (
	// skew is how far a responder's clock and ours may differ.
	skew = time.Minute

	// unboundedAge is how old an answer may be that does not say when the next
	// one comes.
	unboundedAge = 15 * time.Minute
)

var oidKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 15}

// asked is a question, to hold the answer against.
type asked struct {
	cert, issuer *x509.Certificate
	nonce        []byte
	at           time.Time
	list         func(delegate *x509.Certificate) card.Status // what the issuer's list says of its delegate
}

// judge tells why an answer must not be believed; nil: its state is so.
func (q asked) judge(r *response) error {
	if err := q.authority(r); err != nil {
		return err
	}
	if err := q.subject(r.about); err != nil {
		return err
	}
	if r.state == card.WasRevoked {
		return nil // for good: an old answer, or one to another question, tells it as well
	}
	// Responders that sign in advance cannot echo a nonce (RFC 5019 §4), so one
	// that is missing says nothing; the times then bound how old an answer is.
	if r.nonce != nil && !bytes.Equal(r.nonce, nonceValue(q.nonce)) {
		return errors.New("the answer is to another question: its nonce is not ours")
	}
	return fresh(r, q.at)
}

// authority: the answer is signed by the CA itself, or by somebody whom this
// very CA has made its responder (RFC 6960 §4.2.2.2). A card of the CA is not
// that, although it too has a signature of the CA to show.
func (q asked) authority(r *response) error {
	if !card.StrongSignature(r.algorithm) {
		return errWeak
	}
	if r.names(q.issuer) {
		if q.issuer.CheckSignature(r.algorithm, r.signed, r.signature) != nil {
			return errors.New("the answer's signature is wrong")
		}
		return nil
	}
	why := errors.New("the answer is signed by neither the CA nor a delegate that it names")
	for _, der := range r.certs {
		delegate, err := x509.ParseCertificate(der)
		if err != nil || !r.names(delegate) {
			continue
		}
		if err := q.delegate(delegate); err != nil {
			why = err
			continue
		}
		if delegate.CheckSignature(r.algorithm, r.signed, r.signature) != nil {
			why = errors.New("the answer's signature is wrong")
			continue
		}
		return nil
	}
	return why
}

// names tells whether the answer says to be signed by the holder of cert.
func (r *response) names(cert *x509.Certificate) bool {
	if r.byName != nil {
		return bytes.Equal(r.byName, cert.RawSubject)
	}
	key, err := publicKey(cert)
	return err == nil && bytes.Equal(r.byKey, sum(crypto.SHA1, key))
}

// delegate tells why a certificate does not let its holder answer for the CA.
func (q asked) delegate(d *x509.Certificate) error {
	usage := slices.ContainsFunc(d.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidKeyUsage) })
	switch {
	case !bytes.Equal(d.RawIssuer, q.issuer.RawSubject) || d.CheckSignatureFrom(q.issuer) != nil:
		return errors.New("the delegate's certificate is not of this CA")
	case !slices.Contains(d.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning):
		// Not "any" either: a CA says it in so many words (RFC 6960 §4.2.2.2).
		return errors.New("the delegate's certificate is not for answering (id-kp-OCSPSigning)")
	case usage && d.KeyUsage&x509.KeyUsageDigitalSignature == 0:
		return errors.New("the delegate's certificate is not for signatures")
	case d.IsCA:
		return errors.New("the delegate is a CA")
	case q.at.Before(d.NotBefore) || q.at.After(d.NotAfter):
		return errors.New("the delegate's certificate is not valid at this time")
	case !card.StrongKey(d.PublicKey) || !card.StrongSignature(d.SignatureAlgorithm):
		return errors.New("the delegate's certificate is weak")
	case len(d.UnhandledCriticalExtensions) > 0:
		return errors.New("the delegate's certificate has a critical extension that is not understood")
	}
	// A responder is not asked about itself. The list is looked at even when the
	// CA says that nobody needs to: it costs nothing.
	waived := slices.ContainsFunc(d.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNoCheck) })
	switch s := q.list(d); {
	case s.State == card.WasRevoked || s.State == card.OnHold:
		return errors.New("the delegate's certificate was revoked")
	case s.State == card.Unavailable && !waived:
		return errors.New("nobody says that the delegate's certificate is not revoked: it has no ocsp-nocheck, and there is no fresh list of its CA")
	}
	return nil
}

// subject: the answer is about the certificate that was asked about. The serial
// number alone would do for none: every CA counts its own.
func (q asked) subject(id certID) error {
	key, err := publicKey(q.issuer)
	if err != nil {
		return err
	}
	if !bytes.Equal(id.nameHash, sum(id.hash, q.issuer.RawSubject)) || !bytes.Equal(id.keyHash, sum(id.hash, key)) || id.serialNum.Cmp(q.cert.SerialNumber) != 0 {
		return errors.New("the answer is about another certificate")
	}
	return nil
}

// fresh: the answer tells of now (RFC 6960 §4.2.2.1).
func fresh(r *response, now time.Time) error {
	soon, past := now.Add(skew), now.Add(-skew)
	switch {
	case r.thisUpdate.After(soon) || r.produced.After(soon):
		return errors.New("the answer is from the future")
	case r.produced.Before(r.thisUpdate.Add(-skew)):
		return errors.New("the answer was signed before what it tells of")
	case r.nextUpdate.IsZero() && now.Sub(r.thisUpdate) > unboundedAge:
		return errors.New("the answer is old, and says nothing of the next one")
	case r.nextUpdate.IsZero():
		return nil
	case r.nextUpdate.Before(r.thisUpdate):
		return errors.New("the answer ends before it begins")
	case r.nextUpdate.Before(past):
		return errors.New("the answer is stale")
	}
	return nil
}

// until is how long an answer that is fresh may be relied on.
func (r *response) until() time.Time {
	if r.nextUpdate.IsZero() {
		return r.thisUpdate.Add(unboundedAge)
	}
	return r.nextUpdate
}
