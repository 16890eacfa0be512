package card_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// Settings that are not right do not start, and the message names where.
func TestTrustIsStrict(t *testing.T) {
	now := time.Now()
	p := cardtest.ForTest(t)
	dir := t.TempDir()
	mustOK(t, p.Save(dir))
	authority := func(file string, ca *cardtest.CA, err error) string {
		t.Helper()
		mustOK(t, err)
		mustOK(t, os.WriteFile(filepath.Join(dir, file), ca.PEM(), 0o600))
		return file
	}
	below := func(file string, key cardtest.Key, parent *cardtest.CA, change ...func(*x509.Certificate)) string {
		ca, err := cardtest.NewCA(file, "CA "+file, key, parent, now, change...)
		return authority(file, ca, err)
	}
	write := func(file, text string) string {
		mustOK(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600))
		return file
	}
	organisation := string(p.Organisation.PEM())
	key, err := p.TestCase(t, "good-p256").KeyPEM()
	mustOK(t, err)
	// The file of the first issuing CA, and of the first root.
	issuer := func(file string) func(*card.TrustConfig) {
		return func(c *card.TrustConfig) { c.Issuers[0].File, c.Issuers[0].Name = file, "CA "+file }
	}
	root := func(file string) func(*card.TrustConfig) {
		return func(c *card.TrustConfig) { c.Roots[0].File, c.Roots[0].Name = file, "" }
	}
	first := func(f func(*card.Issuer)) func(*card.TrustConfig) {
		return func(c *card.TrustConfig) { f(&c.Issuers[0]) }
	}

	for name, c := range map[string]struct {
		change func(*card.TrustConfig)
		says   []string
	}{
		"no roots":           {func(c *card.TrustConfig) { c.Roots = nil }, []string{"roots:", "at least one"}},
		"no issuers":         {func(c *card.TrustConfig) { c.Issuers = nil }, []string{"issuers:", "at least one"}},
		"citizen cards only": {func(c *card.TrustConfig) { c.Issuers = c.Issuers[2:] }, []string{"issuers:", "no card could ever sign in"}},
		"no file name":       {first(func(i *card.Issuer) { i.File = "" }), []string{"issuers[0]", "file:"}},
		"no such file":       {root("gone.crt"), []string{"roots[0]", `"gone.crt"`, "no such file"}},
		"outside of folder":  {issuer("../ca.crt"), []string{"issuers[0]", `"../ca.crt"`, "invalid"}},
		"no PEM":             {issuer(write("text.crt", "hello")), []string{"issuers[0]", "0 PEM blocks"}},
		"a key":              {issuer(write("key.crt", string(key))), []string{"issuers[0]", "PRIVATE KEY"}},
		"two certificates":   {issuer(write("two.crt", organisation+organisation)), []string{"issuers[0]", "2 PEM blocks"}},
		"damaged":            {issuer(write("cut.crt", organisation[:200])), []string{"issuers[0]", "damaged"}},
		"not a certificate":  {issuer(write("odd.crt", "-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n")), []string{"issuers[0]", "cannot be read"}},
		"a card":             {issuer(write("card.crt", string((&cardtest.CA{Cert: p.TestCase(t, "good-p256").Cert}).PEM()))), []string{"issuers[0]", "not a CA"}},
		"may not sign": {issuer(below("mute.crt", cardtest.P256, p.Root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature })),
			[]string{"issuers[0]", "key usage"}},
		"expired": {issuer(below("old.crt", cardtest.P256, p.Root, func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) })),
			[]string{"issuers[0]", `"old.crt"`, "expired on " + now.AddDate(0, 0, -1).UTC().Format(time.DateOnly)}},
		"expired root": {root(below("oldroot.crt", cardtest.P256, nil, func(c *x509.Certificate) { c.NotAfter = now.AddDate(0, 0, -1) })),
			[]string{"roots[0]", "expired on"}},
		"not yet": {issuer(below("young.crt", cardtest.P256, p.Root, func(c *x509.Certificate) { c.NotBefore = now.AddDate(0, 0, 1) })),
			[]string{"issuers[0]", "not valid before"}},
		"weak key":   {issuer(below("weak.crt", cardtest.RSA1024, p.Root)), []string{"issuers[0]", "weak key"}},
		"weak curve": {issuer(below("p224.crt", cardtest.P224, p.Root)), []string{"issuers[0]", "weak key"}},
		"SHA-1": {issuer(below("sha1.crt", cardtest.P256, p.Root, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })),
			[]string{"issuers[0]", "ECDSA-SHA1", "too weak"}},
		"SHA-1 root": {root(below("sha1root.crt", cardtest.P256, nil, func(c *x509.Certificate) { c.SignatureAlgorithm = x509.ECDSAWithSHA1 })),
			[]string{"roots[0]", "too weak"}},
		"critical extension": {issuer(below("critical.crt", cardtest.P256, p.Root, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 999, 9}, Critical: true, Value: []byte{5, 0}}}
		})), []string{"issuers[0]", "2.999.9"}},
		"other root":        {issuer(below("other.crt", cardtest.P256, p.Stranger)), []string{"issuers[0]", "does not chain"}},
		"below an issuer":   {issuer(below("deep.crt", cardtest.P256, p.Health)), []string{"issuers[0]", "path length"}},
		"issuer for a root": {root("ca-organisation.crt"), []string{"roots[0]", "not signed by itself"}},
		"root for an issuer": {func(c *card.TrustConfig) { c.Issuers[0].File, c.Issuers[0].Name = "ca-root.crt", "Portti TEST Root CA" },
			[]string{"issuers[0]", "duplicate", `"ca-root.crt"`}},
		"same CA twice": {func(c *card.TrustConfig) { c.Issuers = append(c.Issuers, c.Issuers[0]) },
			[]string{"issuers[3]", "duplicate", `"ca-organisation.crt"`}},
		"same root twice":   {func(c *card.TrustConfig) { c.Roots = append(c.Roots, c.Roots[0]) }, []string{"roots[1]", "duplicate"}},
		"no name":           {first(func(i *card.Issuer) { i.Name = "" }), []string{"issuers[0]", "name:"}},
		"mixed-up files":    {first(func(i *card.Issuer) { i.File = "ca-health.crt" }), []string{"issuers[0].name", "Organisation Cards", "Health Professional Cards"}},
		"unknown kind":      {first(func(i *card.Issuer) { i.Kind = "organization" }), []string{"issuers[0]", "kind:", `"organization"`}},
		"no policy":         {first(func(i *card.Issuer) { i.Policies = nil }), []string{"issuers[0]", "policies:"}},
		"bad policy":        {first(func(i *card.Issuer) { i.Policies = []string{"2.999.1", "1.2.x"} }), []string{"issuers[0]", "policies[1]", `"1.2.x"`}},
		"empty policy":      {first(func(i *card.Issuer) { i.Policies = []string{""} }), []string{"policies[0]"}},
		"same policy twice": {first(func(i *card.Issuer) { i.Policies = []string{"2.999.1", "2.999.1"} }), []string{"policies[1]", "twice"}},
		"test CAs":          {func(c *card.TrustConfig) { c.AcceptTestCAs = false }, []string{"roots[0]", "issuers[2]", "test CA", "accept_test_cas"}},
		"everything at once": {func(c *card.TrustConfig) {
			c.Roots[0].File, c.Issuers[1].Kind, c.Issuers[2].File = "gone.crt", "", "text.crt"
		},
			[]string{"roots[0]", "issuers[1]", "issuers[2]"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := cardtest.TrustConfig(dir)
			c.change(&config)
			trust, err := card.NewTrust(config, now)
			if err == nil || trust != nil {
				t.Fatal("accepted")
			}
			for _, says := range c.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("the message lacks %q:\n%v", says, err)
				}
			}
		})
	}
}

// The word "test" is looked for in every part of a name, and only as a word.
func TestTestCAsAreToldByTheirName(t *testing.T) {
	now := time.Now()
	for name, refused := range map[string]bool{
		"VRK TEST Root CA": true, "Some CA for Test Purposes": true, "A test-CA": true,
		"Contest Root CA": false, "Attestation CA": false, "Gov. Root CA": false,
	} {
		root := must(cardtest.NewCA("root", name, cardtest.P256, nil, now, inProduction(name)))
		ca := must(cardtest.NewCA("ca", "Cards", cardtest.P256, root, now, inProduction("Cards")))
		dir := t.TempDir()
		mustOK(t, os.WriteFile(filepath.Join(dir, "root.crt"), root.PEM(), 0o600))
		mustOK(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca.PEM(), 0o600))
		_, err := card.NewTrust(card.TrustConfig{
			Folder: dir, Roots: []card.Authority{{File: "root.crt"}},
			Issuers: []card.Issuer{{Authority: card.Authority{File: "ca.crt", Name: "Cards"}, Kind: card.OrganisationCard, Policies: []string{"2.999.1"}}},
		}, now)
		if (err != nil) != refused {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// inProduction drops cardtest's organisation, which has the word in it.
func inProduction(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.RawSubject, c.Subject = nil, pkix.Name{CommonName: name} }
}

// Browsers are told of the issuing CAs whose cards are accepted, and of nothing
// else: a root would make them offer citizen cards.
func TestHintsAreTheAcceptedIssuers(t *testing.T) {
	p := cardtest.ForTest(t)
	want := x509.NewCertPool()
	want.AddCert(p.Organisation.Cert)
	want.AddCert(p.Health.Cert)
	trust := p.TestTrust(t)
	hints := trust.Hints()
	if !hints.Equal(want) {
		t.Error("other hints than the two accepted CAs")
	}
	hints.AddCert(p.Stranger.Cert)
	if !trust.Hints().Equal(want) {
		t.Error("a caller could change the hints")
	}
}

// A path may have several storeys when all of them are configured.
func TestAuthorityBelowAnAuthority(t *testing.T) {
	now := time.Now()
	p := cardtest.ForTest(t)
	upper := must(cardtest.NewCA("upper", "Portti TEST Upper", cardtest.P256, p.Root, now, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 1, false }))
	lower := must(cardtest.NewCA("lower", "Portti TEST Lower", cardtest.P256, upper, now))
	c := p.TestCard(t, "deep", maija, cardtest.From(lower), cardtest.Policies(cardtest.OrganisationPolicy))

	for name, want := range map[string]struct {
		cas []*cardtest.CA
		card.Verdict
	}{
		"both":  {[]*cardtest.CA{upper, lower}, card.Good},
		"upper": {[]*cardtest.CA{upper}, card.UntrustedIssuer},
	} {
		dir := t.TempDir()
		mustOK(t, p.Save(dir))
		config := cardtest.TrustConfig(dir)
		for _, ca := range want.cas {
			mustOK(t, os.WriteFile(filepath.Join(dir, ca.Name+".crt"), ca.PEM(), 0o600))
			config.Issuers = append(config.Issuers, card.Issuer{
				Authority: card.Authority{File: ca.Name + ".crt", Name: ca.Cert.Subject.CommonName}, Kind: card.PersonnelCard, Policies: []string{cardtest.OrganisationPolicy},
			})
		}
		trust, err := card.NewTrust(config, now)
		mustOK(t, err)
		if got, _, reason := check(trust, c.Certificates(), now); got != want.Verdict {
			t.Errorf("%s configured: verdict %s (%s), want %s", name, got, reason, want.Verdict)
		}
	}
}
