// Package card turns a client certificate into a verdict, and owns the listener
// that asks for it.
//
//	card.go     Verdict, Holder, Result
//	trust.go    Trust: pinned roots, issuing CAs with their accepted policies
//	check.go    Check: the checks in order, the first that fails is the verdict
//	holder.go   what a certificate says of its holder; Fingerprint
//	host.go     Host: the name of the card host, a fresh one for every attempt
//	door.go     Door: the TLS settings and the handler of the card host
//	limit.go    the bound on its connections
//
//	sign-in page ──303──▶ Door: handshake ─▶ Trust.Check ─▶ Result ──303──▶ sign-in page
//
// Who the card belongs to, and what they may do, is for identity and login.
//
// It fails closed: a certificate that it does not understand is refused, and so
// is every card when no revocation source is there, unless the operator has set
// AcceptWithoutRevocationCheck and so said what is given up.
package card

import "time"

// Verdict is the outcome of a check (behaviour.md, "Card verdicts").
type Verdict string

const (
	Good                  Verdict = "all_good"
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
// catalogues to it.
var Verdicts = []Verdict{Good, NoCertificate, WeakOrMalformed, UntrustedIssuer, NotYetValid, Expired, SignatureCertificate, KindNotAccepted, Revoked, Suspended, RevocationUnavailable}

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
	Organisation  string    `json:"organisation"`   // subject O
	NotAfter      time.Time `json:"not_after"`      // UTC
}

// Tail is the end of the certificate's serial number, which may be shown to
// tell cards apart.
func (h Holder) Tail() string {
	if len(h.Serial) <= 4 {
		return h.Serial
	}
	return h.Serial[len(h.Serial)-4:]
}

// Result is what one handshake on the card host came to. Holder is empty when
// no certificate came or it could not be read.
type Result struct {
	Verdict Verdict   `json:"verdict"`
	Holder  Holder    `json:"holder,omitzero"`
	At      time.Time `json:"at"` // when the handshake was done, UTC: the auth_time of a card sign-in (S2)
}
