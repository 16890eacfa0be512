package cardlab

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/portti-id/portti/internal/cardtest"
)

// TrustFolder is where in the lab's folder the bundle for card.trust.folder is.
func TrustFolder(dir string) string { return filepath.Join(dir, "trust") }

// CardFolder is where in the lab's folder the files of the cards are.
func CardFolder(dir string) string { return filepath.Join(dir, "cards") }

// Open sets up the lab of the folder dir, or goes on with the one that is there.
// Only the folder's owner can read what it writes. base is where providers reach
// Lab.Status ("http://127.0.0.1:8880/pki"); another one than last time is written
// into the bundle.
func Open(dir, base string, now func() time.Time) (*Lab, error) {
	keys := filepath.Join(dir, "pki")
	p, err := cardtest.LoadOrNewAt(keys, base, now())
	if err != nil {
		return nil, err
	}
	p.MoveTo(base)
	save := func() error { return p.Save(keys) }
	l, err := New(p, now, save)
	if err != nil {
		return nil, err
	}
	if err := save(); err != nil {
		return nil, err
	}
	if err := p.SaveTrust(TrustFolder(dir)); err != nil {
		return nil, err
	}
	return l, l.writeCards(CardFolder(dir))
}

// writeCards writes the files that are not there yet: PKCS #12 differs each time.
func (l *Lab) writeCards(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, e := range exhibits {
		c := l.PKI.Card(e.Name)
		if c == nil {
			continue
		}
		pem, err := pemFile(c)
		if err != nil {
			return err
		}
		// The PEM file is last and tells whether the others are of this card.
		last := filepath.Join(dir, e.Name+".pem")
		if was, err := os.ReadFile(last); err == nil && bytes.Equal(was, pem) {
			continue
		}
		for suffix, encode := range map[string]func(string) ([]byte, error){".p12": c.P12, "-legacy.p12": c.P12Legacy} {
			data, err := encode(Password)
			if err != nil {
				return fmt.Errorf("card %s: %w", e.Name, err)
			}
			if err := os.WriteFile(filepath.Join(dir, e.Name+suffix), data, 0o600); err != nil {
				return err
			}
		}
		if err := os.WriteFile(last, pem, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// pemFile is key, certificate and chain, as curl and openssl take it.
func pemFile(c *cardtest.Card) ([]byte, error) {
	key, err := c.KeyPEM()
	if err != nil {
		return nil, fmt.Errorf("card %s: %w", c.Name, err)
	}
	return append(key, c.PEM()...), nil
}
