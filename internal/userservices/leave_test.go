package userservices

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp/rptest"
)

// S72: logging out ends the session at the provider, and the page says to take
// the card.
func TestLogout(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.get("/").submit("/logout").want(200, "/signed-out", "logged-out").says("Remove your card", "always take your card with you")
	if q := k.op.LastEndSession(); q.Get("id_token_hint") == "" || q.Get("post_logout_redirect_uri") != k.url+"/logout/callback" {
		t.Errorf("the provider was told %v", q)
	}
	if got := page.header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data %q", got)
	}
	k.op.Set(func(s *rptest.Script) { s.Refuse = "login_required" })
	b.get("/").want(400, "*", "error").says("Start again")
}

// A link to the page of a logout logs nobody out, and does not say so.
func TestTheLogoutPageTellsTheTruth(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/")
	b.get("/signed-out").want(200, "/", "logout")
	b.get("/logout/callback?state=x").want(200, "/", "logout")
	b.get("/logout").want(405, "/logout")
	k.browser().get("/signed-out").want(200, "/signed-out", "logged-out")
}

// S54, S72: the provider ends the session here, too.
func TestBackChannelLogout(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/").want(200, "/")
	res, err := http.PostForm(k.url+"/backchannel-logout", url.Values{"logout_token": {k.op.LogoutToken(map[string]any{"sid": "sid-1", "sub": "user-1"})}})
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != 200 {
		t.Fatalf("status %d", res.StatusCode)
	}
	k.op.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
	b.get("/password").want(403, "*", "error")

	res, err = http.PostForm(k.url+"/backchannel-logout", url.Values{"logout_token": {"forged"}})
	if err != nil {
		t.Fatal(err)
	}
	if _ = res.Body.Close(); res.StatusCode != 400 {
		t.Errorf("a forged token: status %d", res.StatusCode)
	}
}

// A sign-in that comes to nothing ends on a page of ours with a way on.
func TestSignInsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		script func(s *rptest.Script)
		status int
		says   string
	}{
		"cancelled":    {func(s *rptest.Script) { s.Refuse = "access_denied" }, 403, "The login was cancelled"},
		"unavailable":  {func(s *rptest.Script) { s.Refuse = "temporarily_unavailable" }, 503, "The login service does not answer"},
		"server error": {func(s *rptest.Script) { s.Refuse = "server_error" }, 503, "The login service does not answer"},
		"strange":      {func(s *rptest.Script) { s.Refuse = "<script>" }, 400, "could not be finished"},
		"forged": {func(s *rptest.Script) {
			s.Token = func(_, claims map[string]any) { claims["aud"] = "another client" }
		}, 400, "could not be finished"},
		"mixed up": {func(s *rptest.Script) { s.Response = func(q url.Values) { q.Set("iss", "https://evil.example") } }, 400, "could not be finished"},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.op.Set(c.script)
			b := k.browser()
			page := b.get("/password").want(c.status, "*", "error").says(c.says, "Go to the start page")
			if strings.Contains(page.body, "<script>") || strings.Contains(page.text(), "the test refuses") {
				t.Error("the provider's words are on the page")
			}
			if strings.Contains(page.at, "code=") && !strings.Contains(page.header.Get("Referrer-Policy"), "no-referrer") {
				t.Error("the address may leave the page")
			}
		})
	}
}

// Somebody who keeps no cookies is told so, not sent round.
func TestWithoutCookies(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.client.Jar = nil
	b.get("/").want(400, "*", "error").says("allow cookies")
}

// S72: a session that nobody uses ends as on a shared workstation.
func TestAnIdleSessionEnds(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/")
	k.later(14 * time.Minute)
	b.get("/").want(200, "/", "logout")
	k.later(16 * time.Minute)
	k.op.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
	b.get("/").want(403, "*", "error")
}

// Back button and reload on the callback lead home, and sign nobody in again.
func TestACallbackOfYesterday(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/password")
	var callback string
	for _, at := range b.visited {
		if strings.HasPrefix(at, k.url+"/callback") {
			callback = strings.TrimPrefix(at, k.url)
		}
	}
	b.get(callback).want(200, "/password", "current")
	if got := k.op.Counts().Code; got != 1 {
		t.Errorf("%d codes were redeemed", got)
	}
	k.op.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
	k.browser().get(callback).want(403, "*", "error") // another browser's: it has to sign in itself
}
