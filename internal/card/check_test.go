package card_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	_ "crypto/md5"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

var maija = cardtest.Person{Given: "Maija", Family: "Meikäläinen", Organisation: "Esimerkkivirasto", Serial: "123456789X"}

// S21, S22, S23: every card of the corpus gets its stated verdict.
func TestEveryCardGetsItsVerdict(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	refused := 0
	for _, c := range cardtest.Cases() {
		t.Run(c.Name, func(t *testing.T) {
			r := trust.Check(p.TestCase(t, c.Name).Certificates(), time.Now())
			got, holder, reason := r.Verdict, r.Holder, r.Reason
			if want := decidedBy(c); r.Failed != want {
				t.Errorf("%s: the check %q decided, want %q", c.About, r.Failed, want)
			}
			if got != c.Verdict {
				t.Errorf("%s: verdict %s (%s), want %s", c.About, got, reason, c.Verdict)
			}
			if (got == card.Good) != (reason == "") {
				t.Errorf("verdict %s with the reason %q", got, reason)
			}
			for _, private := range []string{"Maija", "Meikäläinen", "MEIKÄLÄINEN", "123456789X"} {
				if strings.Contains(reason, private) {
					t.Errorf("the reason is for logs, and tells of the holder: %s", reason)
				}
			}
			if got == card.Good && holder.Name != "Maija Meikäläinen" {
				t.Errorf("holder %q", holder.Name)
			}
		})
		if c.Verdict != card.Good {
			refused++
		}
	}
	if refused < 30 {
		t.Errorf("the corpus has %d bad cards, 30 are wanted", refused)
	}
}

// decidedBy is the check that refuses a case's card.
func decidedBy(c cardtest.Case) card.Check {
	switch c.Verdict {
	case card.Good:
		return ""
	case card.UntrustedIssuer:
		return card.CheckIssuer
	case card.NotYetValid, card.Expired:
		return card.CheckValidity
	case card.SignatureCertificate:
		return card.CheckPurpose
	case card.KindNotAccepted:
		return card.CheckKind
	}
	switch c.Name {
	case "too-many", "too-large", "large-companion", "version-1", "ca", "cert-sign", "long-serial", "backwards":
		return card.CheckForm
	case "encryption", "no-usage", "server-eku", "mail-eku", "ocsp-eku":
		return card.CheckPurpose
	}
	return card.CheckStrength
}

// S66: what came before the check that failed was passed, and what the report
// knows by then is in it.
func TestReportsAreWholeUpToTheCheckThatFailed(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	for _, c := range cardtest.Cases() {
		r := trust.Check(p.TestCase(t, c.Name).Certificates(), time.Now())
		passedIssuer := r.Failed == "" || slices.Index(card.Checks, r.Failed) > slices.Index(card.Checks, card.CheckIssuer)
		if c.Name == "sha1" { // refused before its issuer is known: crypto/x509 verifies no SHA-1
			passedIssuer = false
		}
		if known := r.Kind != "" && len(r.Path) == 3; known != passedIssuer {
			t.Errorf("%s: failed at %q, kind %q, path of %d", c.Name, r.Failed, r.Kind, len(r.Path))
		}
		if passedIssuer && (!r.Path[2].Equal(p.Root.Cert) || r.Path[0].Equal(r.Path[1])) {
			t.Errorf("%s: the path is another", c.Name)
		}
	}
}

// The corpus and this file together bring about every verdict but the two that
// need a revocation source.
func TestCorpusCoversTheVerdicts(t *testing.T) {
	elsewhere := []card.Verdict{card.NeverReached, card.HandshakeBroken, card.NoCertificate, card.RevocationUnavailable, card.Revoked, card.Suspended}
	for _, v := range card.Verdicts {
		if !slices.Contains(elsewhere, v) && !slices.ContainsFunc(cardtest.Cases(), func(c cardtest.Case) bool { return c.Verdict == v }) {
			t.Errorf("no card shows %s", v)
		}
	}
}

// S24: without a revocation source only a card that is good in everything else
// hears of it, and none is let in.
func TestNobodyComesInWithoutRevocationCheck(t *testing.T) {
	p := cardtest.ForTest(t)
	checker := card.Checker{Trust: trusting(p.TestTrust(t))}
	for _, c := range cardtest.Cases() {
		want := c.Verdict
		if want == card.Good {
			want = card.RevocationUnavailable
		}
		if r := checker.Check(t.Context(), p.TestCase(t, c.Name).Certificates(), time.Now()); r.Verdict != want {
			t.Errorf("%s: verdict %s (%s), want %s", c.Name, r.Verdict, r.Reason, want)
		}
	}
}

// says is a Revocation that says one thing of the card, and another of its CAs.
type says struct{ card, ca card.Status }

func (s says) Status(_ context.Context, cert, _ *x509.Certificate, _ time.Time) card.Status {
	if cert.IsCA {
		return s.ca
	}
	return s.card
}

// A card is vouched for when somebody has spoken of everything on its path.
func TestOnlyAnAnswerVouches(t *testing.T) {
	p := cardtest.ForTest(t)
	certs := p.TestCase(t, "good-p384").Certificates()
	answer, waved := card.Status{State: card.NotRevoked, Source: "ocsp"}, card.Status{State: card.NotRevoked}
	for name, c := range map[string]struct {
		says
		waived, want bool
	}{
		"asked":            {says{answer, answer}, false, true},
		"let in unasked":   {says{waved, answer}, false, false},
		"its CA let in":    {says{answer, waved}, false, false},
		"nobody was asked": {says{answer, answer}, true, false},
	} {
		checker := card.Checker{Trust: trusting(p.TestTrust(t)), Revocation: c.says, Waived: c.waived}
		if r := checker.Check(t.Context(), certs, time.Now()); r.Verdict != card.Good || r.Vouched != c.want {
			t.Errorf("%s: %s, vouched %v", name, r.Verdict, r.Vouched)
		}
	}
	refused := card.Checker{Trust: trusting(p.TestTrust(t)), Revocation: says{card.Status{State: card.WasRevoked, Source: "ocsp"}, answer}}
	if r := refused.Check(t.Context(), certs, time.Now()); r.Verdict != card.Revoked || r.Vouched {
		t.Errorf("%s, vouched %v", r.Verdict, r.Vouched)
	}
}

func TestChecksWithoutCertificate(t *testing.T) {
	trust := cardtest.ForTest(t).TestTrust(t)
	for name, want := range map[string]struct {
		certs []*x509.Certificate
		card.Verdict
	}{
		"none":     {nil, card.NoCertificate},
		"nil":      {[]*x509.Certificate{nil}, card.WeakOrMalformed},
		"unparsed": {[]*x509.Certificate{{}}, card.WeakOrMalformed},
	} {
		got, holder, _ := check(trust, want.certs, time.Now())
		if got != want.Verdict || holder != (card.Holder{}) {
			t.Errorf("%s: verdict %s, holder %+v", name, got, holder)
		}
	}
}

// S21: each kind of employment card is accepted, the citizen's is not, whatever
// else is right about it.
func TestKinds(t *testing.T) {
	p := cardtest.ForTest(t)
	certs := p.TestCase(t, "good-p384").Certificates()
	for kind, want := range map[card.Kind]card.Verdict{
		card.OrganisationCard:       card.Good,
		card.HealthProfessionalCard: card.Good,
		card.PersonnelCard:          card.Good,
		card.ActorCard:              card.Good,
		card.TemporaryCard:          card.Good,
		card.CitizenCard:            card.KindNotAccepted,
	} {
		trust := p.TestTrust(t, func(c *card.TrustConfig) { c.Issuers[0].Kind = kind })
		if got, _, reason := check(trust, certs, time.Now()); got != want {
			t.Errorf("%s: verdict %s (%s), want %s", kind, got, reason, want)
		}
	}
}

// A citizen CA that is not configured is a stranger's.
func TestCitizenCardOfAnUnconfiguredCA(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t, func(c *card.TrustConfig) { c.Issuers = c.Issuers[:2] })
	if got, _, _ := check(trust, p.TestCase(t, "citizen").Certificates(), time.Now()); got != card.UntrustedIssuer {
		t.Errorf("verdict %s", got)
	}
}

// S23: the way up is made of configured certificates, however little the client
// sends; what it sends along is not looked at.
func TestOnlyTheFirstCertificateCounts(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	good, stranger := p.TestCase(t, "good-p384"), p.TestCase(t, "stranger")
	for name, certs := range map[string][]*x509.Certificate{
		"alone":          {good.Cert},
		"with its CA":    {good.Cert, p.Organisation.Cert},
		"with the root":  {good.Cert, p.Organisation.Cert, p.Root.Cert},
		"with a bad one": {good.Cert, stranger.Cert, p.Stranger.Cert},
	} {
		if got, _, reason := check(trust, certs, time.Now()); got != card.Good {
			t.Errorf("good card %s: verdict %s (%s)", name, got, reason)
		}
	}
	for name, certs := range map[string][]*x509.Certificate{
		"with its root":     {stranger.Cert, p.Stranger.Cert},
		"before a good one": {stranger.Cert, good.Cert, p.Organisation.Cert},
	} {
		if got, _, _ := check(trust, certs, time.Now()); got != card.UntrustedIssuer {
			t.Errorf("stranger's card %s: verdict %s", name, got)
		}
	}
}

// The time is the caller's, and the ends of validity belong to it.
func TestValidityIsJudgedAtTheGivenTime(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	c := p.TestCase(t, "good-p384").Cert
	for name, want := range map[string]struct {
		at time.Time
		card.Verdict
	}{
		"a second before the start": {c.NotBefore.Add(-time.Second), card.NotYetValid},
		"start":                     {c.NotBefore, card.Good},
		"end":                       {c.NotAfter, card.Good},
		"a second after the end":    {c.NotAfter.Add(time.Second), card.Expired},
		"before the CA":             {p.Organisation.Cert.NotBefore.Add(-day), card.NotYetValid},
		"after the CA":              {p.Organisation.Cert.NotAfter.Add(day), card.Expired},
	} {
		if got, _, _ := check(trust, []*x509.Certificate{c}, want.at); got != want.Verdict {
			t.Errorf("%s: verdict %s, want %s", name, got, want.Verdict)
		}
	}
}

const day = 24 * time.Hour

// A card cannot outlive its CA.
func TestExpiredAuthority(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	end := p.Organisation.Cert.NotAfter
	c := p.TestCard(t, "long", maija, cardtest.Valid(time.Now().Add(-day), end.Add(365*day)))
	if got, _, reason := check(trust, c.Certificates(), end.Add(day)); got != card.UntrustedIssuer {
		t.Errorf("verdict %s (%s)", got, reason)
	}
}

// S23: an RSA tree is judged as an elliptic one, each card against its own CA.
func TestRSATree(t *testing.T) {
	now := time.Now()
	p := cardtest.ForTest(t)
	ca := p.TestCA(t, "rsa-organisation")
	p.TestCA(t, "rsa-citizen")
	trust := p.TestTrust(t) // in both trees
	rsa := func(name string, options ...cardtest.Option) *x509.Certificate {
		return p.TestCard(t, name, maija, append([]cardtest.Option{cardtest.From(ca)}, options...)...).Cert
	}
	signed := func(a x509.SignatureAlgorithm) cardtest.Option {
		return cardtest.Change(func(c *x509.Certificate) { c.SignatureAlgorithm = a })
	}
	good := rsa("rsa-good", cardtest.WithKey(cardtest.RSA2048))
	impostor := must(cardtest.NewCA("impostor", "x", cardtest.RSA2048, nil, now, func(c *x509.Certificate) {
		c.RawSubject, c.SubjectKeyId = ca.Cert.RawSubject, ca.Cert.SubjectKeyId
	}))
	impostor.Policy = ca.Policy
	elliptic := must(cardtest.NewCA("elliptic", "x", cardtest.P384, nil, now, func(c *x509.Certificate) { c.RawSubject = ca.Cert.RawSubject }))
	elliptic.Policy = ca.Policy
	md5 := must(cardtest.Rebuild(good, ca.Key, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 4}, crypto.MD5, nil))
	if md5.SignatureAlgorithm != x509.MD5WithRSA {
		t.Fatalf("made a certificate with %s", md5.SignatureAlgorithm)
	}
	for name, want := range map[string]struct {
		cert *x509.Certificate
		card.Verdict
		failed card.Check
	}{
		"PKCS #1":                  {good, card.Good, ""},
		"PSS":                      {rsa("rsa-pss", signed(x509.SHA256WithRSAPSS)), card.Good, ""},
		"elliptic key":             {rsa("rsa-p384"), card.Good, ""},
		"SHA-1":                    {rsa("rsa-sha1", signed(x509.SHA1WithRSA)), card.WeakOrMalformed, card.CheckStrength},
		"MD5":                      {md5, card.WeakOrMalformed, card.CheckStrength},
		"RSA 1024":                 {rsa("rsa-1024", cardtest.WithKey(cardtest.RSA1024)), card.WeakOrMalformed, card.CheckStrength},
		"expired":                  {rsa("rsa-old", cardtest.Valid(now.Add(-400*day), now.Add(-day))), card.Expired, card.CheckValidity},
		"not yet":                  {rsa("rsa-young", cardtest.Valid(now.Add(day), now.Add(400*day))), card.NotYetValid, card.CheckValidity},
		"signature":                {rsa("rsa-signature", cardtest.SignatureOnly()), card.SignatureCertificate, card.CheckPurpose},
		"for servers":              {rsa("rsa-server", cardtest.Purposes(x509.KeyUsageDigitalSignature, x509.ExtKeyUsageServerAuth)), card.WeakOrMalformed, card.CheckPurpose},
		"the elliptic CA's policy": {rsa("rsa-ecc-policy", cardtest.Policies(cardtest.OrganisationPolicy)), card.KindNotAccepted, card.CheckKind},
		"citizen":                  {p.TestCard(t, "rsa-citizen-card", maija, cardtest.From(p.TestCA(t, "rsa-citizen"))).Cert, card.KindNotAccepted, card.CheckKind},
		"unlisted CA of that root": {p.TestCard(t, "rsa-service", maija, cardtest.From(p.TestCA(t, "rsa-services")), cardtest.Policies(ca.Policy)).Cert, card.UntrustedIssuer, card.CheckIssuer},
		"of the root":              {p.TestCard(t, "rsa-of-root", maija, cardtest.From(p.TestCA(t, "rsa-root")), cardtest.Policies(ca.Policy)).Cert, card.UntrustedIssuer, card.CheckIssuer},
		"another key":              {p.TestCard(t, "rsa-forged", maija, cardtest.From(impostor)).Cert, card.UntrustedIssuer, card.CheckIssuer},
		"a key of another kind":    {p.TestCard(t, "rsa-elliptic", maija, cardtest.From(elliptic)).Cert, card.UntrustedIssuer, card.CheckIssuer},
		"an elliptic CA's with it": {p.TestCard(t, "ecc-rsa-policy", maija, cardtest.Policies(ca.Policy)).Cert, card.KindNotAccepted, card.CheckKind},
	} {
		if r := trust.Check([]*x509.Certificate{want.cert}, now); r.Verdict != want.Verdict || r.Failed != want.failed {
			t.Errorf("%s: verdict %s at %q (%s), want %s at %q", name, r.Verdict, r.Failed, r.Reason, want.Verdict, want.failed)
		}
	}
}

// S23: what a CA is not allowed to issue does not count (RFC 5280 §4.2.1.10).
func TestNameConstraintsOfACA(t *testing.T) {
	now := time.Now()
	p := cardtest.ForTest(t)
	ca := must(cardtest.NewCA("narrow", "Portti TEST Narrow Cards", cardtest.P256, p.Root, now, func(c *x509.Certificate) {
		c.PermittedEmailAddresses, c.PermittedDNSDomainsCritical = []string{"example.test"}, true
	}))
	ca.Policy = cardtest.OrganisationPolicy
	trust := trustIn(t, now, p.Root, ca)
	for email, want := range map[string]card.Verdict{"maija@example.test": card.Good, "maija@elsewhere.test": card.UntrustedIssuer} {
		who := maija
		who.Email = email
		c := p.TestCard(t, strings.ReplaceAll(strings.ReplaceAll(email, "@", "-"), ".", "-"), who, cardtest.From(ca))
		got, _, reason := check(trust, c.Certificates(), now)
		if got != want {
			t.Errorf("%s: verdict %s (%s), want %s", email, got, reason, want)
		}
		if strings.Contains(reason, "maija") {
			t.Errorf("the reason is for logs, and tells of the holder: %s", reason)
		}
	}
}

// S23: nothing is ever fetched, whatever addresses a certificate holds.
func TestNothingIsFetched(t *testing.T) {
	var asked atomic.Int32
	lure := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer lure.Close()
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	pointers := cardtest.Change(func(c *x509.Certificate) {
		c.CRLDistributionPoints = []string{lure.URL + "/crl", "ldap://" + lure.Listener.Addr().String()}
		c.OCSPServer, c.IssuingCertificateURL = []string{lure.URL + "/ocsp"}, []string{lure.URL + "/ca"}
	})
	unlisted := must(cardtest.NewCA("unlisted", "Portti TEST Unlisted", cardtest.P256, p.Root, time.Now()))
	for name, want := range map[string]struct {
		from *cardtest.CA
		card.Verdict
	}{"known": {p.Organisation, card.Good}, "unknown": {unlisted, card.UntrustedIssuer}} {
		c := p.TestCard(t, name, maija, cardtest.From(want.from), cardtest.Policies(cardtest.OrganisationPolicy), pointers)
		if got, _, _ := check(trust, []*x509.Certificate{c.Cert}, time.Now()); got != want.Verdict {
			t.Errorf("%s: verdict %s", name, got)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("%d requests went out", n)
	}
}

func TestHolderIsReadFromTheCertificate(t *testing.T) {
	p := cardtest.ForTest(t)
	who := cardtest.Person{Given: "Liisa Marjatta", Family: "Öhman", Organisation: "Esimerkkisairaala", Serial: "99912345678", Title: "Lääkäri"}
	c := p.TestCard(t, "liisa", who, cardtest.From(p.Health))
	_, h, _ := check(p.TestTrust(t), c.Certificates(), time.Now())
	want := card.Holder{
		Fingerprint:   card.Fingerprint(c.Cert),
		SPKI:          h.SPKI,
		Issuer:        "Portti TEST Health Professional Cards",
		IssuerDN:      "CN=Portti TEST Health Professional Cards,O=Portti Test Agency,C=FI",
		Serial:        c.Cert.SerialNumber.Text(16),
		SubjectSerial: "99912345678",
		Name:          "Liisa Marjatta Öhman",
		GivenName:     "Liisa Marjatta",
		FamilyName:    "Öhman",
		Organisation:  "Esimerkkisairaala",
		NotAfter:      c.Cert.NotAfter.UTC(),
	}
	if h != want {
		t.Errorf("holder\n%+v, want\n%+v", h, want)
	}
	if len(h.Fingerprint) != 64 || len(h.SPKI) != 64 || h.SPKI == h.Fingerprint {
		t.Errorf("fingerprint %q, SPKI %q", h.Fingerprint, h.SPKI)
	}
	if tail := h.Tail(); len(tail) != 4 || !strings.HasSuffix(h.Serial, tail) {
		t.Errorf("tail %q of %q", tail, h.Serial)
	}
}

// Names that want to take over a page or a log line come out short and plain.
func TestHolderTextsAreTamed(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	for name, c := range map[string]struct {
		who  cardtest.Person
		want string
	}{
		"control":     {cardtest.Person{Given: "Ma\x00i\nja\x1b[31m", Family: "M\u202eeikä\u200bläinen\u2028"}, "Mai ja[31m Meikäläinen"},
		"long":        {cardtest.Person{Given: strings.Repeat("ä", 300), Family: "M"}, strings.Repeat("ä", 100)},
		"blank given": {cardtest.Person{Given: " \t\u200b", Family: "Virtanen", Serial: "1"}, "VIRTANEN 1"},
		"spaces":      {cardtest.Person{Given: "  Maija   Liisa ", Family: "  Virtanen "}, "Maija Liisa Virtanen"},
	} {
		got := p.TestCard(t, strings.ReplaceAll(name, " ", "-"), c.who, cardtest.From(p.Stranger))
		verdict, h, _ := check(trust, got.Certificates(), time.Now())
		if h.Name != c.want || verdict != card.UntrustedIssuer {
			t.Errorf("%s: name %q, want %q (%s)", name, h.Name, c.want, verdict)
		}
	}
}

// S27: a card has one fingerprint, although anybody can turn its issuer's ECDSA
// signature (r, s) into another valid one (r, n−s).
func TestFingerprintSurvivesAnotherSignature(t *testing.T) {
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t)
	c := p.TestCase(t, "good-p384")

	var outer struct {
		TBS, Algorithm asn1.RawValue
		Signature      asn1.BitString
	}
	var signature struct{ R, S *big.Int }
	mustOK(t, unmarshal(c.Cert.Raw, &outer))
	mustOK(t, unmarshal(outer.Signature.Bytes, &signature))
	signature.S.Sub(elliptic.P384().Params().N, signature.S)
	outer.Signature.Bytes = must(asn1.Marshal(signature))
	outer.Signature.BitLength = 8 * len(outer.Signature.Bytes)
	twin := must(x509.ParseCertificate(must(asn1.Marshal(outer))))

	if !ecdsa.VerifyASN1(p.Organisation.Key.Public().(*ecdsa.PublicKey), digest384(twin.RawTBSCertificate), twin.Signature) || twin.Equal(c.Cert) {
		t.Fatal("the twin is no twin")
	}
	v1, h1, _ := check(trust, []*x509.Certificate{c.Cert}, time.Now())
	v2, h2, _ := check(trust, []*x509.Certificate{twin}, time.Now())
	if v1 != card.Good || v2 != card.Good {
		t.Errorf("verdicts %s and %s", v1, v2)
	}
	if h1 != h2 {
		t.Errorf("one card, two holders:\n%+v\n%+v", h1, h2)
	}
	if other := p.TestCase(t, "good-p256"); card.Fingerprint(other.Cert) == h1.Fingerprint {
		t.Error("two cards, one fingerprint")
	}
}

// trustIn is the trust in one root and one CA.
func trustIn(t testing.TB, now time.Time, root, ca *cardtest.CA) *card.Trust {
	t.Helper()
	dir := t.TempDir()
	mustOK(t, os.WriteFile(filepath.Join(dir, "root.crt"), root.PEM(), 0o600))
	mustOK(t, os.WriteFile(filepath.Join(dir, "ca.crt"), ca.PEM(), 0o600))
	trust, err := card.NewTrust(card.TrustConfig{
		Folder: dir, Roots: []card.Authority{{File: "root.crt"}}, AcceptTestCAs: true,
		Issuers: []card.Issuer{{Authority: card.Authority{File: "ca.crt", Name: ca.Cert.Subject.CommonName}, Kind: card.OrganisationCard, Policies: []string{ca.Policy}}},
	}, now)
	mustOK(t, err)
	return trust
}

// check is Trust.Check for those who want three things of the report.
func check(t *card.Trust, certs []*x509.Certificate, now time.Time) (card.Verdict, card.Holder, string) {
	r := t.Check(certs, now)
	return r.Verdict, r.Holder, r.Reason
}

// trusting is the trust for a Checker.
func trusting(t *card.Trust) func() *card.Trust { return func() *card.Trust { return t } }

func unmarshal(der []byte, into any) error {
	_, err := asn1.Unmarshal(der, into)
	return err
}

func digest384(data []byte) []byte {
	h := crypto.SHA384.New()
	h.Write(data)
	return h.Sum(nil)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func mustOK(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
