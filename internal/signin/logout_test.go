package signin

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/templates"
)

// S72: with the service's ID token the session ends at once; the page tells to
// take the card, and nothing of the person stays in the browser.
func TestLogout(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	hint := b.signIn("service", "matti", id).claims("service")["raw"].(string)
	half := b.visit("service", "prompt", "login").press("login-submit", "username", "matti", "password", ownPassword).is(200, "code")
	sid := b.cookie("sid")
	page := b.get(openid.EndSessionPath+"?"+url.Values{"id_token_hint": {hint}}.Encode()).is(200, "logged-out", "return").says("logout.card")
	if page.header.Get("Clear-Site-Data") != `"storage"` {
		t.Errorf("Clear-Site-Data %q", page.header.Get("Clear-Site-Data"))
	}
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err == nil || b.cookie("sid") != "" || b.cookie("browser") != "" {
		t.Errorf("session %v, cookies %q %q", err, b.cookie("sid"), b.cookie("browser"))
	}
	b.get(half.at).is(410, "restart") // a half sign-in is over too
	b.visit("service").is(200, "username")
	for _, lang := range templates.Languages {
		b.get(page.at+"&lang="+lang).is(200, "logged-out").says("logout.shared") // again, and nobody minds
	}
}

// OpenID Connect RP-Initiated Logout 1.0 §2, §3: without a token of this session
// the person is asked; then back to the registered address, with the state.
func TestLogoutAsks(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	b.get(openid.EndSessionPath).is(200, "logged-out") // nobody is signed in
	b.signIn("service", "matti", id).sentTo(serviceBack)
	sid := b.cookie("sid")
	q := url.Values{"client_id": {"service"}, "post_logout_redirect_uri": {"https://service.example/out"}, "state": {"s/1+&"}}
	page := b.get(openid.EndSessionPath+"?"+q.Encode()).is(200, "logout-confirm").says("logout.confirm", "service", "Rekisteri")
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err != nil {
		t.Fatalf("ended without a yes: %v", err)
	}
	if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "https://service.example") {
		t.Errorf("the browser will stop the way back: %s", policy)
	}
	to := page.press("logout-confirm").sentTo("https://service.example/out?").to
	if to.Query().Get("state") != "s/1+&" || len(to.Query()) != 1 {
		t.Errorf("to %s", to)
	}
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err == nil || b.cookie("sid") != "" {
		t.Error("the session lives on")
	}

	k.add(1e9)
	b.signIn("service", "matti", id).sentTo(serviceBack)
	page = b.get(openid.EndSessionPath).is(200, "logout-confirm").says("logout.confirm.all")
	if !strings.Contains(page.body, userServices) {
		t.Error("no way to stay")
	}
	done := page.press("logout-confirm").is(200, "logged-out")
	if done.at != openid.EndSessionPath && done.at != openid.EndSessionPath+"?" {
		t.Errorf("at %s", done.at)
	}
	k.add(1e9)
	other := k.browser()
	k.add(31e9)
	other.signIn("service", "matti", id).sentTo(serviceBack)
	other.get(openid.EndSessionPath+"?client_id=service").is(200, "logout-confirm").press("logout-confirm").is(200, "logged-out", "return")
	page.press("logout-confirm").is(410, "restart") // the page of before, without its cookie
	b.visit("service").is(200, "username")
}

// A form of the service's page comes without our cookies: it is taken as a GET.
func TestLogoutByPost(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	hint := b.signIn("service", "matti", id).claims("service")["raw"].(string)
	stranger := k.browser() // Lax cookies stay at home
	first := stranger.post(openid.EndSessionPath, url.Values{"client_id": {"service"}, "extra": {"x"}}, "Sec-Fetch-Site", "cross-site", "Origin", "https://service.example")
	if first.at != openid.EndSessionPath+"?client_id=service" {
		t.Errorf("at %s", first.at)
	}
	sid := b.cookie("sid")
	b.post(openid.EndSessionPath, url.Values{}, "Sec-Fetch-Site", "cross-site").is(200, "logout-confirm")
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err != nil {
		t.Fatal("another site's form ended the session")
	}
	b.post(openid.EndSessionPath, url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://service.example/out"}}, "Sec-Fetch-Site", "cross-site").sentTo("https://service.example/out")
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err == nil {
		t.Error("the session lives on")
	}
}

// Nothing that is not registered is ever called.
func TestLogoutNeverRedirectsElsewhere(t *testing.T) {
	k := newKit(t)
	id := k.linkApp(k.settled("Matti"))
	b := k.browser()
	hint := b.signIn("service", "matti", id).claims("service")["raw"].(string)
	sid := b.cookie("sid")
	for name, q := range map[string]url.Values{
		"another address": {"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}},
		"a query added":   {"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://service.example/out?foo=bar"}},
		"no client":       {"post_logout_redirect_uri": {"https://service.example/out"}},
		"another client":  {"id_token_hint": {hint}, "client_id": {"cards"}},
		"a broken hint":   {"id_token_hint": {hint + "x"}},
		"an unknown one":  {"client_id": {"nobody"}},
		"one thing twice": {"client_id": {"service", "service"}},
	} {
		for _, answer := range []*shown{b.get(openid.EndSessionPath + "?" + q.Encode()), b.post(openid.EndSessionPath, q)} {
			if answer.to != nil || answer.status != 400 || !answer.has("oauth-error") {
				t.Errorf("%s: %d to %v", name, answer.status, answer.to)
			}
		}
	}
	if _, err := k.pages.Sessions.Find(t.Context(), sid); err != nil {
		t.Errorf("the session ended: %v", err)
	}
}

// conformance.md 2.6: the page loads the services' frames and goes on when they
// are loaded, without script, and with a link for whoever does not want to wait.
func TestLogoutByTheFrontChannel(t *testing.T) {
	k := newKit(t)
	k.client("front", func(c *openid.Client) {
		c.Name, c.FrontChannelURI, c.PostLogoutRedirectURIs = map[string]string{"fi": "Etuovi"}, "https://service.example/bye", []string{"https://service.example/out"}
	})
	id := k.linkApp(k.settled("Matti"))
	frames := func(page *shown, sid string) {
		t.Helper()
		src := `<iframe src="https://service.example/bye?` + strings.ReplaceAll(url.Values{"iss": {k.url}, "sid": {sid}}.Encode(), "&", "&amp;") + `"`
		if strings.Count(page.body, "<iframe") != 1 || !strings.Contains(page.body, src) {
			t.Errorf("no %s in %s", src, page.body)
		}
		if policy := page.header.Get("Content-Security-Policy"); !strings.Contains(policy, "frame-src https://service.example") || strings.Contains(policy, "frame-src 'self'") {
			t.Errorf("policy %s", policy)
		}
	}
	b := k.browser()
	claims := b.signIn("front", "matti", id).claims("front")
	q := url.Values{"id_token_hint": {claims["raw"].(string)}, "post_logout_redirect_uri": {"https://service.example/out"}, "state": {"s/1&"}}
	page := b.get(openid.EndSessionPath+"?"+q.Encode()).is(200, "logged-out", "next").says("logout.next")
	frames(page, claims["sid"].(string))
	for _, part := range []string{`<meta http-equiv="refresh" content="0; url=https://service.example/out?state=s%2F1%26">`, `href="https://service.example/out?state=s%2F1%26"`} {
		if !strings.Contains(page.body, part) {
			t.Errorf("no %s in %s", part, page.body)
		}
	}
	if b.cookie("sid") != "" {
		t.Error("the session lives on")
	}

	// After the question, and without an address to go to, the page stays.
	claims = b.signIn("front", "matti", id).claims("front")
	page = b.get(openid.EndSessionPath).is(200, "logout-confirm").press("logout-confirm").is(200, "logged-out")
	frames(page, claims["sid"].(string))
	if strings.Contains(page.body, "http-equiv") || page.has("next") || strings.Contains(page.body, `/confirm?lang=`) {
		t.Errorf("page %s", page.body)
	}
}
