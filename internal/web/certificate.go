package web

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/tlsconfig"
)

// Certificate is a certificate and key in PEM files that are read again when
// they change, so that a renewal needs no restart.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger

	mu     sync.Mutex
	loaded *tls.Certificate
	seen   [2]stamp // of the files as last tried
}

type stamp struct {
	modified time.Time
	size     int64
}

// LoadCertificate reads the files once, and fails when they do not fit together.
func LoadCertificate(certFile, keyFile string, log *slog.Logger) (*Certificate, error) {
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log}
	seen, err := c.stamps()
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	loaded, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("certificate %s with key %s: %w", certFile, keyFile, err)
	}
	c.loaded, c.seen = &loaded, seen
	return c, nil
}

// Config is the server's side of TLS.
func (c *Certificate) Config() *tls.Config {
	return tlsconfig.Server(func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current(), nil })
}

// Asking is Config for a listener at which programs show certificates. It asks for
// one and judges none: who may come in with which is for the handler to say. It
// names no CA, as a program may take that for a reason to show nothing.
func (c *Certificate) Asking() *tls.Config {
	config := c.Config()
	config.ClientAuth = tls.RequestClientCert
	config.SessionTicketsDisabled = true // a resumed session shows the former certificate
	return config
}

// current is the certificate of the files as they are now. Two stats a handshake
// are nothing beside its signature. Files that do not fit together, as in the
// middle of a renewal, leave the former certificate in use.
func (c *Certificate) current() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen, err := c.stamps()
	if err != nil || seen == c.seen {
		return c.loaded // a file that is gone for a moment is being replaced
	}
	c.seen = seen
	loaded, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		c.log.Error("certificate files changed and cannot be used; the former certificate stays", "certificate", c.certFile, "key", c.keyFile, "error", err)
		return c.loaded
	}
	c.loaded = &loaded
	c.log.Info("certificate reloaded", "certificate", c.certFile)
	return c.loaded
}

func (c *Certificate) stamps() ([2]stamp, error) {
	var s [2]stamp
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return s, err
		}
		s[i] = stamp{info.ModTime(), info.Size()}
	}
	return s, nil
}
