package card

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/goccy/go-yaml"
)

// BundleFile is the settings file of a bundle: a TrustConfig.
const BundleFile = "trust.yaml"

const (
	lookEvery = 10 * time.Second
	warnEvery = 24 * time.Hour
)

// Bundle is a folder that holds the trust: CA certificates (PEM, one a file) and
// BundleFile, which names them. Run reads it again when it has changed.
//
//	look ──▶ as in force ────────────────────────▶ nothing to do
//	     ──▶ other than at the look before ──────▶ wait: somebody is still copying
//	     ──▶ the same as at the look before ─┬───▶ in order: in force from now on
//	                                         └───▶ not in order: the former trust stays
type Bundle struct {
	folder  string
	testCAs bool
	log     *slog.Logger
	trust   atomic.Pointer[Trust]

	mu     sync.Mutex
	seen   string // fingerprint of the folder at the last look
	state  BundleState
	warned time.Time
}

// BundleState is what there is to tell of a bundle, for probes and metrics.
type BundleState struct {
	Loaded      time.Time // when the trust in force was read
	Fingerprint string    // of its files: SHA-256, lower-case hex; the same on every replica that has the same
	Problem     error     // why what the folder holds now is not in force, see Defects; nil when it is
	Since       time.Time // when the problem was met; zero without one
}

// OpenBundle reads the bundle. The error holds everything that is wrong with it.
func OpenBundle(folder string, acceptTestCAs bool, now time.Time, log *slog.Logger) (*Bundle, error) {
	b := &Bundle{folder: folder, testCAs: acceptTestCAs, log: log, warned: now}
	s := takeSnapshot(folder)
	t, err := s.trust(acceptTestCAs, now)
	if err != nil {
		return nil, err
	}
	b.take(s, t, now)
	return b, nil
}

// Trust is what the bundle said when it was last in order.
func (b *Bundle) Trust() *Trust { return b.trust.Load() }

// State is what there is to tell now.
func (b *Bundle) State() BundleState {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state
}

// Run looks at the folder until ctx ends.
func (b *Bundle) Run(ctx context.Context) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			b.Look(ctx, time.Now())
		}
	}
}

// Look reads the folder, and puts it in force when it has changed, has not
// changed since the last look, and is in order. Run calls it.
func (b *Bundle) Look(ctx context.Context, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := takeSnapshot(b.folder)
	settled := s.fingerprint == b.seen
	b.seen = s.fingerprint
	switch {
	case s.fingerprint == b.state.Fingerprint:
		if b.state.Problem != nil {
			b.state.Problem, b.state.Since = nil, time.Time{}
			b.log.InfoContext(ctx, "card trust: the folder is again as it was read")
		}
		b.warn(ctx, now)
	case settled:
		_ = b.try(ctx, s, now) // which has logged it
	}
}

// Reload reads the folder at once, changed or not. With an error, which holds
// everything that is wrong, the former trust stays in force.
func (b *Bundle) Reload(ctx context.Context, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := takeSnapshot(b.folder)
	b.seen = s.fingerprint
	return b.try(ctx, s, now)
}

// try also comes for what was refused before: a CA that was not valid yet may be
// by now. The operator hears once of what is wrong.
func (b *Bundle) try(ctx context.Context, s snapshot, now time.Time) error {
	t, err := s.trust(b.testCAs, now)
	if err != nil {
		if b.state.Problem == nil || err.Error() != b.state.Problem.Error() {
			b.state.Problem, b.state.Since = err, now
			b.log.ErrorContext(ctx, "card trust: the folder has changed and is not in order; the former trust stays in force", "folder", b.folder, "problems", strings.Split(err.Error(), "\n"))
		}
		return err
	}
	b.take(s, t, now)
	b.log.InfoContext(ctx, "card trust: read again", "folder", b.folder, "fingerprint", s.fingerprint, "roots", len(s.config.Roots), "issuers", len(s.config.Issuers))
	b.warned = time.Time{}
	b.warn(ctx, now)
	return nil
}

func (b *Bundle) take(s snapshot, t *Trust, now time.Time) {
	b.trust.Store(t)
	b.seen = s.fingerprint
	b.state = BundleState{Loaded: now, Fingerprint: s.fingerprint}
}

// warn repeats the warnings every day: a CA that nears its end is forgotten
// otherwise. At start cmd/portti tells of them with the rest.
func (b *Bundle) warn(ctx context.Context, now time.Time) {
	if now.Sub(b.warned) < warnEvery {
		return
	}
	b.warned = now
	for _, w := range b.Trust().Warnings(now) {
		b.log.WarnContext(ctx, "card trust", "note", w.String())
	}
}

// snapshot is a folder as it was read at one time: what is judged is what was
// hashed, whatever happens to the folder meanwhile.
type snapshot struct {
	config      TrustConfig
	err         error // why there is no config
	files       map[string]snapshotFile
	fingerprint string
}

type snapshotFile struct {
	data []byte
	err  error
}

// takeSnapshot reads the settings file and every file that it names. They are a
// few KiB: reading them is as good as asking for their times, and misses nothing.
func takeSnapshot(folder string) snapshot {
	root := os.DirFS(folder)
	s := snapshot{files: map[string]snapshotFile{}}
	sum := sha256.New()
	add := func(name string, most int64) snapshotFile {
		data, err := readFile(root, name, most)
		f := snapshotFile{data, err}
		s.files[name] = f
		fmt.Fprintf(sum, "%q %d %v\n", name, len(data), err)
		_, _ = sum.Write(data) // a hash never fails
		return f
	}
	text := add(BundleFile, largestSettings)
	if text.err != nil {
		s.err = fmt.Errorf("%s: %w", BundleFile, text.err)
	} else {
		s.config, s.err = parseTrustConfig(text.data)
	}
	s.config.Folder = folder
	for _, name := range s.config.names() {
		if _, again := s.files[name]; !again && len(s.files) <= mostAuthorities {
			add(name, largestFile)
		}
	}
	s.fingerprint = hex.EncodeToString(sum.Sum(nil))
	return s
}

// names are the files that the settings name, in their order.
func (c TrustConfig) names() []string {
	var names []string
	for _, r := range c.Roots {
		names = append(names, r.File)
	}
	for _, i := range c.Issuers {
		names = append(names, i.File)
	}
	return names
}

func (s snapshot) trust(testCAs bool, now time.Time) (*Trust, error) {
	if s.err != nil {
		return nil, s.err
	}
	c := s.config
	c.AcceptTestCAs = testCAs
	return newTrust(c, now, s.read)
}

func (s snapshot) read(name string) ([]byte, error) {
	f, ok := s.files[name]
	if !ok {
		return nil, fs.ErrNotExist
	}
	return f.data, f.err
}

// ReadTrustConfig reads the settings file of a bundle, and no certificate.
func ReadTrustConfig(folder string) (TrustConfig, error) {
	text, err := readFile(os.DirFS(folder), BundleFile, largestSettings)
	if err != nil {
		return TrustConfig{}, fmt.Errorf("%s: %w", BundleFile, err)
	}
	c, err := parseTrustConfig(text)
	c.Folder = folder
	return c, err
}

func parseTrustConfig(text []byte) (TrustConfig, error) {
	c := TrustConfig{}
	if err := yaml.NewDecoder(bytes.NewReader(text), yaml.Strict()).Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return TrustConfig{}, fmt.Errorf("%s: %w", BundleFile, err)
	}
	return c, nil
}

// Survey is a bundle as an operator looks at it, in order or not.
type Survey struct {
	Config       TrustConfig
	Certificates map[string]*x509.Certificate // by file; what could be read
	Fingerprint  string                       // see BundleState
	Trust        *Trust                       // nil when it is not in order
	Problem      error                        // everything that is wrong, nil when it is in order
}

// SurveyBundle looks at a bundle and puts nothing in force.
func SurveyBundle(folder string, acceptTestCAs bool, now time.Time) Survey {
	s := takeSnapshot(folder)
	v := Survey{Config: s.config, Certificates: map[string]*x509.Certificate{}, Fingerprint: s.fingerprint}
	v.Config.AcceptTestCAs = acceptTestCAs
	v.Trust, v.Problem = s.trust(acceptTestCAs, now)
	for _, name := range s.config.names() {
		if f := s.files[name]; f.err == nil {
			if cert, err := onlyCertificate(f.data); err == nil {
				v.Certificates[name] = cert
			}
		}
	}
	return v
}
