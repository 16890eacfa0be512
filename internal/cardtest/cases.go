package cardtest

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/card"
)

// Case is a card that shows one verdict.
type Case struct {
	Name    string
	Verdict card.Verdict // where revocation is not checked and the trust is that of TrustConfig
	About   string       // what it is, or what is wrong with it
	make    maker
}

// maker says how a case's card is issued.
type maker func(*PKI) ([]Option, error)

// example is whose name the cards of Cases bear.
var example = Person{
	Given: "Maija", Family: "Meikäläinen", Organisation: "Esimerkkivirasto", Serial: "123456789X",
	Email: "maija@example.test", UPN: "123456789X@example.test",
}

// Cases are cards for every verdict that a card alone can get, good ones first.
// PKI.Case makes them.
func Cases() []Case { return slices.Clone(cases) }

// Case makes the card of that case, the first time it is asked for.
func (p *PKI) Case(name string) (*Card, error) {
	i := slices.IndexFunc(cases, func(c Case) bool { return c.Name == name })
	if i < 0 {
		return nil, fmt.Errorf("cardtest: there is no case %q", name)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.find(name); c != nil {
		return c, nil
	}
	options, err := cases[i].make(p)
	if err != nil {
		return nil, fmt.Errorf("cardtest: case %s: %w", name, err)
	}
	return p.issue(name, example, options...)
}

// with is for what options alone can say.
func with(options ...Option) maker {
	return func(*PKI) ([]Option, error) { return options, nil }
}

// by is for what takes the PKI's authorities and time as well.
func by(f func(*PKI) []Option) maker {
	return func(p *PKI) ([]Option, error) { return f(p), nil }
}

const day = 24 * time.Hour

func lasting(from, to time.Duration) func(*PKI) []Option {
	return func(p *PKI) []Option { return []Option{Valid(p.now.Add(from), p.now.Add(to))} }
}

var cases = []Case{
	{"good-p384", card.Good, "organisation card, P-384", with()},
	{"good-p256", card.Good, "organisation card, P-256", with(WithKey(P256))},
	{"good-p521", card.Good, "organisation card, P-521", with(WithKey(P521))},
	{"good-rsa2048", card.Good, "organisation card, RSA 2048", with(WithKey(RSA2048))},
	{"good-rsa3072", card.Good, "organisation card, RSA 3072", with(WithKey(RSA3072))},
	{"good-health", card.Good, "health professional's card", by(func(p *PKI) []Option { return []Option{From(p.Health)} })},
	{"good-no-eku", card.Good, "no extended key usage", with(Purposes(x509.KeyUsageDigitalSignature))},
	{"good-logon-eku", card.Good, "smartcardLogon alone", with(Change(func(c *x509.Certificate) { c.ExtKeyUsage = nil }))},
	{"good-any-eku", card.Good, "any extended key usage", with(Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageAny))},
	{"good-both-usages", card.Good, "digitalSignature and nonRepudiation", with(Purposes(x509.KeyUsageDigitalSignature|x509.KeyUsageContentCommitment, x509.ExtKeyUsageClientAuth))},
	{"good-two-policies", card.Good, "the accepted policy after another", with(Policies("2.999.7", OrganisationPolicy))},
	{"good-explicit-false", card.Good, "basic constraints with an explicit FALSE", with(Change(func(c *x509.Certificate) {
		c.BasicConstraintsValid = false
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidBasicConstraints, Critical: true, Value: []byte{0x30, 3, 1, 1, 0}})
	}))},

	{"too-many", card.WeakOrMalformed, "eleven certificates", with(after(func(c *Card) error {
		c.Chain = slices.Repeat(c.Chain[:1], 10)
		return nil
	}))},
	{"too-large", card.WeakOrMalformed, "a certificate of more than 16 KiB", with(Change(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidInvented, Value: make([]byte, 17<<10)})
	}))},
	{"large-companion", card.WeakOrMalformed, "a good card with a certificate of more than 16 KiB in its chain", func(p *PKI) ([]Option, error) {
		large, err := p.build("large", example, Change(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidInvented, Value: make([]byte, 17<<10)})
		}))
		if err != nil {
			return nil, err
		}
		return []Option{after(func(c *Card) error { c.Chain = []*x509.Certificate{large.Cert}; return nil })}, nil
	}},
	{"version-1", card.WeakOrMalformed, "X.509 version 1", by(rebuilt(func(fields []asn1.RawValue) []asn1.RawValue {
		return fields[1:7] // without version and extensions
	}))},
	{"ca", card.WeakOrMalformed, "a CA certificate", with(Change(func(c *x509.Certificate) { c.IsCA = true }))},
	{"cert-sign", card.WeakOrMalformed, "may sign certificates, though it is no CA", with(Purposes(x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign))},
	{"long-serial", card.WeakOrMalformed, "a serial number of 21 octets", by(rebuilt(func(fields []asn1.RawValue) []asn1.RawValue {
		der, _ := asn1.Marshal(new(big.Int).Lsh(big.NewInt(1), 8*20)) // an integer always encodes
		fields[1] = asn1.RawValue{FullBytes: der}
		return fields
	}))},
	{"backwards", card.WeakOrMalformed, "ends before it begins", by(lasting(day, -day))},

	{"stranger", card.UntrustedIssuer, "of a CA that nobody has configured", by(func(p *PKI) []Option { return []Option{From(p.Stranger)} })},
	{"self-made", card.UntrustedIssuer, "signed by itself", with(after(signItself))},
	{"forged", card.UntrustedIssuer, "the right issuer's name, another key", forged()},
	{"forged-expired", card.UntrustedIssuer, "the same, and expired", func(p *PKI) ([]Option, error) {
		return forged(lasting(-400*day, -day)(p)...)(p)
	}},
	{"forged-with-chain", card.UntrustedIssuer, "the same, and brings the false CA along", func(p *PKI) ([]Option, error) {
		ca, err := p.impostor()
		return []Option{From(ca), after(func(c *Card) error {
			c.Chain = []*x509.Certificate{ca.Cert}
			return nil
		})}, err
	}},
	{"tampered", card.UntrustedIssuer, "a good card, its name changed afterwards", with(after(tamper))},
	{"of-the-root", card.UntrustedIssuer, "issued by the root itself", by(func(p *PKI) []Option { return []Option{From(p.Root), Policies(OrganisationPolicy)} })},
	{"unlisted-ca", card.UntrustedIssuer, "of another CA below the root, that of the services", func(p *PKI) ([]Option, error) {
		ca, err := p.ca("services")
		if err != nil {
			return nil, err
		}
		return []Option{From(ca), Policies(OrganisationPolicy)}, nil
	}},
	{"too-deep", card.UntrustedIssuer, "of a CA below the organisation CA, which may not have any", func(p *PKI) ([]Option, error) {
		ca, err := NewCA("deep", "Portti TEST Branch Office", P256, p.Organisation, p.now)
		return []Option{From(ca), Policies(OrganisationPolicy)}, err
	}},
	{"of-a-card", card.UntrustedIssuer, "issued by the holder of a good card", func(p *PKI) ([]Option, error) {
		good, err := p.build("issuing", example)
		if err != nil {
			return nil, err
		}
		ca := &CA{Cert: good.Cert, Key: good.Key, parent: p.Organisation}
		return []Option{From(ca), Policies(OrganisationPolicy)}, nil
	}},
	{"server", card.UntrustedIssuer, "a certificate of the server CA", by(func(p *PKI) []Option {
		return []Option{From(p.Server), Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageServerAuth)}
	})},

	{"not-yet", card.NotYetValid, "valid from next month", by(lasting(30*day, 400*day))},
	{"expired", card.Expired, "expired yesterday", by(lasting(-400*day, -day))},
	{"expired-signature", card.Expired, "the signature certificate of an expired card", by(func(p *PKI) []Option {
		return append(lasting(-400*day, -day)(p), SignatureOnly())
	})},
	{"expired-citizen", card.Expired, "an expired citizen card", by(func(p *PKI) []Option {
		return append(lasting(-400*day, -day)(p), From(p.Citizen))
	})},

	{"signature", card.SignatureCertificate, "the signature certificate (PIN2)", with(SignatureOnly())},
	{"signature-citizen", card.SignatureCertificate, "the signature certificate of a citizen card", by(func(p *PKI) []Option {
		return []Option{From(p.Citizen), SignatureOnly()}
	})},
	{"encryption", card.WeakOrMalformed, "an encryption certificate", with(Purposes(x509.KeyUsageKeyEncipherment))},
	{"no-usage", card.WeakOrMalformed, "no key usage at all", with(Purposes(0))},
	{"server-eku", card.WeakOrMalformed, "for servers", with(Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageServerAuth))},
	{"mail-eku", card.WeakOrMalformed, "for e-mail", with(Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageEmailProtection))},
	{"ocsp-eku", card.WeakOrMalformed, "for answering OCSP", with(Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageOCSPSigning))},

	{"citizen", card.KindNotAccepted, "citizen card", by(func(p *PKI) []Option { return []Option{From(p.Citizen)} })},
	{"citizen-as-organisation", card.KindNotAccepted, "citizen card with the organisation cards' policy", by(func(p *PKI) []Option {
		return []Option{From(p.Citizen), Policies(OrganisationPolicy)}
	})},
	{"other-policy", card.KindNotAccepted, "another policy", with(Policies("2.999.1.77"))},
	{"other-ca-policy", card.KindNotAccepted, "the policy of the other CA's cards", with(Policies(HealthPolicy))},
	{"longer-policy", card.KindNotAccepted, "a policy below the accepted one", with(Policies(OrganisationPolicy + ".1"))},
	{"any-policy", card.KindNotAccepted, "anyPolicy", with(Policies("2.5.29.32.0"))},
	{"no-policy", card.KindNotAccepted, "no policy", with(Policies())},

	{"rsa1024", card.WeakOrMalformed, "RSA 1024", with(WithKey(RSA1024))},
	{"p224", card.WeakOrMalformed, "P-224", with(WithKey(P224))},
	{"ed25519", card.WeakOrMalformed, "Ed25519, which no card of the profile has", with(WithKey(Ed25519))},
	{"sha1", card.WeakOrMalformed, "signed with SHA-1", with(Change(func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 }))},
	{"critical", card.WeakOrMalformed, "a critical extension that nobody understands", with(Change(func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidInvented, Critical: true, Value: []byte{5, 0}})
	}))},
	{"stranger-critical", card.UntrustedIssuer, "the same, of a stranger", by(func(p *PKI) []Option {
		return []Option{From(p.Stranger), Change(func(c *x509.Certificate) {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: oidInvented, Critical: true, Value: []byte{5, 0}})
		})}
	})},
}

var (
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidInvented         = asn1.ObjectIdentifier{2, 999, 9}
)

// impostor is a CA with the name and key identifier of the organisation CA, and
// a key of its own.
func (p *PKI) impostor() (*CA, error) {
	genuine := p.Organisation.Cert
	ca, err := NewCA("impostor", genuine.Subject.CommonName, P384, nil, p.now, func(c *x509.Certificate) {
		c.RawSubject, c.SubjectKeyId = genuine.RawSubject, genuine.SubjectKeyId
	})
	if err != nil {
		return nil, err
	}
	ca.Policy = OrganisationPolicy
	return ca, nil
}

func forged(options ...Option) maker {
	return func(p *PKI) ([]Option, error) {
		ca, err := p.impostor()
		if err != nil {
			return nil, err
		}
		return append(options, From(ca)), nil
	}
}

// rebuilt has fields that crypto/x509 would not write, signed by the
// organisation CA all the same.
func rebuilt(edit func(fields []asn1.RawValue) []asn1.RawValue) func(*PKI) []Option {
	return func(p *PKI) []Option {
		return []Option{after(func(c *Card) (err error) {
			c.Cert, err = Rebuild(c.Cert, p.Organisation.Key, nil, crypto.SHA384, edit)
			return err
		})}
	}
}

func signItself(c *Card) (err error) {
	c.Chain = nil
	c.Cert, err = sign(c.Cert, c.Cert, c.Key.Public(), c.Key)
	return err
}

// tamper changes a letter of the holder's name and leaves the signature.
func tamper(c *Card) (err error) {
	c.Cert, err = x509.ParseCertificate(bytes.Replace(c.Cert.Raw, []byte("Maija"), []byte("Kaija"), 1))
	return err
}
