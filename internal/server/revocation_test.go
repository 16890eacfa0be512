package server_test

import (
	"crypto/x509"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/server"
)

// fresh is a list on which nobody stands.
type fresh struct{}

func (fresh) Status(*x509.Certificate, *big.Int, time.Time) card.Status {
	return card.Status{State: card.NotRevoked, Source: "crl"}
}

// S24: the provider that was assembled asks about the card and its CA, in the
// mode that was set, and looks into the lists that it was given.
func TestCardsAreAskedAbout(t *testing.T) {
	b := embedded(t)
	pki := cardtest.ForTest(t)
	responder := cardtest.NewServer(pki, nil)
	site := httptest.NewServer(responder)
	defer site.Close()
	pki.MoveTo(site.URL)
	trust := pki.TestTrust(t)
	host, err := card.ParseHost("https://*.card.localhost")
	if err != nil {
		t.Fatal(err)
	}
	assemble := func(mode revocation.Mode, waived bool, lists revocation.Lists) *server.Server {
		t.Helper()
		s, err := server.New(t.Context(), server.Config{Issuer: "https://id.localhost", Brand: "Portti", CardHost: &host, Revocation: mode, RevocationWaived: waived,
			Passwords: password.Params{Time: 1, MemoryKiB: 64}},
			server.Deps{Store: b.store, Keys: b.keys, Ephemeral: b.ephemeral, Master: b.master, Trust: func() *card.Trust { return trust }, Lists: lists, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	person := cardtest.Person{Given: "Maija", Family: "Meikäläinen"}
	good, lost := pki.TestCard(t, "good", person), pki.TestCard(t, "lost", person)
	if err := pki.Revoke(lost, 1, time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		s     *server.Server
		card  *cardtest.Card
		fault cardtest.Fault
		want  card.Verdict
	}{
		{"good", assemble("", false, nil), good, cardtest.None, card.Good},
		{"revoked", assemble("", false, nil), lost, cardtest.None, card.Revoked},
		{"waived", assemble("", true, nil), lost, cardtest.None, card.Good},
		{"nobody answers", assemble("", false, nil), pki.TestCard(t, "a", person), cardtest.Down, card.RevocationUnavailable},
		{"the list answers", assemble("", false, fresh{}), pki.TestCard(t, "b", person), cardtest.Down, card.Good},
		{"nobody answers, mode soft", assemble(revocation.Soft, false, nil), pki.TestCard(t, "c", person), cardtest.Down, card.Good},
		{"no list, mode crl_only", assemble(revocation.CRLOnly, false, nil), good, cardtest.None, card.RevocationUnavailable},
	} {
		responder.FailOCSP(pki.Organisation, c.fault)
		if r := c.s.Door.Checker.Check(t.Context(), c.card.Certificates(), time.Now()); r.Verdict != c.want {
			t.Errorf("%s: %s because of %s, want %s", c.name, r.Verdict, r.Reason, c.want)
		}
		if c.s.Revocation == nil {
			t.Errorf("%s: nobody can look at its counters", c.name)
		}
	}
}
