package card

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"
)

// BundleFile is the settings file of a bundle: a TrustConfig.
const BundleFile = "trust.yaml"

// Bundle is a folder that holds the trust: CA certificates (PEM, one a file) and
// BundleFile, which names them.
type Bundle struct {
	folder  string
	testCAs bool
	log     *slog.Logger
	trust   atomic.Pointer[Trust]
}

// OpenBundle reads the bundle. The error holds everything that is wrong with it.
func OpenBundle(folder string, acceptTestCAs bool, now time.Time, log *slog.Logger) (*Bundle, error) {
	b := &Bundle{folder: folder, testCAs: acceptTestCAs, log: log}
	t, err := b.read(now)
	if err != nil {
		return nil, err
	}
	b.trust.Store(t)
	return b, nil
}

// Trust is what the bundle said when it was last in order.
func (b *Bundle) Trust() *Trust { return b.trust.Load() }

func (b *Bundle) read(now time.Time) (*Trust, error) {
	c, err := ReadTrustConfig(b.folder)
	if err != nil {
		return nil, err
	}
	c.AcceptTestCAs = b.testCAs
	return NewTrust(c, now)
}

// ReadTrustConfig reads the settings file of a bundle, and no certificate.
func ReadTrustConfig(folder string) (TrustConfig, error) {
	text, err := os.ReadFile(filepath.Join(folder, BundleFile))
	if err != nil {
		return TrustConfig{}, err
	}
	c := TrustConfig{}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return TrustConfig{}, fmt.Errorf("%s: %w", BundleFile, err)
	}
	c.Folder = folder
	return c, nil
}
