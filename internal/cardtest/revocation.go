package cardtest

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// Reason is why a certificate was revoked (RFC 5280 §5.3.1).
type Reason int

const (
	Unspecified          Reason = 0
	KeyCompromise        Reason = 1
	CACompromise         Reason = 2
	AffiliationChanged   Reason = 3
	Superseded           Reason = 4
	CessationOfOperation Reason = 5
	hold                 Reason = 6
	PrivilegeWithdrawn   Reason = 9
)

// fate is what an authority says of a certificate that is not simply good.
type fate struct {
	Reason  Reason    `json:"reason"`
	Since   time.Time `json:"since"`
	Unknown bool      `json:"unknown,omitempty"` // it has never heard of it
}

// fateOf is the key of PKI.fates.
func fateOf(issuer *CA, serial *big.Int) string { return issuer.Name + "/" + serial.Text(16) }

// Revoke revokes the card's certificates for good, since the time at.
func (p *PKI) Revoke(c *Card, why Reason, at time.Time) error {
	return p.decide(c, &fate{Reason: why, Since: at})
}

// Hold suspends the card (certificateHold); Release ends that.
func (p *PKI) Hold(c *Card, at time.Time) error { return p.decide(c, &fate{Reason: hold, Since: at}) }

// Release makes a card good again, whatever it was. A real authority does that
// with suspended cards alone.
func (p *PKI) Release(c *Card) error { return p.decide(c, nil) }

// Forget makes the responder say that the card's CA has never issued it.
func (p *PKI) Forget(c *Card) error { return p.decide(c, &fate{Unknown: true}) }

// RevokeCA has the authority above it revoke an issuing CA.
func (p *PKI) RevokeCA(ca *CA, why Reason, at time.Time) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seal(ca.Cert, &fate{Reason: why, Since: at})
}

func (p *PKI) decide(c *Card, f *fate) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Signature != nil {
		if err := p.seal(c.Signature.Cert, f); err != nil {
			return err
		}
	}
	return p.seal(c.Cert, f)
}

// seal sets the fate of a certificate; nil is good.
func (p *PKI) seal(cert *x509.Certificate, f *fate) error {
	issuer := p.issuerOf(cert)
	if issuer == nil {
		return fmt.Errorf("cardtest: no authority of this PKI has issued the certificate of %q", cert.Subject.CommonName)
	}
	key := fateOf(issuer, cert.SerialNumber)
	if f == nil {
		delete(p.fates, key)
		return nil
	}
	f.Since = f.Since.UTC().Truncate(time.Second)
	p.fates[key] = *f
	return nil
}

// State is what the card's authority says of it: "good", "revoked", "on hold" or
// "unknown".
func (p *PKI) State(c *Card) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	issuer := p.issuerOf(c.Cert)
	if issuer == nil {
		return "unknown"
	}
	f, decided := p.fates[fateOf(issuer, c.Cert.SerialNumber)]
	switch {
	case !decided:
		return "good"
	case f.Unknown:
		return "unknown"
	case f.Reason == hold:
		return "on hold"
	}
	return "revoked"
}

// IssuerOf is the authority that is named as the card's issuer, nil when it is
// none of the PKI's.
func (p *PKI) IssuerOf(c *Card) *CA {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.issuerOf(c.Cert)
}

func (p *PKI) issuerOf(cert *x509.Certificate) *CA {
	for _, ca := range p.cas {
		if bytes.Equal(ca.Cert.RawSubject, cert.RawIssuer) {
			return ca
		}
	}
	return nil
}

// Above is the authority above ca, nil for a root.
func (p *PKI) Above(ca *CA) *CA { return ca.parent }
