package card

import (
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"strings"
	"unicode"
)

// Attributes of a subject that pkix.Name has no field for (RFC 5280 §A.1).
var (
	oidSurname   = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidGivenName = asn1.ObjectIdentifier{2, 5, 4, 42}
)

// Longest texts of a Holder, in characters. Names in certificates of strangers
// are as long as strangers like.
const (
	longestName   = 100
	longestSerial = 64
	longestDN     = 400
)

// Fingerprint names a card: SHA-256 of what its issuer signed (tbsCertificate,
// RFC 5280 §4.1), lower-case hex.
//
// The signature itself is left out on purpose. From one ECDSA signature anybody
// can compute a second that is just as valid (r, n−s), and a client sends
// whichever it likes: over the whole certificate, one card would have two
// fingerprints and so could be linked to two usernames, which S27 forbids.
func Fingerprint(cert *x509.Certificate) string {
	return hexDigest(cert.RawTBSCertificate)
}

// HolderOf reads what the certificate says of its holder. The certificate may
// be anybody's, so texts are shortened and freed of control characters.
func HolderOf(cert *x509.Certificate) Holder {
	return Holder{
		Fingerprint:   Fingerprint(cert),
		SPKI:          hexDigest(cert.RawSubjectPublicKeyInfo),
		Issuer:        clean(cert.Issuer.CommonName, longestName),
		IssuerDN:      clean(distinguished(cert.RawIssuer), longestDN),
		Serial:        clean(cert.SerialNumber.Text(16), longestSerial),
		SubjectSerial: clean(cert.Subject.SerialNumber, longestSerial),
		Name:          holderName(cert.Subject),
		GivenName:     clean(attribute(cert.Subject, oidGivenName), longestName),
		FamilyName:    clean(attribute(cert.Subject, oidSurname), longestName),
		Organisation:  clean(strings.Join(cert.Subject.Organization, ", "), longestName),
		NotAfter:      cert.NotAfter.UTC(),
	}
}

// AuthorityName is a CA's common name, fit to be shown.
func AuthorityName(ca *x509.Certificate) string { return clean(ca.Subject.CommonName, longestName) }

// holderName is "Given Family" where both are told, otherwise the common name.
func holderName(subject pkix.Name) string {
	given := clean(attribute(subject, oidGivenName), longestName)
	family := clean(attribute(subject, oidSurname), longestName)
	if given == "" || family == "" {
		return clean(subject.CommonName, longestName)
	}
	return clean(given+" "+family, longestName)
}

// attribute is the first value of type id, or "".
func attribute(name pkix.Name, id asn1.ObjectIdentifier) string {
	for _, a := range name.Names {
		if text, ok := a.Value.(string); ok && a.Type.Equal(id) {
			return text
		}
	}
	return ""
}

// SubjectDN is the name of a CA as the Holder of a card that it issued has it
// (IssuerDN).
func SubjectDN(ca *x509.Certificate) string { return clean(distinguished(ca.RawSubject), longestDN) }

// distinguished keeps the order of the certificate, which pkix.Name.String does not.
func distinguished(name []byte) string {
	var rdns pkix.RDNSequence
	if rest, err := asn1.Unmarshal(name, &rdns); err != nil || len(rest) > 0 {
		return ""
	}
	return rdns.String()
}

// clean makes a text fit to be shown: valid UTF-8, one line, no control or
// format characters (which could turn the direction of a line), at most that
// many characters.
func clean(text string, longest int) string {
	var b strings.Builder
	n, space := 0, false
	for _, r := range text {
		if unicode.IsSpace(r) {
			space = n > 0
			continue
		}
		if r == unicode.ReplacementChar || !unicode.IsGraphic(r) {
			continue
		}
		if space {
			b.WriteByte(' ')
			n++
			space = false
		}
		if n >= longest {
			break
		}
		b.WriteRune(r)
		n++
	}
	return strings.TrimRight(b.String(), " ")
}

func hexDigest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
