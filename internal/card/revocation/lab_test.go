package revocation_test

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/ephemeral"
)

// The responder of the card lab, which others wrote: its faults are refused, and
// its ways that are none are understood.
func TestResponderOfTheLab(t *testing.T) {
	p := cardtest.ForTest(t)
	responder := cardtest.NewServer(p, nil)
	site := httptest.NewServer(responder)
	defer site.Close()
	p.MoveTo(site.URL)
	trust := p.TestTrust(t)
	maija := p.TestCard(t, "maija", cardtest.Person{Given: "Maija", Family: "Meikäläinen"})
	for _, f := range append(slices.Clone(cardtest.OCSPFaults), cardtest.None, cardtest.Direct, cardtest.NoNonce, cardtest.NoNextUpdate, cardtest.NoCheckMissing) {
		responder.FailOCSP(p.Organisation, f)
		c := &revocation.Checker{Trust: func() *card.Trust { return trust }, Cache: ephemeral.NewMemory(time.Now), Timeout: time.Minute}
		if f == cardtest.Slow {
			c.Timeout = 50 * time.Millisecond
		}
		want := card.Unavailable
		if slices.Contains([]cardtest.Fault{cardtest.None, cardtest.Direct, cardtest.NoNonce, cardtest.NoNextUpdate}, f) {
			want = card.NotRevoked
		}
		if s := c.Status(t.Context(), maija.Cert, p.Organisation.Cert, time.Now()); s.State != want {
			t.Errorf("%s: %+v, want %s", f, s, want)
		}
		if n := responder.Asked(p.Organisation).Redirected; n != 0 {
			t.Errorf("%s: a redirect was followed", f)
		}
	}
}

// S24, with everything in its place: the responder is down, and real lists of
// the card's CA and of the root decide, for as long as they are fresh.
func TestListsDecideWhenTheResponderIsDown(t *testing.T) {
	p := cardtest.ForTest(t)
	responder := cardtest.NewServer(p, nil)
	site := httptest.NewServer(responder)
	defer site.Close()
	p.MoveTo(site.URL)
	trust := p.TestTrust(t)
	who := cardtest.Person{Given: "Maija", Family: "Meikäläinen"}
	good, lost, held := p.TestCard(t, "good", who), p.TestCard(t, "lost", who), p.TestCard(t, "held", who)
	now := time.Now()
	mustOK(t, p.Revoke(lost, 1, now.Add(-time.Hour)))
	mustOK(t, p.Hold(held, now.Add(-time.Hour)))
	for _, ca := range []*cardtest.CA{p.Root, p.Organisation} {
		responder.FailOCSP(ca, cardtest.Down)
	}

	fetched := func(cas ...*cardtest.CA) *crl.Lists {
		l := &crl.Lists{Trust: func() *card.Trust { return trust }}
		for _, ca := range cas {
			mustOK(t, l.Keep(must(crl.Read(bytes.NewReader(must(responder.List(ca))), ca.Cert, now))))
		}
		return l
	}
	all, stale := fetched(p.Root, p.Organisation), now.AddDate(0, 0, 3)
	for _, c := range []struct {
		name  string
		lists *crl.Lists
		card  *cardtest.Card
		at    time.Time
		want  card.Verdict
	}{
		{"fresh", all, good, now, card.Good},
		{"revoked", all, lost, now, card.Revoked},
		{"on hold", all, held, now, card.Suspended},
		{"stale", all, good, stale, card.RevocationUnavailable},
		{"none of the root", fetched(p.Organisation), good, now, card.RevocationUnavailable},
		{"none of the card's CA", fetched(p.Root), good, now, card.RevocationUnavailable},
		{"none", fetched(), good, now, card.RevocationUnavailable},
	} {
		checker := &card.Checker{Trust: func() *card.Trust { return trust },
			Revocation: &revocation.Checker{Trust: func() *card.Trust { return trust }, Cache: ephemeral.NewMemory(time.Now), Lists: c.lists, Log: slog.New(slog.DiscardHandler)}}
		if r := checker.Check(t.Context(), c.card.Certificates(), c.at); r.Verdict != c.want {
			t.Errorf("%s: %s because of %s, want %s", c.name, r.Verdict, r.Reason, c.want)
		}
	}
	// A list that is over still knows who was revoked.
	c := &revocation.Checker{Trust: func() *card.Trust { return trust }, Cache: ephemeral.NewMemory(time.Now), Lists: all}
	for of, want := range map[*cardtest.Card]card.State{lost: card.WasRevoked, held: card.Unavailable, good: card.Unavailable} {
		if s := c.Status(t.Context(), of.Cert, p.Organisation.Cert, stale); s.State != want {
			t.Errorf("with a list that is over: %+v, want %s", s, want)
		}
	}
}
