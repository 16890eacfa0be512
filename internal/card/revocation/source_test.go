package revocation_test

import (
	"slices"
	"testing"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
)

// A card needs somebody who answers for it and somebody who answers for its CA.
func TestUnanswered(t *testing.T) {
	p := cardtest.ForTest(t)
	const organisation, health = "Portti TEST Organisation Cards", "Portti TEST Health Professional Cards"
	both := []string{organisation, health}
	address := []string{"http://revocation.example/a"}
	for _, c := range []struct {
		name    string
		change  func(*card.TrustConfig)
		require []string
		crlOnly []string
	}{
		{"nothing", func(*card.TrustConfig) {}, both, both},
		{"hosts", func(c *card.TrustConfig) { c.RevocationHosts = []string{"revocation.example"} }, nil, both},
		{"for the cards alone", func(c *card.TrustConfig) { c.Issuers[0].OCSP = address }, both, both},
		{"for the CAs alone", func(c *card.TrustConfig) { c.Roots[0].OCSP = address }, both, both},
		{"one CA's responder, the root's list", func(c *card.TrustConfig) { c.Roots[0].CRL, c.Issuers[0].OCSP = address, address }, []string{health}, both},
		{"lists", func(c *card.TrustConfig) {
			c.Roots[0].CRL, c.Issuers[0].CRL, c.Issuers[1].CRL = address, address, address
		}, nil, nil},
	} {
		trust := p.TestTrust(t, c.change)
		for mode, want := range map[revocation.Mode][]string{"": c.require, revocation.Require: c.require, revocation.Soft: c.require, revocation.CRLOnly: c.crlOnly} {
			if got := revocation.Unanswered(trust, mode); !slices.Equal(got, want) {
				t.Errorf("%s, mode %q: %q, want %q", c.name, mode, got, want)
			}
		}
	}
}
