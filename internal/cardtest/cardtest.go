// Package cardtest makes cards: a throw-away certificate authority in the shape
// of the Agency's (FINEID), virtual cards of it, good and bad, and the server
// certificates that go with them. Tests and the demo use it, production never:
// its CAs have the word TEST in their names, which card.NewTrust refuses.
//
//	cardtest.go  PKI, CA: the authorities
//	card.go      Person, Card, Issue and its options
//	cases.go     Cases: one card for each way of being refused
//	rebuild.go   certificates that crypto/x509 would not make
//	files.go     PEM and PKCS#12; Save and Load
//	tls.go       server certificates, and clients that present a card
//	testing.go   the same for tests, which do not want errors
//
//	root ─┬─ organisation ── cards        stranger ── cards of nobody we know
//	      ├─ health ── cards              server ── TLS server certificates
//	      └─ citizen ── cards
//
// Names and policies are invented; the policies lie below 2.999, the arc for
// examples.
package cardtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"sync"
	"time"
)

// The certificate policies of the issuing CAs' sign-in certificates, and the
// one of signature certificates.
const (
	OrganisationPolicy = "2.999.1.2"
	HealthPolicy       = "2.999.1.3"
	CitizenPolicy      = "2.999.1.1"
	SignaturePolicy    = "2.999.1.9"
)

// Key is a kind of key.
type Key string

const (
	P224    Key = "P-224"
	P256    Key = "P-256"
	P384    Key = "P-384"
	P521    Key = "P-521"
	RSA1024 Key = "RSA-1024"
	RSA2048 Key = "RSA-2048"
	RSA3072 Key = "RSA-3072"
	Ed25519 Key = "Ed25519"
)

func (k Key) generate() (crypto.Signer, error) {
	switch k {
	case P224:
		return ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	case P256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case P384:
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case P521:
		return ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case RSA1024:
		return rsa.GenerateKey(rand.Reader, 1024)
	case RSA2048:
		return rsa.GenerateKey(rand.Reader, 2048)
	case RSA3072:
		return rsa.GenerateKey(rand.Reader, 3072)
	case Ed25519:
		_, key, err := ed25519.GenerateKey(rand.Reader)
		return key, err
	}
	return nil, fmt.Errorf("cardtest: unknown kind of key %q", k)
}

// CA is an authority.
type CA struct {
	Name   string // for file names: "organisation"
	Cert   *x509.Certificate
	Key    crypto.Signer
	Policy string // that its sign-in certificates assert, "" for none
	parent *CA    // nil for a root
}

// PKI is the whole hierarchy and the cards that were issued. It may be used by
// many goroutines.
type PKI struct {
	Root         *CA
	Organisation *CA
	Health       *CA
	Citizen      *CA
	Stranger     *CA // a root that nobody has configured
	Server       *CA // for server certificates; has nothing to do with cards

	now   time.Time
	mu    sync.Mutex
	cards []*Card
}

// New makes a PKI whose certificates are valid around now. It takes some
// milliseconds: all of its own keys are elliptic.
func New(now time.Time) (*PKI, error) {
	p := &PKI{now: now.UTC().Truncate(time.Second)}
	for i, a := range shape {
		parent := p.Root
		if a.root {
			parent = nil
		}
		ca, err := NewCA(a.name, a.commonName, a.key, parent, p.now)
		if err != nil {
			return nil, fmt.Errorf("cardtest: %s CA: %w", a.name, err)
		}
		ca.Policy = a.policy
		*p.places()[i] = ca
	}
	return p, nil
}

// shape is the hierarchy, what stands above first.
var shape = []struct {
	name, commonName string
	key              Key
	policy           string
	root             bool // otherwise below PKI.Root
}{
	{"root", "Portti TEST Root CA", P384, "", true},
	{"organisation", "Portti TEST Organisation Cards", P384, OrganisationPolicy, false},
	{"health", "Portti TEST Health Professional Cards", P384, HealthPolicy, false},
	{"citizen", "Portti TEST Citizen Cards", P384, CitizenPolicy, false},
	{"stranger", "Somebody Else's TEST Root CA", P256, OrganisationPolicy, true},
	{"server", "Portti TEST Server CA", P256, "", true},
}

// places are where the authorities of shape go, in its order.
func (p *PKI) places() []**CA {
	return []**CA{&p.Root, &p.Organisation, &p.Health, &p.Citizen, &p.Stranger, &p.Server}
}

// NewCA makes an authority, a root when parent is nil; change edits the
// certificate before it is signed.
func NewCA(name, commonName string, kind Key, parent *CA, now time.Time, change ...func(*x509.Certificate)) (*CA, error) {
	key, err := kind.generate()
	if err != nil {
		return nil, err
	}
	subject, err := rdns(
		attribute{oidCountry, "FI"},
		attribute{oidOrganisation, "Portti Test Agency"},
		attribute{oidCommonName, commonName},
	)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		RawSubject:            subject,
		NotBefore:             now.AddDate(-2, 0, 0),
		NotAfter:              now.AddDate(20, 0, 0),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	ca := &CA{Name: name, Key: key, parent: parent}
	signer := ca
	if parent != nil {
		signer = parent
		template.NotAfter = now.AddDate(10, 0, 0)
		template.MaxPathLenZero = true // issues cards, no further CAs
	}
	for _, c := range change {
		c(template)
	}
	if signer == ca {
		ca.Cert, err = sign(template, template, key.Public(), key)
	} else {
		ca.Cert, err = sign(template, signer.Cert, key.Public(), signer.Key)
	}
	return ca, err
}

// sign makes the certificate; without a serial number in the template it gets a
// random one.
func sign(template, parent *x509.Certificate, public crypto.PublicKey, key crypto.Signer) (*x509.Certificate, error) {
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

var (
	oidCommonName   = asn1.ObjectIdentifier{2, 5, 4, 3}
	oidSurname      = asn1.ObjectIdentifier{2, 5, 4, 4}
	oidSerialNumber = asn1.ObjectIdentifier{2, 5, 4, 5}
	oidCountry      = asn1.ObjectIdentifier{2, 5, 4, 6}
	oidOrganisation = asn1.ObjectIdentifier{2, 5, 4, 10}
	oidTitle        = asn1.ObjectIdentifier{2, 5, 4, 12}
	oidGivenName    = asn1.ObjectIdentifier{2, 5, 4, 42}
)

type attribute struct {
	id   asn1.ObjectIdentifier
	text string
}

// rdns encodes a name as FINEID does: in this order, UTF8String but for country
// and serial number. Empty attributes are left out.
func rdns(attributes ...attribute) ([]byte, error) {
	var name pkix.RDNSequence
	for _, a := range attributes {
		if a.text == "" {
			continue
		}
		tag := asn1.TagUTF8String
		if a.id.Equal(oidCountry) || a.id.Equal(oidSerialNumber) {
			tag = asn1.TagPrintableString
		}
		name = append(name, pkix.RelativeDistinguishedNameSET{{Type: a.id, Value: asn1.RawValue{Tag: tag, Bytes: []byte(a.text)}}})
	}
	return asn1.Marshal(name)
}

func oids(texts []string) ([]x509.OID, error) {
	var list []x509.OID
	for _, text := range texts {
		oid, err := x509.ParseOID(text)
		if err != nil {
			return nil, fmt.Errorf("policy %q: %w", text, err)
		}
		list = append(list, oid)
	}
	return list, nil
}

// chain is the authority and those above it, without the root.
func (ca *CA) chain() []*x509.Certificate {
	var list []*x509.Certificate
	for ; ca != nil && ca.parent != nil; ca = ca.parent {
		list = append(list, ca.Cert)
	}
	return slices.Clip(list)
}
