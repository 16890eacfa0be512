package main

import (
	"crypto/rand"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// bundles are folders with trust bundles, beside an installation's settings.
type bundles struct {
	*kit
	pki *cardtest.PKI
}

func newBundles(t *testing.T) *bundles {
	t.Helper()
	return &bundles{newKit(t, store.SQLite), cardtest.ForTest(t)}
}

// bundle writes a bundle; edit changes its settings file's text.
func (b *bundles) bundle(name string, edit ...string) string {
	b.t.Helper()
	dir := filepath.Join(b.folder(), name)
	if err := b.pki.Save(dir); err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(dir, card.BundleFile)
	text, err := os.ReadFile(file)
	if err != nil {
		b.t.Fatal(err)
	}
	changed := strings.NewReplacer(edit...).Replace(string(text))
	if len(edit) > 0 && changed == string(text) {
		b.t.Fatalf("%q changes nothing in\n%s", edit, text)
	}
	if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return dir
}

// install adds the section card to the settings.
func (b *bundles) install(dir string, testCAs string) {
	b.t.Helper()
	text, err := os.ReadFile(b.config)
	if err != nil {
		b.t.Fatal(err)
	}
	b.file("card.key", "a key")
	b.file("portti.yaml", string(text)+"card:\n  url: https://card.example.org\n  certificate_file: card.crt\n  key_file: card.key\n  trust: {folder: "+dir+", accept_test_cas: "+testCAs+"}\n")
}

func TestTrustShow(t *testing.T) {
	b := newBundles(t)
	dir := b.bundle("trust", "kind: organisation", "kind: organisation\n  ocsp: [http://ocsp.example.org/org]\n  crl: [http://crl.example.org/org.crl]")
	v := decode[bundleView](t, b.ok("trust", "show", dir, "--json"))
	if len(v.Authorities) != 4 || len(v.Fingerprint) != 64 {
		t.Fatalf("%+v", v)
	}
	root, organisation, citizen := v.Authorities[0], v.Authorities[1], v.Authorities[3]
	if root.Kind != "root" || root.Name != "Portti TEST Root CA" || root.Key != "P-384" || len(root.SHA256) != 64 {
		t.Errorf("root %+v", root)
	}
	if organisation.Kind != card.OrganisationCard || !slices.Equal(organisation.Policies, []string{cardtest.OrganisationPolicy}) ||
		!slices.Equal(organisation.OCSP, []string{"http://ocsp.example.org/org"}) || !slices.Equal(organisation.CRL, []string{"http://crl.example.org/org.crl"}) || !organisation.NotAfter.Equal(b.pki.Organisation.Cert.NotAfter) {
		t.Errorf("organisation %+v", organisation)
	}
	if !citizen.Refused || organisation.Refused {
		t.Errorf("citizen %+v", citizen)
	}
	for _, text := range []string{"http://ocsp.example.org/org", organisation.SHA256, "citizen", cardtest.HealthPolicy, dayOf(root.NotAfter)} {
		if out := b.ok("trust", "show", dir); !strings.Contains(out, text) {
			t.Errorf("the table lacks %q:\n%s", text, out)
		}
	}
	if out := b.ok("trust", "show", dir, "--long"); !strings.Contains(out, "file: ca-organisation.crt") {
		t.Errorf("%s", out)
	}

	// That of the settings, and what is not in order.
	b.fails(exitFailed, "card", "trust", "show")
	b.install("trust", "false")
	if got := decode[bundleView](t, b.ok("trust", "show", "--json")); got.Fingerprint != v.Fingerprint {
		t.Errorf("another bundle: %+v", got)
	}
	b.file("trust/ca-health.crt", "hello")
	if got := decode[bundleView](t, b.ok("trust", "show", "--json")); got.Authorities[2].Note == "" || got.Authorities[1].SHA256 == "" {
		t.Errorf("%+v", got)
	}
	b.fails(exitFailed, "trust.yaml", "trust", "show", b.folder())
	b.fails(exitInvalid, "accepts at most 1", "trust", "show", dir, dir)
}

func TestTrustVerify(t *testing.T) {
	b := newBundles(t)
	dir := b.bundle("trust")
	b.refuses("test CA", "trust", "verify", dir)
	v := decode[verification](t, b.ok("trust", "verify", dir, "--accept-test-cas", "--json"))
	if !v.InOrder || len(v.Problems) > 0 || len(v.Warnings) != 3 || v.Certificate != nil {
		t.Errorf("%+v", v)
	}
	b.file("trust/ca-health.crt", "hello")
	out := b.refuses("the bundle is not in order", "trust", "verify", dir, "--accept-test-cas")
	if !strings.Contains(out, "issuers[1]") || !strings.Contains(out, "in_order: false") {
		t.Errorf("%s", out)
	}

	// That of the settings is verified as they say.
	b.bundle("trust")
	b.install("trust", "true")
	b.ok("trust", "verify")
}

func TestTrustVerifyJudgesACertificate(t *testing.T) {
	b := newBundles(t)
	dir := b.bundle("trust")
	write := func(name string, c *cardtest.Card) string {
		b.file(name+".pem", string(c.PEM()))
		return filepath.Join(b.folder(), name+".pem")
	}
	good := decode[verification](t, b.ok("trust", "verify", dir, "--accept-test-cas", "--json", "--certificate", write("good", b.pki.TestCase(t, "good-p384"))))
	if c := good.Certificate; c == nil || c.Verdict != card.Good || c.Failed != "" || c.Kind != card.OrganisationCard || c.Revocation != "not asked" ||
		!slices.Equal(c.Path, []string{"Portti TEST Organisation Cards", "Portti TEST Root CA"}) {
		t.Errorf("%+v", c)
	}
	for name, want := range map[string]verdictView{
		"citizen":   {Verdict: card.KindNotAccepted, Failed: card.CheckKind, Kind: card.CitizenCard},
		"stranger":  {Verdict: card.UntrustedIssuer, Failed: card.CheckIssuer},
		"signature": {Verdict: card.SignatureCertificate, Failed: card.CheckPurpose, Kind: card.OrganisationCard},
	} {
		out := b.refuses("the certificate is refused: "+string(want.Verdict), "trust", "verify", dir, "--accept-test-cas", "--json", "--certificate", write(name, b.pki.TestCase(t, name)))
		got := decode[verification](t, out).Certificate
		if got == nil || got.Verdict != want.Verdict || got.Failed != want.Failed || got.Kind != want.Kind || got.Reason == "" {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(out, "Meik") || strings.Contains(out, "123456789X") {
			t.Errorf("it tells of the holder: %s", out)
		}
	}
	key, err := b.pki.TestCase(t, "good-p384").KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	b.file("key.pem", string(key))
	b.file("none.pem", "hello")
	b.refuses("only certificates", "trust", "verify", dir, "--certificate", filepath.Join(b.folder(), "key.pem"))
	b.refuses("no certificate", "trust", "verify", dir, "--certificate", filepath.Join(b.folder(), "none.pem"))
	b.refuses("no such file", "trust", "verify", dir, "--certificate", filepath.Join(b.folder(), "gone.pem"))
}

// refuses wants exit code 1 and a message that holds a text, and returns what was
// printed.
func (b *bundles) refuses(text string, args ...string) string {
	b.t.Helper()
	out, errs, code := b.run(args...)
	if code != exitFailed || !strings.Contains(errs+out, text) {
		b.t.Errorf("porttictl %s: exit code %d; it says %q and prints %q, want %q", strings.Join(args, " "), code, errs, out, text)
	}
	return out
}

func TestTrustDiff(t *testing.T) {
	b := newBundles(t)
	old := b.bundle("old")
	diff := func(fresh string) trustDiff {
		t.Helper()
		return decode[trustDiff](t, b.ok("trust", "diff", old, fresh, "--json"))
	}
	means := func(d trustDiff, texts ...string) {
		t.Helper()
		all := strings.Join(d.Means, "\n")
		for _, text := range texts {
			if !strings.Contains(all, text) {
				t.Errorf("the words lack %q:\n%s", text, all)
			}
		}
		if len(d.Means) != len(texts) {
			t.Errorf("%d sentences, want %d:\n%s", len(d.Means), len(texts), all)
		}
	}

	if d := diff(b.bundle("same")); len(d.Added)+len(d.Removed)+len(d.Changed) > 0 {
		t.Errorf("%+v", d)
	} else {
		means(d, "nothing changes")
	}

	d := diff(b.bundle("kinds", "kind: organisation", "kind: citizen", "- "+cardtest.HealthPolicy, "- 2.999.5", "ca-root.crt", "ca-root.crt\n  crl: [http://crl.example.org/root.crl]"))
	if len(d.Changed) != 3 || d.Changed[1].Name != "Portti TEST Organisation Cards" || !slices.Equal(d.Changed[1].Changes, []string{"kind: organisation → citizen"}) {
		t.Errorf("%+v", d.Changed)
	}
	means(d, "Portti TEST Root CA: it is asked at http://crl.example.org/root.crl", "Organisation Cards: its cards are refused from now on (card_kind_not_accepted)",
		"only the policy "+cardtest.HealthPolicy+" are refused", "Health Professional Cards: its cards with the policy 2.999.5 are accepted")

	// Removed, added; a host; and an old bundle that is no longer in order.
	fresh := b.bundle("hosts")
	c, err := card.ReadTrustConfig(fresh)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Issuers) != 3 {
		t.Fatalf("%+v", c)
	}
	b.file("hosts/trust.yaml", "roots: [{file: ca-root.crt}]\nissuers: [{file: ca-organisation.crt, name: Portti TEST Organisation Cards, kind: organisation, policies: ["+cardtest.OrganisationPolicy+"]}]\nrevocation_hosts: [ocsp.example.org]\n")
	d = diff(fresh)
	if len(d.Removed) != 2 || !slices.Equal(d.AddedHosts, []string{"ocsp.example.org"}) {
		t.Errorf("%+v", d)
	}
	means(d, "Health Professional Cards: its cards are refused from now on (untrusted_issuer)", "Citizen Cards: its cards are refused as of an unknown CA", "ocsp.example.org is asked")
	d = decode[trustDiff](t, b.ok("trust", "diff", fresh, old, "--json"))
	means(d, "Health Professional Cards: its cards are accepted as health_professional cards", "Citizen Cards: its cards are refused by their kind", "ocsp.example.org is no longer asked")
	b.file("old/ca-citizen.crt", "hello")
	if _, errs, code := b.run("trust", "diff", old, fresh); code != 0 || !strings.Contains(errs, "is not in order") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	b.fails(exitFailed, "trust.yaml", "trust", "diff", old, b.folder())
	b.fails(exitInvalid, "accepts 2", "trust", "diff", old)
}

// A CA's certificate is renewed with its key; or its name is taken over with another.
func TestTrustDiffOfRenewedCertificates(t *testing.T) {
	b := newBundles(t)
	old := b.bundle("old")
	fresh := b.bundle("fresh")
	renewed := *b.pki.Organisation.Cert
	renewed.NotAfter = renewed.NotAfter.AddDate(1, 0, 0)
	der, err := x509.CreateCertificate(rand.Reader, &renewed, b.pki.Root.Cert, b.pki.Organisation.Key.Public(), b.pki.Root.Key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	b.file("fresh/ca-organisation.crt", string((&cardtest.CA{Cert: cert}).PEM()))
	d := decode[trustDiff](t, b.ok("trust", "diff", old, fresh, "--json"))
	if len(d.Added) != 1 || len(d.Removed) != 1 || len(d.Means) != 1 || !strings.Contains(d.Means[0], "the same key") {
		t.Errorf("%+v", d)
	}
	other, err := cardtest.NewCA("organisation", "Portti TEST Organisation Cards", cardtest.P384, b.pki.Root, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	b.file("fresh/ca-organisation.crt", string(other.PEM()))
	d = decode[trustDiff](t, b.ok("trust", "diff", old, fresh, "--json"))
	if len(d.Means) != 2 || !strings.Contains(d.Means[0], "refused from now on") || !strings.Contains(d.Means[1], "accepted") {
		t.Errorf("%+v", d.Means)
	}
}

// A CA whose file is damaged is not said to gain anything.
func TestTrustDiffOfADamagedCertificate(t *testing.T) {
	b := newBundles(t)
	old, fresh := b.bundle("old"), b.bundle("fresh")
	b.file("fresh/ca-organisation.crt", "damaged")
	for _, way := range [][2]string{{old, fresh}, {fresh, old}} {
		words := strings.Join(decode[trustDiff](t, b.ok("trust", "diff", way[0], way[1], "--json")).Means, "\n")
		if accepted := strings.Contains(words, "its cards are accepted as"); accepted != (way[1] == old) || !strings.Contains(words, "be read") {
			t.Errorf("%v: %s", way, words)
		}
	}
}

func TestTrustStrangers(t *testing.T) {
	for _, driver := range storetest.Drivers {
		t.Run(driver, func(t *testing.T) {
			k := newKit(t, driver)
			if out := k.ok("trust", "strangers", "--json"); strings.TrimSpace(out) != "[]" {
				t.Errorf("%s", out)
			}
			now := time.Now()
			one := card.Stranger{ID: strings.Repeat("ab", 32), Issuer: "CN=New Cards,O=Agency,C=FI", KeyID: "0a0b", Certificate: "-----BEGIN CERTIFICATE-----\n", SHA256: strings.Repeat("cd", 32), Root: "Gov. Root CA"}
			two := card.Stranger{ID: "ab12" + strings.Repeat("0", 60), Issuer: "CN=Odd,O=Somebody"}
			for _, s := range []card.Stranger{one, two, two} {
				if err := k.db.MetStranger(t.Context(), s, now); err != nil {
					t.Fatal(err)
				}
			}
			all := decode[[]strangerView](t, k.ok("trust", "strangers", "--json"))
			if len(all) != 2 || all[0].ID != one.ID || all[0].Certificate != one.Certificate || all[1].Seen != 2 {
				t.Errorf("%+v", all)
			}
			out := k.ok("trust", "strangers")
			for _, text := range []string{"abababababab ", one.Issuer, "Gov. Root CA", one.SHA256, two.Issuer} {
				if !strings.Contains(out, text) {
					t.Errorf("the table lacks %q:\n%s", text, out)
				}
			}
			if got := decode[strangerView](t, k.ok("trust", "strangers", "ABAB", "--json")); got.ID != one.ID || got.Certificate == "" {
				t.Errorf("%+v", got)
			}
			k.fails(exitInvalid, "2 IDs begin", "trust", "strangers", "ab")
			k.fails(exitNotFound, "No card of such an issuer", "trust", "strangers", "ff", "--forget")
			k.fails(exitInvalid, "say which", "trust", "strangers", "--forget")

			k.ok("trust", "strangers", "ab12", "--forget") // a rehearsal
			if all := decode[[]strangerView](t, k.ok("trust", "strangers", "--json")); len(all) != 2 {
				t.Error("forgotten without --apply")
			}
			k.ok("trust", "strangers", "ab12", "--forget", "--apply")
			if all := decode[[]strangerView](t, k.ok("trust", "strangers", "--json")); len(all) != 1 || all[0].ID != one.ID {
				t.Errorf("%+v", all)
			}
			events, err := k.db.AuditEvents(t.Context(), store.Trail{})
			if err != nil || len(events) != 1 || events[0].Type != audit.CardIssuerForgotten || events[0].Actor != "operator:tester" || events[0].Details["issuer"] != two.Issuer {
				t.Errorf("%+v, %v", events, err)
			}
		})
	}
}

// stranger lets the card of an unknown issuer be shown.
func (k *kit) stranger(id string) {
	k.t.Helper()
	if err := k.db.MetStranger(k.t.Context(), card.Stranger{ID: id, Issuer: "CN=Cards,O=Agency"}, time.Now()); err != nil {
		k.t.Fatal(err)
	}
}
