package web_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/web"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func TestAPortThatIsTakenIsSaidSo(t *testing.T) {
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if _, err = web.Listen(l.Addr().String()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) || !strings.Contains(err.Error(), "taken") {
		t.Errorf("error %v", err)
	}
	if _, err = web.Listen("nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("error %v", err)
	}
}

func TestServeLetsRunningRequestsFinish(t *testing.T) {
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	entered, release := make(chan bool), make(chan bool)
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		<-release
		io.WriteString(w, "finished")
	})
	served := make(chan error, 1)
	go func() { served <- web.Serve(ctx, l, h, nil, quiet) }()
	answer := make(chan string, 1)
	go func() {
		res, err := http.Get("http://" + l.Addr().String())
		if err != nil {
			answer <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		answer <- string(b)
	}()
	<-entered
	stop()
	close(release)
	if got := <-answer; got != "finished" {
		t.Errorf("answer %q", got)
	}
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	if _, err := net.Dial("tcp", l.Addr().String()); err == nil {
		t.Error("the port is still open")
	}
}

func TestServeSaysWhenItCannot(t *testing.T) {
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := web.Serve(t.Context(), l, http.NotFoundHandler(), nil, quiet); err == nil {
		t.Error("a closed listener serves")
	}
}

// pair writes a certificate for name with its key.
func pair(t *testing.T, folder, name string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(folder, "cert.pem"), filepath.Join(folder, "key.pem")
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
	return cert, key
}

// write puts a file in place as a renewal does, and never with the former's time.
func write(t *testing.T, name string, content []byte) {
	t.Helper()
	next := name + ".next"
	if err := os.WriteFile(next, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if old, err := os.Stat(name); err == nil {
		if err := os.Chtimes(next, time.Time{}, old.ModTime().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Rename(next, name); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesAreReadAgainWhenTheyChange(t *testing.T) {
	folder := t.TempDir()
	certFile, keyFile := pair(t, folder, "first")
	c, err := web.LoadCertificate(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	l, err := web.Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() {
		served <- web.Serve(ctx, l, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), c.Config(), quiet)
	}()
	shown := func() string {
		conn, err := tls.Dial("tcp", l.Addr().String(), &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if got := shown(); got != "first" {
		t.Errorf("shows %s", got)
	}
	pair(t, folder, "second")
	if got := shown(); got != "second" {
		t.Errorf("after the renewal it shows %s", got)
	}
	// Half a renewal: the certificate of one key beside the other's.
	good, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign := pair(t, t.TempDir(), "foreign")
	other, err := os.ReadFile(foreign)
	if err != nil {
		t.Fatal(err)
	}
	write(t, keyFile, other)
	if got := shown(); got != "second" {
		t.Errorf("in the middle of a renewal it shows %s", got)
	}
	if err := os.Remove(keyFile); err != nil {
		t.Fatal(err)
	}
	if got := shown(); got != "second" {
		t.Errorf("without a key file it shows %s", got)
	}
	write(t, keyFile, good)
	pair(t, folder, "third")
	if got := shown(); got != "third" {
		t.Errorf("after it all it shows %s", got)
	}
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
}

func TestCertificateFilesThatCannotBe(t *testing.T) {
	certFile, keyFile := pair(t, t.TempDir(), "one")
	_, foreign := pair(t, t.TempDir(), "two")
	empty := filepath.Join(t.TempDir(), "empty.pem")
	write(t, empty, nil)
	for name, files := range map[string][2]string{
		"no certificate": {"/nowhere/cert.pem", keyFile}, "no key": {certFile, "/nowhere/key.pem"}, "another's key": {certFile, foreign}, "an empty file": {empty, keyFile},
	} {
		if _, err := web.LoadCertificate(files[0], files[1], quiet); err == nil || !strings.Contains(err.Error(), ".pem") {
			t.Errorf("%s: error %v names no file", name, err)
		}
	}
}

func TestTLSIsModern(t *testing.T) { // ASVS 12.1.1, 12.1.2
	certFile, keyFile := pair(t, t.TempDir(), "tls")
	c, err := web.LoadCertificate(certFile, keyFile, quiet)
	if err != nil {
		t.Fatal(err)
	}
	handshake := func(config *tls.Config) error {
		a, b := net.Pipe()
		defer a.Close()
		defer b.Close()
		server := tls.Server(a, c.Config())
		done := make(chan error, 1)
		go func() { done <- server.Handshake(); a.Close() }()
		config.InsecureSkipVerify = true
		err := tls.Client(b, config).Handshake()
		b.Close()
		<-done
		return err
	}
	for name, config := range map[string]*tls.Config{
		"TLS 1.3": {MinVersion: tls.VersionTLS13},
		"TLS 1.2": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
	} {
		if err := handshake(config); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, config := range map[string]*tls.Config{
		"TLS 1.1":       {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CBC":           {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}},
		"static RSA":    {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}},
		"ChaCha in 1.2": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}},
	} {
		if err := handshake(config); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
