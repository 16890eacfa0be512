package rp_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

func TestStepUpInPlace(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	body, _ := b.get(a.URL + "/records/1")
	expect(t, "at first", body, "GET /records/1 user-1 urn:portti:acr:pwd-otp Maija Meikäläinen")
	before := b.cookies(a)["rp-app"]
	body, _ = b.get(a.URL + "/secret")
	expect(t, "stepped up", body, "GET /secret user-1 urn:portti:acr:card Maija Meikäläinen")
	expect(t, "asked for", a.op.LastAuthorize().Get("acr_values"), rp.ACRCard)
	if before == b.cookies(a)["rp-app"] {
		t.Error("the secret stayed the same over a step-up")
	}
	body, _ = b.get(a.URL + "/records/1")
	expect(t, "a card satisfies the weaker demand", body, "GET /records/1 user-1 urn:portti:acr:card Maija Meikäläinen")
	if n := a.op.Counts().Authorize; n != 2 {
		t.Errorf("%d visits to the provider", n)
	}
}

func TestStepUpThatIsNotMetDoesNotGoInCircles(t *testing.T) {
	a := start(t, nil)
	a.op.Set(func(s *rptest.Script) { s.ACR = rp.ACRPasswordOTP })
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	body, status := b.get(a.URL + "/secret")
	if status != http.StatusForbidden || body != "error "+rp.UnmetRequirements {
		t.Errorf("got %d %q", status, body)
	}
	expect(t, "way on", a.lastError().ReturnTo, "/secret")
	expect(t, "level", a.lastError().ACR, rp.ACRPasswordOTP)
	if n := a.op.Counts().Authorize; n != 2 {
		t.Errorf("%d visits to the provider", n)
	}
	expect(t, "the session from before", b.signedIn(a), "user-1")
}

func TestEnrolIsNotEnough(t *testing.T) { // S1, S19
	a := start(t, func(c *rp.Config) { c.DefaultACR = rp.ACRPasswordOTP })
	a.op.Set(func(s *rptest.Script) { s.ACR = rp.ACREnrol })
	b := a.browser(t)
	body, _ := b.get(a.URL + "/records/1")
	expect(t, "page", body, "error "+rp.UnmetRequirements)
}

func TestSatisfiesIsConfigured(t *testing.T) {
	a := start(t, func(c *rp.Config) {
		c.DefaultACR = "loa2"
		c.Satisfies = map[string][]string{"loa3": {"loa2"}}
	})
	for acr, want := range map[string]bool{"loa2": true, "loa3": true, rp.ACRCard: false, "": false} {
		if got := a.rp.Satisfies(acr, "loa2"); got != want {
			t.Errorf("%q satisfies loa2: %v", acr, got)
		}
	}
	if a.rp.Satisfies("loa2", "loa3") {
		t.Error("loa2 satisfies loa3")
	}
	if !a.rp.Satisfies("", "") {
		t.Error("no demand is not met")
	}
}

func TestRequireRecent(t *testing.T) {
	a, now, b := startWithClock(t, nil)
	b.get(a.URL + "/recent")
	if n := a.op.Counts().Authorize; n != 1 {
		t.Errorf("a fresh sign-in was asked again: %d", n)
	}
	now.forward(5 * time.Minute)
	body, _ := b.get(a.URL + "/recent")
	expect(t, "page", body, "GET /recent user-1 urn:portti:acr:pwd-otp Maija Meikäläinen")
	expect(t, "asked for", a.op.LastAuthorize().Get("max_age"), "60")
	// A provider that does not do it must not send us in circles.
	old := now.Now().Unix()
	a.op.Set(func(s *rptest.Script) { s.Token = func(_, c map[string]any) { c["auth_time"] = old } })
	now.forward(5 * time.Minute)
	body, _ = b.get(a.URL + "/recent")
	expect(t, "page", body, "error "+rp.InvalidResponse)
	if n := a.op.Counts().Authorize; n != 3 {
		t.Errorf("%d visits to the provider", n)
	}
}

func TestPostsAreNotSentAgain(t *testing.T) {
	a := start(t, nil)
	for name, test := range map[string]struct{ referer, want string }{
		"from our page":        {a.URL + "/records/1/edit?x=1", "/records/1/edit?x=1"},
		"from another site":    {"https://evil.example/records", "/"},
		"from a like-named":    {"http://127.0.0.1.evil.example/records", "/"},
		"from nowhere":         {"", "/"},
		"with a double slash":  {a.URL + "//evil.example", "/"},
		"with a broken header": {"::", "/"},
	} {
		b := a.browser(t)
		res := b.once(t, "POST", a.URL+"/records/1", http.Header{"Referer": {test.referer}, "Sec-Fetch-Mode": {"navigate"}})
		to := res.Header.Get("Location")
		if res.StatusCode != http.StatusSeeOther || !strings.HasPrefix(to, a.op.URL) {
			t.Fatalf("%s: %d to %q", name, res.StatusCode, to)
		}
		expect(t, name, b.step(b.step(to)), test.want)
	}
}

func TestScriptsGetAChallenge(t *testing.T) { // RFC 9470
	a := start(t, nil)
	b := a.browser(t)
	for _, mode := range []string{"cors", "same-origin", "no-cors", "websocket"} {
		res := b.once(t, "GET", a.URL+"/secret", http.Header{"Sec-Fetch-Mode": {mode}})
		expect(t, mode, res.Header.Get("WWW-Authenticate"), `Bearer `+tooLittle+`, acr_values="urn:portti:acr:card"`)
		if res.StatusCode != http.StatusUnauthorized || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d", mode, res.StatusCode)
		}
	}
}

func TestProtectedPagesAreNotCached(t *testing.T) { // S72
	a := start(t, nil)
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	res := b.once(t, "GET", a.URL+"/records/1", nil)
	expect(t, "Cache-Control", res.Header.Get("Cache-Control"), "no-store")
}

func TestDoubleSlashPathIsNoOpenRedirect(t *testing.T) {
	a := start(t, func(c *rp.Config) {})
	protected := a.rp.Require("", http.NotFoundHandler())
	a.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/callback" {
			a.rp.Callback(w, r)
			return
		}
		protected.ServeHTTP(w, r)
	})
	b := a.browser(t)
	expect(t, "after signing in", b.step(b.toCallback(a, "//evil.example/x")), "/")
}
