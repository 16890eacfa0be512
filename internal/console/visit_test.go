package console

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// Nobody gets in without a card, or a password and a code.
func TestTheConsoleDemandsALevel(t *testing.T) {
	k := newKit(t)
	k.Browser().Get("/").Want(200, "/", "console", "logout")
	q := k.OP.LastAuthorize()
	if q.Get("acr_values") != rp.ACRPasswordOTP || q.Get("scope") != "openid clients manage" || q.Get("redirect_uri") != k.URL+"/callback" || q.Get("code_challenge_method") != "S256" {
		t.Errorf("the provider was asked for %v", q)
	}
	for acr, in := range map[string]bool{rp.ACRCard: true, rp.ACRPasswordOTP: true, rp.ACREnrol: false, "urn:other:acr": false} {
		k := newKit(t)
		k.OP.Set(func(s *rptest.Script) { s.ACR = acr })
		page := k.Browser().Get("/")
		if (page.Status == 200) != in {
			t.Errorf("%s: %d at %s: %s", acr, page.Status, page.At, page.Text())
		}
		if !in && len(k.api.Calls("GET /api/v1/staff")) > 0 {
			t.Errorf("%s: the API was asked", acr)
		}
	}
}

// Somebody without a role reads that they have none, and can log out.
func TestWithoutARole(t *testing.T) {
	k := newKit(t)
	k.api.Refuse("GET /api/v1/staff", 403, "not_allowed")
	b := k.Browser()
	for _, path := range []string{"/", "/clients"} {
		b.Get(path).Want(403, path, "no-role", "logout").Says("You have no role in the Console", "user support")
	}
	if got := k.api.Calls("GET /api/v1/clients"); len(got) > 0 {
		t.Errorf("the API was asked: %v", got)
	}
	b.Get("/").Submit("/logout").Want(200, "/signed-out", "logged-out").Says("logged out of the Console", "take your card")
}

// A role that is taken away is gone with the next page.
func TestARoleThatIsTakenAway(t *testing.T) {
	k := newKit(t)
	b := k.Browser()
	b.Get("/").Want(200, "/", "roles").Says("Operator")
	k.as(auditor)
	b.Get("/").Says("Auditor").Silent("You take care of the installation")
	k.api.Refuse("GET /api/v1/staff", 403, "not_allowed")
	b.Get("/").Want(403, "/", "no-role")
}

// The pages show what the role allows, and where one is.
func TestNavigation(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/clients", portti.Registrations{})
	for name, c := range map[string]struct {
		staff portti.Staff
		sees  bool
	}{"operator": {operator, true}, "auditor": {auditor, true}, "help desk": {helpDesk, false}, "responsible user": {responsible, false}} {
		k.as(c.staff)
		if got := slices.Contains(k.Browser().Get("/").Want(200, "/").Links(), "/clients"); got != c.sees {
			t.Errorf("%s sees the services: %v", name, got)
		}
	}
	k.as(operator)
	page := k.Browser().Get("/clients").Want(200, "/clients")
	for n := range page.Doc.Descendants() {
		if current := apptest.Attr(n, "aria-current"); n.Data == "a" && current == "page" && apptest.Attr(n, "href") != "/clients" {
			t.Errorf("%s is said to be this page", apptest.Attr(n, "href"))
		}
	}
	v := &visit{staff: operator}
	for _, e := range v.navigation("/clients/demo") {
		if e.Here || e.Within != (e.Href == "/clients") {
			t.Errorf("at /clients/demo: %+v", e)
		}
	}
	for _, e := range v.navigation("/clientsandmore") {
		if e.Within {
			t.Errorf("at /clientsandmore: %+v", e)
		}
	}
}

// Every path of the Console needs a session, a right, and for a POST our own form.
func TestEveryRouteIsGuarded(t *testing.T) {
	k := newKit(t)
	k.OP.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
	stranger := k.Browser()
	stranger.Get("/").Want(403, "*", "error").Says("The login was cancelled")
	stranger.Get("/clients").Want(403, "*", "error")
	if calls := k.api.Calls("GET /api/v1/staff"); len(calls) > 0 {
		t.Errorf("the API was asked: %v", calls)
	}
	for _, path := range []string{"//evil.example/", "/login?to=https://evil.example/", "/?lang=//evil.example"} {
		b := newKit(t).Browser()
		b.Get(path)
		for _, at := range b.Visited {
			if !strings.HasPrefix(at, b.K.URL+"/") && !strings.HasPrefix(at, b.K.OP.URL+"/") {
				t.Errorf("%s leads to %s", path, at)
			}
		}
	}
}

// S72: the provider ends the session here, too; an idle one ends by itself.
func TestSessionsEnd(t *testing.T) {
	k := newKit(t)
	b := k.Browser()
	b.Get("/").Want(200, "/", "session-warning")
	k.Later(14 * time.Minute)
	b.Get("/session").Want(204, "/session")
	k.Later(14 * time.Minute)
	b.Get("/").Want(200, "/", "console")
	if got := k.OP.Counts().Authorize; got != 1 {
		t.Errorf("%d sign-ins", got)
	}
	res, err := http.PostForm(k.URL+"/backchannel-logout", url.Values{"logout_token": {k.OP.LogoutToken(map[string]any{"sid": "sid-1", "sub": "user-1"})}})
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	k.OP.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
	b.Get("/").Want(403, "*", "error")

	k = newKit(t)
	b = k.Browser()
	b.Get("/")
	k.Later(16 * time.Minute)
	k.OP.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
	b.Get("/").Want(403, "*", "error")
}

// What the API refuses reads in the reader's language; one that asks for a fresh
// proof leads to the provider and back.
func TestRefusals(t *testing.T) {
	k := newKit(t)
	b := k.Browser()
	b.Get("/")
	for code, c := range map[string]struct {
		status int
		says   string
	}{"not_allowed": {403, "You do not have the right"}, "unheard_of": {404, "does not exist"}, "throttled": {429, "too many attempts"}, "ephemeral_unavailable": {503, "Nothing is lost"}} {
		k.api.Refuse("GET /api/v1/clients", c.status, code)
		b.Get("/clients").Want(c.status, "/clients", "error").Says(c.says)
	}
	k.Later(2 * time.Minute)
	k.api.Refuse("GET /api/v1/clients", 403, "reauthentication_required")
	k.OP.Set(func(s *rptest.Script) {
		s.Token = func(_, _ map[string]any) { k.api.Answer("GET /api/v1/clients", portti.Registrations{}) }
	})
	b.Get("/clients").Want(200, "/clients", "clients")
	if q := k.OP.LastAuthorize(); q.Get("prompt") != "login" || q.Get("acr_values") != rp.ACRPasswordOTP {
		t.Errorf("the provider was asked for %v", q)
	}
	k.api.Down(true)
	b.Get("/").Want(503, "/", "error").Says("Nothing is lost")
}

// The registered language counts when nothing else is known.
func TestLanguage(t *testing.T) {
	k := newKit(t)
	s := operator
	s.Language = "sv"
	k.as(s)
	b := k.Browser()
	b.Lang = "ru"
	b.Get("/").Says("Startsida")
	b.Lang = "fi"
	b.Get("/?lang=en").Says("Log out")
	b.Get("/").Says("Log out")
}
