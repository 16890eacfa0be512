package e2e

import (
	"net/http"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
)

const (
	believed = 6 * time.Minute // longer than an answer of a responder is
	listed   = 25 * time.Hour  // and a list
)

// online makes the worlds in which cards are asked about.
func online(t *testing.T, f func(t *testing.T, w *World)) {
	t.Helper()
	EachWith(t, Options{Online: true}, f)
}

// silence takes down the responders and the lists of everybody who says something of
// organisation cards, or brings them back.
func (w *World) silence(ocsp, lists cardtest.Fault) {
	for _, ca := range []*cardtest.CA{w.PKI.Root, w.PKI.Organisation} {
		w.Status.FailOCSP(ca, ocsp)
		w.Status.FailCRL(ca, lists)
	}
}

// refresh is what every replica does in the background: one fetches the lists, each
// reads them and looks for the cards that are linked.
func (w *World) refresh() {
	w.T.Helper()
	for _, s := range w.trust.Sources() {
		if len(s.CRL) > 0 {
			must(w.Replicas[0].Cards.Fetcher.Fetch(w.T.Context(), s))(w.T)
		}
	}
	for _, r := range w.Replicas {
		must(r.Cards.Loader.Load(w.T.Context()))(w.T)
		must(0, r.Cards.Check(w.T.Context()))(w.T)
	}
}

// A linked card that its CA revokes or suspends signs nobody in once the last answer
// has run out; what can be lifted is lifted. And the other card goes on. S24.
func TestRevokedCardSignsNobodyIn(t *testing.T) {
	online(t, func(t *testing.T, w *World) {
		kaisa, hilla, ville := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("hilla.hyllylla", "saaristo", identity.MethodCard), w.Settled("ville.vahva", "saaristo", identity.MethodCard)
		p := w.Party("other")
		is := func(what string, e *Employee, verdict card.Verdict) {
			t.Helper()
			v := w.Visitor()
			page := e.SignInWithCard(v.Open(p.URL(nil)))
			if verdict == card.Good {
				if got := p.MustRedeem(p.Code(page)).Claims(); got["sub"] != string(e.ID) {
					t.Errorf("%s: signed in as %v", what, got["sub"])
				}
				return
			}
			if got := page.Attr("card-failed", "data-verdict"); got != string(verdict) || page.Status != http.StatusForbidden || !page.Has("restart") || !page.Has("card-start") {
				t.Errorf("%s: %q, not %q: %s", what, got, verdict, page)
			}
			p.nobody(what, v)
		}
		for _, e := range []*Employee{kaisa, hilla, ville} {
			is("before", e, card.Good)
		}
		must(0, w.PKI.Revoke(kaisa.Card, cardtest.KeyCompromise, w.Clock.Now()))(t)
		must(0, w.PKI.Hold(hilla.Card, w.Clock.Now()))(t)
		w.Clock.Advance(believed)
		is("revoked", kaisa, card.Revoked)
		is("on hold", hilla, card.Suspended)
		is("as it was", ville, card.Good)
		must(0, w.PKI.Release(hilla.Card))(t)
		w.Clock.Advance(believed)
		is("released", hilla, card.Good)
		// Revoked is for good, whatever is said later.
		must(0, w.PKI.Release(kaisa.Card))(t)
		w.Clock.Advance(believed)
		is("said to be good again", kaisa, card.Revoked)

		must(0, w.PKI.RevokeCA(w.PKI.Organisation, cardtest.CACompromise, w.Clock.Now()))(t)
		w.Clock.Advance(believed)
		is("of a CA that was revoked", ville, card.Revoked)
	})
}

// With the responder down a fresh list is enough; with both down the card is refused,
// which the page says is nobody's fault here, and the other ways are open. Nobody is let
// in by silence. S24.
func TestNobodySaysThatTheCardIsGood(t *testing.T) {
	online(t, func(t *testing.T, w *World) {
		kaisa, lost, otto := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("liisa.lost", "saaristo", identity.MethodCard), w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		p := w.Party("other")
		must(0, w.PKI.Revoke(lost.Card, cardtest.KeyCompromise, w.Clock.Now().Add(-time.Hour)))(t)
		w.refresh()
		for _, fault := range []cardtest.Fault{cardtest.Down, cardtest.BadSignature, cardtest.Impostor, cardtest.Stale, cardtest.Unknown, cardtest.OtherSerial, cardtest.HTML} {
			w.silence(fault, cardtest.None)
			w.Clock.Advance(believed)
			v := w.Visitor()
			page := kaisa.SignInWithCard(v.Open(p.URL(nil)))
			if page.URL.Host != hostOf(p.Redirect) || page.URL.Query().Get("code") == "" {
				t.Errorf("the responder is %s, and there is a list: %s", fault, page)
			}
			v = w.Visitor()
			if page := lost.SignInWithCard(v.Open(p.URL(nil))); page.Attr("card-failed", "data-verdict") != string(card.Revoked) {
				t.Errorf("on the list, and the responder is %s: %s", fault, page)
			}
			p.nobody(string(fault), v)
		}
		w.silence(cardtest.Down, cardtest.Down)
		w.Clock.Advance(listed)
		v := w.Visitor()
		page := kaisa.SignInWithCard(v.Open(p.URL(nil))).MustStatus(http.StatusServiceUnavailable).Must("card-start", "restart")
		if got := page.Attr("card-failed", "data-verdict"); got != string(card.RevocationUnavailable) {
			t.Errorf("nobody answers: %q", got)
		}
		p.nobody("nobody answers", v)
		otto.SignIn(page.Press("restart")) // with another person's other method, in the same browser
		if answer := p.Answer(v.Open(p.URL(map[string][]string{"prompt": {"none"}}))); answer.Get("code") == "" {
			t.Errorf("the other way in: %v", answer)
		}
		v = w.Visitor()
		if page := lost.SignInWithCard(v.Open(p.URL(nil))); !page.Has("card-failed") { // of the CA nobody speaks either
			t.Errorf("a revoked card, and nobody answers: %s", page)
		}
		p.nobody("a revoked card, and nobody answers", v)
		w.silence(cardtest.None, cardtest.None)
		w.Clock.Advance(believed)
		if page := kaisa.SignInWithCard(w.Visitor().Open(p.URL(nil))); page.URL.Host != hostOf(p.Redirect) {
			t.Errorf("the responder is back: %s", page)
		}
	})
}

// Somebody whose card turns up on the list is signed out at the next refresh, of the
// provider and of the services, and only he. S24, S36.
func TestRevokedCardEndsSessions(t *testing.T) {
	online(t, func(t *testing.T, w *World) {
		kaisa, ville := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard), w.Settled("ville.vahva", "saaristo", identity.MethodCard)
		p := w.Party("other")
		in := map[*Employee]*Visitor{}
		tokens := map[*Employee]Tokens{}
		deep := w.Origin("service") + "/records/1"
		for _, e := range []*Employee{kaisa, ville} {
			in[e] = w.Visitor()
			e.SignInWithCard(in[e].Open(deep)).Must("who")
			tokens[e] = p.MustRedeem(p.Code(in[e].Open(p.URL(map[string][]string{"scope": {"openid offline_access"}}))))
		}
		w.refresh()
		for e, v := range in {
			if !p.alive(tokens[e].Access) {
				t.Errorf("%s is out, and nothing was revoked", e.Username)
			}
			v.Open(deep).Must("who")
		}
		must(0, w.PKI.Revoke(kaisa.Card, cardtest.KeyCompromise, w.Clock.Now().Add(-time.Minute)))(t)
		w.refresh()
		if p.alive(tokens[kaisa].Access) || must(p.Renew(tokens[kaisa].Refresh))(t).Status == http.StatusOK {
			t.Error("tokens of a sign-in with a card that was revoked meanwhile live on")
		}
		p.nobody("after the refresh", in[kaisa])
		if !p.alive(tokens[ville].Access) || !in[ville].Open(deep).Has("who") {
			t.Error("another's session has ended")
		}
		if page := kaisa.SignInWithCard(in[kaisa].Open(p.URL(nil))); page.Attr("card-failed", "data-verdict") != string(card.Revoked) {
			t.Errorf("she tries again: %s", page)
		}
		// The Service hears of it with the next notices, which a logout sets off at once.
		in[ville].Open(deep).Press("logout")
		eventually(t, "the Service hears of it", func() bool { return !in[kaisa].Open(deep).Has("who") })
	})
}
