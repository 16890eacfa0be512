package card_test

import (
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// Whatever a certificate holds: no panic, a verdict that exists, texts fit to be
// shown. The certificate is judged twice: as it is, when nobody has signed it
// and so it cannot be good; and signed by a CA that we trust, so that the checks
// behind the first are reached.
func FuzzCheck(f *testing.F) {
	now := time.Now()
	p := cardtest.ForTest(f)
	root := must(cardtest.NewCA("root", "Portti TEST Fuzz Root", cardtest.P256, nil, now))
	ca := must(cardtest.NewCA("ca", "Portti TEST Fuzz Cards", cardtest.P256, root, now))
	ca.Policy = cardtest.OrganisationPolicy
	trust := trustIn(f, now, root, ca)
	for _, c := range cardtest.Cases() {
		f.Add(p.TestCase(f, c.Name).Cert.Raw)
	}

	f.Fuzz(func(t *testing.T, der []byte) {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return
		}
		met(t, trust, now, cert, p.Stranger.Cert)
		met(t, trust, now, cert, cert)
		if got := fuzzed(t, trust, cert, now); got == card.Good {
			t.Error("good, though our CA never signed it")
		}
		signed, err := adopt(cert, ca)
		if err != nil {
			return
		}
		if got := fuzzed(t, trust, signed, now); got == card.Good && !plausible(signed, now) {
			t.Error("good, against the rules")
		}
	})
}

// met checks what is noted of an unknown issuer.
func met(t *testing.T, trust *card.Trust, now time.Time, certs ...*x509.Certificate) {
	n := &notebook{}
	(&card.Checker{Trust: trusting(trust), Strangers: n}).Check(t.Context(), certs, now)
	for _, s := range n.met {
		if len(s.ID) != 64 || s.Issuer == "" || !utf8.ValidString(s.Issuer+s.KeyID) || utf8.RuneCountInString(s.Issuer) > 500 || len(s.KeyID) > 64 || len(s.Certificate) > 32<<10 || s.Root != "" {
			t.Errorf("noted %+v", s)
		}
		if s.Certificate != "" && !strings.Contains(s.Certificate, "BEGIN CERTIFICATE") {
			t.Errorf("noted %q", s.Certificate)
		}
	}
}

func fuzzed(t *testing.T, trust *card.Trust, cert *x509.Certificate, now time.Time) card.Verdict {
	verdict, h, reason := check(trust, []*x509.Certificate{cert}, now)
	if !slices.Contains(card.Verdicts, verdict) {
		t.Errorf("verdict %q", verdict)
	}
	for _, text := range []string{h.Issuer, h.IssuerDN, h.Serial, h.SubjectSerial, h.Name, h.Organisation, reason} {
		if !utf8.ValidString(text) || utf8.RuneCountInString(text) > 500 {
			t.Errorf("text %q", text)
		}
		for _, r := range text {
			if !unicode.IsGraphic(r) {
				t.Errorf("text %q has %U", text, r)
			}
		}
	}
	return verdict
}

// adopt makes the certificate one of ca's.
func adopt(cert *x509.Certificate, ca *cardtest.CA) (*x509.Certificate, error) {
	ecdsaWithSHA256 := asn1.ObjectIdentifier{1, 2, 840, 10045, 4, 3, 2}
	return cardtest.Rebuild(cert, ca.Key, ecdsaWithSHA256, crypto.SHA256, func(fields []asn1.RawValue) []asn1.RawValue {
		fields[3] = asn1.RawValue{FullBytes: ca.Cert.RawSubject}
		return fields
	})
}

// plausible says again, in other words, what a good card is.
func plausible(c *x509.Certificate, now time.Time) bool {
	policy := must(x509.ParseOID(cardtest.OrganisationPolicy))
	return c.KeyUsage&x509.KeyUsageDigitalSignature > 0 && !c.IsCA && c.Version == 3 && slices.ContainsFunc(c.Policies, policy.Equal) &&
		!now.Before(c.NotBefore) && !now.After(c.NotAfter) && len(c.UnhandledCriticalExtensions) == 0
}

// The fuzzer's way to the later checks is open.
func TestFuzzReachesTheLaterChecks(t *testing.T) {
	now := time.Now()
	p := cardtest.ForTest(t)
	root := must(cardtest.NewCA("root", "Portti TEST Fuzz Root", cardtest.P256, nil, now))
	ca := must(cardtest.NewCA("ca", "Portti TEST Fuzz Cards", cardtest.P256, root, now))
	ca.Policy = cardtest.OrganisationPolicy
	trust := trustIn(t, now, root, ca)
	for name, want := range map[string]card.Verdict{"good-p384": card.Good, "critical": card.WeakOrMalformed, "signature": card.SignatureCertificate} {
		if got := fuzzed(t, trust, must(adopt(p.TestCase(t, name).Cert, ca)), now); got != want {
			t.Errorf("%s: verdict %s, want %s", name, got, want)
		}
	}
}

// Whatever lies in a bundle's folder: no panic, and an error that names a field or
// the file; what is accepted chains to a root that is there.
func FuzzBundle(f *testing.F) {
	now := time.Now()
	p := cardtest.ForTest(f)
	source := f.TempDir()
	mustOK(f, p.Save(source))
	settings := must(os.ReadFile(filepath.Join(source, card.BundleFile)))
	root, ca := p.Root.PEM(), p.Organisation.PEM()
	f.Add(settings, root, ca)
	f.Add(settings, ca, root)
	f.Add([]byte("roots: [{file: ca-root.crt}]\nissuers:\n- {file: ca-organisation.crt, name: Portti TEST Organisation Cards, kind: citizen, ocsp: ['ldap://x']}\nrevocation_hosts: [a, 'b:1']\n"), root, ca[:100])
	f.Add([]byte("roots: &r\n- *r\n"), []byte("-----BEGIN CERTIFICATE-----\n"), []byte{})
	f.Add([]byte("a: &a [x,x]\nb: &b [*a,*a]\n"), []byte("-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n"), []byte{0})
	f.Add([]byte("{\x00"), []byte{}, []byte{})
	dir := f.TempDir()
	mustOK(f, p.Save(dir))

	f.Fuzz(func(t *testing.T, settings, root, ca []byte) {
		for name, text := range map[string][]byte{card.BundleFile: settings, "ca-root.crt": root, "ca-organisation.crt": ca} {
			mustOK(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
		}
		s := card.SurveyBundle(dir, true, now)
		if (s.Problem == nil) != (s.Trust != nil) {
			t.Fatalf("trust %v with the problem %v", s.Trust, s.Problem)
		}
		if s.Problem != nil {
			for line := range strings.Lines(s.Problem.Error()) {
				if named := strings.Contains(s.Problem.Error(), card.BundleFile) || strings.HasPrefix(line, "roots") || strings.HasPrefix(line, "issuers") || strings.HasPrefix(line, "revocation_hosts"); !named {
					t.Fatalf("which field? %q", line)
				}
			}
			return
		}
		for _, source := range s.Trust.Sources() {
			if err := source.CA.CheckSignatureFrom(source.Parent); err != nil {
				t.Errorf("%s: %v", source.CA.Subject, err)
			}
		}
		s.Trust.Warnings(now)
	})
}
