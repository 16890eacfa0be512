package cardtest_test

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

var matti = cardtest.Person{
	Given: "Matti", Family: "Virtanen", Organisation: "Esimerkkivirasto", Title: "Lääkäri", Serial: "987654321C",
	Email: "matti@example.test", UPN: "987654321C@example.test",
}

// A card has the profile of the Agency's (standards.md 1.3).
func TestCardHasTheProfile(t *testing.T) {
	p := cardtest.ForTest(t)
	for key, usage := range map[cardtest.Key]x509.KeyUsage{
		cardtest.P384:    x509.KeyUsageDigitalSignature,
		cardtest.RSA2048: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment | x509.KeyUsageDataEncipherment,
	} {
		c := p.TestCard(t, "matti-"+strings.ToLower(string(key)), matti, cardtest.WithKey(key)).Cert
		if c.Subject.CommonName != "VIRTANEN MATTI 987654321C" || c.Subject.SerialNumber != "987654321C" || c.Subject.Country[0] != "FI" {
			t.Errorf("subject %v", c.Subject)
		}
		if c.KeyUsage != usage || !c.BasicConstraintsValid || c.IsCA || len(c.SubjectKeyId) == 0 || len(c.AuthorityKeyId) == 0 {
			t.Errorf("%s: key usage %b, CA %t", key, c.KeyUsage, c.IsCA)
		}
		if len(c.EmailAddresses) != 1 || c.EmailAddresses[0] != matti.Email || !strings.Contains(string(c.Raw), matti.UPN) {
			t.Errorf("alternative names %q", c.EmailAddresses)
		}
		if len(c.Policies) != 1 || c.Policies[0].String() != cardtest.OrganisationPolicy {
			t.Errorf("policies %v", c.Policies)
		}
	}
}

// Production refuses these cards: their CAs say what they are.
func TestProductionRefusesTheseCAs(t *testing.T) {
	p := cardtest.ForTest(t)
	dir := t.TempDir()
	if err := p.Save(dir); err != nil {
		t.Fatal(err)
	}
	config := cardtest.TrustConfig(dir)
	if _, err := card.NewTrust(config, time.Now()); err != nil {
		t.Fatal(err)
	}
	config.AcceptTestCAs = false
	if _, err := card.NewTrust(config, time.Now()); err == nil || strings.Count(err.Error(), "test CA") != 4 {
		t.Errorf("error %v", err)
	}
}

// What is saved comes back as it was and goes on working.
func TestSaveAndLoad(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "deep", "pki")
	now := time.Now()
	if _, err := cardtest.Load(dir, now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	p, err := cardtest.LoadOrNew(dir, now)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"good-rsa2048", "expired", "ed25519", "version-1", "too-many"} {
		p.TestCase(t, name)
	}
	if err := p.Save(dir); err != nil {
		t.Fatal(err)
	}

	again, err := cardtest.LoadOrNew(dir, now.AddDate(0, 1, 0))
	if err != nil {
		t.Fatal(err)
	}
	for i, was := range p.Cards() {
		is := again.Cards()[i]
		if is.Name != was.Name || is.Person != was.Person || !is.Cert.Equal(was.Cert) || len(is.Chain) != len(was.Chain) {
			t.Errorf("card %s came back as %s", was.Name, is.Name)
		}
		if keyPEM(t, is) != keyPEM(t, was) {
			t.Errorf("card %s has another key", was.Name)
		}
	}
	if !again.Root.Cert.Equal(p.Root.Cert) || !again.Server.Cert.Equal(p.Server.Cert) {
		t.Error("other authorities")
	}
	fresh := again.TestCard(t, "matti", matti)
	if r := p.TestTrust(t).Check(fresh.Certificates(), now.AddDate(0, 1, 0)); r.Verdict != card.Good {
		t.Errorf("a card of the loaded PKI: %s (%s)", r.Verdict, r.Reason)
	}
	if _, err := again.Issue("expired", matti); err == nil {
		t.Error("a name was given twice")
	}

	// Nobody else may read it.
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has the mode %o", path, info.Mode().Perm())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// A damaged folder is not silently made anew: browsers trust its server CA.
	if err := os.Remove(filepath.Join(dir, "ca-server.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := cardtest.Load(dir, now); err == nil {
		t.Error("a folder without a key was loaded")
	}
	if p, err := cardtest.LoadOrNew(dir, now); err == nil || p != nil {
		t.Error("a damaged folder was replaced")
	}
}

func keyPEM(t *testing.T, c *cardtest.Card) string {
	t.Helper()
	data, err := c.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestNamesOfCards(t *testing.T) {
	p := cardtest.ForTest(t)
	for _, name := range []string{"", "../x", "Maija", "a b", "-x", strings.Repeat("a", 62), "ä", "x/y", "x.y"} {
		if _, err := p.Issue(name, matti); err == nil {
			t.Errorf("%q is a name", name)
		}
	}
	c := p.TestCard(t, "maija-2", matti)
	if _, err := p.Issue("maija-2", matti); err == nil {
		t.Error("a name was given twice")
	}
	if p.Card("maija-2") != c || p.Card("maija-3") != nil {
		t.Error("cards are not found by name")
	}
	if _, err := p.Case("nonsense"); err == nil {
		t.Error("a case that is none was made")
	}
}

// Cases are made once, also when many ask.
func TestCaseIsMadeOnce(t *testing.T) {
	p := cardtest.ForTest(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, err := p.Case("good-p256"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if n := len(p.Cards()); n != 1 {
		t.Errorf("%d cards", n)
	}
}

func TestP12HoldsKeyAndChain(t *testing.T) {
	p := cardtest.ForTest(t)
	c := p.TestCard(t, "matti", matti)
	for name, encode := range map[string]func(string) ([]byte, error){"modern": c.P12, "legacy": c.P12Legacy} {
		data, err := encode("portti")
		if err != nil {
			t.Fatal(err)
		}
		key, cert, chain, err := pkcs12.DecodeChain(data, "portti")
		if err != nil {
			t.Fatal(err)
		}
		signer, _ := key.(crypto.Signer)
		back := &cardtest.Card{Key: signer}
		if !cert.Equal(c.Cert) || len(chain) != 1 || !chain[0].Equal(p.Organisation.Cert) || keyPEM(t, back) != keyPEM(t, c) {
			t.Errorf("%s: not the card", name)
		}
		if _, _, _, err := pkcs12.DecodeChain(data, "wrong"); !errors.Is(err, pkcs12.ErrIncorrectPassword) {
			t.Errorf("%s: the wrong password: %v", name, err)
		}
	}
}

// The way of the browser tests: a card goes into an NSS database and is taken
// out by its name.
func TestCardGoesIntoNSSAndOut(t *testing.T) {
	for _, program := range []string{"openssl", "certutil", "pk12util"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing: apt-get install openssl libnss3-tools", program)
			}
			t.Skipf("%s is missing: apt-get install openssl libnss3-tools", program)
		}
	}
	dir := t.TempDir()
	db := "sql:" + dir
	run := func(name string, args ...string) string {
		t.Helper()
		out, err := exec.Command(name, append(args, "-d", db)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%s %v: %v\n%s", name, args, err, out)
		}
		return string(out)
	}
	p := cardtest.ForTest(t)
	c := p.TestCard(t, "matti", matti)
	data, err := c.P12ViaOpenSSL("portti")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "matti.p12")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	run("certutil", "-N", "--empty-password")
	run("pk12util", "-i", file, "-W", "portti")
	if !strings.Contains(run("certutil", "-L"), "matti") || !strings.Contains(run("certutil", "-K"), "matti") {
		t.Error("the card is not in")
	}
	run("certutil", "-F", "-n", "matti")
	if strings.Contains(run("certutil", "-L"), "matti") {
		t.Error("the card is not out")
	}
}

func TestServerCertificate(t *testing.T) {
	p := cardtest.ForTest(t)
	c, err := p.ServerCertificate("card.localhost", "*.card.localhost", "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	for name, good := range map[string]bool{"card.localhost": true, "a.card.localhost": true, "127.0.0.1": true, "a.b.card.localhost": false, "id.localhost": false} {
		if _, err := c.Leaf.Verify(x509.VerifyOptions{DNSName: name, Roots: p.ServerPool()}); (err == nil) != good {
			t.Errorf("%s: %v", name, err)
		}
	}
	if days := c.Leaf.NotAfter.Sub(c.Leaf.NotBefore).Hours() / 24; days > 398 {
		t.Errorf("valid for %.0f days, which browsers refuse", days)
	}
}

// A client presents its card although the server hints at other CAs, and none
// when it has none.
func TestClientPresentsItsCard(t *testing.T) {
	p := cardtest.ForTest(t)
	server, err := p.ServerCertificate("card.example.test")
	if err != nil {
		t.Fatal(err)
	}
	hints := x509.NewCertPool()
	hints.AddCert(p.Organisation.Cert)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{*server}, ClientAuth: tls.RequestClientCert, ClientCAs: hints,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	for _, c := range []*cardtest.Card{nil, p.TestCase(t, "stranger"), p.TestCase(t, "good-p256")} {
		seen := make(chan []*x509.Certificate, 1)
		go func() {
			conn, err := l.Accept()
			if err != nil {
				seen <- nil
				return
			}
			_ = conn.(*tls.Conn).Handshake()
			seen <- conn.(*tls.Conn).ConnectionState().PeerCertificates
			_ = conn.Close()
		}()
		config := p.ClientTLS(c)
		config.ServerName = "card.example.test"
		conn, err := tls.Dial("tcp", l.Addr().String(), config)
		if err != nil {
			t.Fatal(err)
		}
		got := <-seen
		_ = conn.Close()
		switch {
		case c == nil && len(got) != 0:
			t.Error("a certificate without a card")
		case c != nil && (len(got) != 1+len(c.Chain) || !got[0].Equal(c.Cert)):
			t.Errorf("%s: %d certificates arrived", c.Name, len(got))
		}
	}
}

// The demo is built with this package: what is for tests alone must not be in it.
func TestNothingOfTestingIsImported(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range parsed.Imports {
			if strings.HasPrefix(i.Path.Value, `"testing`) {
				t.Errorf("%s imports %s", file, i.Path.Value)
			}
		}
	}
}
