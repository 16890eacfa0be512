package revocation

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cryptobyte_asn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/portti-id/portti/internal/card"
)

// mostCertificates bounds what an answer may bring along. One is usual.
const mostCertificates = 8

// unknown is the third answer of a responder, beside good and revoked. It never
// leaves this package: for the house it is no answer.
const unknown card.State = "unknown"

// response is a BasicOCSPResponse about exactly one certificate (RFC 6960
// §4.2.1), read but not yet believed.
type response struct {
	signed    []byte // ResponseData, what the signature is over
	algorithm x509.SignatureAlgorithm
	signature []byte
	certs     [][]byte // DER

	// Whom the signer says to be: one of the two.
	byName []byte // Name, DER
	byKey  []byte // SHA-1 of the public key

	produced   time.Time
	about      certID
	state      card.State // NotRevoked, WasRevoked, OnHold or unknown
	since      time.Time  // of WasRevoked and OnHold
	thisUpdate time.Time
	nextUpdate time.Time // zero: not told
	nonce      []byte    // value of the extension; nil: none
}

type certID struct {
	hash      crypto.Hash
	nameHash  []byte
	keyHash   []byte
	serialNum *big.Int
}

// statusError is a responseStatus other than successful (RFC 6960 §4.2.1).
type statusError int

const (
	internalError statusError = 2
	tryLater      statusError = 3
)

func (s statusError) Error() string {
	switch s {
	case 1:
		return "the responder finds the question malformed"
	case internalError:
		return "the responder has an internal error"
	case tryLater:
		return "the responder says to try later"
	case 5:
		return "the responder wants signed questions"
	case 6:
		return "the responder is not authorised for this certificate"
	}
	return fmt.Sprintf("the responder answers with status %d", int(s))
}

var errForm = errors.New("the answer is malformed")

var (
	explicit0 = cryptobyte_asn1.Tag(0).ContextSpecific().Constructed()
	explicit1 = cryptobyte_asn1.Tag(1).ContextSpecific().Constructed()
	explicit2 = cryptobyte_asn1.Tag(2).ContextSpecific().Constructed()
	implicit0 = cryptobyte_asn1.Tag(0).ContextSpecific()
	implicit2 = cryptobyte_asn1.Tag(2).ContextSpecific()
)

// parse reads an OCSPResponse. Every octet must have its place: what we would
// skip, somebody else may have meant.
func parse(der []byte) (*response, error) {
	outer := cryptobyte.String(der)
	var envelope cryptobyte.String
	var status int
	if !outer.ReadASN1(&envelope, cryptobyte_asn1.SEQUENCE) || !outer.Empty() || !envelope.ReadASN1Enum(&status) {
		return nil, errForm
	}
	if status != 0 {
		return nil, statusError(status)
	}
	var bytes, inner, basic cryptobyte.String
	var kind asn1.ObjectIdentifier
	if !envelope.ReadASN1(&bytes, explicit0) || !envelope.Empty() ||
		!bytes.ReadASN1(&inner, cryptobyte_asn1.SEQUENCE) || !bytes.Empty() ||
		!inner.ReadASN1ObjectIdentifier(&kind) || !inner.ReadASN1(&basic, cryptobyte_asn1.OCTET_STRING) || !inner.Empty() {
		return nil, errForm
	}
	if !kind.Equal(oidBasic) {
		return nil, errors.New("the answer is not of the basic type")
	}
	return parseBasic(basic)
}

func parseBasic(s cryptobyte.String) (*response, error) {
	r := &response{}
	var basic, signed, algorithm cryptobyte.String
	if !s.ReadASN1(&basic, cryptobyte_asn1.SEQUENCE) || !s.Empty() ||
		!basic.ReadASN1Element(&signed, cryptobyte_asn1.SEQUENCE) ||
		!basic.ReadASN1Element(&algorithm, cryptobyte_asn1.SEQUENCE) ||
		!basic.ReadASN1BitStringAsBytes(&r.signature) {
		return nil, errForm
	}
	r.signed = signed
	var err error
	if r.algorithm, err = signatureAlgorithm(algorithm); err != nil {
		return nil, err
	}
	var list cryptobyte.String
	var has bool
	if !basic.ReadOptionalASN1(&list, &has, explicit0) || !basic.Empty() {
		return nil, errForm
	}
	if has {
		var certs cryptobyte.String
		if !list.ReadASN1(&certs, cryptobyte_asn1.SEQUENCE) || !list.Empty() {
			return nil, errForm
		}
		for !certs.Empty() {
			var cert cryptobyte.String
			if !certs.ReadASN1Element(&cert, cryptobyte_asn1.SEQUENCE) {
				return nil, errForm
			}
			if len(r.certs) == mostCertificates {
				return nil, errors.New("the answer brings too many certificates")
			}
			r.certs = append(r.certs, cert)
		}
	}
	return r, r.parseData(signed)
}

func (r *response) parseData(s cryptobyte.String) error {
	var data, singles cryptobyte.String
	var version int
	if !s.ReadASN1(&data, cryptobyte_asn1.SEQUENCE) || !data.ReadOptionalASN1Integer(&version, explicit0, 0) || version != 0 {
		return errForm
	}
	var id cryptobyte.String
	switch {
	case data.PeekASN1Tag(explicit1):
		if !data.ReadASN1(&id, explicit1) || !id.ReadASN1Element((*cryptobyte.String)(&r.byName), cryptobyte_asn1.SEQUENCE) || !id.Empty() {
			return errForm
		}
	default:
		if !data.ReadASN1(&id, explicit2) || !id.ReadASN1((*cryptobyte.String)(&r.byKey), cryptobyte_asn1.OCTET_STRING) || !id.Empty() {
			return errForm
		}
	}
	if !data.ReadASN1GeneralizedTime(&r.produced) || !data.ReadASN1(&singles, cryptobyte_asn1.SEQUENCE) {
		return errForm
	}
	var single cryptobyte.String
	if !singles.ReadASN1(&single, cryptobyte_asn1.SEQUENCE) {
		return errForm
	}
	if !singles.Empty() {
		return errors.New("the answer is about more than the one certificate that was asked about")
	}
	if err := r.parseSingle(single); err != nil {
		return err
	}
	err := extensions(&data, func(id asn1.ObjectIdentifier, value []byte) bool {
		if !id.Equal(oidNonce) {
			return false
		}
		r.nonce = value
		return true
	})
	if err == nil && !data.Empty() {
		err = errForm
	}
	return err
}

func (r *response) parseSingle(s cryptobyte.String) error {
	var id, algorithm cryptobyte.String
	var hash asn1.ObjectIdentifier
	r.about.serialNum = new(big.Int)
	if !s.ReadASN1(&id, cryptobyte_asn1.SEQUENCE) ||
		!id.ReadASN1(&algorithm, cryptobyte_asn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&hash) || !noParameters(algorithm) ||
		!id.ReadASN1((*cryptobyte.String)(&r.about.nameHash), cryptobyte_asn1.OCTET_STRING) ||
		!id.ReadASN1((*cryptobyte.String)(&r.about.keyHash), cryptobyte_asn1.OCTET_STRING) ||
		!id.ReadASN1Integer(r.about.serialNum) || !id.Empty() {
		return errForm
	}
	var err error
	if r.about.hash, err = hashOf(hash); err != nil {
		return err
	}
	if err := r.parseStatus(&s); err != nil {
		return err
	}
	if !s.ReadASN1GeneralizedTime(&r.thisUpdate) {
		return errForm
	}
	var next cryptobyte.String
	var has bool
	if !s.ReadOptionalASN1(&next, &has, explicit0) || has && (!next.ReadASN1GeneralizedTime(&r.nextUpdate) || !next.Empty()) {
		return errForm
	}
	if err := extensions(&s, func(asn1.ObjectIdentifier, []byte) bool { return false }); err != nil {
		return err
	}
	if !s.Empty() {
		return errForm
	}
	return nil
}

// Reasons that make a difference (RFC 5280 §5.3.1).
const (
	certificateHold = 6
	removeFromCRL   = 8
)

func (r *response) parseStatus(s *cryptobyte.String) error {
	var body cryptobyte.String
	switch {
	case s.PeekASN1Tag(implicit0):
		r.state = card.NotRevoked
		if !s.ReadASN1(&body, implicit0) || !body.Empty() {
			return errForm
		}
	case s.PeekASN1Tag(implicit2):
		r.state = unknown
		if !s.ReadASN1(&body, implicit2) || !body.Empty() {
			return errForm
		}
	default:
		r.state = card.WasRevoked
		var wrapped cryptobyte.String
		var has bool
		if !s.ReadASN1(&body, explicit1) || !body.ReadASN1GeneralizedTime(&r.since) || !body.ReadOptionalASN1(&wrapped, &has, explicit0) || !body.Empty() {
			return errForm
		}
		if !has {
			return nil
		}
		var reason int
		if !wrapped.ReadASN1Enum(&reason) || !wrapped.Empty() {
			return errForm
		}
		switch reason {
		case certificateHold:
			r.state = card.OnHold
		case removeFromCRL:
			return errors.New("the answer contradicts itself: revoked, because it was taken from the list")
		}
	}
	return nil
}

// extensions reads the optional [1] of s. One that is critical and not known
// spoils the answer (RFC 6960 §4.4); so does one that is there twice.
func extensions(s *cryptobyte.String, known func(id asn1.ObjectIdentifier, value []byte) bool) error {
	var wrapped, list cryptobyte.String
	var has bool
	if !s.ReadOptionalASN1(&wrapped, &has, explicit1) {
		return errForm
	}
	if !has {
		return nil
	}
	if !wrapped.ReadASN1(&list, cryptobyte_asn1.SEQUENCE) || !wrapped.Empty() {
		return errForm
	}
	seen := map[string]bool{}
	for !list.Empty() {
		var one, value cryptobyte.String
		var id asn1.ObjectIdentifier
		var critical bool
		if !list.ReadASN1(&one, cryptobyte_asn1.SEQUENCE) || !one.ReadASN1ObjectIdentifier(&id) ||
			one.PeekASN1Tag(cryptobyte_asn1.BOOLEAN) && !one.ReadASN1Boolean(&critical) ||
			!one.ReadASN1(&value, cryptobyte_asn1.OCTET_STRING) || !one.Empty() {
			return errForm
		}
		if seen[id.String()] {
			return errors.New("the answer has an extension twice")
		}
		seen[id.String()] = true
		if !known(id, value) && critical {
			return errors.New("the answer has a critical extension that is not understood")
		}
	}
	return nil
}

// noParameters: nothing or NULL, which both mean that there are none.
func noParameters(s cryptobyte.String) bool {
	var null cryptobyte.String
	return s.Empty() || s.ReadASN1(&null, cryptobyte_asn1.NULL) && null.Empty() && s.Empty()
}

// signatures are the algorithms that an answer may be signed with. RSA-PSS has
// its hash in its parameters.
var signatures = []struct {
	oid       asn1.ObjectIdentifier
	algorithm x509.SignatureAlgorithm
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 11}, x509.SHA256WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 12}, x509.SHA384WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 13}, x509.SHA512WithRSA},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}, x509.ECDSAWithSHA256},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 3}, x509.ECDSAWithSHA384},
	{asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 4}, x509.ECDSAWithSHA512},
}

var (
	oidPSS  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}
	oidMGF1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 8}
)

var errWeak = errors.New("the answer is signed with an algorithm that is not accepted")

// signatureAlgorithm reads an AlgorithmIdentifier, DER.
func signatureAlgorithm(der cryptobyte.String) (x509.SignatureAlgorithm, error) {
	var id asn1.ObjectIdentifier
	var s cryptobyte.String
	if !der.ReadASN1(&s, cryptobyte_asn1.SEQUENCE) || !s.ReadASN1ObjectIdentifier(&id) {
		return 0, errForm
	}
	if id.Equal(oidPSS) {
		return pss(s)
	}
	for _, known := range signatures {
		if known.oid.Equal(id) {
			if !noParameters(s) {
				return 0, errForm
			}
			return known.algorithm, nil
		}
	}
	return 0, errWeak
}

// pssParameters is RSASSA-PSS-params (RFC 4055 §3.1).
type pssParameters struct {
	Hash    pkix.AlgorithmIdentifier `asn1:"explicit,tag:0"`
	MGF     pkix.AlgorithmIdentifier `asn1:"explicit,tag:1"`
	Salt    int                      `asn1:"explicit,tag:2"`
	Trailer int                      `asn1:"optional,explicit,tag:3,default:1"`
}

// pss takes what crypto/x509 takes: one hash for all, and a salt as long as it.
func pss(der []byte) (x509.SignatureAlgorithm, error) {
	var p pssParameters
	if rest, err := asn1.Unmarshal(der, &p); err != nil || len(rest) > 0 {
		return 0, errForm
	}
	var inMGF pkix.AlgorithmIdentifier
	if rest, err := asn1.Unmarshal(p.MGF.Parameters.FullBytes, &inMGF); err != nil || len(rest) > 0 {
		return 0, errForm
	}
	if !p.MGF.Algorithm.Equal(oidMGF1) || !inMGF.Algorithm.Equal(p.Hash.Algorithm) || p.Trailer != 1 {
		return 0, errWeak
	}
	hash, err := hashOf(p.Hash.Algorithm)
	switch {
	case err != nil || p.Salt != hash.Size():
	case hash == crypto.SHA256:
		return x509.SHA256WithRSAPSS, nil
	case hash == crypto.SHA384:
		return x509.SHA384WithRSAPSS, nil
	case hash == crypto.SHA512:
		return x509.SHA512WithRSAPSS, nil
	}
	return 0, errWeak
}
