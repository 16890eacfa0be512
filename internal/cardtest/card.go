package cardtest

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Person is what a card says of its holder. Empty fields are left out.
type Person struct {
	Given        string `json:"given"`
	Family       string `json:"family"`
	Organisation string `json:"organisation,omitempty"`
	Title        string `json:"title,omitempty"`
	Serial       string `json:"serial,omitempty"` // subject serialNumber, the same on every card of the person
	Email        string `json:"email,omitempty"`
	UPN          string `json:"upn,omitempty"` // Microsoft's login name
}

// Card is a certificate with its key, as the chip of a card holds them.
type Card struct {
	Name   string // for files and browsers: "maija"
	Person Person
	Cert   *x509.Certificate
	Key    crypto.Signer
	Chain  []*x509.Certificate // what is sent after Cert: the issuing CA

	// Signature is the card's other certificate, the one behind PIN2; nil unless
	// the card was made WithSignature.
	Signature *Card
}

// Option changes how a card is made.
type Option func(*recipe)

type recipe struct {
	ca       *CA
	key      Key
	policies []string
	template x509.Certificate
	finish   func(*Card) error

	signing bool // it is a signature certificate
	both    bool // and there shall be one besides
}

// From is the authority that issues the card; the organisation CA otherwise.
func From(ca *CA) Option {
	return func(r *recipe) {
		r.ca = ca
		r.policies = nil
		if ca.Policy != "" {
			r.policies = []string{ca.Policy}
		}
	}
}

// WithKey is the kind of the card's key; P-384 otherwise.
func WithKey(k Key) Option { return func(r *recipe) { r.key = k } }

// Policies are the certificate policies; those of the authority otherwise. It
// goes after From.
func Policies(oids ...string) Option { return func(r *recipe) { r.policies = oids } }

// Valid is when the card may be used; from an hour ago for five years otherwise.
func Valid(from, to time.Time) Option {
	return Change(func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to })
}

// SignatureOnly makes the card's other certificate, the one behind PIN2.
func SignatureOnly() Option {
	return func(r *recipe) {
		r.signing = true
		r.policies = []string{SignaturePolicy}
		r.template.KeyUsage = x509.KeyUsageContentCommitment
		r.template.ExtKeyUsage, r.template.UnknownExtKeyUsage = nil, nil
	}
}

// WithSignature makes both certificates of the card. The other one has the name of
// the card with "-signature", and is the card's Signature.
func WithSignature() Option { return func(r *recipe) { r.both = true } }

// Purposes replaces key usage and extended key usage. No extended key usage is
// as good as any (RFC 5280 §4.2.1.12).
func Purposes(usage x509.KeyUsage, extended ...x509.ExtKeyUsage) Option {
	return func(r *recipe) {
		r.template.KeyUsage, r.template.ExtKeyUsage, r.template.UnknownExtKeyUsage = usage, extended, nil
	}
}

// Change edits the certificate before it is signed.
func Change(edit func(*x509.Certificate)) Option {
	return func(r *recipe) { edit(&r.template) }
}

// after changes the card once it is made.
func after(f func(*Card) error) Option { return func(r *recipe) { r.finish = f } }

var (
	oidSmartcardLogon = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}
	oidUPN            = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 20, 2, 3}
	oidAltName        = asn1.ObjectIdentifier{2, 5, 29, 17}
	oidQCStatements   = asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 3}

	// qualified says that the certificate is a qualified one (ETSI EN 319 412-5 §4.2.1).
	qualified = []byte{0x30, 0x0a, 0x30, 0x08, 0x06, 0x06, 0x04, 0x00, 0x8e, 0x46, 0x01, 0x01}

	cardName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,60}$`)
)

// Issue makes a card with a new key: a sign-in certificate of the organisation
// CA on P-384, unless options say otherwise. The name is the card's for good;
// a second card of the same person is another one ("maija-2").
func (p *PKI) Issue(name string, who Person, options ...Option) (*Card, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issue(name, who, options...)
}

func (p *PKI) issue(name string, who Person, options ...Option) (*Card, error) {
	if !cardName.MatchString(name) {
		return nil, fmt.Errorf("cardtest: %q is no name for a card: use lower-case letters, digits and hyphens", name)
	}
	for _, taken := range []string{name, name + signatureSuffix} {
		if p.find(taken) != nil {
			return nil, fmt.Errorf("cardtest: there is a card %q already", taken)
		}
	}
	c, err := p.build(name, who, options...)
	if err != nil {
		return nil, fmt.Errorf("cardtest: card %s: %w", name, err)
	}
	p.cards = append(p.cards, c)
	if c.Signature != nil {
		p.cards = append(p.cards, c.Signature)
	}
	return c, nil
}

// Card is the card with this name, or nil.
func (p *PKI) Card(name string) *Card {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.find(name)
}

// Cards are all that were issued, oldest first.
func (p *PKI) Cards() []*Card {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.cards)
}

func (p *PKI) find(name string) *Card {
	for _, c := range p.cards {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func (p *PKI) build(name string, who Person, options ...Option) (*Card, error) {
	subject, err := who.subject()
	if err != nil {
		return nil, err
	}
	r := recipe{key: P384, template: x509.Certificate{
		RawSubject:            subject,
		NotBefore:             p.now.Add(-time.Hour),
		NotAfter:              p.now.AddDate(5, 0, 0),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		UnknownExtKeyUsage:    []asn1.ObjectIdentifier{oidSmartcardLogon},
		BasicConstraintsValid: true,
	}}
	From(p.Organisation)(&r)
	for _, o := range options {
		o(&r)
	}

	key, err := r.key.generate()
	if err != nil {
		return nil, err
	}
	t := &r.template
	if _, ok := key.(*rsa.PrivateKey); ok && t.KeyUsage == x509.KeyUsageDigitalSignature {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment
	}
	if r.signing {
		who.UPN = "" // never in one (standards 1.3)
		t.ExtraExtensions = append(t.ExtraExtensions, pkix.Extension{Id: oidQCStatements, Value: qualified})
	}
	altNames, err := who.altNames()
	if err != nil {
		return nil, err
	}
	t.ExtraExtensions = append(t.ExtraExtensions, altNames...)
	if t.Policies, err = oids(r.policies); err != nil {
		return nil, err
	}
	if t.SubjectKeyId, err = keyID(key.Public()); err != nil {
		return nil, err
	}
	p.address(t, r.ca)
	cert, err := sign(t, r.ca.Cert, key.Public(), r.ca.Key)
	if err != nil {
		return nil, err
	}
	c := &Card{Name: name, Person: who, Cert: cert, Key: key, Chain: r.ca.chain()}
	if r.finish != nil {
		if err := r.finish(c); err != nil {
			return nil, err
		}
	}
	if r.both {
		other := append(slices.Clone(options), SignatureOnly(), func(r *recipe) { r.both = false })
		if c.Signature, err = p.build(name+signatureSuffix, who, other...); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// signatureSuffix ends the name of a card's other certificate.
const signatureSuffix = "-signature"

// subject: CN is "FAMILY GIVEN serial", as on the Agency's cards.
func (who Person) subject() ([]byte, error) {
	full := strings.Join(strings.Fields(strings.ToUpper(who.Family+" "+who.Given)+" "+who.Serial), " ")
	return rdns(
		attribute{oidCountry, "FI"},
		attribute{oidOrganisation, who.Organisation},
		attribute{oidTitle, who.Title},
		attribute{oidSerialNumber, who.Serial},
		attribute{oidSurname, who.Family},
		attribute{oidGivenName, who.Given},
		attribute{oidCommonName, full},
	)
}

// altNames: an rfc822Name and, as an otherName, the Microsoft login name.
func (who Person) altNames() ([]pkix.Extension, error) {
	var names []asn1.RawValue
	if who.Email != "" {
		names = append(names, asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 1, Bytes: []byte(who.Email)})
	}
	if who.UPN != "" {
		other, err := asn1.Marshal(struct {
			ID    asn1.ObjectIdentifier
			Value string `asn1:"utf8,explicit,tag:0"`
		}{oidUPN, who.UPN})
		if err != nil {
			return nil, err
		}
		other[0] = 0xa0 // [0] IMPLICIT instead of SEQUENCE
		names = append(names, asn1.RawValue{FullBytes: other})
	}
	if names == nil {
		return nil, nil
	}
	value, err := asn1.Marshal(names)
	return []pkix.Extension{{Id: oidAltName, Value: value}}, err
}

// keyID is a subject key identifier (RFC 7093 §2, method 1 over the SPKI).
func keyID(public crypto.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(der)
	return sum[:20], nil
}
