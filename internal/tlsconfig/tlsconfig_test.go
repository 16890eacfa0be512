package tlsconfig_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"net"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/tlsconfig"
)

// conformance.md 2.9: 1.2 and 1.3 alone, of 1.2 ECDHE with AES-GCM alone.
func TestHandshakes(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	two := func(suites ...uint16) *tls.Config {
		return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suites}
	}
	groups := func(groups ...tls.CurveID) *tls.Config { return &tls.Config{CurvePreferences: groups} }
	const refused = 0
	for name, c := range map[string]struct {
		key    crypto.Signer
		client *tls.Config
		want   uint16
	}{
		"whatever Go does":         {ec, &tls.Config{}, tls.VersionTLS13},
		"1.3":                      {rs, &tls.Config{MinVersion: tls.VersionTLS13}, tls.VersionTLS13},
		"1.2, AES-128-GCM":         {ec, two(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), tls.VersionTLS12},
		"1.2, AES-256-GCM":         {ec, two(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), tls.VersionTLS12},
		"1.2, RSA, AES-128-GCM":    {rs, two(tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256), tls.VersionTLS12},
		"1.2, RSA, AES-256-GCM":    {rs, two(tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384), tls.VersionTLS12},
		"1.2, ChaCha20":            {ec, two(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), refused},
		"1.2, CBC":                 {ec, two(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA), refused},
		"1.2, RSA, CBC":            {rs, two(tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256), refused},
		"1.2, no forward secrecy":  {rs, two(tls.TLS_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_RSA_WITH_AES_256_GCM_SHA384), refused},
		"1.2, 3DES and RC4":        {rs, two(tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA), refused},
		"1.1":                      {ec, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, refused},
		"1.0":                      {ec, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, refused},
		"X25519 and ML-KEM":        {ec, groups(tls.X25519MLKEM768), tls.VersionTLS13},
		"X25519":                   {ec, groups(tls.X25519), tls.VersionTLS13},
		"P-256":                    {ec, groups(tls.CurveP256), tls.VersionTLS13},
		"P-384":                    {ec, groups(tls.CurveP384), tls.VersionTLS13},
		"P-521, which nobody asks": {ec, groups(tls.CurveP521), refused},
	} {
		version, err := handshake(t, c.key, c.client)
		switch {
		case c.want == refused && err == nil:
			t.Errorf("%s: accepted as %s", name, tls.VersionName(version))
		case c.want != refused && (err != nil || version != c.want):
			t.Errorf("%s: %s, %v", name, tls.VersionName(version), err)
		}
	}
}

// handshake meets a client over a pipe.
func handshake(t *testing.T, key crypto.Signer, config *tls.Config) (version uint16, err error) {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	a, b := net.Pipe()
	server := tls.Server(a, tlsconfig.Server(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate, nil }))
	done := make(chan struct{})
	go func() {
		_ = server.Handshake()
		_ = a.Close()
		close(done)
	}()
	config.InsecureSkipVerify = true // the version is what is looked at
	client := tls.Client(b, config)
	err = client.Handshake()
	_ = b.Close()
	<-done
	return client.ConnectionState().Version, err
}
