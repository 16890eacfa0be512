package cardtest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"net/http"
	"time"
)

// ServerCertificate makes a TLS server certificate for DNS names, among which
// may be wildcards (*.card.localhost), and IP addresses.
func (p *PKI) ServerCertificate(hosts ...string) (*tls.Certificate, error) {
	key, err := P256.generate()
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{
		Subject:     pkix.Name{Organization: []string{"Portti Test Agency"}},
		NotBefore:   p.now.Add(-time.Hour),
		NotAfter:    p.now.AddDate(1, 0, 0), // browsers take no more than 398 days
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, host)
		}
	}
	cert, err := sign(t, p.Server.Cert, key.Public(), p.Server.Key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// ServerPool is what a client needs to trust ServerCertificate.
func (p *PKI) ServerPool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(p.Server.Cert)
	return pool
}

// Certificates are what the card sends, its own first.
func (c *Card) Certificates() []*x509.Certificate {
	return append([]*x509.Certificate{c.Cert}, c.Chain...)
}

// TLS is the card for crypto/tls.
func (c *Card) TLS() *tls.Certificate {
	t := &tls.Certificate{PrivateKey: c.Key, Leaf: c.Cert}
	for _, cert := range c.Certificates() {
		t.Certificate = append(t.Certificate, cert.Raw)
	}
	return t
}

// ClientTLS is the settings of a client that presents the card whatever the
// server hints at, as no browser does; nil presents none.
func (p *PKI) ClientTLS(c *Card) *tls.Config {
	answer := &tls.Certificate{}
	if c != nil {
		answer = c.TLS()
	}
	return &tls.Config{
		RootCAs: p.ServerPool(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return answer, nil
		},
	}
}

// Client is an HTTP client with that card in its reader. It reaches every host
// at the address dial ("127.0.0.1:8443"), opens a connection for every request
// and follows no redirect.
func (p *PKI) Client(c *Card, dial string) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			TLSClientConfig:   p.ClientTLS(c),
			DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, dial)
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
