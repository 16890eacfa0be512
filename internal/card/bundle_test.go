package card_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
)

// bundled is a folder with a bundle, opened.
type bundled struct {
	t *testing.T
	*cardtest.PKI
	dir    string
	bundle *card.Bundle
	log    *lines
	now    time.Time
}

func newBundled(t *testing.T) *bundled {
	t.Helper()
	b := &bundled{t: t, PKI: cardtest.ForTest(t), dir: t.TempDir(), log: &lines{}, now: time.Now()}
	mustOK(t, b.Save(b.dir))
	b.bundle = must(card.OpenBundle(b.dir, true, b.now, slog.New(slog.NewTextHandler(b.log, nil))))
	return b
}

func (b *bundled) look() {
	b.t.Helper()
	b.now = b.now.Add(10 * time.Second)
	b.bundle.Look(b.t.Context(), b.now)
}

func (b *bundled) write(name, text string) {
	b.t.Helper()
	mustOK(b.t, os.WriteFile(filepath.Join(b.dir, name), []byte(text), 0o600))
}

func (b *bundled) settings() string {
	b.t.Helper()
	return string(must(os.ReadFile(filepath.Join(b.dir, card.BundleFile))))
}

// verdict is that of a good organisation card.
func (b *bundled) verdict() card.Verdict {
	b.t.Helper()
	return b.bundle.Trust().Check(b.TestCase(b.t, "good-p384").Certificates(), b.now).Verdict
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// take returns what was logged since the last call.
func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}

// A change is in force at the second look that sees it, without a restart.
func TestBundleIsReadAgain(t *testing.T) {
	b := newBundled(t)
	first := b.bundle.State()
	if !first.Loaded.Equal(b.now) || len(first.Fingerprint) != 64 || first.Problem != nil {
		t.Errorf("state %+v", first)
	}
	b.look()
	b.look()
	if b.bundle.State() != first || b.log.take() != "" {
		t.Errorf("nothing has changed, and yet %+v", b.bundle.State())
	}
	b.write(card.BundleFile, strings.ReplaceAll(b.settings(), "kind: organisation", "kind: citizen"))
	b.look()
	if b.verdict() != card.Good {
		t.Error("the first look took what may be half-written")
	}
	b.look()
	if got := b.verdict(); got != card.KindNotAccepted {
		t.Errorf("verdict %s", got)
	}
	s := b.bundle.State()
	if !s.Loaded.Equal(b.now) || s.Fingerprint == first.Fingerprint || s.Problem != nil || !s.Since.IsZero() {
		t.Errorf("state %+v", s)
	}
	if said := b.log.take(); strings.Count(said, "read again") != 1 || !strings.Contains(said, s.Fingerprint) {
		t.Errorf("the log says %s", said)
	}
}

// The certificates count as the settings do, and nothing else in the folder.
func TestBundleSeesItsFilesOnly(t *testing.T) {
	b := newBundled(t)
	first := b.bundle.State().Fingerprint
	b.write("README", "hello")
	b.write("ca-stranger.crt", "hello")
	b.look()
	b.look()
	if b.bundle.State().Fingerprint != first {
		t.Error("a file that is not named counts")
	}
	b.write("ca-health.crt", "Health\n"+string(b.Health.PEM()))
	b.look()
	b.look()
	if b.bundle.State().Fingerprint == first {
		t.Error("a certificate's file does not count")
	}
}

// Somebody copies for a while: what is seen on the way is never taken.
func TestHalfWrittenBundleIsNotTaken(t *testing.T) {
	b := newBundled(t)
	whole := b.settings()
	for i := range 10 { // each of them is in order, and other than the one before
		b.write(card.BundleFile, fmt.Sprint("# ", i, "\n", strings.ReplaceAll(whole, "kind: organisation", "kind: citizen")))
		b.look()
		if b.verdict() != card.Good {
			t.Fatal("taken")
		}
	}
	b.write(card.BundleFile, whole)
	b.look()
	b.look()
	if said := b.log.take(); said != "" {
		t.Errorf("the log says %s", said)
	}
}

// What is not in order changes nothing, and is told once.
func TestBadBundleLeavesTheFormerTrust(t *testing.T) {
	b := newBundled(t)
	whole, first := b.settings(), b.bundle.State()
	b.write("ca-health.crt", "hello")
	b.write(card.BundleFile, strings.ReplaceAll(whole, "kind: organisation", "kind: organization"))
	for range 5 {
		b.look()
	}
	if b.verdict() != card.Good {
		t.Error("the former trust is gone")
	}
	s := b.bundle.State()
	if s.Fingerprint != first.Fingerprint || !s.Loaded.Equal(first.Loaded) || s.Since.IsZero() {
		t.Errorf("state %+v", s)
	}
	said := b.log.take()
	if strings.Count(said, "\n") != 1 {
		t.Errorf("told more than once, or not at all: %s", said)
	}
	for _, text := range []string{"issuers[0]", "organization", "issuers[1]", "0 PEM blocks", "ca-health.crt"} {
		if !strings.Contains(said, text) || !strings.Contains(s.Problem.Error(), text) {
			t.Errorf("%q is not told: log %s, state %s", text, said, s.Problem)
		}
	}

	// Another fault is told anew; a folder that went away is one as well.
	b.write(card.BundleFile, "roots: [")
	b.look()
	b.look()
	if said := b.log.take(); !strings.Contains(said, card.BundleFile) {
		t.Errorf("the log says %s", said)
	}
	away := b.dir + "-away"
	mustOK(t, os.Rename(b.dir, away))
	b.look()
	b.look()
	if said := b.log.take(); !strings.Contains(said, "no such file") || b.verdict() != card.Good {
		t.Errorf("the log says %s", said)
	}

	// And all is well when the folder is again what it was.
	mustOK(t, os.Rename(away, b.dir))
	mustOK(t, b.Save(b.dir))
	b.look()
	if s := b.bundle.State(); s != first {
		t.Errorf("state %+v, want %+v", s, first)
	}
}

// What was refused for its time is taken when its time has come.
func TestBundleThatWasTooEarly(t *testing.T) {
	b := newBundled(t)
	ca := must(cardtest.NewCA("young", "Portti TEST Young", cardtest.P256, b.Root, b.now, notBefore(b.now.Add(time.Hour))))
	b.write("young.crt", string(ca.PEM()))
	b.write(card.BundleFile, b.settings()+"- file: young.crt\n  name: Portti TEST Young\n  kind: actor\n  policies: [2.999.1]\n")
	b.look()
	b.look()
	if s := b.bundle.State(); s.Problem == nil || !strings.Contains(s.Problem.Error(), "not valid before") {
		t.Fatalf("state %+v", s)
	}
	b.now = b.now.Add(time.Hour)
	b.look()
	if s := b.bundle.State(); s.Problem != nil || len(b.bundle.Trust().Sources()) != 5 {
		t.Errorf("state %+v", s)
	}
}

// Reload waits for nothing and says what is wrong.
func TestReload(t *testing.T) {
	b := newBundled(t)
	whole := b.settings()
	b.write(card.BundleFile, "issuers: []\n")
	if err := b.bundle.Reload(t.Context(), b.now); err == nil || !strings.Contains(err.Error(), "roots:") || b.verdict() != card.Good {
		t.Errorf("%v", err)
	}
	b.write(card.BundleFile, strings.ReplaceAll(whole, "kind: organisation", "kind: citizen"))
	if err := b.bundle.Reload(t.Context(), b.now); err != nil || b.verdict() != card.KindNotAccepted {
		t.Errorf("%v", err)
	}
}

// The folder may be a link that is turned to another folder, as mounted volumes do.
func TestBundleBehindALink(t *testing.T) {
	b := newBundled(t)
	link, other := filepath.Join(t.TempDir(), "trust"), t.TempDir()
	mustOK(t, os.Symlink(b.dir, link))
	b.bundle = must(card.OpenBundle(link, true, b.now, slog.New(slog.NewTextHandler(b.log, nil))))
	mustOK(t, b.Save(other))
	mustOK(t, os.WriteFile(filepath.Join(other, card.BundleFile), []byte(strings.ReplaceAll(b.settings(), "kind: organisation", "kind: citizen")), 0o600))
	mustOK(t, os.Remove(link))
	mustOK(t, os.Symlink(other, link))
	b.look()
	b.look()
	if got := b.verdict(); got != card.KindNotAccepted {
		t.Errorf("verdict %s", got)
	}
}

// What is no ordinary file of fair size is refused, not waited for.
func TestBundleReadsOrdinaryFiles(t *testing.T) {
	b := newBundled(t)
	b.write("ca-health.crt", strings.Repeat("x", 65<<10))
	mustOK(t, os.Remove(filepath.Join(b.dir, "ca-citizen.crt")))
	mustOK(t, os.Mkdir(filepath.Join(b.dir, "ca-citizen.crt"), 0o700))
	err := b.bundle.Reload(t.Context(), b.now)
	if err == nil || !strings.Contains(err.Error(), "larger than 64 KiB") || !strings.Contains(err.Error(), "is not a file") {
		t.Errorf("%v", err)
	}
	b.write(card.BundleFile, strings.Repeat("#", 257<<10))
	if err := b.bundle.Reload(t.Context(), b.now); err == nil || !strings.Contains(err.Error(), "larger than 256 KiB") {
		t.Errorf("%v", err)
	}
}

// Run looks by itself, until it is told to stop, and repeats warnings each day.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBundled(t)
		ended := make(chan struct{})
		go func() { defer close(ended); b.bundle.Run(t.Context()) }()
		b.write(card.BundleFile, strings.ReplaceAll(b.settings(), "kind: organisation", "kind: citizen"))
		time.Sleep(21 * time.Second)
		synctest.Wait()
		if got := b.verdict(); got != card.KindNotAccepted {
			t.Errorf("verdict %s", got)
		}
		const warning = "nothing says where to ask"
		if said := b.log.take(); !strings.Contains(said, warning) {
			t.Errorf("no warning: %s", said)
		}
		time.Sleep(23 * time.Hour)
		synctest.Wait()
		if said := b.log.take(); said != "" {
			t.Errorf("the log says %s", said)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if said := b.log.take(); strings.Count(said, warning) != 2 {
			t.Errorf("the log says %s", said)
		}
		t.Cleanup(func() { <-ended })
	})
}

// Looking, reading and asking at once (run with -race).
func TestBundleIsSafeForConcurrentUse(t *testing.T) {
	b := newBundled(t)
	certs := b.TestCase(t, "good-p384").Certificates()
	good, citizen := b.settings(), strings.ReplaceAll(b.settings(), "kind: organisation", "kind: citizen")
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				if v := b.bundle.Trust().Check(certs, b.now).Verdict; v != card.Good && v != card.KindNotAccepted {
					t.Errorf("verdict %s", v)
				}
				b.bundle.Look(t.Context(), b.now)
				_ = b.bundle.State()
			}
		})
	}
	all.Go(func() {
		for range 10 {
			for _, text := range []string{citizen, good} {
				mustOK(t, os.WriteFile(filepath.Join(b.dir, card.BundleFile), []byte(text), 0o600))
				_ = b.bundle.Reload(t.Context(), b.now) // a look may be reading what is half-written; that is its problem
			}
		}
	})
	all.Wait()
}

func TestSurveyShowsWhatIsNotInOrder(t *testing.T) {
	b := newBundled(t)
	b.write("ca-health.crt", "hello")
	s := card.SurveyBundle(b.dir, false, b.now)
	if s.Problem == nil || s.Trust != nil || len(s.Config.Issuers) != 3 || len(s.Certificates) != 3 || len(s.Fingerprint) != 64 {
		t.Errorf("%+v", s)
	}
	mustOK(t, b.Save(b.dir))
	s = card.SurveyBundle(b.dir, true, b.now)
	if s.Problem != nil || s.Trust == nil || len(s.Certificates) != 4 || s.Fingerprint != b.bundle.State().Fingerprint {
		t.Errorf("%+v", s)
	}
	if s = card.SurveyBundle(filepath.Join(b.dir, "gone"), true, b.now); s.Problem == nil || s.Trust != nil {
		t.Errorf("%+v", s)
	}
}

// The example of deploy is understood, and nothing but its files is missing.
func TestTheExampleIsUnderstood(t *testing.T) {
	text := must(os.ReadFile(filepath.Join("..", "..", "deploy", "trust.example.yaml")))
	dir := t.TempDir()
	mustOK(t, os.WriteFile(filepath.Join(dir, card.BundleFile), text, 0o600))
	c, err := card.ReadTrustConfig(dir)
	mustOK(t, err)
	if len(c.Roots) != 2 || len(c.Issuers) != 3 || len(c.RevocationHosts) != 1 {
		t.Errorf("%+v", c)
	}
	s := card.SurveyBundle(dir, false, time.Now())
	if s.Problem == nil {
		t.Fatal("there are certificates beside the example")
	}
	problems := strings.Split(s.Problem.Error(), "\n")
	if len(problems) != 5 {
		t.Errorf("%d problems, want the five files:\n%v", len(problems), s.Problem)
	}
	for _, p := range problems {
		if !strings.Contains(p, "no such file") {
			t.Errorf("more than a missing file: %s", p)
		}
	}
	// With certificates in their place it is in order.
	now := time.Now()
	var roots []*cardtest.CA
	for i, r := range c.Roots {
		roots = append(roots, must(cardtest.NewCA("root", r.Name, cardtest.P256, nil, now, inProduction(r.Name))))
		mustOK(t, os.WriteFile(filepath.Join(dir, r.File), roots[i].PEM(), 0o600))
	}
	for i, issuer := range c.Issuers {
		ca := must(cardtest.NewCA("ca", issuer.Name, cardtest.P256, roots[i%2], now, inProduction(issuer.Name)))
		mustOK(t, os.WriteFile(filepath.Join(dir, issuer.File), ca.PEM(), 0o600))
	}
	s = card.SurveyBundle(dir, false, now)
	mustOK(t, s.Problem)
	if w := s.Trust.Warnings(now); len(w) != 1 || !strings.Contains(w[0].String(), "G3 ECC: no configured CA whose cards") {
		t.Errorf("warnings %q", w)
	}
}
