package cardtest_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// clock is a time that tests move.
type clock struct{ at atomic.Pointer[time.Time] }

func newClock() *clock {
	c := &clock{}
	c.set(time.Now())
	return c
}

func (c *clock) now() time.Time      { return *c.at.Load() }
func (c *clock) set(t time.Time)     { c.at.Store(&t) }
func (c *clock) add(d time.Duration) { c.set(c.now().Add(d)) }

var unfollowing = &http.Client{
	Transport:     &http.Transport{TLSClientConfig: &tls.Config{}, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

func call(t *testing.T, r *http.Request, err error) (*http.Response, []byte) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	answer, err := unfollowing.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, body
}

// ask asks the responder that the certificate names.
func ask(t *testing.T, cert, issuer *x509.Certificate, hash crypto.Hash) (*http.Response, []byte) {
	t.Helper()
	question, err := ocsp.CreateRequest(cert, issuer, &ocsp.RequestOptions{Hash: hash})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", cert.OCSPServer[0], bytes.NewReader(question))
	if err == nil {
		r.Header.Set("Content-Type", "application/ocsp-request")
	}
	return call(t, r, err)
}

func get(t *testing.T, address string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", address, nil)
	for i := 0; err == nil && i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return call(t, r, err)
}

func status(t *testing.T, c *cardtest.Card, issuer *cardtest.CA) *ocsp.Response {
	t.Helper()
	_, der := ask(t, c.Cert, issuer.Cert, crypto.SHA256)
	answer, err := ocsp.ParseResponseForCert(der, c.Cert, issuer.Cert)
	if err != nil {
		t.Fatalf("%s: %v", c.Name, err)
	}
	return answer
}

func listOf(t *testing.T, c *cardtest.Card, issuer *cardtest.CA) *x509.RevocationList {
	t.Helper()
	_, der := get(t, c.Cert.CRLDistributionPoints[0])
	l, err := x509.ParseRevocationList(der)
	if err == nil {
		err = l.CheckSignatureFrom(issuer.Cert)
	}
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// The same is said by responder and list, in both trees (S24).
func TestStatusOfCards(t *testing.T) {
	now := newClock()
	p, s := cardtest.ForTestOnline(t, now.now)
	for _, name := range []string{"organisation", "rsa-organisation"} {
		ca := p.TestCA(t, name)
		good := p.TestCard(t, name+"-good", matti, cardtest.From(ca))
		held := p.TestCard(t, name+"-held", matti, cardtest.From(ca), cardtest.WithSignature())
		revoked := p.TestCard(t, name+"-revoked", matti, cardtest.From(ca), cardtest.WithKey(cardtest.P256))
		strange := p.TestCard(t, name+"-strange", matti, cardtest.From(ca))
		first := listOf(t, good, ca)
		since := now.now().Add(-time.Hour)
		err := errors.Join(p.Hold(held, since), p.Revoke(revoked, cardtest.KeyCompromise, since), p.Forget(strange))
		if err != nil {
			t.Fatal(err)
		}
		want := map[*cardtest.Card]struct{ status, reason int }{
			good: {ocsp.Good, 0}, held: {ocsp.Revoked, 6}, held.Signature: {ocsp.Revoked, 6}, revoked: {ocsp.Revoked, 1}, strange: {ocsp.Unknown, 0},
		}
		for c, w := range want {
			answer := status(t, c, ca)
			if answer.Status != w.status || answer.RevocationReason != w.reason || !answer.NextUpdate.After(now.now()) || answer.ThisUpdate.After(now.now()) {
				t.Errorf("%s: status %d, reason %d, want %v", c.Name, answer.Status, answer.RevocationReason, w)
			}
			if w.status == ocsp.Revoked && !answer.RevokedAt.Equal(since.UTC().Truncate(time.Second)) {
				t.Errorf("%s: revoked at %v", c.Name, answer.RevokedAt)
			}
			if answer.Certificate == nil || !slices.Contains(answer.Certificate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning) {
				t.Errorf("%s: the answer is not a delegate's", c.Name)
			}
		}
		l := listOf(t, good, ca)
		if len(l.RevokedCertificateEntries) != 3 || l.Number.Cmp(first.Number) <= 0 {
			t.Errorf("%d entries, number %v after %v", len(l.RevokedCertificateEntries), l.Number, first.Number)
		}
		for _, e := range l.RevokedCertificateEntries {
			if want := map[int]bool{1: e.SerialNumber.Cmp(revoked.Cert.SerialNumber) == 0, 6: true}; !want[e.ReasonCode] {
				t.Errorf("entry %v has the reason %d", e.SerialNumber, e.ReasonCode)
			}
		}
		if got := []string{p.State(good), p.State(held), p.State(revoked), p.State(strange)}; !slices.Equal(got, []string{"good", "on hold", "revoked", "unknown"}) {
			t.Errorf("states %v", got)
		}
		if err := p.Release(held); err != nil {
			t.Fatal(err)
		}
		if answer := status(t, held, ca); answer.Status != ocsp.Good {
			t.Error("the card is still on hold")
		}
		if l := listOf(t, good, ca); len(l.RevokedCertificateEntries) != 1 {
			t.Error("it is still on the list")
		}
	}

	// Issuing CAs are revoked by the one above.
	if err := p.RevokeCA(p.Health, cardtest.CACompromise, now.now()); err != nil {
		t.Fatal(err)
	}
	_, der := ask(t, p.Health.Cert, p.Root.Cert, crypto.SHA1)
	if answer, err := ocsp.ParseResponseForCert(der, p.Health.Cert, p.Root.Cert); err != nil || answer.Status != ocsp.Revoked {
		t.Errorf("the CA's status: %v", err)
	}
	if a := s.Asked(p.Root); a.OCSP != 1 || a.CRL != 0 {
		t.Errorf("the root was asked %+v", a)
	}
	foreign := p.TestCase(t, "self-made")
	if err := p.Revoke(foreign, cardtest.Unspecified, now.now()); err == nil {
		t.Error("a certificate of nobody's was revoked")
	}
}

// Requests come by GET as well, with any hash, and nonces come back.
func TestResponderSpeaksTheProtocol(t *testing.T) {
	p, s := cardtest.ForTestOnline(t, time.Now)
	c := p.TestCard(t, "matti", matti)
	for _, hash := range []crypto.Hash{crypto.SHA1, crypto.SHA256, crypto.SHA384, crypto.SHA512} {
		_, der := ask(t, c.Cert, p.Organisation.Cert, hash)
		if answer, err := ocsp.ParseResponseForCert(der, c.Cert, p.Organisation.Cert); err != nil || answer.IssuerHash != hash {
			t.Errorf("%v: %v", hash, err)
		}
	}
	question, err := ocsp.CreateRequest(c.Cert, p.Organisation.Cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	encoded := base64.StdEncoding.EncodeToString(question)
	for _, path := range []string{url.QueryEscape(encoded), encoded} {
		answer, der := get(t, c.Cert.OCSPServer[0]+"/"+path)
		if _, err := ocsp.ParseResponseForCert(der, c.Cert, p.Organisation.Cert); err != nil || answer.Header.Get("Content-Type") != "application/ocsp-response" {
			t.Errorf("GET %s: %v", path, err)
		}
	}
	_, der := ask(t, c.Cert, p.Health.Cert, crypto.SHA1) // of another CA than the address says
	if _, err := ocsp.ParseResponse(der, nil); !errors.As(err, &ocsp.ResponseError{}) {
		t.Errorf("another CA's certificate: %v", err)
	}

	base := p.Base()
	for address, want := range map[string]int{
		base + "/ocsp/organisation": http.StatusMethodNotAllowed, base + "/ocsp/nobody": http.StatusNotFound, base + "/crl/organisation": http.StatusOK,
		base + "/crl/nobody.crl": http.StatusNotFound, base + "/ca/organisation.crt": http.StatusOK, base + "/": http.StatusNotFound,
		base + "/ocsp/organisation/no!sense": http.StatusBadRequest,
	} {
		if answer, _ := get(t, address); answer.StatusCode != want {
			t.Errorf("%s: status %d, want %d", address, answer.StatusCode, want)
		}
	}
	if _, der := get(t, c.Cert.IssuingCertificateURL[0]); !bytes.Equal(der, p.Organisation.Cert.Raw) {
		t.Error("the CA's certificate is not at its address")
	}
	if s.Asked(p.Organisation).OCSP < 6 {
		t.Errorf("asked %+v", s.Asked(p.Organisation))
	}
}

// A list is the same until something changes or half of its life is over; then its
// number is higher. Clients need not fetch it twice.
func TestListsArePublished(t *testing.T) {
	now := newClock()
	p, s := cardtest.ForTestOnline(t, now.now)
	s.SetLifetimes(0, time.Hour)
	c := p.TestCard(t, "matti", matti)
	address := c.Cert.CRLDistributionPoints[0]
	first, der := get(t, address)
	now.add(time.Minute)
	if _, again := get(t, address); !bytes.Equal(again, der) {
		t.Error("the list changed by itself")
	}
	for name, header := range map[string]string{"If-None-Match": first.Header.Get("ETag"), "If-Modified-Since": first.Header.Get("Last-Modified")} {
		if answer, body := get(t, address, name, header); answer.StatusCode != http.StatusNotModified || len(body) > 0 || header == "" {
			t.Errorf("%s: status %d", name, answer.StatusCode)
		}
	}
	if a := s.Asked(p.Organisation); a.NotModified != 2 || a.CRL != 4 {
		t.Errorf("asked %+v", a)
	}
	was := listOf(t, c, p.Organisation)
	if got := was.NextUpdate.Sub(was.ThisUpdate); got != time.Hour {
		t.Errorf("holds for %v", got)
	}
	now.add(30 * time.Minute)
	is := listOf(t, c, p.Organisation)
	if is.Number.Cmp(was.Number) <= 0 || !is.ThisUpdate.Equal(now.now().UTC().Truncate(time.Second)) {
		t.Errorf("number %v after %v", is.Number, was.Number)
	}
	now.add(-10 * time.Minute) // even when the clock goes back
	if back := listOf(t, c, p.Organisation); back.Number.Cmp(is.Number) <= 0 {
		t.Errorf("number %v after %v", back.Number, is.Number)
	}
	again := cardtest.NewServer(p, now.now) // as after a restart
	now.add(2 * time.Hour)
	der, err := again.List(p.Organisation)
	if err != nil {
		t.Fatal(err)
	}
	if l, err := x509.ParseRevocationList(der); err != nil || l.Number.Cmp(is.Number) <= 0 {
		t.Errorf("after a restart: %v", err)
	}
}

// Every fault is the one it says, of the authority for which it was set.
func TestFaultsOfResponders(t *testing.T) {
	p, s := cardtest.ForTestOnline(t, time.Now)
	c, other := p.TestCard(t, "matti", matti), p.TestCard(t, "other", matti, cardtest.From(p.Health))
	ca := p.Organisation
	for _, f := range append(slices.Clone(cardtest.OCSPFaults), cardtest.Direct, cardtest.NoNonce, cardtest.NoNextUpdate, cardtest.NoCheckMissing) {
		if !slices.Contains([]cardtest.Fault{cardtest.Slow, cardtest.Huge}, f) {
			s.FailOCSP(ca, f)
			answer, der := ask(t, c.Cert, ca.Cert, crypto.SHA256)
			response, err := ocsp.ParseResponse(der, ca.Cert)
			if why := wrong(f, c.Cert, ca.Cert, answer, response, err); why != "" {
				t.Errorf("%s: %s", f, why)
			}
		}
		if status(t, other, p.Health).Status != ocsp.Good {
			t.Errorf("%s: the other authority is broken, too", f)
		}
	}
	s.FailOCSP(ca, cardtest.Redirect)
	answer, _ := ask(t, c.Cert, ca.Cert, crypto.SHA256)
	question, err := ocsp.CreateRequest(c.Cert, ca.Cert, nil)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), "POST", answer.Header.Get("Location"), bytes.NewReader(question))
	if err == nil {
		r.Header.Set("Content-Type", "application/ocsp-request")
	}
	_, der := call(t, r, err)
	if _, err := ocsp.ParseResponseForCert(der, c.Cert, ca.Cert); err != nil || s.Asked(ca).Redirected != 1 {
		t.Errorf("where the redirect leads: %v", err)
	}
	s.FailOCSP(ca, cardtest.None)
	if status(t, c, ca).Status != ocsp.Good {
		t.Error("it was not mended")
	}
}

// wrong says in what an answer is not as the fault promises, "" when it is.
func wrong(f cardtest.Fault, cert, ca *x509.Certificate, answer *http.Response, r *ocsp.Response, err error) string {
	signed := err == nil
	fine := false
	switch f {
	case cardtest.Down:
		fine = answer.StatusCode == http.StatusServiceUnavailable
	case cardtest.Redirect:
		fine = answer.StatusCode == http.StatusFound && strings.HasPrefix(answer.Header.Get("Location"), "http://127.0.0.1:")
	case cardtest.HTML, cardtest.Empty:
		fine = answer.StatusCode == http.StatusOK && !signed
	case cardtest.TryLater, cardtest.InternalError, cardtest.Unauthorized:
		e := ocsp.ResponseError{}
		fine = errors.As(err, &e) && e.Status == map[cardtest.Fault]ocsp.ResponseStatus{
			cardtest.TryLater: ocsp.TryLater, cardtest.InternalError: ocsp.InternalError, cardtest.Unauthorized: ocsp.Unauthorized}[f]
	case cardtest.BadSignature, cardtest.OtherResponder:
		fine = !signed
	case cardtest.Stale:
		fine = signed && r.NextUpdate.Before(time.Now())
	case cardtest.Future:
		fine = signed && r.ThisUpdate.After(time.Now())
	case cardtest.Impostor:
		fine = signed && r.Certificate != nil && !slices.Contains(r.Certificate.ExtKeyUsage, x509.ExtKeyUsageOCSPSigning)
	case cardtest.ExpiredResponder:
		fine = signed && r.Certificate.NotAfter.Before(time.Now())
	case cardtest.NoCheckMissing:
		fine = signed && !slices.ContainsFunc(r.Certificate.Extensions, isNoCheck)
	case cardtest.Unknown:
		fine = signed && r.Status == ocsp.Unknown
	case cardtest.OtherSerial:
		fine = signed && r.SerialNumber.Cmp(cert.SerialNumber) != 0
	case cardtest.OtherIssuer, cardtest.OtherNonce, cardtest.NoNonce: // openssl sees the nonces
		fine = signed && r.SerialNumber.Cmp(cert.SerialNumber) == 0
	case cardtest.NoNextUpdate:
		fine = signed && r.NextUpdate.IsZero()
	case cardtest.Direct:
		fine = signed && r.Certificate == nil && r.CheckSignatureFrom(ca) == nil
	}
	if fine {
		return ""
	}
	return "it is not: status " + answer.Status
}

func TestFaultsOfLists(t *testing.T) {
	p, s := cardtest.ForTestOnline(t, time.Now)
	c := p.TestCard(t, "matti", matti)
	ca := p.Organisation
	if err := p.Revoke(c, cardtest.Superseded, time.Now()); err != nil {
		t.Fatal(err)
	}
	good := listOf(t, c, ca)
	for _, f := range cardtest.CRLFaults {
		if f == cardtest.Slow || f == cardtest.Huge {
			continue
		}
		s.FailCRL(ca, f)
		answer, der := get(t, c.Cert.CRLDistributionPoints[0])
		l, err := x509.ParseRevocationList(der)
		signed := err == nil && l.CheckSignatureFrom(ca.Cert) == nil
		fine := false
		switch f {
		case cardtest.Down:
			fine = answer.StatusCode == http.StatusServiceUnavailable
		case cardtest.NotFound:
			fine = answer.StatusCode == http.StatusNotFound
		case cardtest.Redirect:
			_, der := get(t, answer.Header.Get("Location"))
			_, err := x509.ParseRevocationList(der)
			fine = answer.StatusCode == http.StatusFound && err == nil
		case cardtest.HTML, cardtest.Empty, cardtest.Truncated:
			fine = answer.StatusCode == http.StatusOK && err != nil
		case cardtest.Stale:
			fine = signed && l.NextUpdate.Before(time.Now())
		case cardtest.Future:
			fine = signed && l.ThisUpdate.After(time.Now())
		case cardtest.BadSignature, cardtest.Impostor:
			fine = err == nil && !signed && bytes.Equal(l.RawIssuer, ca.Cert.RawSubject)
		case cardtest.OtherCA:
			fine = err == nil && !signed && !bytes.Equal(l.RawIssuer, ca.Cert.RawSubject)
		case cardtest.OlderNumber:
			fine = signed && l.Number.Cmp(big.NewInt(1)) == 0 && l.NextUpdate.After(time.Now())
		case cardtest.Partial, cardtest.Delta:
			fine = signed && slices.ContainsFunc(l.Extensions, func(e pkix.Extension) bool { return e.Critical })
		}
		if !fine {
			t.Errorf("%s: it is not: status %d, %v", f, answer.StatusCode, err)
		}
	}
	s.FailCRL(ca, cardtest.None)
	if l := listOf(t, c, ca); l.Number.Cmp(good.Number) != 0 {
		t.Error("the faults used up numbers")
	}
}

// What does not end and what does not come is stopped by the client.
func TestFaultsThatLast(t *testing.T) {
	p, s := cardtest.ForTestOnline(t, time.Now)
	c := p.TestCard(t, "matti", matti)
	for _, f := range []cardtest.Fault{cardtest.Slow, cardtest.Huge} {
		s.FailCRL(p.Organisation, f)
		ctx, stop := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", c.Cert.CRLDistributionPoints[0], nil)
		if err != nil {
			t.Fatal(err)
		}
		came := make(chan error, 1)
		go func() {
			answer, err := unfollowing.Do(r)
			if err == nil {
				_, err = io.CopyN(io.Discard, answer.Body, 1<<20)
				_ = answer.Body.Close()
			}
			came <- err
		}()
		if f == cardtest.Huge {
			if err := <-came; err != nil {
				t.Errorf("huge: not even a megabyte: %v", err)
			}
			stop()
			continue
		}
		for s.Asked(p.Organisation).CRL == 0 {
			select {
			case err := <-came:
				t.Fatalf("slow: an answer: %v", err)
			case <-time.After(time.Millisecond):
			}
		}
		stop()
		if err := <-came; !errors.Is(err, context.Canceled) {
			t.Errorf("slow: %v", err)
		}
	}
}

// What was revoked, and where to ask, is saved with the rest.
func TestRevocationIsSaved(t *testing.T) {
	dir := t.TempDir()
	p, err := cardtest.NewAt("http://lab.example.test/pki", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	ca := p.TestCA(t, "rsa-temporary")
	held := p.TestCard(t, "held", matti, cardtest.From(ca), cardtest.WithSignature())
	if err := errors.Join(p.Hold(held, time.Now()), p.Save(dir)); err != nil {
		t.Fatal(err)
	}
	again, err := cardtest.Load(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	back := again.Card("held")
	if again.State(back) != "on hold" || back.Signature == nil || !back.Signature.Cert.Equal(held.Signature.Cert) {
		t.Errorf("state %q", again.State(back))
	}
	if !again.TestCA(t, "rsa-temporary").Cert.Equal(ca.Cert) || !again.TestCA(t, "rsa-root").Cert.Equal(p.TestCA(t, "rsa-root").Cert) {
		t.Error("other authorities")
	}
	again.MoveTo("http://lab.example.test:81/pki")
	if err := again.Save(dir); err != nil {
		t.Fatal(err)
	}
	config, err := card.ReadTrustConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range append(slices.Clone(config.Roots), config.Issuers[0].Authority) {
		if len(a.OCSP) != 1 || len(a.CRL) != 1 || !strings.HasPrefix(a.OCSP[0], "http://lab.example.test:81/pki/ocsp/") || !strings.HasSuffix(a.CRL[0], ".crl") {
			t.Errorf("%s: %v %v", a.Name, a.OCSP, a.CRL)
		}
	}
	if !slices.ContainsFunc(config.Issuers, func(i card.Issuer) bool { return i.Kind == card.TemporaryCard }) || len(config.Roots) != 2 {
		t.Error("what was made is not in the settings")
	}

	// The trust alone has no key beside it, and works by itself.
	alone := filepath.Join(t.TempDir(), "trust")
	if err := again.SaveTrust(alone); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(alone, "*.key"))
	all, err2 := filepath.Glob(filepath.Join(alone, "*"))
	if err := errors.Join(err, err2); err != nil || len(keys) > 0 || len(all) != 1+len(config.Roots)+len(config.Issuers) {
		t.Errorf("in the folder are %v", all)
	}
	if config, err = card.ReadTrustConfig(alone); err != nil {
		t.Fatal(err)
	}
	config.AcceptTestCAs = true
	trust, err := card.NewTrust(config, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if r := trust.Check(back.Certificates(), time.Now()); r.Verdict != card.Good || r.Kind != card.TemporaryCard {
		t.Errorf("%s (%s)", r.Verdict, r.Reason)
	}

	// A folder of before is told apart from a damaged one.
	if err := os.WriteFile(filepath.Join(dir, "pki.json"), []byte(`{"made": "2026-01-01T00:00:00Z", "cards": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := cardtest.LoadOrNew(dir, time.Now()); !errors.Is(err, cardtest.ErrFormer) {
		t.Errorf("a folder of before: %v", err)
	}
}

// Both trees have all kinds, each with its own policy, and certificates of
// services belong to none (S21).
func TestTrees(t *testing.T) {
	p := cardtest.ForTest(t)
	var cards []*cardtest.Card
	policies := map[string]string{}
	for _, name := range cardtest.Authorities() {
		ca := p.TestCA(t, name)
		if ca.Kind == "" {
			continue
		}
		if other, twice := policies[ca.Policy]; twice {
			t.Errorf("%s has the policy of %s", name, other)
		}
		policies[ca.Policy] = name
		cards = append(cards, p.TestCard(t, "of-"+name, matti, cardtest.From(ca), cardtest.WithKey(cardtest.P256)))
	}
	for _, name := range []string{"services", "rsa-services"} {
		ca := p.TestCA(t, name)
		cards = append(cards, p.TestCard(t, "of-"+name, matti, cardtest.From(ca)), p.TestCard(t, "posing-"+name, matti, cardtest.From(ca), cardtest.Policies(cardtest.OrganisationPolicy)))
	}
	trust := p.TestTrust(t)
	kinds := map[card.Kind]int{}
	for _, c := range cards {
		r := trust.Check(c.Certificates(), time.Now())
		want := card.Good
		switch ca := p.IssuerOf(c); ca.Kind {
		case "":
			want = card.UntrustedIssuer
		case card.CitizenCard:
			want = card.KindNotAccepted
		default:
			kinds[r.Kind]++
		}
		if r.Verdict != want {
			t.Errorf("%s: %s (%s), want %s", c.Name, r.Verdict, r.Reason, want)
		}
	}
	for _, kind := range []card.Kind{card.OrganisationCard, card.HealthProfessionalCard, card.PersonnelCard, card.ActorCard, card.TemporaryCard} {
		if kinds[kind] < 2 {
			t.Errorf("%d cards of the kind %s", kinds[kind], kind)
		}
	}
	if _, err := p.CA("nobody"); err == nil {
		t.Error("an authority that is none was made")
	}
}

// What others make of it: OpenSSL verifies answers, nonces, lists and paths.
func TestOpenSSLAgrees(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("openssl is missing: apt-get install openssl")
		}
		t.Skip("openssl is missing: apt-get install openssl")
	}
	p, s := cardtest.ForTestOnline(t, time.Now)
	for _, tree := range []struct{ root, ca string }{{"root", "organisation"}, {"rsa-root", "rsa-organisation"}} {
		root, ca := p.TestCA(t, tree.root), p.TestCA(t, tree.ca)
		good := p.TestCard(t, "good-"+ca.Name, matti, cardtest.From(ca), cardtest.WithSignature())
		bad := p.TestCard(t, "bad-"+ca.Name, matti, cardtest.From(ca))
		if err := p.Revoke(bad, cardtest.KeyCompromise, time.Now().Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		file := func(name string, data []byte) string {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			return path
		}
		block := func(c *x509.Certificate) []byte { return (&cardtest.CA{Cert: c}).PEM() }
		roots, issuer := file("root.pem", root.PEM()), file("ca.pem", ca.PEM())
		for _, c := range []*cardtest.Card{good, good.Signature, bad} {
			said := openssl(t, true, "ocsp", "-sha256", "-issuer", issuer, "-cert", file("card.pem", block(c.Cert)), "-url", c.Cert.OCSPServer[0],
				"-CAfile", roots, "-verify_other", issuer, "-nonce")
			want := ": good"
			if c == bad {
				want = ": revoked"
			}
			if !strings.Contains(said, "Response verify OK") || !strings.Contains(said, want) || strings.Contains(said, "WARNING") {
				t.Errorf("%s: openssl ocsp says %s", c.Name, said)
			}
			_, list := get(t, c.Cert.CRLDistributionPoints[0])
			_, above := get(t, ca.Cert.CRLDistributionPoints[0])
			lists := append(toPEM(t, list), toPEM(t, above)...)
			said = openssl(t, c != bad, "verify", "-CAfile", roots, "-untrusted", issuer, "-CRLfile", file("lists.pem", lists), "-crl_check_all", "-x509_strict", file("card.pem", block(c.Cert)))
			if (c == bad) != strings.Contains(said, "certificate revoked") {
				t.Errorf("%s: openssl verify says %s", c.Name, said)
			}
			said = openssl(t, true, "crl", "-inform", "DER", "-in", file("list.der", list), "-CAfile", issuer, "-noout", "-crlnumber")
			if !strings.Contains(said, "verify OK") || !strings.Contains(said, "crlNumber=") {
				t.Errorf("openssl crl says %s", said)
			}
		}
		// The faults that only a client with a nonce sees.
		for f, want := range map[cardtest.Fault]string{cardtest.OtherNonce: "Nonce Verify error", cardtest.NoNonce: "WARNING: no nonce in response", cardtest.OtherIssuer: "No Status found"} {
			s.FailOCSP(ca, f)
			said := openssl(t, f == cardtest.NoNonce, "ocsp", "-issuer", issuer, "-cert", file("card.pem", block(good.Cert)), "-url", good.Cert.OCSPServer[0],
				"-CAfile", roots, "-verify_other", issuer, "-nonce")
			if !strings.Contains(said, want) {
				t.Errorf("%s: openssl says %s", f, said)
			}
		}
		said := openssl(t, true, "x509", "-in", file("card.pem", block(good.Signature.Cert)), "-noout", "-text")
		for _, part := range []string{"Non Repudiation", "qcStatements", "OCSP - URI:http://127.0.0.1", "CA Issuers - URI:", "Full Name:"} {
			if !strings.Contains(said, part) {
				t.Errorf("the signature certificate has no %q: %s", part, said)
			}
		}
		if strings.Contains(said, "Digital Signature") || strings.Contains(said, "msUPN") || strings.Contains(said, "1.3.6.1.4.1.311.20.2.3") {
			t.Errorf("the signature certificate can sign in: %s", said)
		}
	}
}

// openssl runs it, and returns what it says on both channels.
func openssl(t *testing.T, works bool, args ...string) string {
	t.Helper()
	out, err := exec.Command("openssl", args...).CombinedOutput()
	if works && err != nil {
		t.Errorf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func toPEM(t *testing.T, list []byte) []byte {
	t.Helper()
	if _, err := x509.ParseRevocationList(list); err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list})
}

func isNoCheck(e pkix.Extension) bool { return e.Id.String() == "1.3.6.1.5.5.7.48.1.5" }
