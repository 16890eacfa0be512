package e2e

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
)

// A backend that is out of reach is said so, with a page for people and an error for
// applications; when it is back, so is service, and what was committed is there. No
// replica has to be restarted.
func TestBackendsOutOfReach(t *testing.T) {
	w := NewWorld(t, Options{Pair: PostgresRedis, Gates: true})
	otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
	kept := p.MustRedeem(p.Code(otto.SignIn(v.Open(p.URL(url.Values{"scope": {"openid profile offline_access"}})))))
	waiting := w.Visitor().Open(p.URL(nil)).Must("login-submit") // a sign-in that is under way

	for _, backend := range []struct {
		name string
		gate *Gate
		part string // of /readyz
	}{{"Redis", w.Ephemeral, "ephemeral"}, {"PostgreSQL", w.Database, "database"}} {
		t.Run(backend.name, func(t *testing.T) {
			backend.gate.Close()
			defer backend.gate.Open()
			for range len(w.Replicas) {
				ready := w.Visitor().Open(w.Issuer() + "/readyz")
				if ready.Status != http.StatusServiceUnavailable || !strings.Contains(ready.Body, `"`+backend.part+`":false`) {
					t.Errorf("/readyz: %d %s", ready.Status, ready.Body)
				}
				if alive := w.Visitor().Open(w.Issuer() + "/healthz"); alive.Status != http.StatusOK {
					t.Errorf("/healthz: %d", alive.Status)
				}
			}
			// A person gets a page, with this status and how to go on; never half a sign-in.
			page := waiting.Press("login-submit", "username", otto.Username, "password", otto.Password)
			if page.Status != http.StatusServiceUnavailable || page.Title() == "" || page.Has("code-submit") {
				t.Errorf("a sign-in: %s", page)
			}
			if strings.Contains(page.Body, "127.0.0.1") || strings.Contains(page.Body, "dial tcp") || strings.Contains(page.Body, "pgx") {
				t.Errorf("the page tells of the inside: %s", page.Body)
			}
			// An application gets an error that it may try again after.
			if got, err := p.Renew(kept.Refresh); err != nil || got.Status < 500 || got.Access != "" {
				if backend.name == "PostgreSQL" { // a refresh does not need Redis
					t.Errorf("a refresh: %+v %v", got, err)
				} else if got.Status == http.StatusOK {
					kept = got
				}
			}
			if status, body, err := p.Get("/userinfo", kept.Access); backend.name == "PostgreSQL" && (err != nil || status < 500) {
				t.Errorf("userinfo: %d %s %v", status, body, err)
			}
			if answer := v.Open(p.URL(url.Values{"prompt": {"none"}})); answer.URL.Query().Has("code") || answer.URL.Query().Get("error") == "login_required" {
				t.Errorf("prompt=none says %s: out of reach is not signed out", answer)
			}

			backend.gate.Open()
			eventually(t, "the replicas are ready again", func() bool {
				for range len(w.Replicas) {
					if w.Visitor().Open(w.Issuer()+"/readyz").Status != http.StatusOK {
						time.Sleep(50 * time.Millisecond)
						return false
					}
				}
				return true
			})
			// Nothing is lost: the session, the refresh token, the sign-in that waits.
			if answer := p.Answer(v.Open(p.URL(url.Values{"prompt": {"none"}}))); !answer.Has("code") {
				t.Errorf("the session of before: %v", answer)
			}
			renewed := must(p.Renew(kept.Refresh))(t)
			if renewed.Status != http.StatusOK || !p.alive(renewed.Access) {
				t.Errorf("the refresh token of before: %+v", renewed)
			}
			kept = renewed
			page = waiting.v.Open(waiting.URL.String())
			if code := p.Code(otto.SignIn(page)); code == "" {
				t.Errorf("the sign-in that waited: %s", page)
			}
			waiting = w.Visitor().Open(p.URL(nil)).Must("login-submit")
		})
	}
}

// Connections that the database ends, as in a failover, are nobody's loss: the next
// request has another one.
func TestDatabaseEndsItsConnections(t *testing.T) {
	w := NewWorld(t, Options{Pair: PostgresRedis, Gates: true})
	otto, v, p := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp), w.Visitor(), w.Party("other")
	otto.SignIn(v.Open(p.URL(nil)))
	for i := range 5 {
		w.Database.Cut()
		w.Ephemeral.Cut()
		// The pools find the broken connections out by using them, one by one.
		eventually(t, "the provider answers", func() bool {
			answer := v.Open(p.URL(url.Values{"prompt": {"none"}}))
			return answer.URL.Host == hostOf(p.Redirect) && answer.URL.Query().Get("code") != ""
		})
		eventually(t, "a code is redeemed", func() bool {
			page := v.Open(p.URL(url.Values{"prompt": {"none"}}))
			if page.URL.Query().Get("code") == "" {
				return false
			}
			tokens, err := p.Redeem(page.URL.Query().Get("code"), nil)
			return err == nil && tokens.Status == http.StatusOK && p.alive(tokens.Access)
		})
		if t.Failed() {
			t.Fatalf("at cut %d", i+1)
		}
	}
}
