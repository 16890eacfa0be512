package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/web"
)

// listenMTLS opens the listener for services with certificates, and makes the CA
// that issues them.
func (w *World) listenMTLS() net.Listener {
	w.T.Helper()
	l := must(web.Listen("127.0.0.1:0"))(w.T)
	w.MTLS = "https://mtls.localhost:" + port(l)
	w.Services = must(cardtest.NewCA("services", "Portti TEST Services", cardtest.P256, nil, time.Now()))(w.T)
	return l
}

func (w *World) servicePool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(w.Services.Cert)
	return pool
}

// ServiceCertificate is the certificate CN=name,O=Kuntala of a service.
func (w *World) ServiceCertificate(name string) *tls.Certificate {
	w.T.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(w.T)
	serial := must(rand.Int(rand.Reader, big.NewInt(1<<62)))(w.T)
	t := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: name, Organization: []string{"Kuntala"}}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der := must(x509.CreateCertificate(rand.Reader, t, w.Services.Cert, key.Public(), w.Services.Key))(w.T)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// Showing is the party with a certificate at hand; nil takes it away.
func (p *Party) Showing(c *tls.Certificate) *Party {
	shown := *p
	transport := p.W.transport(nil)
	p.W.T.Cleanup(transport.CloseIdleConnections)
	transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		if c == nil {
			return &tls.Certificate{}, nil
		}
		return c, nil
	}
	client := *p.http
	client.Transport = transport
	shown.http = &client
	return &shown
}

// serverFiles is a server's certificate in files, as operators give it.
func (w *World) serverFiles(log *slog.Logger, hosts ...string) *web.Certificate {
	w.T.Helper()
	c := must(w.PKI.ServerCertificate(hosts...))(w.T)
	key := must(x509.MarshalPKCS8PrivateKey(c.PrivateKey))(w.T)
	var chain []byte
	for _, der := range c.Certificate {
		chain = append(chain, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	folder := w.T.TempDir()
	certFile, keyFile := filepath.Join(folder, "server.crt"), filepath.Join(folder, "server.key")
	for name, content := range map[string][]byte{certFile: chain, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			w.T.Fatal(err)
		}
	}
	return must(web.LoadCertificate(certFile, keyFile, log))(w.T)
}

func parseLeaf(c *tls.Certificate) (*x509.Certificate, error) {
	return x509.ParseCertificate(c.Certificate[0])
}
