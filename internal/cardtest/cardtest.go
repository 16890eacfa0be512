// Package cardtest makes cards: throw-away certificate authorities in the shape
// of the Agency's (FINEID), virtual cards of them, good and bad, the server
// certificates that go with them, and who answers whether a card was revoked.
// Tests, the demo and the card lab use it, production never: its CAs have the
// word TEST in their names, which card.NewTrust refuses.
//
//	cardtest.go    PKI, CA: the authorities
//	card.go        Person, Card, Issue and its options
//	cases.go       Cases: one card for each way of being refused
//	rebuild.go     certificates that crypto/x509 would not make
//	revocation.go  Revoke, Hold, Release, Forget
//	server.go      Server: OCSP responder and lists, and how they fail
//	ocsp.go        what the responder answers
//	crl.go         the lists
//	files.go       PEM and PKCS#12; Save and Load
//	tls.go         server certificates, and clients that present a card
//	testing.go     the same for tests, which do not want errors
//
//	root (P-384) ─┬─ organisation ── cards        stranger ── cards of nobody we know
//	              ├─ health ── cards              server ── TLS server certificates
//	              ├─ personnel, actor, temporary ── cards
//	              ├─ citizen ── cards
//	              └─ services ── certificates of services, which are no cards
//	rsa-root ───── rsa-organisation and so on, as above
//
// Those that are named by fields of PKI are there from the start; the rest, the
// whole RSA tree among them, is made when it is asked for (PKI.CA), so that tests
// do not wait for keys that they do not use. The Agency's RSA CAs have 4096 bits;
// these have 2048, which are made in a tenth of the time and checked by the same
// rules.
//
// Names and policies are invented; the policies lie below 2.999, the arc for
// examples, and have the Agency's pattern: …10.301.2 are organisation cards of the
// RSA tree, …10.351.2 those of the elliptic one.
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

	"github.com/portti-id/portti/internal/card"
)

// The certificate policies of the elliptic tree's sign-in certificates (those of
// the RSA tree have 301 for 351), and the one of all signature certificates.
const (
	OrganisationPolicy = "2.999.1.10.351.2"
	HealthPolicy       = "2.999.1.10.351.3"
	CitizenPolicy      = "2.999.1.10.351.1"
	SignaturePolicy    = "2.999.1.10.351.9"
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
	Name   string // for file names and addresses: "organisation", "rsa-health"
	Cert   *x509.Certificate
	Key    crypto.Signer
	Policy string    // that its sign-in certificates assert, "" for none
	Kind   card.Kind // of its cards, "" when it issues none
	parent *CA       // nil for a root
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
	base  string // of the addresses in certificates and settings, "" for none
	cas   map[string]*CA
	cards []*Card
	fates map[string]fate // by issuer's name and serial number; see fateOf
}

// New makes a PKI whose certificates are valid around now. It takes some
// milliseconds: all of the keys that it makes at once are elliptic.
func New(now time.Time) (*PKI, error) { return NewAt("", now) }

// NewAt is New with a Server that is reached at base, such as
// "http://127.0.0.1:8880/pki": certificates name its addresses (standards 1.2).
func NewAt(base string, now time.Time) (*PKI, error) {
	p := &PKI{now: now.UTC().Truncate(time.Second), base: base, cas: map[string]*CA{}, fates: map[string]fate{}}
	for _, a := range shape {
		if a.later {
			continue
		}
		if _, err := p.ca(a.name); err != nil {
			return nil, err
		}
	}
	p.name()
	return p, nil
}

// MoveTo changes where the Server is reached. Certificates that were made before
// keep the former address; the settings that Save writes have the new one.
func (p *PKI) MoveTo(base string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.base = base
}

// Base is where the Server is reached, "" for nowhere.
func (p *PKI) Base() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.base
}

// name fills the fields that name authorities.
func (p *PKI) name() {
	p.Root, p.Organisation, p.Health, p.Citizen = p.cas["root"], p.cas["organisation"], p.cas["health"], p.cas["citizen"]
	p.Stranger, p.Server = p.cas["stranger"], p.cas["server"]
}

// plan is how an authority is made.
type plan struct {
	name, commonName string
	key              Key
	policy           string
	kind             card.Kind
	above            string // the authority above it, "" for a root
	later            bool   // made when it is asked for
}

// shape is the hierarchy, what stands above first.
var shape = []plan{
	{"root", "Portti TEST Root CA", P384, "", "", "", false},
	{"organisation", "Portti TEST Organisation Cards", P384, OrganisationPolicy, card.OrganisationCard, "root", false},
	{"health", "Portti TEST Health Professional Cards", P384, HealthPolicy, card.HealthProfessionalCard, "root", false},
	{"citizen", "Portti TEST Citizen Cards", P384, CitizenPolicy, card.CitizenCard, "root", false},
	{"stranger", "Somebody Else's TEST Root CA", P256, OrganisationPolicy, "", "", false},
	{"server", "Portti TEST Server CA", P256, "", "", "", false},
	{"personnel", "Portti TEST Personnel Cards", P384, "2.999.1.10.351.4", card.PersonnelCard, "root", true},
	{"actor", "Portti TEST Actor Cards", P384, "2.999.1.10.351.5", card.ActorCard, "root", true},
	{"temporary", "Portti TEST Temporary Cards", P384, "2.999.1.10.351.6", card.TemporaryCard, "root", true},
	{"services", "Portti TEST Service Certificates", P384, "2.999.1.10.355.2", "", "root", true},

	{"rsa-root", "Portti TEST Root CA - RSA", RSA2048, "", "", "", true},
	{"rsa-organisation", "Portti TEST Organisation Cards - RSA", RSA2048, "2.999.1.10.301.2", card.OrganisationCard, "rsa-root", true},
	{"rsa-health", "Portti TEST Health Professional Cards - RSA", RSA2048, "2.999.1.10.301.3", card.HealthProfessionalCard, "rsa-root", true},
	{"rsa-personnel", "Portti TEST Personnel Cards - RSA", RSA2048, "2.999.1.10.301.4", card.PersonnelCard, "rsa-root", true},
	{"rsa-actor", "Portti TEST Actor Cards - RSA", RSA2048, "2.999.1.10.301.5", card.ActorCard, "rsa-root", true},
	{"rsa-temporary", "Portti TEST Temporary Cards - RSA", RSA2048, "2.999.1.10.301.6", card.TemporaryCard, "rsa-root", true},
	{"rsa-citizen", "Portti TEST Citizen Cards - RSA", RSA2048, "2.999.1.10.301.1", card.CitizenCard, "rsa-root", true},
	{"rsa-services", "Portti TEST Service Certificates - RSA", RSA2048, "2.999.1.10.305.2", "", "rsa-root", true},

	// Another CA of organisation cards, for when it alone shall be out of reach.
	{"remote", "Portti TEST Remote Organisation Cards", P384, "2.999.1.10.361.2", card.OrganisationCard, "root", true},
}

// Authorities are the names that PKI.CA knows, what stands above first.
func Authorities() []string {
	var names []string
	for _, a := range shape {
		names = append(names, a.name)
	}
	return names
}

// CA is the authority of that name (see Authorities). It is made, with those
// above it, the first time it is asked for.
func (p *PKI) CA(name string) (*CA, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ca(name)
}

func (p *PKI) ca(name string) (*CA, error) {
	if ca := p.cas[name]; ca != nil {
		return ca, nil
	}
	i := slices.IndexFunc(shape, func(a plan) bool { return a.name == name })
	if i < 0 {
		return nil, fmt.Errorf("cardtest: there is no authority %q", name)
	}
	a := shape[i]
	var parent *CA
	if a.above != "" {
		var err error
		if parent, err = p.ca(a.above); err != nil {
			return nil, err
		}
	}
	ca, err := NewCA(a.name, a.commonName, a.key, parent, p.now, func(c *x509.Certificate) { p.address(c, parent) })
	if err != nil {
		return nil, fmt.Errorf("cardtest: %s CA: %w", a.name, err)
	}
	ca.Policy, ca.Kind = a.policy, a.kind
	p.cas[name] = ca
	return ca, nil
}

// made are the authorities that there are, in the order of shape.
func (p *PKI) made() []*CA {
	var list []*CA
	for _, a := range shape {
		if ca := p.cas[a.name]; ca != nil {
			list = append(list, ca)
		}
	}
	return list
}

// address puts into a certificate where to ask whether its issuer has revoked
// it, unless it says so already or the issuer answers nobody.
func (p *PKI) address(c *x509.Certificate, issuer *CA) {
	if p.base == "" || issuer == nil || p.cas[issuer.Name] != issuer {
		return
	}
	if c.OCSPServer == nil {
		c.OCSPServer = []string{ocspURL(p.base, issuer)}
	}
	if c.IssuingCertificateURL == nil {
		c.IssuingCertificateURL = []string{p.base + "/ca/" + issuer.Name + ".crt"}
	}
	if c.CRLDistributionPoints == nil {
		c.CRLDistributionPoints = []string{crlURL(p.base, issuer)}
	}
}

func ocspURL(base string, ca *CA) string { return base + "/ocsp/" + ca.Name }
func crlURL(base string, ca *CA) string  { return base + "/crl/" + ca.Name + ".crl" }

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
