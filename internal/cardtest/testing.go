package cardtest

import (
	"net"
	"net/http"
	"time"

	"github.com/portti-id/portti/internal/card"
)

// TB is what is needed of testing.TB; this package does not import testing, for
// the demo is built with it.
type TB interface {
	Helper()
	Fatal(args ...any)
	TempDir() string
	Cleanup(func())
}

// ForTest is New for now.
func ForTest(t TB) *PKI {
	t.Helper()
	return must(New(time.Now()))(t)
}

// ForTestOnline is a PKI whose Server answers over HTTP until the test ends, with
// the clock now.
func ForTestOnline(t TB, now func() time.Time) (*PKI, *Server) {
	t.Helper()
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	p := must(NewAt("http://"+l.Addr().String(), now()))(t)
	s := NewServer(p, now)
	web := &http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	go func() { _ = web.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = web.Close() })
	return p, s
}

// TestCA is CA.
func (p *PKI) TestCA(t TB, name string) *CA {
	t.Helper()
	return must(p.CA(name))(t)
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

// TestTrust is the trust of PKI.TrustConfig, in the authorities that there are
// by now; change edits the settings. The cards are not written: a PKI that many
// tests share has hundreds of them.
func (p *PKI) TestTrust(t TB, change ...func(*card.TrustConfig)) *card.Trust {
	t.Helper()
	dir := t.TempDir()
	if err := p.SaveTrust(dir); err != nil {
		t.Fatal(err)
	}
	config := p.TrustConfig(dir)
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
