// Package card turns a client certificate into a verdict, and owns the listener
// that asks for it.
//
//	card.go        Verdict, Check, Holder, Result
//	trust.go       Trust: pinned roots, issuing CAs with their accepted policies
//	authority.go   what a CA's certificate must be      address.go  where to ask about what it issued
//	warning.go     what an operator should know of a trust that is in order
//	bundle.go      Bundle: a folder with the trust, read again when it changes
//	stranger.go    CAs that are not configured, whose cards were shown
//	check.go       Trust.Check: the path; the first check that fails is the verdict
//	revocation.go  Checker: the path, and then whether anything on it was revoked
//	holder.go      what a certificate says of its holder; Fingerprint
//	host.go        Host: the name of the card host, a fresh one for every attempt
//	door.go        Door: the TLS settings and the handler of the card host
//	sign.go        what connections tell of the attempt that they were made for
//	limit.go       the bound on its connections
//	relay.go       balancers in front of it that say whom a connection comes from
//
//	sign-in page ──303──▶ Door: handshake ─▶ Checker.Check ─▶ Result ──303──▶ sign-in page
//
// Below it stand revocation (who answers whether a certificate was revoked: OCSP,
// then lists), crl (the lists themselves) and proxied (certificates that a reverse
// proxy hands on). Who the card belongs to, and what they may do, is for identity
// and login.
//
// It fails closed: a certificate that it does not understand is refused, and so
// is every card when nobody can say that it is not revoked, unless the operator
// has waived that check and so said what is given up.
package card

import (
	"crypto/x509"
	"time"
)

// Verdict is the outcome of a check (behaviour.md, "Card verdicts").
type Verdict string

const (
	Good                  Verdict = "all_good"
	NeverReached          Verdict = "never_reached"    // no connection came for the attempt's own name
	HandshakeBroken       Verdict = "handshake_broken" // connections came and broke (S35)
	NoCertificate         Verdict = "no_certificate"
	SignatureCertificate  Verdict = "signature_certificate_chosen"
	Expired               Verdict = "expired"
	NotYetValid           Verdict = "not_yet_valid"
	UntrustedIssuer       Verdict = "untrusted_issuer"
	KindNotAccepted       Verdict = "card_kind_not_accepted"
	Revoked               Verdict = "revoked"
	Suspended             Verdict = "suspended"
	RevocationUnavailable Verdict = "revocation_unavailable"
	WeakOrMalformed       Verdict = "weak_or_malformed"
)

// Verdicts is all of them, in the order of the checks; a test holds the
// catalogues to it. NeverReached and HandshakeBroken are never the outcome of a
// handshake: package login tells them from the Signs of one.
var Verdicts = []Verdict{Good, NeverReached, HandshakeBroken, NoCertificate, WeakOrMalformed, UntrustedIssuer, NotYetValid, Expired, SignatureCertificate, KindNotAccepted, Revoked, Suspended, RevocationUnavailable}

// Check names one of the checks, as the card test page lists them (S66).
type Check string

const (
	CheckReached    Check = "reached"    // the browser came to the card host
	CheckHandshake  Check = "handshake"  // and the card signed the handshake, if it was asked to
	CheckSent       Check = "sent"       // a certificate came
	CheckForm       Check = "form"       // it is one that a card can have
	CheckIssuer     Check = "issuer"     // a configured CA has issued it
	CheckValidity   Check = "validity"   // it is valid at this time
	CheckPurpose    Check = "purpose"    // it is for signing in
	CheckKind       Check = "kind"       // the card is of an accepted kind
	CheckStrength   Check = "strength"   // key and signature are strong
	CheckRevocation Check = "revocation" // neither it nor its CA was revoked
)

// Checks are all of them in their order: those before the one that failed were
// passed, those after it were not made.
var Checks = []Check{CheckReached, CheckHandshake, CheckSent, CheckForm, CheckIssuer, CheckValidity, CheckPurpose, CheckKind, CheckStrength, CheckRevocation}

// Holder is what a certificate says of its card, for display and diagnosis. A
// card is matched by Fingerprint alone, never by a name.
type Holder struct {
	Fingerprint   string    `json:"fingerprint"`    // SHA-256 of what the issuer signed, lower-case hex; see Fingerprint
	SPKI          string    `json:"spki"`           // SHA-256 of its SubjectPublicKeyInfo, lower-case hex
	Issuer        string    `json:"issuer"`         // the issuing CA's common name
	IssuerDN      string    `json:"issuer_dn"`      // RFC 2253-like text of the issuer's name
	Serial        string    `json:"serial"`         // the certificate's serial number, lower-case hex
	SubjectSerial string    `json:"subject_serial"` // subject serialNumber (2.5.4.5): the person within one issuer
	Name          string    `json:"name"`           // "Given Family", or the common name
	GivenName     string    `json:"given_name,omitempty"`
	FamilyName    string    `json:"family_name,omitempty"`
	Organisation  string    `json:"organisation"` // subject O
	NotAfter      time.Time `json:"not_after"`    // UTC
}

// Tail is the end of the certificate's serial number, which may be shown to
// tell cards apart.
func (h Holder) Tail() string {
	if len(h.Serial) <= 4 {
		return h.Serial
	}
	return h.Serial[len(h.Serial)-4:]
}

// Report is what a check of certificates came to.
type Report struct {
	Verdict Verdict
	Failed  Check  // the check that decided; "" when Good
	Holder  Holder // what the first certificate says, whenever there is one of fair size
	Kind    Kind   // of the CA that issued it; "" before that is known
	Reason  string // for the operator's log: what failed, and nothing about the person; "" when Good

	// Vouched tells that somebody who may say so has said of the whole path that
	// nothing on it was revoked. A card that is Good without it was let in unasked:
	// see Checker.Waived and revocation.Soft.
	Vouched bool

	// Path is the card's certificate, the configured CA that issued it, and so on up
	// to the pinned root; nil before that is known.
	Path []*x509.Certificate
}

// Mode is how the card host asks for the card; the host name tells it.
type Mode string

const (
	Strict Mode = ""      // the issuing CAs are named, TLS 1.2 and 1.3
	OldTLS Mode = "tls12" // the same with TLS 1.2 alone: for card software that cannot do RSA-PSS
	AnyCA  Mode = "any"   // no CAs are named, so that browsers offer whatever they have: for the card test only
)

var modes = []Mode{Strict, OldTLS, AnyCA}

// Result is what one handshake on the card host came to. Holder is empty when
// no certificate came or it could not be read.
type Result struct {
	Verdict Verdict   `json:"verdict"`
	Failed  Check     `json:"failed,omitempty"`
	Holder  Holder    `json:"holder,omitzero"`
	Kind    Kind      `json:"kind,omitempty"`
	Mode    Mode      `json:"mode,omitempty"`
	TLS     string    `json:"tls,omitempty"`     // "1.2" or "1.3"; "" behind a proxy
	Vouched bool      `json:"vouched,omitempty"` // see Report
	At      time.Time `json:"at"`                // when the handshake was done, UTC: the auth_time of a card sign-in (S2)
}
