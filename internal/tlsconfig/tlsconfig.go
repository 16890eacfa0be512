// Package tlsconfig is the TLS that every listener of ours speaks.
package tlsconfig

import "crypto/tls"

// Server is a listener's side: 1.3, and 1.2 with forward secrecy and AES-GCM only
// (ASVS 12.1; FAPI 2.0 Security Profile §5.2.2, RFC 9325 §4.2). Go's own list has
// suites with CBC and with ChaCha20, which the profile does not name; those of TLS
// 1.3 are not to be chosen.
//
// Of the groups the hybrid one comes first: what is recorded today cannot be read
// by the quantum computer of later, and who does not know it takes another.
func Server(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
		},
		CurvePreferences: []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256, tls.CurveP384},
		GetCertificate:   certificate,
	}
}
