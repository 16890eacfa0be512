package card_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// notebook keeps what it is told.
type notebook struct {
	met []card.Stranger
	err error
}

func (n *notebook) MetStranger(_ context.Context, s card.Stranger, _ time.Time) error {
	n.met = append(n.met, s)
	return n.err
}

// meet shows the certificates to a checker, and returns what was noted.
func meet(t *testing.T, trust *card.Trust, certs ...*x509.Certificate) []card.Stranger {
	t.Helper()
	n := &notebook{}
	checker := card.Checker{Trust: trusting(trust), Strangers: n}
	checker.Check(t.Context(), certs, time.Now())
	return n.met
}

// A card of a CA that is not configured: the operator learns which, and gets its
// certificate when the client sent it and it is the one that signed.
func TestUnknownIssuersAreMet(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	c := p.TestCase(t, "stranger").Cert
	const name = "CN=Somebody Else's TEST Root CA,O=Portti Test Agency,C=FI"

	got := meet(t, trust, c)
	if len(got) != 1 || got[0].Issuer != name || got[0].KeyID != hex.EncodeToString(p.Stranger.Cert.SubjectKeyId) || got[0].Certificate != "" || got[0].SHA256 != "" || got[0].Root != "" || len(got[0].ID) != 64 {
		t.Fatalf("alone: %+v", got)
	}
	with := meet(t, trust, c, p.Organisation.Cert, p.Stranger.Cert)
	sum := sha256.Sum256(p.Stranger.Cert.Raw)
	if len(with) != 1 || with[0].Issuer != name || with[0].Certificate != string(p.Stranger.PEM()) || with[0].SHA256 != hex.EncodeToString(sum[:]) || with[0].Root != "" || with[0].ID == got[0].ID {
		t.Fatalf("with its CA: %+v", with)
	}
	if again := meet(t, trust, c, p.Stranger.Cert); again[0] != with[0] {
		t.Error("the same CA is another the second time")
	}

	// One that bears the name and has not signed is no proof of anything.
	impostor := must(cardtest.NewCA("impostor", "x", cardtest.P256, nil, time.Now(), func(c *x509.Certificate) {
		c.RawSubject, c.SubjectKeyId = p.Stranger.Cert.RawSubject, p.Stranger.Cert.SubjectKeyId
	}))
	if forged := meet(t, trust, c, impostor.Cert); len(forged) != 1 || forged[0] != got[0] {
		t.Errorf("with a false CA: %+v", forged)
	}
}

// A CA that is not configured, but signed by a configured root, is genuine.
func TestUnknownIssuersBelowARootAreTold(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	ca := must(cardtest.NewCA("new", "Portti TEST New Cards", cardtest.P256, p.Root, time.Now()))
	c := p.TestCard(t, "new", maija, cardtest.From(ca), cardtest.Policies(cardtest.OrganisationPolicy)).Cert
	if got := meet(t, trust, c, ca.Cert); len(got) != 1 || got[0].Root != "Portti TEST Root CA" {
		t.Errorf("%+v", got)
	}
	if got := meet(t, trust, c); len(got) != 1 || got[0].Root != "" {
		t.Errorf("alone: %+v", got)
	}
	// Below a CA that may have no CA below it, it is not.
	deep := must(cardtest.NewCA("deeper", "Portti TEST Deeper", cardtest.P256, p.Organisation, time.Now()))
	c = p.TestCard(t, "deeper", maija, cardtest.From(deep), cardtest.Policies(cardtest.OrganisationPolicy)).Cert
	if got := meet(t, trust, c, deep.Cert); len(got) != 1 || got[0].Root != "" || got[0].Certificate == "" {
		t.Errorf("too deep: %+v", got)
	}
}

// Nothing is noted of cards that are refused for something else, of forgeries of
// a configured CA, and of issuers whose name could be a person's.
func TestNothingOfTheHolderIsMet(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	noted := map[string]bool{"stranger": true, "stranger-critical": true, "unlisted-ca": true, "too-deep": true, "server": true}
	for _, c := range cardtest.Cases() {
		got := meet(t, trust, p.TestCase(t, c.Name).Certificates()...)
		if (len(got) == 1) != noted[c.Name] {
			t.Errorf("%s (%s): %+v", c.Name, c.Verdict, got)
		}
		for _, s := range got {
			for _, private := range []string{"Maija", "MEIKÄLÄINEN", "123456789X"} {
				if strings.Contains(s.Issuer, private) {
					t.Errorf("%s: %s", c.Name, s.Issuer)
				}
			}
		}
	}

	agency := pkix.Name{Country: []string{"FI"}, Organization: []string{"Agency"}, CommonName: "Cards"}
	for name, edit := range map[string]func(*pkix.Name){
		"no organisation": func(n *pkix.Name) { n.Organization = nil },
		"user at host":    func(n *pkix.Name) { n.OrganizationalUnit = []string{"maija@laptop"} },
		"serial number":   func(n *pkix.Name) { n.SerialNumber = "123456789X" },
		"given name": func(n *pkix.Name) {
			n.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{2, 5, 4, 42}, Value: "Maija"}}
		},
		"e-mail": func(n *pkix.Name) {
			n.ExtraNames = []pkix.AttributeTypeAndValue{{Type: []int{1, 2, 840, 113549, 1, 9, 1}, Value: "maija"}}
		},
		"fit": func(*pkix.Name) {},
	} {
		issuer := agency
		edit(&issuer)
		ca := must(cardtest.NewCA("personal", "x", cardtest.P256, nil, time.Now(), func(c *x509.Certificate) { c.RawSubject, c.Subject = nil, issuer }))
		c := p.TestCard(t, "of-"+strings.ReplaceAll(name, " ", "-"), maija, cardtest.From(ca), cardtest.Policies(cardtest.OrganisationPolicy)).Cert
		if got := meet(t, trust, c, ca.Cert); (len(got) == 1) != (name == "fit") {
			t.Errorf("%s: %+v", name, got)
		}
	}
	// A CA whose certificate holds a mail address, or was signed by a person, is
	// named and not kept.
	for name, change := range map[string]func(*x509.Certificate){"mail": func(c *x509.Certificate) { c.EmailAddresses = []string{"maija@example.test"} }} {
		ca := must(cardtest.NewCA(name, "Portti TEST "+name, cardtest.P256, nil, time.Now(), change))
		c := p.TestCard(t, "by-"+name, maija, cardtest.From(ca), cardtest.Policies(cardtest.OrganisationPolicy)).Cert
		if got := meet(t, trust, c, ca.Cert); len(got) != 1 || got[0].Certificate != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

// The verdict does not hang on the notebook.
func TestAFailingNotebookIsLogged(t *testing.T) {
	p := cardtest.ForTest(t)
	var log bytes.Buffer
	checker := card.Checker{Trust: trusting(p.TestTrust(t)), Strangers: &notebook{err: errors.New("the disk is full")}, Log: slog.New(slog.NewTextHandler(&log, nil))}
	if r := checker.Check(t.Context(), p.TestCase(t, "stranger").Certificates(), time.Now()); r.Verdict != card.UntrustedIssuer {
		t.Errorf("verdict %s", r.Verdict)
	}
	if !strings.Contains(log.String(), "the disk is full") {
		t.Errorf("the log says %s", &log)
	}
	if r := checker.Check(t.Context(), p.TestCase(t, "good-p384").Certificates(), time.Now()); r.Verdict != card.RevocationUnavailable {
		t.Errorf("verdict %s", r.Verdict)
	}
}

// What is kept of a stranger can be configured as it is.
func TestAStrangersCertificateCanBeConfigured(t *testing.T) {
	p := cardtest.ForTest(t)
	s := meet(t, p.TestTrust(t), p.TestCase(t, "stranger").Cert, p.Stranger.Cert)[0]
	block, rest := pem.Decode([]byte(s.Certificate))
	if block == nil || len(rest) > 0 {
		t.Fatal("not one PEM block")
	}
	if cert := must(x509.ParseCertificate(block.Bytes)); !cert.Equal(p.Stranger.Cert) {
		t.Error("another certificate")
	}
}
