package revocation_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral"
)

// S24: what responder and list say together, in every mode. One that says
// revoked is enough, and nobody is let in by silence but in mode soft.
func TestResponderAndListTogether(t *testing.T) {
	const none = card.Unavailable
	good, revoked, hold := card.NotRevoked, card.WasRevoked, card.OnHold
	w := newWorld(t, cardtest.P256)
	for _, c := range []struct{ ocsp, crl, require, crlOnly, soft card.State }{
		{good, good, good, good, good},
		{good, none, good, none, good},
		{good, revoked, revoked, revoked, revoked},
		{good, hold, hold, hold, hold},
		{revoked, good, revoked, good, revoked},
		{revoked, none, revoked, none, revoked},
		{revoked, revoked, revoked, revoked, revoked},
		{revoked, hold, revoked, hold, revoked},
		{hold, good, hold, good, hold},
		{hold, none, hold, none, hold},
		{hold, revoked, revoked, revoked, revoked},
		{hold, hold, hold, hold, hold},
		{none, good, good, good, good},
		{none, none, none, none, good},
		{none, revoked, revoked, revoked, revoked},
		{none, hold, hold, hold, hold},
	} {
		w.say(func(a *answer) {
			switch a.singles[0].since = noon.AddDate(0, -1, 0); c.ocsp {
			case revoked:
				a.singles[0].state = 1
			case hold:
				a.singles[0].state, a.singles[0].reason = 1, 6
			case none:
				a.status = 3
			}
		})
		for mode, want := range map[revocation.Mode]card.State{"": c.require, revocation.Require: c.require, revocation.CRLOnly: c.crlOnly, revocation.Soft: c.soft} {
			w.lists["*"] = c.crl
			before := w.asked.Load()
			s := w.status(func(c *revocation.Checker) { c.Mode = mode })
			if s.State != want || (s.State == good) != (s.Reason == "") {
				t.Errorf("responder %s, list %s, mode %q: %+v, want %s", c.ocsp, c.crl, mode, s, want)
			}
			asked := w.asked.Load() != before
			if asked != (mode != revocation.CRLOnly && c.crl != revoked) {
				t.Errorf("responder %s, list %s, mode %q: asked %v", c.ocsp, c.crl, mode, asked)
			}
		}
	}
	for _, mode := range revocation.Modes {
		w.respond(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
		s := w.status(func(c *revocation.Checker) { c.Mode, c.Lists = mode, nil })
		if (s.State == good) != (mode == revocation.Soft) {
			t.Errorf("mode %s without lists: %+v", mode, s)
		}
	}
}

// A list that says something this package does not know is no answer.
func TestOddListIsNoAnswer(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	for _, odd := range []card.State{"", "unknown", "GOOD"} {
		w.lists["*"] = odd
		if s := w.status(func(c *revocation.Checker) { c.Mode = revocation.CRLOnly }); s.State != card.Unavailable || s.Reason == "" {
			t.Errorf("%q: %+v", odd, s)
		}
	}
}

// Lists that can look at the certificate itself are asked with it.
func TestListsSeeTheCertificate(t *testing.T) {
	var _ revocation.CertificateLists = (*crl.Lists)(nil)
	w := newWorld(t, cardtest.P256)
	other := w.issue(&x509.Certificate{})
	for cert, want := range map[*x509.Certificate]card.State{w.card: card.NotRevoked, other: card.Unavailable} {
		c := w.checker(func(c *revocation.Checker) { c.Mode, c.Lists = revocation.CRLOnly, forOne{w.lists, w.card} })
		if s := c.Status(t.Context(), cert, w.ca.Cert, noon); s.State != want {
			t.Errorf("%+v, want %s", s, want)
		}
	}
}

// forOne is a list for one certificate alone.
type forOne struct {
	lists
	only *x509.Certificate
}

func (l forOne) StatusOf(cert, _ *x509.Certificate, _ time.Time) card.Status {
	if cert.Equal(l.only) {
		return card.Status{State: card.NotRevoked, Source: "crl"}
	}
	return card.Status{State: card.Unavailable, Reason: "crl: for another"}
}

// Soft is loud: it says and counts what it lets in.
func TestSoftIsLoud(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	w.say(func(a *answer) { a.status = 6 })
	var log bytes.Buffer
	c := w.checker(func(c *revocation.Checker) { c.Mode, c.Log = revocation.Soft, slog.New(slog.NewTextHandler(&log, nil)) })
	if s := c.Status(t.Context(), w.card, w.ca.Cert, noon); s != (card.Status{State: card.NotRevoked}) {
		t.Errorf("%+v", s)
	}
	if stats := c.Stats(); stats.Unchecked != 1 || stats.Statuses[revocation.Said{State: card.Unavailable}] != 1 {
		t.Errorf("%+v", stats)
	}
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "not authorised") || strings.Contains(log.String(), w.card.SerialNumber.Text(16)) {
		t.Errorf("log %s", log.String())
	}
}

// A responder that does not know the certificate has answered: that is no silence
// for mode soft to forgive. A list may still know better.
func TestSoftIsNotForUnknownCertificates(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	w.say(func(a *answer) { a.singles[0].state = 2 })
	c := w.checker(func(c *revocation.Checker) { c.Mode = revocation.Soft })
	for list, want := range map[card.State]card.State{card.Unavailable: card.Unavailable, card.NotRevoked: card.NotRevoked, card.OnHold: card.OnHold} {
		w.lists["*"] = list
		if s := c.Status(t.Context(), w.card, w.ca.Cert, noon); s.State != want {
			t.Errorf("list %s: %+v", list, s)
		}
	}
	if stats := c.Stats(); stats.Unchecked != 0 || stats.Statuses[revocation.Said{State: card.Unavailable}] != 1 {
		t.Errorf("%+v", stats)
	}
}

// The issuing CA is asked about at its root's responder, and the whole check of
// a card ends with the right verdict.
func TestTheCAIsAskedAboutToo(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	p := cardtest.ForTest(t)
	trust := p.TestTrust(t, func(c *card.TrustConfig) {
		c.Roots[0].OCSP, c.Issuers[0].OCSP = []string{w.server.URL + "/root"}, []string{w.server.URL + "/ca"}
	})
	w.root, w.ca, w.now = p.Root, p.Organisation, time.Now()
	maija := p.TestCard(t, "maija", cardtest.Person{Given: "Maija", Family: "Meikäläinen"})
	for _, c := range []struct {
		path  string // whose responder says that something was revoked
		state int
		hold  bool
		want  card.Verdict
	}{
		{"", 0, false, card.Good},
		{"/ca", 1, false, card.Revoked},
		{"/ca", 1, true, card.Suspended},
		{"/ca", 2, false, card.RevocationUnavailable},
		{"/root", 1, false, card.Revoked},
		{"/root", 1, true, card.Suspended}, // and not revoked, which links would remember for good
		{"/root", 2, false, card.RevocationUnavailable},
	} {
		w.respond(func(rw http.ResponseWriter, r *http.Request) {
			w.honest(rw, r, func(a *answer) {
				if r.URL.Path == c.path {
					a.singles[0].state, a.singles[0].since = c.state, time.Now().AddDate(0, -1, 0)
					if c.hold {
						a.singles[0].reason = 6
					}
				}
			})
		})
		mustOK(t, w.cache.Close())
		checker := card.Checker{Trust: func() *card.Trust { return trust }, Revocation: w.checker(func(c *revocation.Checker) { c.Trust = func() *card.Trust { return trust } })}
		if r := checker.Check(t.Context(), maija.Certificates(), w.clock()); r.Verdict != c.want || (c.want != card.Good) != (r.Failed == card.CheckRevocation) {
			t.Errorf("%+v: %s at %s because of %s", c, r.Verdict, r.Failed, r.Reason)
		}
	}
}

// A good answer is asked for again after five minutes, or when it ends.
func TestGoodIsRememberedForMinutes(t *testing.T) {
	for _, c := range []struct {
		name string
		lie  func(*answer)
		for_ time.Duration // 0: not at all
	}{
		{"for long", func(*answer) {}, revocation.GoodFor},
		{"until the next one", func(a *answer) { a.singles[0].next = noon.Add(time.Minute) }, time.Minute},
		{"without a next one", func(a *answer) { a.singles[0].this, a.singles[0].next = noon.Add(-14*time.Minute), time.Time{} }, time.Minute},
		{"on the edge", func(a *answer) { a.singles[0].next = noon.Add(-time.Second) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, cardtest.P256)
			w.say(c.lie)
			checkers := []*revocation.Checker{w.checker(), w.checker()} // two replicas
			ask := func() {
				t.Helper()
				for _, checker := range checkers {
					if s := checker.Status(t.Context(), w.card, w.ca.Cert, w.clock()); s.State != card.NotRevoked || s.Source != "ocsp" {
						t.Fatalf("%+v", s)
					}
				}
			}
			ask()
			if c.for_ == 0 {
				if w.asked.Load() != 2 {
					t.Errorf("%d questions", w.asked.Load())
				}
				return
			}
			w.later(c.for_ - time.Millisecond)
			ask()
			if w.asked.Load() != 1 {
				t.Errorf("%d questions before the time is over", w.asked.Load())
			}
			w.later(time.Millisecond)
			w.say(nil)
			ask()
			if w.asked.Load() != 2 {
				t.Errorf("%d questions after it is over", w.asked.Load())
			}
			if s := checkers[0].Stats(); s.Remembered == 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// Revoked stays so, on hold does not.
func TestRevokedIsRememberedForGood(t *testing.T) {
	for reason, stays := range map[int]bool{1: true, -1: true, 6: false} {
		w := newWorld(t, cardtest.P256)
		w.say(func(a *answer) {
			a.singles[0].state, a.singles[0].since, a.singles[0].reason = 1, noon.AddDate(0, -1, 0), reason
		})
		c := w.checker()
		first := c.Status(t.Context(), w.card, w.ca.Cert, w.clock())
		w.say(nil)
		w.later(revocation.GoodFor - time.Second)
		if s := c.Status(t.Context(), w.card, w.ca.Cert, w.clock()); s.State != first.State || s.Source != "ocsp" || !s.Since.Equal(first.Since) || s.Reason == "" {
			t.Errorf("reason %d: %+v after %+v", reason, s, first)
		}
		w.later(300 * 24 * time.Hour)
		if s := c.Status(t.Context(), w.card, w.ca.Cert, w.clock()); (s.State == card.WasRevoked) != stays {
			t.Errorf("reason %d, months later: %+v", reason, s)
		}
	}
}

// Whatever happens to the cache, the worst is a question more.
func TestBrokenCache(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	key := revocation.CacheKey(w.card, w.ca.Cert)
	until := func(d time.Duration) string { return noon.Add(d).Format(time.RFC3339) }
	for _, poison := range []string{"", "{", "null", "[]", "{}", `{"state":"good"}`, `{"state":"good","until":"` + until(0) + `"}`, `{"state":"good","until":"` + until(-time.Hour) + `"}`,
		`{"state":"good","until":"` + until(24*time.Hour) + `"}`, `{"state":"unavailable","until":"` + until(time.Minute) + `"}`, `{"state":"GOOD","until":"` + until(time.Minute) + `"}`,
		`{"state":"unknown","until":"` + until(time.Minute) + `"}`} {
		w.say(func(a *answer) { a.singles[0].state = 2 })
		mustOK(t, w.cache.Put(t.Context(), key, []byte(poison), time.Hour))
		before := w.asked.Load()
		if s := w.checker().Status(t.Context(), w.card, w.ca.Cert, noon); s.State != card.Unavailable || w.asked.Load() != before+1 {
			t.Errorf("%s: %+v", poison, s)
		}
	}

	w.say(nil)
	for name, broken := range map[string]ephemeral.Store{"away": away{}, "silent": silent{}} {
		c := w.checker(func(c *revocation.Checker) { c.Cache = broken })
		before := w.asked.Load()
		if s := c.Status(t.Context(), w.card, w.ca.Cert, noon); s.State != card.NotRevoked || w.asked.Load() != before+1 {
			t.Errorf("%s: %+v", name, s)
		}
		if c.Stats().CacheFailure == 0 {
			t.Errorf("%s: not counted", name)
		}
	}
}

// Nothing of the card is in the cache, and certificates do not share a place.
func TestCacheTellsNothing(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	other := must(cardtest.NewCA("ca", "Portti TEST Cards", cardtest.P256, w.root, noon))
	same := w.issueBy(other, &x509.Certificate{SerialNumber: w.card.SerialNumber}).Cert
	keys := map[string]bool{}
	for _, k := range []string{revocation.CacheKey(w.card, w.ca.Cert), revocation.CacheKey(same, other.Cert), revocation.CacheKey(w.issue(&x509.Certificate{}), w.ca.Cert)} {
		if keys[k] || strings.Contains(k, w.card.SerialNumber.Text(16)) {
			t.Errorf("key %s", k)
		}
		keys[k] = true
	}
}

type away struct{ ephemeral.Store }

func (away) Get(context.Context, string) ([]byte, error) { return nil, errors.New("away") }
func (away) Put(context.Context, string, []byte, time.Duration) error {
	return errors.New("away")
}

type silent struct{ ephemeral.Store }

func (silent) Get(ctx context.Context, _ string) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }
func (silent) Put(ctx context.Context, _ string, _ []byte, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// Fifty who want the same answer ask once, and all get it, though the first of
// them turns away.
func TestOneQuestionForAll(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	arrived, release := make(chan struct{}), make(chan struct{})
	w.respond(func(rw http.ResponseWriter, r *http.Request) {
		close(arrived) // a second question would panic
		<-release
		w.honest(rw, r, nil)
	})
	c := w.checker()
	first, leave := context.WithCancel(t.Context())
	left := make(chan card.Status)
	go func() { left <- c.Status(first, w.card, w.ca.Cert, noon) }()
	<-arrived
	leave()
	if s := <-left; s.State != card.Unavailable {
		t.Errorf("who turned away: %+v", s)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if s := c.Status(t.Context(), w.card, w.ca.Cert, noon); s.State != card.NotRevoked {
				t.Errorf("%+v", s)
			}
		})
	}
	close(release)
	all.Wait()
	if w.asked.Load() != 1 {
		t.Errorf("%d questions", w.asked.Load())
	}
}

// A responder that fails is left alone after a few times, then tried by one at a
// time, and asked by all again when it answers.
func TestDeadResponderIsLeftAlone(t *testing.T) {
	for name, dead := range map[string]http.HandlerFunc{
		"500":       func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusInternalServerError) },
		"429":       func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusTooManyRequests) },
		"try later": nil,
		"hangs up":  func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"silent": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, cardtest.P256)
			if dead == nil {
				w.say(func(a *answer) { a.status = 3 })
			} else {
				w.respond(dead)
			}
			c := w.checker()
			if name == "silent" {
				c.Timeout = 50 * time.Millisecond
			}
			questions := func() (n uint64) {
				for _, times := range c.Stats().Responders[0].Answers {
					n += times
				}
				return n
			}
			ask := func() card.Status { return c.Status(t.Context(), w.issue(&x509.Certificate{}), w.ca.Cert, w.clock()) }
			for range 20 {
				if s := ask(); s.State != card.Unavailable {
					t.Fatalf("%+v", s)
				}
			}
			if n := questions(); n != revocation.FailuresInRow {
				t.Errorf("%d questions", n)
			}
			if s := ask(); !strings.Contains(s.Reason, "left alone") || !c.Stats().Responders[0].Paused {
				t.Errorf("%+v", s)
			}
			w.later(revocation.Pause)
			ask()
			ask()
			if n := questions(); n != revocation.FailuresInRow+1 {
				t.Errorf("%d questions after the pause", n)
			}
			w.say(nil)
			w.later(revocation.Pause)
			c.Timeout = time.Minute
			for range 3 {
				if s := ask(); s.State != card.NotRevoked {
					t.Errorf("it is back: %+v", s)
				}
			}
			if c.Stats().Responders[0].Paused {
				t.Error("still paused")
			}
		})
	}
}

// What is wrong with one card's answer closes the responder to nobody.
func TestOddAnswersDoNotCloseAResponder(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	for name, lie := range map[string]func(*answer){
		"unknown":       func(a *answer) { a.singles[0].state = 2 },
		"unauthorized":  func(a *answer) { a.status = 6 },
		"malformed":     func(a *answer) { a.status = 1 },
		"bad signature": func(a *answer) { a.tamper = func(signed, _ []byte) { signed[len(signed)-1] ^= 1 } },
	} {
		w.say(lie)
		c, before := w.checker(), w.asked.Load()
		for range 2 * revocation.FailuresInRow {
			c.Status(t.Context(), w.card, w.ca.Cert, noon)
		}
		if n := w.asked.Load() - before; n != 2*revocation.FailuresInRow {
			t.Errorf("%s: %d questions", name, n)
		}
	}
}

// A slow responder is asked a bounded number of questions at a time.
func TestQuestionsAtATimeAreBounded(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	var now, most atomic.Int32
	full := make(chan struct{}, 1000)
	release := make(chan struct{})
	w.respond(func(rw http.ResponseWriter, r *http.Request) {
		n := now.Add(1)
		defer now.Add(-1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		full <- struct{}{}
		<-release
		w.honest(rw, r, nil)
	})
	c := w.checker(func(c *revocation.Checker) { c.Timeout = time.Minute })
	var all sync.WaitGroup
	for range 2 * revocation.CallsAtOnce {
		cert := w.issue(&x509.Certificate{})
		all.Go(func() {
			if s := c.Status(t.Context(), cert, w.ca.Cert, noon); s.State != card.NotRevoked {
				t.Errorf("%+v", s)
			}
		})
	}
	for range revocation.CallsAtOnce {
		<-full
	}
	close(release)
	all.Wait()
	if most.Load() > revocation.CallsAtOnce {
		t.Errorf("%d at a time", most.Load())
	}
}

// Stats tell what happened, and the caller may keep them.
func TestStats(t *testing.T) {
	w := newWorld(t, cardtest.P256)
	c := w.checker()
	ask := func() { c.Status(t.Context(), w.issue(&x509.Certificate{}), w.ca.Cert, w.clock()) }
	ask()
	w.later(time.Minute)
	w.say(func(a *answer) { a.singles[0].state = 2 })
	ask()
	w.say(func(a *answer) { a.tamper = func(_, s []byte) { s[len(s)-1] ^= 1 } })
	ask()
	w.respond(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusBadGateway) })
	w.lists["*"] = card.NotRevoked
	ask()
	s := c.Stats()
	if len(s.Responders) != 1 {
		t.Fatalf("%+v", s)
	}
	r := s.Responders[0]
	if fmt.Sprint(r.Answers) != fmt.Sprint(map[revocation.Outcome]uint64{"good": 1, "unknown": 1, "refused": 1, "http": 1}) || r.Host != w.host() || !r.LastGood.Equal(noon) || r.Latency.Count != 4 || r.Latency.Sum <= 0 || r.Paused {
		t.Errorf("%+v", r)
	}
	want := map[revocation.Said]uint64{{State: card.NotRevoked, Source: "ocsp"}: 1, {State: card.Unavailable}: 2, {State: card.NotRevoked, Source: "crl"}: 1}
	if fmt.Sprint(s.Statuses) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", s.Statuses, want)
	}
	r.Answers["good"], s.Statuses[revocation.Said{}] = 99, 99
	if again := c.Stats(); again.Responders[0].Answers["good"] != 1 || len(again.Statuses) != len(want) {
		t.Error("the caller's copy is ours")
	}
}

// One warm check of a card (leaf and CA), one with a responder on this machine,
// and one of lists alone.
func BenchmarkStatus(b *testing.B) {
	w := newWorld(b, cardtest.P384)
	w.now = time.Now()
	bench := func(name string, c *revocation.Checker, before func()) {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				before()
				for _, pair := range [][2]*x509.Certificate{{w.ca.Cert, w.root.Cert}, {w.card, w.ca.Cert}} {
					if s := c.Status(b.Context(), pair[0], pair[1], w.now); s.State != card.NotRevoked {
						b.Fatalf("%+v", s)
					}
				}
			}
		})
	}
	bench("warm", w.checker(), func() {})
	bench("cold", w.checker(), func() { mustOK(b, w.cache.Close()) })
	w.lists["*"] = card.NotRevoked
	bench("list", w.checker(func(c *revocation.Checker) { c.Mode = revocation.CRLOnly }), func() {})
}
