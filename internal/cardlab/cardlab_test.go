package cardlab_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardlab"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral"
)

// open opens the lab of a folder, with its pages on a free port.
func open(t *testing.T, dir string) (*cardlab.Lab, string) {
	t.Helper()
	lab, address := serve(t, func(base string) (*cardlab.Lab, error) { return cardlab.Open(dir, base+cardlab.Prefix, time.Now) }, false)
	return lab, address
}

func trustOf(t *testing.T, dir string) *card.Trust {
	t.Helper()
	b, err := card.OpenBundle(cardlab.TrustFolder(dir), true, time.Now(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b.Trust()
}

func certificates(lab *cardlab.Lab, name string) []*x509.Certificate {
	if c := lab.PKI.Card(name); c != nil {
		return c.Certificates()
	}
	return nil
}

// Every verdict that a handshake can come to has an exhibit, and every exhibit
// comes to its verdict, by the bundle as it lies in the folder (S21, S22, S66).
func TestExhibitsComeToTheirVerdicts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	lab, _ := open(t, dir)
	trust := trustOf(t, dir)
	seen, kinds := map[card.Verdict]bool{}, map[card.Kind]bool{}
	for _, e := range cardlab.Exhibits() {
		certs := certificates(lab, e.Name)
		if (e.Name == "") != (certs == nil) {
			t.Errorf("%q has no card", e.Name)
			continue
		}
		before := trust.Check(certs, time.Now())
		want := e.Verdict
		if slices.Contains([]card.Verdict{card.Revoked, card.Suspended, card.RevocationUnavailable}, want) {
			want = card.Good
		}
		if before.Verdict != want {
			t.Errorf("%s: before revocation %s (%s), want %s", e.Name, before.Verdict, before.Reason, want)
		}
		r := judge(t, trust, certs)
		if r.Verdict != e.Verdict {
			t.Errorf("%s: %s (%s), want %s", e.Name, r.Verdict, r.Reason, e.Verdict)
		}
		seen[r.Verdict] = true
		if r.Verdict == card.Good {
			kinds[r.Kind] = true
		}
	}
	for _, v := range card.Verdicts {
		if !seen[v] && v != card.NeverReached && v != card.HandshakeBroken { // which no card shows
			t.Errorf("no exhibit for %s", v)
		}
	}
	for _, k := range []card.Kind{card.OrganisationCard, card.HealthProfessionalCard, card.PersonnelCard, card.ActorCard, card.TemporaryCard} {
		if !kinds[k] {
			t.Errorf("no good card of the kind %s", k)
		}
	}
	for _, r := range lab.Rows() {
		if r.Expected != r.Verdict {
			t.Errorf("%s: the page says %s", r.Name, r.Expected)
		}
	}
}

// What is switched is what comes out, and what the page says (S24).
func TestSwitches(t *testing.T) {
	dir := t.TempDir()
	lab, _ := open(t, dir)
	trust := trustOf(t, dir)
	expect := func(step, name string, want card.Verdict) {
		t.Helper()
		r := judge(t, trust, certificates(lab, name))
		rows := lab.Rows()
		row := rows[slices.IndexFunc(rows, func(r cardlab.Row) bool { return r.Name == name })]
		if r.Verdict != want || row.Expected != want {
			t.Errorf("%s: %s comes to %s (%s), the page says %s, want %s", step, name, r.Verdict, r.Reason, row.Expected, want)
		}
	}
	const health, rsa = "lab-health", "lab-organisation-rsa"
	do := func(name string, a cardlab.Action) {
		t.Helper()
		if err := lab.Do(name, a); err != nil {
			t.Fatalf("%s %s: %v", a, name, err)
		}
	}
	fail := func(name string, ocsp, crl cardtest.Fault) {
		t.Helper()
		if err := lab.Break(name, ocsp, crl); err != nil {
			t.Fatal(err)
		}
	}
	do(health, cardlab.Hold)
	expect("on hold", health, card.Suspended)
	do(health, cardlab.Release)
	expect("released", health, card.Good)
	do(rsa, cardlab.Revoke)
	expect("revoked", rsa, card.Revoked)
	fail("health", cardtest.Down, cardtest.None)
	expect("responder down", health, card.Good)
	fail("health", cardtest.TryLater, cardtest.Stale)
	expect("list out of date", health, card.RevocationUnavailable)
	expect("another CA", "lab-actor", card.Good)
	fail("health", cardtest.None, cardtest.None)
	expect("mended", health, card.Good)
	fail("root", cardtest.Down, cardtest.Down)
	expect("nobody vouches for the CA", "lab-actor", card.RevocationUnavailable)

	for name, actions := range map[string][]cardlab.Action{
		rsa: {cardlab.Revoke, cardlab.Hold, cardlab.Release}, "lab-suspended": {cardlab.Hold}, health: {cardlab.Release, "", "renew"}, "lab-expired": {cardlab.Revoke},
	} {
		for _, a := range actions {
			if err := lab.Do(name, a); !errors.Is(err, cardlab.ErrNotNow) {
				t.Errorf("%s %s: %v", a, name, err)
			}
		}
	}
	for _, name := range []string{"", "nobody", "ca-root"} {
		if err := lab.Do(name, cardlab.Revoke); !errors.Is(err, cardlab.ErrNone) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, f := range []struct {
		name      string
		ocsp, crl cardtest.Fault
	}{{"nobody", "", ""}, {"stranger", "", ""}, {"health", "odd", ""}, {"health", "", "odd"}, {"health", cardtest.OlderNumber, ""}} {
		if err := lab.Break(f.name, f.ocsp, f.crl); !errors.Is(err, cardlab.ErrNone) {
			t.Errorf("%v: %v", f, err)
		}
	}
}

// A lab that is opened again has the same cards and CAs, what was revoked stays so,
// and the bundle names the new address.
func TestLabIsKept(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "lab")
	first, before := open(t, dir)
	if err := first.Do("lab-actor", cardlab.Hold); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(cardlab.CardFolder(dir), "lab-actor.p12")
	was, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	again, after := open(t, dir)
	for _, r := range first.Rows() {
		a, b := certificates(first, r.Name), certificates(again, r.Name)
		if len(a) != len(b) || len(a) > 0 && !a[0].Equal(b[0]) {
			t.Errorf("%s is another card", r.Name)
		}
	}
	if s := again.PKI.State(again.PKI.Card("lab-actor")); s != "on hold" {
		t.Errorf("the card is %s", s)
	}
	if is, err := os.ReadFile(file); err != nil || !bytes.Equal(is, was) {
		t.Errorf("its file was made anew: %v", err)
	}
	for _, s := range trustOf(t, dir).Sources() {
		if before == after || s.OCSP[0][:len(after)] != after || s.CRL[0][:len(after)] != after {
			t.Errorf("%s is asked at %s", s.CA.Subject.CommonName, s.OCSP[0])
		}
	}

	_, cert, chain, err := pkcs12.DecodeChain(was, cardlab.Password)
	if err != nil || !cert.Equal(certificates(again, "lab-actor")[0]) || len(chain) != 1 {
		t.Errorf("the file: %v", err)
	}
	found := 0
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		found++
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil || found < 80 {
		t.Errorf("%d files, %v", found, err)
	}
}

// judge is a provider that remembers nothing of what it was told before.
func judge(t *testing.T, trust *card.Trust, certs []*x509.Certificate) card.Report {
	t.Helper()
	memory := ephemeral.NewMemory(time.Now)
	defer func() {
		if err := memory.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := func() *card.Trust { return trust }
	c := card.Checker{Trust: now, Revocation: &revocation.Checker{Trust: now, Cache: memory, Lists: lists{trust}, Log: slog.New(slog.DiscardHandler)}}
	return c.Check(t.Context(), certs, time.Now())
}

// lists fetches the list when it is asked, and believes it while it is fresh.
type lists struct{ trust *card.Trust }

func (l lists) Status(issuer *x509.Certificate, serial *big.Int, now time.Time) card.Status {
	source, ok := l.trust.Source(issuer)
	if !ok {
		return card.Status{State: card.Unavailable}
	}
	answer, err := http.Get(source.CRL[0])
	if err != nil {
		return card.Status{State: card.Unavailable}
	}
	defer answer.Body.Close()
	der, err := io.ReadAll(answer.Body)
	if err != nil {
		return card.Status{State: card.Unavailable}
	}
	list, err := x509.ParseRevocationList(der)
	if err != nil || list.CheckSignatureFrom(issuer) != nil || list.NextUpdate.Before(now) {
		return card.Status{State: card.Unavailable}
	}
	for _, e := range list.RevokedCertificateEntries {
		switch {
		case e.SerialNumber.Cmp(serial) != 0:
		case e.ReasonCode == 6:
			return card.Status{State: card.OnHold}
		default:
			return card.Status{State: card.WasRevoked}
		}
	}
	return card.Status{State: card.NotRevoked}
}
