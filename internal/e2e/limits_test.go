package e2e

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
)

// S72: sessions that run take the employer's tighter limits over, at whichever replica
// they are used next; and refresh tokens end with the sessions that they came from.
func TestTighterLimitsHoldForSessionsThatRun(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		p := w.Party("other")
		offline := url.Values{"scope": {"openid offline_access"}}
		signIn := func(name string, extra url.Values) (*Visitor, Tokens) {
			v := w.Visitor()
			return v, p.MustRedeem(p.Code(w.Settled(name, "tietoapu", identity.MethodApp).SignIn(v.Open(p.URL(extra)))))
		}
		silent := func(v *Visitor) bool { return p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))).Has("code") }
		busy, tokens := signIn("otto.ohjelma", nil)
		lazy, _ := signIn("olga.ohjelma", nil)
		_, kept := signIn("onni.ohjelma", offline)

		w.Clock.Advance(20 * time.Minute)
		if !silent(busy) {
			t.Fatal("a session ends after twenty minutes")
		}
		w.Organisation("tietoapu", func(o *identity.Organisation) { o.SharedWorkstations = true })
		if silent(lazy) {
			t.Error("a session that has lain for twenty minutes goes on at a shared workstation")
		}
		for range 2 { // on each replica
			if !silent(busy) {
				t.Error("a session that was used this minute is over")
			}
		}
		w.Clock.Advance(14 * time.Minute)
		if !silent(busy) {
			t.Error("it is over before a quarter of an hour")
		}
		tokens = must(p.Renew(tokens.Refresh))(t)
		if tokens.Status != http.StatusOK {
			t.Fatalf("refresh: %+v", tokens)
		}

		// An hour from the sign-in, 34 minutes of which are over.
		w.Organisation("tietoapu", func(o *identity.Organisation) { o.SessionAbsolute = time.Hour })
		w.Clock.Advance(14 * time.Minute)
		if !silent(busy) {
			t.Error("it is over before the hour")
		}
		w.Clock.Advance(13 * time.Minute)
		if silent(busy) {
			t.Error("it goes on after the hour")
		}
		if got := must(p.Renew(tokens.Refresh))(t); got.Status != http.StatusBadRequest || got.Error != "invalid_grant" {
			t.Errorf("its refresh token works: %+v", got)
		}
		if got := must(p.Renew(kept.Refresh))(t); got.Status != http.StatusOK {
			t.Errorf("offline access, which is of no session, ends with sessions: %+v", got)
		}

		// Longer ones come with the next sign-in.
		w.Organisation("tietoapu", func(o *identity.Organisation) { o.SharedWorkstations, o.SessionAbsolute = false, 0 })
		if silent(lazy) || silent(busy) {
			t.Error("sessions that were over are back")
		}
	})
}

// A plan that has begun counts, whether or not it was carried over.
func TestLimitsOfAPlanHoldForSessionsThatRun(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		p, v, d := w.Party("other"), w.Visitor(), w.Replicas[0].Directory
		tokens := p.MustRedeem(p.Code(w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp).SignIn(v.Open(p.URL(nil)))))
		o := must(d.Organisation(t.Context(), operator, "tietoapu"))(t)
		policy := o.Policy()
		policy.SessionAbsolute = time.Hour
		must(d.PlanPolicy(t.Context(), operator, o.ID, o.Version, policy, w.Clock.Now().Add(40*time.Minute)))(t)
		w.Clock.Advance(39 * time.Minute)
		if tokens = must(p.Renew(tokens.Refresh))(t); tokens.Status != http.StatusOK || !p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))).Has("code") {
			t.Fatalf("before the day: %+v", tokens)
		}
		w.Clock.Advance(22 * time.Minute)
		if p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))).Has("code") {
			t.Error("the session goes on")
		}
		if got := must(p.Renew(tokens.Refresh))(t); got.Error != "invalid_grant" {
			t.Errorf("the refresh token works: %+v", got)
		}
	})
}
