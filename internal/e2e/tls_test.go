package e2e

import (
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"testing"
)

// Every listener speaks TLS 1.2 and 1.3 and nothing older, 1.3 where both sides can,
// and of 1.2 ECDHE with AES-GCM alone (FAPI 2.0 Security Profile §5.2.2; conformance.md 2.9).
// The certificates here have keys for ECDSA; package tlsconfig tries RSA.
func TestTLSOfEveryListener(t *testing.T) {
	w := NewWorld(t, Options{Pair: SQLiteMemory, MTLS: true})
	two := func(suites ...uint16) *tls.Config {
		return &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: suites}
	}
	const refused = 0
	cases := map[string]struct {
		client *tls.Config
		want   uint16
	}{
		"whatever Go does": {&tls.Config{}, tls.VersionTLS13},
		"1.3":              {&tls.Config{MinVersion: tls.VersionTLS13}, tls.VersionTLS13},
		"1.2, AES-128-GCM": {two(tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256), tls.VersionTLS12},
		"1.2, AES-256-GCM": {two(tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384), tls.VersionTLS12},
		"1.2, CBC":         {two(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA), refused},
		"1.2, CBC, SHA256": {two(tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256), refused},
		"1.2, ChaCha20":    {two(tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256), refused},
		"1.1":              {&tls.Config{MinVersion: tls.VersionTLS11, MaxVersion: tls.VersionTLS11}, refused},
		"1.0":              {&tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, refused},
	}
	for listener, address := range map[string][2]string{"pages": {"id.localhost", w.Port}, "certificates": {"mtls.localhost", w.MTLS[strings.LastIndexByte(w.MTLS, ':')+1:]},
		"cards": {"tls.card.localhost", w.CardPort}} {
		for name, c := range cases {
			config := c.client.Clone()
			config.RootCAs, config.ServerName = w.PKI.ServerPool(), address[0]
			connection, err := tls.Dial("tcp", net.JoinHostPort("127.0.0.1", address[1]), config)
			switch {
			case err != nil && c.want != refused:
				t.Errorf("%s, %s: %v", listener, name, err)
			case err == nil && c.want == refused:
				t.Errorf("%s, %s: accepted as %s", listener, name, tls.VersionName(connection.ConnectionState().Version))
			case err == nil && connection.ConnectionState().Version != c.want:
				t.Errorf("%s, %s: %s", listener, name, tls.VersionName(connection.ConnectionState().Version))
			}
			if err == nil {
				_ = connection.Close()
			}
		}
	}
	// The listener for certificates serves what services call, and nothing for browsers.
	for path, served := range map[string]bool{"/token": true, "/par": true, "/userinfo": true, "/introspect": true, "/revoke": true, "/device_authorization": true, "/authorize": false, "/": false,
		"/signin/x": false, "/jwks": false, "/.well-known/openid-configuration": false, "/end_session": false, "/api/v1/me": false, "/register": false, "/healthz": false} {
		answer, _ := raw(t, w, http.MethodGet, w.MTLS+path, "")
		if answer.StatusCode == http.StatusNotFound == served {
			t.Errorf("%s at the listener for certificates: %d", path, answer.StatusCode)
		}
		if answer.Header.Get("Date") == "" {
			t.Errorf("%s: no Date", path)
		}
	}
}
