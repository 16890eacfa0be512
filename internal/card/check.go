package card

import (
	"cmp"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Limits on what a client may send. A card's chain is two or three
// certificates of about 2 KiB.
const (
	mostCertificates   = 10
	largestCertificate = 16 << 10 // bytes of DER
	longestSerialBits  = 160      // RFC 5280 §4.1.2.2
)

var oidSmartcardLogon = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}

// Check judges the certificates that a client sent, the card's own first, at
// the time now: everything but revocation, which Checker adds. The checks run in
// the order of Checks, and the first that fails decides.
//
// The holder of a report that is not Good is what the certificate claims, not
// what is true.
func (t *Trust) Check(certs []*x509.Certificate, now time.Time) Report {
	if len(certs) == 0 {
		return Report{Verdict: NoCertificate, Failed: CheckSent, Reason: "no certificate was sent"}
	}
	if len(certs) > mostCertificates {
		return malformed("too many certificates")
	}
	for _, c := range certs {
		if c == nil || len(c.Raw) == 0 || c.SerialNumber == nil {
			return malformed("not a parsed certificate")
		}
		if len(c.Raw) > largestCertificate {
			return malformed("a certificate is too large")
		}
	}
	leaf := certs[0] // the rest is not looked at: the way up is ours (S23)
	r := t.judge(leaf, now)
	r.Holder = HolderOf(leaf)
	return r
}

func malformed(why string) Report {
	return Report{Verdict: WeakOrMalformed, Failed: CheckForm, Reason: why}
}

func (t *Trust) judge(leaf *x509.Certificate, now time.Time) Report {
	if why := misshapen(leaf); why != "" {
		return malformed(why)
	}
	path, from, verdict, why := t.issuerOf(leaf, now)
	if verdict != Good {
		failed := CheckIssuer
		if verdict == WeakOrMalformed {
			failed = CheckStrength
		}
		return Report{Verdict: verdict, Failed: failed, Reason: why}
	}
	r := Report{Kind: from.kind, Path: path}
	refuse := func(v Verdict, at Check, why string) Report {
		r.Verdict, r.Failed, r.Reason = v, at, why
		return r
	}
	if now.Before(leaf.NotBefore) {
		return refuse(NotYetValid, CheckValidity, "not valid yet")
	}
	if now.After(leaf.NotAfter) {
		return refuse(Expired, CheckValidity, "expired")
	}
	if leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		if leaf.KeyUsage&x509.KeyUsageContentCommitment != 0 {
			return refuse(SignatureCertificate, CheckPurpose, "key usage is nonRepudiation without digitalSignature")
		}
		return refuse(WeakOrMalformed, CheckPurpose, "key usage lacks digitalSignature")
	}
	if !mayAuthenticate(path) {
		return refuse(WeakOrMalformed, CheckPurpose, "extended key usage, its own or with its CA's, has neither clientAuth nor smartcardLogon")
	}
	if from.kind == CitizenCard {
		return refuse(KindNotAccepted, CheckKind, "citizen card")
	}
	if !slices.ContainsFunc(leaf.Policies, func(oid x509.OID) bool { return slices.ContainsFunc(from.policies, oid.Equal) }) {
		return refuse(KindNotAccepted, CheckKind, "none of its policies is accepted: "+listed(leaf.Policies))
	}
	if !strongKey(leaf.PublicKey) {
		return refuse(WeakOrMalformed, CheckStrength, "weak key")
	}
	if !strongSignature(leaf.SignatureAlgorithm) {
		return refuse(WeakOrMalformed, CheckStrength, "weak signature algorithm")
	}
	if len(leaf.UnhandledCriticalExtensions) > 0 {
		return refuse(WeakOrMalformed, CheckStrength, fmt.Sprintf("critical extension %v is not understood", leaf.UnhandledCriticalExtensions[0]))
	}
	r.Verdict = Good
	return r
}

// misshapen says why a certificate cannot be a card's, whoever issued it.
func misshapen(leaf *x509.Certificate) string {
	switch {
	case leaf.Version != 3:
		return "not an X.509 version 3 certificate"
	case leaf.IsCA || leaf.KeyUsage&(x509.KeyUsageCertSign|x509.KeyUsageCRLSign) != 0:
		return "a CA certificate"
	case leaf.SerialNumber.Sign() <= 0 || leaf.SerialNumber.BitLen() > longestSerialBits:
		return "serial number out of range"
	case leaf.NotAfter.Before(leaf.NotBefore):
		return "ends before it begins"
	}
	return ""
}

// issuerOf finds the configured CA that issued leaf, by signature. The whole
// path up to the root is verified every time: it costs one more signature check
// than remembering it would, and nothing can go stale.
func (t *Trust) issuerOf(leaf *x509.Certificate, now time.Time) (path []*x509.Certificate, from issuer, verdict Verdict, why string) {
	// Who issued the card comes before its dates and its extensions, so that an
	// expired card hears "expired" and only a genuine one does. Hence the path
	// is verified at a moment when the leaf was valid, without regard to critical
	// extensions of the leaf; judge looks at both afterwards.
	bare := *leaf
	bare.UnhandledCriticalExtensions = nil
	at := now
	if at.Before(leaf.NotBefore) {
		at = leaf.NotBefore
	}
	if at.After(leaf.NotAfter) {
		at = leaf.NotAfter
	}
	if at.IsZero() { // which Verify would take for "use the clock"
		return nil, issuer{}, WeakOrMalformed, "validity out of range"
	}

	chains, err := bare.Verify(t.path(at))
	if err != nil {
		verdict, why := t.untrusted(leaf, err)
		return nil, issuer{}, verdict, why
	}
	for _, chain := range chains {
		if len(chain) < 2 {
			continue
		}
		if from, ok := t.issuers[string(chain[1].Raw)]; ok {
			return append([]*x509.Certificate{leaf}, chain[1:]...), from, Good, ""
		}
	}
	return nil, issuer{}, UntrustedIssuer, "issued by a root, not by a configured issuing CA"
}

// untrusted words why no path was found. Texts of crypto/x509 are not passed
// on: they hold names out of the certificate.
func (t *Trust) untrusted(leaf *x509.Certificate, err error) (Verdict, string) {
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &unknown):
		// crypto/x509 refuses SHA-1 and MD5 as if the issuer were unknown.
		if !strongSignature(leaf.SignatureAlgorithm) && t.names[string(leaf.RawIssuer)] {
			return WeakOrMalformed, "weak signature algorithm"
		}
		return UntrustedIssuer, "no configured CA has signed it"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return UntrustedIssuer, "its CA is not valid at this time"
	case errors.As(err, &invalid):
		return UntrustedIssuer, fmt.Sprintf("the path breaks a rule of its CA (crypto/x509 reason %d)", invalid.Reason)
	}
	return UntrustedIssuer, "no valid path to a configured root"
}

// mayAuthenticate: one purpose that is meant for signing in is permitted by the
// card's certificate and by all above it, as browsers and operating systems read
// extended key usages of CAs (S22).
func mayAuthenticate(path []*x509.Certificate) bool {
	left := purposes(path[0])
	for _, ca := range path[1:] {
		allowed := purposes(ca)
		left = slices.DeleteFunc(left, func(p string) bool { return !slices.Contains(allowed, p) })
	}
	return len(left) > 0
}

// purposes are those for signing in that a certificate permits. Without extended
// key usage it permits all, and so does anyExtendedKeyUsage (RFC 5280 §4.2.1.12).
func purposes(cert *x509.Certificate) []string {
	all := len(cert.ExtKeyUsage)+len(cert.UnknownExtKeyUsage) == 0 || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageAny)
	var list []string
	if all || slices.Contains(cert.ExtKeyUsage, x509.ExtKeyUsageClientAuth) {
		list = append(list, "clientAuth")
	}
	if all || slices.ContainsFunc(cert.UnknownExtKeyUsage, oidSmartcardLogon.Equal) {
		list = append(list, "smartcardLogon")
	}
	return list
}

// listed is for the log: the operator compares it with the settings.
func listed(policies []x509.OID) string {
	const most = 5
	var texts []string
	for i, oid := range policies {
		if i == most {
			texts = append(texts, "…")
			break
		}
		texts = append(texts, clean(oid.String(), longestSerial))
	}
	return cmp.Or(strings.Join(texts, ", "), "it has none")
}
