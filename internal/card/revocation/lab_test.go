package revocation_test

import (
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
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
		c := &revocation.Checker{Trust: func() *card.Trust { return trust }, Cache: ephemeral.NewMemory(time.Now)}
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
