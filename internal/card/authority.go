package card

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Bounds on a bundle, so that the wrong folder is noticed and not read whole.
const (
	largestFile     = 64 << 10
	largestSettings = 256 << 10
	mostAuthorities = 100
)

var (
	oidNameConstraints = asn1.ObjectIdentifier{2, 5, 29, 30}
	anyPolicy          = mustOID(2, 5, 29, 32, 0) // RFC 5280 §4.2.1.4
)

func mustOID(arcs ...uint64) x509.OID {
	oid, err := x509.OIDFromInts(arcs)
	if err != nil {
		panic(err) // a constant above
	}
	return oid
}

// readFile reads an ordinary file of fair size.
func readFile(folder fs.FS, name string, most int64) ([]byte, error) {
	info, err := fs.Stat(folder, name)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a file")
	case info.Size() > most:
		return nil, fmt.Errorf("is larger than %d KiB", most>>10)
	}
	return fs.ReadFile(folder, name)
}

// loader reads CA certificates and gathers what is wrong with them.
type loader struct {
	read    func(name string) ([]byte, error)
	testCAs bool
	now     time.Time
	seen    map[string]string // subject and key → file
	errs    []error
}

func (l *loader) fail(field, file string, err error) {
	l.errs = append(l.errs, &inFile{field, file, err})
}

func (l *loader) authority(file string) (*x509.Certificate, error) {
	if file == "" {
		return nil, errors.New("file: name a certificate file")
	}
	data, err := l.read(file)
	if err != nil {
		return nil, &faulty{fault: FaultUnreadable, err: err}
	}
	cert, err := onlyCertificate(data)
	if err != nil {
		return nil, &faulty{fault: FaultUnreadable, err: err}
	}
	if err := l.fit(cert); err != nil {
		return nil, err
	}
	// The same name with the same key is the same authority, even in another
	// certificate: a card's issuer could not be told for sure.
	id := string(cert.RawSubject) + string(cert.RawSubjectPublicKeyInfo)
	if first, again := l.seen[id]; again {
		return nil, is(FaultTwice, "duplicate: the same CA is in %q", first)
	}
	l.seen[id] = file
	return cert, nil
}

// onlyCertificate reads a PEM file that holds one certificate and nothing else.
// Text around the block may stay (RFC 7468 §2), a damaged second block may not.
func onlyCertificate(data []byte) (*x509.Certificate, error) {
	if n := strings.Count(string(data), "-----BEGIN "); n != 1 {
		return nil, fmt.Errorf("holds %d PEM blocks; one certificate is wanted", n)
	}
	block, _ := pem.Decode(data)
	if block == nil {
		return nil, errors.New("is damaged: its PEM block cannot be read")
	}
	if block.Type != "CERTIFICATE" {
		return nil, fmt.Errorf("holds a %s, not a CERTIFICATE", block.Type)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return cert, nil
}

// fit tells whether cert may be an authority at all.
func (l *loader) fit(cert *x509.Certificate) error {
	switch {
	case cert.Version != 3 || !cert.BasicConstraintsValid || !cert.IsCA:
		return is(FaultNotCA, "is not a CA certificate")
	case cert.KeyUsage&x509.KeyUsageCertSign == 0:
		return is(FaultNotCA, "is not a CA certificate: its key usage does not allow to sign certificates")
	case l.now.Before(cert.NotBefore):
		return &faulty{FaultEarly, cert.NotBefore, fmt.Errorf("is not valid before %s", cert.NotBefore.UTC().Format(time.DateOnly))}
	case l.now.After(cert.NotAfter):
		return &faulty{FaultExpired, cert.NotAfter, fmt.Errorf("expired on %s", cert.NotAfter.UTC().Format(time.DateOnly))}
	case len(cert.UnhandledCriticalExtensions) > 0:
		return is(FaultLimits, "has the critical extension %v, which is not understood", cert.UnhandledCriticalExtensions[0])
	case !strongKey(cert.PublicKey):
		return is(FaultWeak, "has a weak key: RSA of at least 2048 bits, or P-256, P-384 or P-521 is wanted")
	case !strongSignature(cert.SignatureAlgorithm):
		return is(FaultWeak, "is signed with %s, which is too weak", cert.SignatureAlgorithm)
	case looseConstraints(cert):
		return is(FaultLimits, "has name constraints that are not marked critical, as RFC 5280 §4.2.1.10 wants them: they would not all be kept")
	case !mayIssueCards(cert):
		return is(FaultNotCA, "is for other certificates than cards: its extended key usage has neither clientAuth nor smartcardLogon")
	case !l.testCAs && isTest(cert):
		return is(FaultTest, "is a test CA: anybody may get its cards (see accept_test_cas)")
	}
	return nil
}

// mayIssueCards tells whether cert may be above a sign-in certificate: it says
// nothing of purposes, or one of ours. A CA for servers says serverAuth.
func mayIssueCards(cert *x509.Certificate) bool { return len(purposes(cert)) > 0 }

// looseConstraints tells whether there are name constraints that crypto/x509
// could pass over: those it does not know, unless they are critical.
func looseConstraints(cert *x509.Certificate) bool {
	return slices.ContainsFunc(cert.Extensions, func(e pkix.Extension) bool { return e.Id.Equal(oidNameConstraints) && !e.Critical })
}

// isTest tells whether the word "test" stands in the certificate's names.
func isTest(cert *x509.Certificate) bool {
	names := slices.Concat(cert.Subject.Names, cert.Issuer.Names)
	for _, name := range names {
		text, _ := name.Value.(string)
		words := strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) })
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, "test") }) {
			return true
		}
	}
	return false
}

// strongKey: RSA of 2048 bits or more, P-256, P-384 or P-521 (S23).
func strongKey(key any) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return k.Curve == elliptic.P256() || k.Curve == elliptic.P384() || k.Curve == elliptic.P521()
	}
	return false
}

// strongSignature: SHA-2 with RSA (both paddings) or ECDSA. A list of what is
// good, so that an algorithm which a later Go learns is not accepted by itself.
func strongSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.SHA256WithRSA, x509.SHA384WithRSA, x509.SHA512WithRSA,
		x509.SHA256WithRSAPSS, x509.SHA384WithRSAPSS, x509.SHA512WithRSAPSS,
		x509.ECDSAWithSHA256, x509.ECDSAWithSHA384, x509.ECDSAWithSHA512:
		return true
	}
	return false
}
