package e2e

import (
	"net/url"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
)

// With gives somebody a role; sessions of before are over.
func (e *Employee) With(role identity.Role) *Employee {
	e.w.T.Helper()
	must(e.w.Replicas[0].Directory.ChangeRoles(e.w.T.Context(), operator, e.ID, identity.RolesOf(role), 0))(e.w.T)
	return e
}

// The Console is for people with a role who have proved themselves with a card, or
// with a password and a code.
func TestWhoGetsIntoTheConsole(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		console := w.Origin("console") + "/"
		otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		otto.SignIn(w.Visitor().Open(console)).MustStatus(403).Must("no-role", "logout")

		heikki := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk)
		page := heikki.SignIn(w.Visitor().Open(console)).Must("console", "roles")
		if page.URL.String() != console {
			t.Errorf("signed in to %s", page)
		}
		kaisa := w.Settled("kaisa.kortti", "saaristo", identity.MethodCard).With(identity.RoleResponsible)
		kaisa.SignInWithCard(w.Visitor().Open(console)).Must("console")

		// A password alone leads to User Services, to link something, and never here.
		viivi := w.Newcomer("viivi.vastuu", "kuntala").With(identity.RoleResponsible)
		v := w.Visitor()
		page = viivi.FirstDay(v.Open(console))
		if page.Has("console") || page.Has("no-role") || page.URL.Host == hostOf(console) {
			t.Errorf("a password alone: %s", page)
		}
		if page = v.Open(console); page.Has("console") || page.Has("no-role") {
			t.Errorf("an enrol session: %s", page)
		}

		// A role that is taken away is gone with the next page.
		v = w.Visitor()
		heikki.SignIn(v.Open(console)).Must("console")
		must(w.Replicas[0].Directory.ChangeRoles(t.Context(), operator, heikki.ID, 0, identity.RolesOf(identity.RoleHelpDesk)))(t)
		if page := v.Open(console); page.Has("console") {
			t.Errorf("without the role: %s", page)
		}
	})
}

// Logging out anywhere ends the session at the Console, too (S72).
func TestTheConsoleHearsOfALogout(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		console := w.Origin("console") + "/"
		heikki, v := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk), w.Visitor()
		heikki.SignIn(v.Open(console)).Must("console")
		v.Open(w.Origin("service") + "/records/1").Must("acr") // the same session at the provider
		w.Clock.Advance(10 * time.Second)                      // who has only just signed in is not sent to do so again
		v.Open(w.Origin("service") + "/records/1").Press("logout").Must("signed-out")
		eventually(t, "the Console has heard of it", func() bool { return v.Open(console).Has("login-submit") })

		heikki.SignIn(v.Open(console)).Press("logout").Must("logged-out")
		other := w.Party("other")
		if answer := other.Answer(v.Open(other.URL(url.Values{"prompt": {"none"}}))); answer.Has("code") {
			t.Errorf("the session at the provider goes on: %v", answer)
		}
	})
}
