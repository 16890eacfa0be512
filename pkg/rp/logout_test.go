package rp_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

func ownForm(a *app) http.Header {
	return http.Header{"Origin": {a.URL}, "Sec-Fetch-Site": {"same-origin"}}
}

func TestLogoutEndsHereAndAtTheProvider(t *testing.T) { // S72
	a := start(t, func(c *rp.Config) { c.UILocales = func(*http.Request) []string { return []string{"fi"} } })
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	secret := b.cookies(a)["rp-app"]
	res := b.once(t, "POST", a.URL+"/logout", ownForm(a))
	if res.StatusCode != http.StatusSeeOther {
		t.Fatalf("status %d", res.StatusCode)
	}
	if _, there := b.cookies(a)["rp-app"]; there {
		t.Error("the cookie is still there")
	}
	kept := browser{t, &http.Client{}}.once(t, "GET", a.URL+"/", http.Header{"Cookie": {"rp-app=" + secret}})
	expect(t, "who kept the cookie", read(t, kept), "home of nobody")

	body, _ := b.get(res.Header.Get("Location"))
	expect(t, "page", body, "signed out")
	q := a.op.LastEndSession()
	expect(t, "client_id", q.Get("client_id"), "app")
	expect(t, "post_logout_redirect_uri", q.Get("post_logout_redirect_uri"), a.URL+"/logout/callback")
	expect(t, "ui_locales", q.Get("ui_locales"), "fi")
	if strings.Count(q.Get("id_token_hint"), ".") != 2 || len(q.Get("state")) < 43 {
		t.Errorf("end_session with %v", q)
	}
}

func TestNobodyElseLogsPeopleOut(t *testing.T) { // CSRF
	a := start(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	for name, header := range map[string]http.Header{
		"another site":           {"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}},
		"a sister site":          {"Origin": {"http://sister.localhost"}, "Sec-Fetch-Site": {"same-site"}},
		"an old browser":         {"Origin": {"https://evil.example"}},
		"a sandboxed frame":      {"Origin": {"null"}},
		"somebody who is silent": {},
	} {
		res := b.once(t, "POST", a.URL+"/logout", header)
		if res.StatusCode != http.StatusForbidden || a.lastError().Code != rp.CrossOrigin {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
	for _, method := range []string{"GET", "HEAD", "PUT"} {
		if res := b.once(t, method, a.URL+"/logout", ownForm(a)); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
	expect(t, "signed in", b.signedIn(a), "user-1")
	if n := a.op.Counts().EndSession; n != 0 {
		t.Errorf("%d logouts at the provider", n)
	}
}

func TestLogoutBehindAProxyThatRewritesHost(t *testing.T) {
	op := rptest.New(t)
	p, err := rp.New(t.Context(), op.Config("https://app.example.fi/callback"))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://10.0.0.7:8080/logout", nil)
	r.Header.Set("Origin", "https://app.example.fi")
	w := httptest.NewRecorder()
	p.Logout(w, r)
	if w.Code != http.StatusSeeOther {
		t.Errorf("status %d", w.Code)
	}
}

func TestLogoutOfNobodyStillReachesTheProvider(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	res := b.once(t, "POST", a.URL+"/logout", ownForm(a))
	u, _ := url.Parse(res.Header.Get("Location"))
	if !strings.HasPrefix(u.String(), a.op.URL+"/end?") || u.Query().Has("id_token_hint") {
		t.Errorf("leads to %s", u)
	}
}

func TestLogoutWithoutEndSession(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Metadata = func(m map[string]any) { delete(m, "end_session_endpoint") } })
	a := start(t, func(c *rp.Config) { c.Issuer = op.URL })
	a.op = op
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	expect(t, "leads to", b.once(t, "POST", a.URL+"/logout", ownForm(a)).Header.Get("Location"), "/signed-out")
	expect(t, "signed in", b.signedIn(a), "nobody")
}

func TestLogoutWhileTheProviderIsAwayIsNotCalledDone(t *testing.T) { // S72
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) { s.Down = true })
	p, err := rp.New(t.Context(), op.Config("http://app.localhost/callback"))
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest("POST", "http://app.localhost/logout", nil)
	r.Header.Set("Origin", "http://app.localhost")
	w := httptest.NewRecorder()
	p.Logout(w, r)
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("status %d", w.Code)
	}
}

func TestLogoutCallbackOfAStranger(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	// Somebody sends a link that looks like the end of a logout.
	for _, link := range []string{"/logout/callback", "/logout/callback?state=x"} {
		body, _ := b.get(a.URL + link)
		expect(t, link, body, "home of user-1")
	}
	stranger := a.browser(t)
	res := stranger.once(t, "POST", a.URL+"/logout", ownForm(a))
	body, _ := b.get(stranger.step(res.Header.Get("Location"))) // a stranger's state
	expect(t, "a stranger's state", body, "home of user-1")
	body, _ = a.browser(t).get(a.URL + "/logout/callback")
	expect(t, "of somebody who is not signed in", body, "signed out")
}
