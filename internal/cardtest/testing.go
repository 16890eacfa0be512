package cardtest

import (
	"time"

	"github.com/portti-id/portti/internal/card"
)

// TB is what is needed of testing.TB; this package does not import testing, for
// the demo is built with it.
type TB interface {
	Helper()
	Fatal(args ...any)
	TempDir() string
}

// ForTest is New for now.
func ForTest(t TB) *PKI {
	t.Helper()
	return must(New(time.Now()))(t)
}

// TestCard is Issue.
func (p *PKI) TestCard(t TB, name string, who Person, options ...Option) *Card {
	t.Helper()
	return must(p.Issue(name, who, options...))(t)
}

// TestCase is Case.
func (p *PKI) TestCase(t TB, name string) *Card {
	t.Helper()
	return must(p.Case(name))(t)
}

// TestTrust is the trust of TrustConfig; change edits the settings.
func (p *PKI) TestTrust(t TB, change ...func(*card.TrustConfig)) *card.Trust {
	t.Helper()
	dir := t.TempDir()
	if err := p.Save(dir); err != nil {
		t.Fatal(err)
	}
	config := TrustConfig(dir)
	for _, c := range change {
		c(&config)
	}
	return must(card.NewTrust(config, p.now))(t)
}

func must[T any](v T, err error) func(TB) T {
	return func(t TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
