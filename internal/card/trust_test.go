package card_test

import (
	"cmp"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"os"
	"path/filepath"
	"slices"
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

	// What is wrong with a certificate; with the settings, in the others.
	faults := map[string]card.Fault{
		"no such file": card.FaultUnreadable, "outside of folder": card.FaultUnreadable, "no PEM": card.FaultUnreadable, "a key": card.FaultUnreadable, "two certificates": card.FaultUnreadable,
		"damaged": card.FaultUnreadable, "not a certificate": card.FaultUnreadable, "a card": card.FaultNotCA, "may not sign": card.FaultNotCA, "expired": card.FaultExpired,
		"expired root": card.FaultExpired, "not yet": card.FaultEarly, "weak key": card.FaultWeak, "weak curve": card.FaultWeak, "SHA-1": card.FaultWeak, "SHA-1 root": card.FaultWeak,
		"critical extension": card.FaultLimits, "other root": card.FaultChain, "below an issuer": card.FaultChain, "issuer for a root": card.FaultNotRoot, "root for an issuer": card.FaultTwice,
		"same CA twice": card.FaultTwice, "same root twice": card.FaultTwice, "mixed-up files": card.FaultName, "server CA": card.FaultNotCA, "mail CA": card.FaultNotCA,
		"root for servers": card.FaultNotCA, "loose name constraints": card.FaultLimits, "names that are not known": card.FaultLimits, "test CAs": card.FaultTest,
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
		"anyPolicy":         {first(func(i *card.Issuer) { i.Policies = []string{"2.5.29.32.0"} }), []string{"policies[0]", "anyPolicy"}},
		"server CA": {issuer(below("servers.crt", cardtest.P256, p.Root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
			[]string{"issuers[0]", "servers.crt", "other certificates than cards"}},
		"mail CA": {issuer(below("mail.crt", cardtest.P256, p.Root, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection, x509.ExtKeyUsageOCSPSigning}
		})), []string{"issuers[0]", "other certificates than cards"}},
		"root for servers": {root(below("serverroot.crt", cardtest.P256, nil, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth} })),
			[]string{"roots[0]", "other certificates than cards"}},
		"loose name constraints": {issuer(below("loose.crt", cardtest.P256, p.Root, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example.test"} })),
			[]string{"issuers[0]", "not marked critical"}},
		"names that are not known": {issuer(below("dirnames.crt", cardtest.P256, p.Root, func(c *x509.Certificate) {
			c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 30}, Critical: true, Value: directoryNameConstraint(t)}}
		})), []string{"issuers[0]", "2.5.29.30", "not understood"}},
		"LDAP":               {first(func(i *card.Issuer) { i.CRL = []string{"http://a.test/a.crl", "ldap://ldap.a.test/cn=a"} }), []string{"issuers[0].crl[1]", `"ca-organisation.crt"`, "LDAP is not spoken"}},
		"address of a root":  {func(c *card.TrustConfig) { c.Roots[0].OCSP = []string{"ocsp.a.test"} }, []string{"roots[0].ocsp[0]", "http://"}},
		"address without":    {first(func(i *card.Issuer) { i.OCSP = []string{"http:///x"} }), []string{"issuers[0].ocsp[0]", "no host"}},
		"address with star":  {first(func(i *card.Issuer) { i.OCSP = []string{"http://*.a.test/"} }), []string{"issuers[0].ocsp[0]", "no host"}},
		"address with port":  {first(func(i *card.Issuer) { i.OCSP = []string{"http://a.test:0/"} }), []string{"issuers[0].ocsp[0]", "no host"}},
		"address with user":  {first(func(i *card.Issuer) { i.OCSP = []string{"https://me:secret@a.test/"} }), []string{"issuers[0].ocsp[0]", "no user"}},
		"address with part":  {first(func(i *card.Issuer) { i.CRL = []string{"https://a.test/#x"} }), []string{"issuers[0].crl[0]", "fragment"}},
		"address of a file":  {first(func(i *card.Issuer) { i.CRL = []string{"file:///etc/passwd"} }), []string{"issuers[0].crl[0]", "http://"}},
		"address twice":      {first(func(i *card.Issuer) { i.CRL = []string{"http://a.test/", "http://a.test/"} }), []string{"issuers[0].crl[1]", "twice"}},
		"empty address":      {first(func(i *card.Issuer) { i.CRL = []string{""} }), []string{"issuers[0].crl[0]"}},
		"address with blank": {first(func(i *card.Issuer) { i.CRL = []string{"http://a.test/ "} }), []string{"issuers[0].crl[0]", "not a URL"}},
		"hosts": {func(c *card.TrustConfig) {
			c.RevocationHosts = []string{"http://a.test", "a.test/", "*.a.test", "", "a.test:0", "a.test:http", "A.test", "a.TEST"}
		}, []string{"revocation_hosts[0]", "revocation_hosts[1]", "revocation_hosts[2]", "revocation_hosts[3]", "revocation_hosts[4]", "revocation_hosts[5]", "revocation_hosts[7]: a.test is there twice"}},
		"too many": {func(c *card.TrustConfig) { c.Issuers = slices.Repeat(c.Issuers, 40) }, []string{"more than 100"}},
		"test CAs": {func(c *card.TrustConfig) { c.AcceptTestCAs = false }, []string{"roots[0]", "issuers[2]", "test CA", "accept_test_cas"}},
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
			// And what it is, for those who do not read English.
			defects := card.Defects(err)
			want := cmp.Or(faults[name], card.FaultSettings)
			if !slices.ContainsFunc(defects, func(d card.Defect) bool {
				return d.Fault == want && (d.File == card.BundleFile) == (want == card.FaultSettings) && strings.Contains(d.Text+card.BundleFile, d.File)
			}) {
				t.Errorf("it is no %s: %+v", want, defects)
			}
			var lines []string
			for _, d := range defects {
				lines = append(lines, d.Text)
				if dated := d.Fault == card.FaultExpired || d.Fault == card.FaultEarly; dated == d.Date.IsZero() {
					t.Errorf("%s has the date %v", d.Fault, d.Date)
				}
			}
			if strings.Join(lines, "\n") != err.Error() {
				t.Errorf("the defects say\n%s\nand the error\n%v", strings.Join(lines, "\n"), err)
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

func notBefore(at time.Time) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.NotBefore = at }
}

// directoryNameConstraint permits names below C=FI (RFC 5280 §4.2.1.10), which
// crypto/x509 does not know.
func directoryNameConstraint(t *testing.T) []byte {
	name := must(asn1.Marshal(pkix.Name{Country: []string{"FI"}}.ToRDNSequence()))
	base := must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 4, IsCompound: true, Bytes: name}))
	subtree := must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: base}))
	permitted := must(asn1.Marshal(asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: subtree}))
	return must(asn1.Marshal(asn1.RawValue{Tag: asn1.TagSequence, IsCompound: true, Bytes: permitted}))
}

// forest is a folder with trees beside each other, and the settings that name them.
type forest struct {
	t      *testing.T
	config card.TrustConfig
	now    time.Time
}

func newForest(t *testing.T) *forest {
	return &forest{t: t, now: time.Now(), config: card.TrustConfig{Folder: t.TempDir(), AcceptTestCAs: true}}
}

func (f *forest) ca(name string, key cardtest.Key, parent *cardtest.CA, change ...func(*x509.Certificate)) *cardtest.CA {
	f.t.Helper()
	ca := must(cardtest.NewCA(name, "Portti TEST "+name, key, parent, f.now, change...))
	mustOK(f.t, os.WriteFile(filepath.Join(f.config.Folder, name+".crt"), ca.PEM(), 0o600))
	a := card.Authority{File: name + ".crt", Name: ca.Cert.Subject.CommonName}
	if parent == nil {
		f.config.Roots = append(f.config.Roots, a)
	} else {
		ca.Policy = cardtest.OrganisationPolicy
		f.config.Issuers = append(f.config.Issuers, card.Issuer{Authority: a, Kind: card.OrganisationCard, Policies: []string{ca.Policy}})
	}
	return ca
}

func (f *forest) trust() *card.Trust {
	f.t.Helper()
	trust, err := card.NewTrust(f.config, f.now)
	mustOK(f.t, err)
	return trust
}

// An RSA tree and an elliptic one stand side by side, as the Agency's do; each
// card goes up its own.
func TestTreesSideBySide(t *testing.T) {
	p, f := cardtest.ForTest(t), newForest(t)
	rsaRoot, eccRoot := f.ca("rsa-root", cardtest.RSA2048, nil), f.ca("ecc-root", cardtest.P384, nil)
	rsa, ecc := f.ca("rsa", cardtest.RSA2048, rsaRoot), f.ca("ecc", cardtest.P384, eccRoot)
	trust := f.trust()
	for _, c := range []struct {
		ca, root *cardtest.CA
		key      cardtest.Key
	}{{rsa, rsaRoot, cardtest.RSA2048}, {ecc, eccRoot, cardtest.P384}, {rsa, rsaRoot, cardtest.P256}} {
		r := trust.Check(p.TestCard(t, strings.ToLower(c.ca.Name+string(c.key)), maija, cardtest.From(c.ca), cardtest.WithKey(c.key)).Certificates(), f.now)
		if r.Verdict != card.Good || !r.Path[2].Equal(c.root.Cert) {
			t.Errorf("%s card of %s: %s (%s)", c.key, c.ca.Name, r.Verdict, r.Reason)
		}
	}
	if n := len(trust.Sources()); n != 4 {
		t.Errorf("%d sources", n)
	}
	if s, ok := trust.Source(ecc.Cert); !ok || !s.Parent.Equal(eccRoot.Cert) {
		t.Errorf("source %+v", s)
	}
}

// A CA for some purposes cannot lend others to its cards.
func TestPurposesOfACABoundItsCards(t *testing.T) {
	p, f := cardtest.ForTest(t), newForest(t)
	root := f.ca("root", cardtest.P256, nil)
	client := f.ca("client", cardtest.P256, root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} })
	logon := f.ca("logon", cardtest.P256, root, func(c *x509.Certificate) {
		c.UnknownExtKeyUsage = []asn1.ObjectIdentifier{{1, 3, 6, 1, 4, 1, 311, 20, 2, 2}}
	})
	anything := f.ca("any", cardtest.P256, root, func(c *x509.Certificate) {
		c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageAny}
	})
	trust := f.trust()
	both := cardtest.Change(func(*x509.Certificate) {}) // cards have clientAuth and smartcardLogon
	clientAuth := cardtest.Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageClientAuth)
	for i, c := range []struct {
		ca  *cardtest.CA
		has cardtest.Option
		card.Verdict
	}{
		{client, both, card.Good}, {client, clientAuth, card.Good}, {logon, both, card.Good}, {anything, clientAuth, card.Good},
		{logon, clientAuth, card.WeakOrMalformed},
		{client, cardtest.Purposes(x509.KeyUsageDigitalSignature), card.Good},
	} {
		r := trust.Check(p.TestCard(t, "purpose-"+string(rune('a'+i)), maija, cardtest.From(c.ca), c.has).Certificates(), f.now)
		if r.Verdict != c.Verdict || (r.Verdict != card.Good && r.Failed != card.CheckPurpose) {
			t.Errorf("%d: %s at %q (%s), want %s", i, r.Verdict, r.Failed, r.Reason, c.Verdict)
		}
	}
}

// A CA whose certificate demands explicit policies issues under its own alone
// (RFC 5280 §6.1.5).
func TestExplicitPoliciesOfACA(t *testing.T) {
	p, f := cardtest.ForTest(t), newForest(t)
	root := f.ca("root", cardtest.P256, nil)
	own := must(x509.ParseOID("2.999.77"))
	strict := f.ca("strict", cardtest.P256, root, func(c *x509.Certificate) {
		c.Policies = []x509.OID{own}
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 36}, Critical: true, Value: []byte{0x30, 3, 0x80, 1, 0}}} // requireExplicitPolicy 0
	})
	f.config.Issuers[0].Policies = []string{cardtest.OrganisationPolicy, "2.999.77"}
	trust := f.trust()
	for policy, want := range map[string]card.Verdict{"2.999.77": card.Good, cardtest.OrganisationPolicy: card.UntrustedIssuer} {
		r := trust.Check(p.TestCard(t, "p"+strings.ReplaceAll(policy, ".", ""), maija, cardtest.From(strict), cardtest.Policies(policy)).Certificates(), f.now)
		if r.Verdict != want {
			t.Errorf("%s: %s (%s), want %s", policy, r.Verdict, r.Reason, want)
		}
	}
	if all := sentences(trust.Warnings(f.now)); !strings.Contains(all, "the policy "+cardtest.OrganisationPolicy+" is accepted") || !strings.Contains(all, "may issue only 2.999.77") ||
		strings.Contains(all, "the policy 2.999.77") {
		t.Errorf("warnings %s", all)
	}
}

// What is in order may still need somebody to look at it.
func TestWarnings(t *testing.T) {
	const nowhere = "nothing says where to ask"
	ocsp := func(c *card.TrustConfig) {
		c.Roots[0].OCSP, c.Issuers[0].CRL = []string{"http://ocsp.a.test/root"}, []string{"http://crl.a.test/a.crl"}
	}
	for name, c := range map[string]struct {
		ca     func(*x509.Certificate)
		change func(*card.TrustConfig)
		after  time.Duration
		want   []string
	}{
		"nothing":          {nil, ocsp, 0, nil},
		"no address":       {nil, func(*card.TrustConfig) {}, 0, []string{"Portti TEST root: " + nowhere, "Portti TEST ca: " + nowhere}},
		"only the root's":  {nil, func(c *card.TrustConfig) { c.Roots[0].CRL = []string{"https://a.test/"} }, 0, []string{"Portti TEST ca: " + nowhere}},
		"only the cards'":  {nil, func(c *card.TrustConfig) { c.Issuers[0].OCSP = []string{"https://a.test/"} }, 0, []string{"Portti TEST root: " + nowhere}},
		"hosts for cards":  {nil, func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test"} }, 0, []string{"Portti TEST root: " + nowhere}},
		"hosts for both":   {inCertificate("http://A.test/x"), func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test"} }, 0, nil},
		"hosts with port":  {inCertificate("http://a.test:8080/x"), func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test:8080"} }, 0, nil},
		"own port":         {inCertificate("https://a.test:443/x"), func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test"} }, 0, nil},
		"other port":       {inCertificate("http://a.test:8080/x"), func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test"} }, 0, []string{"Portti TEST root: " + nowhere}},
		"other hosts":      {inCertificate("http://b.test/x"), func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test"} }, 0, []string{"Portti TEST root: " + nowhere}},
		"LDAP in the card": {inCertificate("ldap://a.test/x"), func(c *card.TrustConfig) { c.RevocationHosts = []string{"a.test"} }, 0, []string{"Portti TEST root: " + nowhere}},
		"citizen cards":    {nil, func(c *card.TrustConfig) { ocsp(c); c.Issuers[1].Kind = card.CitizenCard }, 0, nil},
		"idle root": {nil, func(c *card.TrustConfig) {
			ocsp(c)
			c.Roots = append(c.Roots, card.Authority{File: "idle.crt"})
		}, 0, []string{"Portti TEST idle: no configured CA"}},
		"100 days before": {nil, ocsp, -100 * day, nil},
		"80 days before":  {nil, ocsp, -80 * day, []string{"Portti TEST ca: expires on ", ", in 80 days"}},
		"a day after":     {nil, ocsp, day, []string{"Portti TEST ca: expired on "}},
		"own policies":    {policies(cardtest.OrganisationPolicy, "2.999.5"), ocsp, 0, nil},
		"anyPolicy":       {policies("2.5.29.32.0"), ocsp, 0, nil},
		"other policies":  {policies("2.999.5"), ocsp, 0, []string{"Portti TEST ca: the policy " + cardtest.OrganisationPolicy, "2.999.5"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newForest(t)
			root := f.ca("root", cardtest.P256, nil)
			ca := f.ca("ca", cardtest.P256, root, func(cert *x509.Certificate) {
				if c.ca != nil {
					c.ca(cert)
				}
			})
			idle := must(cardtest.NewCA("idle", "Portti TEST idle", cardtest.P256, nil, f.now))
			mustOK(t, os.WriteFile(filepath.Join(f.config.Folder, "idle.crt"), idle.PEM(), 0o600))
			if name == "citizen cards" {
				f.ca("citizens", cardtest.P256, root, policies("2.999.5"))
			}
			c.change(&f.config)
			now := f.now
			if c.after != 0 {
				now = ca.Cert.NotAfter.Add(c.after)
			}
			all := f.trust().Warnings(now)
			text := sentences(all)
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if wanted := slices.DeleteFunc(slices.Clone(c.want), func(w string) bool { return !strings.HasPrefix(w, "Portti") }); len(all) != len(wanted) {
				t.Errorf("%d warnings, want %d:\n%s", len(all), len(wanted), text)
			}
		})
	}
}

func sentences(warnings []card.Warning) string {
	var all []string
	for _, w := range warnings {
		all = append(all, w.String())
	}
	return strings.Join(all, "\n")
}

func inCertificate(address string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.OCSPServer = []string{address} }
}

func policies(oids ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		for _, oid := range oids {
			c.Policies = append(c.Policies, must(x509.ParseOID(oid)))
		}
	}
}
