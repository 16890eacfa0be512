package browser

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os/exec"

	"software.sslmate.com/src/go-pkcs12"
)

// InsertCard puts the card of a PKCS #12 file in, under a nickname of the
// caller's choice.
func (b *Browser) InsertCard(p12 []byte, password, nickname string) {
	b.tb.Helper()
	key, cert, chain, err := pkcs12.DecodeChain(p12, password)
	if err != nil {
		b.tb.Fatalf("card %s: %v", nickname, err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		b.tb.Fatalf("card %s: %v", nickname, err)
	}
	var chainPEM []byte
	for _, c := range chain {
		chainPEM = append(chainPEM, certPEM(c)...)
	}
	b.InsertCardPEM(nickname, certPEM(cert), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), chainPEM)
}

// InsertCardPEM puts a card in: a certificate, its unencrypted private key and,
// if wanted, the certificates between it and its root.
func (b *Browser) InsertCardPEM(nickname string, cert, key, chain []byte) {
	b.tb.Helper()
	// NSS takes the nickname from the friendly name, which go-pkcs12 cannot
	// write; openssl can.
	in := b.write("card.pem", bytes.Join([][]byte{cert, chain}, []byte("\n")))
	b.run("openssl", "pkcs12", "-export", "-name", nickname, "-in", in, "-inkey", b.write("card.key", key),
		"-out", b.file("card.p12"), "-passout", "pass:card")
	b.run("pk12util", "-d", b.nss(), "-i", b.file("card.p12"), "-W", "card")
	// Certificates of one subject share one nickname in NSS: a second one is
	// filed under that of the first, and could not be ejected alone.
	out, _ := exec.Command("certutil", "-d", b.nss(), "-L", "-n", nickname, "-a").Output() // none when it fails
	want, _ := pem.Decode(cert)
	if got, rest := pem.Decode(out); want == nil || got == nil || !bytes.Equal(got.Bytes, want.Bytes) || bytes.Contains(rest, []byte("BEGIN CERTIFICATE")) {
		b.tb.Fatalf("card %s: the browser already holds another card of this subject or name", nickname)
	}
}

// EjectCard takes a card out.
func (b *Browser) EjectCard(nickname string) {
	b.tb.Helper()
	b.run("certutil", "-d", b.nss(), "-F", "-n", nickname)
}

func (b *Browser) nss() string { return "sql:" + b.file(".pki/nssdb") }

func (b *Browser) makeNSS(serverCA *x509.Certificate) {
	b.tb.Helper()
	b.write(".pki/nssdb/made", nil)
	b.run("certutil", "-d", b.nss(), "-N", "--empty-password")
	if serverCA != nil {
		b.run("certutil", "-d", b.nss(), "-A", "-n", "server CA", "-t", "C,,", "-i", b.write("server-ca.pem", certPEM(serverCA)))
	}
}

// plugIn registers the reader's module. modutil loads it, so it needs its environment.
func (b *Browser) plugIn(r *Reader) {
	b.tb.Helper()
	r.run("modutil", "-dbdir", b.nss(), "-add", "reader", "-libfile", r.Module(), "-force")
	*r.used = true
}

func (b *Browser) run(program string, args ...string) []byte {
	b.tb.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		b.tb.Fatalf("%s %q: %v\n%s", program, args, err, out)
	}
	return out
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}
