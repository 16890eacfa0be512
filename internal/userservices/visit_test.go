package userservices

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// Every page that a signed-in person may ask for, and what may be posted.
var (
	pages = []string{"/", "/continue", "/authenticator", "/authenticator/confirm", "/authenticator/linked", "/authenticator/try", "/card", "/card/return?code=RESULT", "/card/confirm", "/card/linked",
		"/password", "/password/changed"}
	posts = []string{"/authenticator", "/authenticator/confirm", "/authenticator/try", "/card", "/card/confirm", "/password", "/logout"}
)

// changes are the API's addresses that change something.
var changes = []string{"POST /authenticator", "POST /authenticator/confirm", "POST /authenticator/trial", "POST /card/attempt", "POST /card/link", "POST /password"}

func (k *kit) changed() []string {
	var all []string
	for _, path := range changes {
		if k.api.bodies(path) != nil {
			all = append(all, path)
		}
	}
	return all
}

// Nobody gets anything without signing in, and whoever signs in is back where
// they wanted to go.
func TestEveryPageNeedsASession(t *testing.T) {
	for _, path := range pages {
		k := newKit(t)
		k.op.Set(func(s *rptest.Script) { s.Refuse = "access_denied" })
		k.browser().get(path).want(403, "*", "error").says("The login was cancelled")
		if k.api.bodies("GET ") != nil {
			t.Errorf("%s: the API was asked", path)
		}
		q := k.op.LastAuthorize()
		if q.Get("scope") != "openid us us.enrol" || q.Get("acr_values") != "" || q.Get("prompt") != "" || q.Get("redirect_uri") != k.url+"/callback" || q.Get("code_challenge_method") != "S256" {
			t.Errorf("%s: the provider was asked for %v", path, q)
		}
	}
	k := newKit(t)
	b := k.browser()
	b.get("/password?lang=sv").want(200, "/password?lang=sv", "current")
	k.browser().get("/login").want(200, "/", "logout")
}

// A form that was posted without a session is not sent again by itself.
func TestEveryPostNeedsASession(t *testing.T) {
	for _, path := range posts {
		k := newKit(t)
		stranger := k.browser()
		csrf := k.signedOutToken(stranger)
		stranger.post(path, url.Values{"csrf": {csrf}, "code": {testCode}, "fingerprint": {testFinger}, "current": {"a"}, "new": {"b"}, "repeat": {"b"}, "kind": {"app"}, "own_device": {"yes"}})
		if got := k.changed(); got != nil {
			t.Errorf("%s: %v", path, got)
		}
	}
}

// signedOutToken is a form token of a browser that nobody is signed in in.
func (k *kit) signedOutToken(b *browser) string {
	k.t.Helper()
	csrf := b.get("/").csrf()
	b.get("/").submit("/logout").want(200, "/signed-out", "logged-out")
	return csrf
}

// CSRF: a post without our form's token, with another browser's, or from another
// site changes nothing.
func TestEveryPostNeedsOurForm(t *testing.T) {
	k := newKit(t)
	k.api.set(func(me *portti.Me) { me.Card, me.App, me.May = nil, nil, portti.May{} })
	b := k.browser()
	good := b.get("/").csrf()
	b.get("/authenticator").submit("/authenticator", stated...)
	k.api.locked(func() { k.api.calls = nil })
	others := k.browser().get("/").csrf()
	form := func(csrf string) url.Values {
		return url.Values{"csrf": {csrf}, "code": {testCode}, "fingerprint": {testFinger}, "current": {"a"}, "new": {"b"}, "repeat": {"b"}, "kind": {"app"}, "own_device": {"yes"}, "work_phone": {"yes"}}
	}
	for _, path := range posts {
		for name, csrf := range map[string]string{"none": "", "another browser's": others, "not one": "abc"} {
			b.post(path, form(csrf)).want(403, path, "error")
			if got := k.changed(); got != nil {
				t.Errorf("%s with token %s: %v", path, name, got)
			}
		}
		for header, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
			r, err := http.NewRequestWithContext(t.Context(), "POST", k.url+path, strings.NewReader(form(good).Encode()))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set(header, value)
			b.do(r).want(403, path, "error")
			if got := k.changed(); got != nil {
				t.Errorf("%s, %s: %v", path, header, got)
			}
		}
	}
	b.get("/").want(200, "/", "logout") // still signed in
	if k.op.Counts().EndSession != 0 {
		t.Error("somebody was logged out")
	}
	b.post("/password", form(good)).want(200, "/password/changed")
}

// Addresses from outside lead nowhere else.
func TestNoOpenRedirect(t *testing.T) {
	for _, path := range []string{"//evil.example/", `/\evil.example/`, "/login?to=https://evil.example/", "/login?return=//evil.example", "/continue?to=https://evil.example", "/card/return?code=x&return=https://evil.example", "/%2f%2fevil.example", "/?lang=//evil.example"} {
		k := newKit(t)
		b := k.browser()
		page := b.get(path)
		for _, at := range b.visited {
			if !strings.HasPrefix(at, k.url+"/") && !strings.HasPrefix(at, k.op.URL+"/") {
				t.Errorf("%s leads to %s", path, at)
			}
		}
		for n := range page.doc.Descendants() {
			if href := attr(n, "href"); strings.HasPrefix(href, "//") || strings.HasPrefix(href, "http") && strings.Contains(href, "evil") && !strings.HasPrefix(href, k.url) {
				t.Errorf("%s has a link to %s", path, href)
			}
		}
	}
}

// What the API calls the way on is at the provider, or it is not followed.
func TestTheWayOnIsAtTheProvider(t *testing.T) {
	for _, elsewhere := range []string{"https://evil.example/signin/resume", "//evil.example", "javascript:alert(1)", "", "/signin/resume", "http://user@127.0.0.1/"} {
		k := newKit(t)
		k.enrol()
		k.links()
		k.api.set(func(me *portti.Me) {
			me.Waiting = &portti.Waiting{Service: map[string]string{"en": "S"}, Resume: elsewhere}
		})
		b := k.browser()
		b.get("/authenticator").submit("/authenticator", stated...).submit("/authenticator/confirm", "code", testCode)
		if slices.ContainsFunc(b.visited, func(at string) bool { return !strings.HasPrefix(at, k.url) && !strings.HasPrefix(at, k.op.URL) }) {
			t.Errorf("%q was followed: %v", elsewhere, b.visited)
		}
	}
}

// 401: the session is over for the API. The person signs in again and is back.
func TestASessionThatTheAPIEnds(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/password").want(200, "/password", "current")
	k.later(time.Minute)
	k.op.Set(func(s *rptest.Script) {
		s.TokenResponse = func(m map[string]any) { k.api.only, _ = m["access_token"].(string) }
	})
	k.api.locked(func() { k.api.only = "none" })
	signIns := k.op.Counts().Authorize
	b.get("/password").want(200, "/password", "current")
	if got := k.op.Counts().Authorize; got != signIns+1 {
		t.Errorf("%d sign-ins", got-signIns)
	}
	k.later(time.Minute)
	page := b.get("/password")
	k.api.locked(func() { k.api.only = "none" })
	page.submit("/password", newPassword...).want(200, "/password", "current")
	if k.api.bodies("POST /password") != nil {
		t.Error("the form was sent again by itself")
	}
}

// An API that takes no token at all is told apart from a session that is over:
// nobody goes in circles.
func TestAnAPIThatTakesNothing(t *testing.T) {
	k := newKit(t)
	k.api.locked(func() { k.api.only = "none" })
	k.browser().get("/").want(401, "/", "error").says("Log in again")
	if got := k.op.Counts().Authorize; got != 1 {
		t.Errorf("%d sign-ins", got)
	}
}

// ASVS 7.5.1: a way of signing in is changed after a fresh proof only.
func TestAFreshProofIsAskedFor(t *testing.T) {
	for _, path := range []string{"/card", "/authenticator"} {
		k := newKit(t)
		k.api.set(func(me *portti.Me) {
			me.Card, me.App = nil, nil
			me.May = portti.May{Card: "reauthentication_required", App: "reauthentication_required", Token: "policy_denied"}
		})
		b := k.browser()
		b.get("/").want(200, "/", "link-card")
		k.later(6 * time.Minute)
		k.op.Set(func(s *rptest.Script) {
			s.Token = func(_, _ map[string]any) {
				k.api.set(func(me *portti.Me) { me.May = portti.May{Token: "policy_denied"} })
			}
		})
		b.get(path).want(200, path)
		if q := k.op.LastAuthorize(); q.Get("prompt") != "login" || q.Get("acr_values") != rp.ACRPasswordOTP {
			t.Errorf("%s: the provider was asked for %v", path, q)
		}
	}
}

// In the middle of linking, too.
func TestAFreshProofIsAskedForByTheAPI(t *testing.T) {
	k := canLinkCard(t)
	b := k.browser()
	page := b.get("/card/return?code=RESULT")
	k.later(6 * time.Minute)
	k.api.refuses("POST /card/link", 403, "reauthentication_required")
	page.submit("/card/confirm").want(200, "/card", "card-start") // read it anew
	if q := k.op.LastAuthorize(); q.Get("prompt") != "login" {
		t.Errorf("the provider was asked for %v", q)
	}
}

// Clocks that disagree do not send anybody in circles.
func TestAProofThatIsNeverFreshEnough(t *testing.T) {
	k := newKit(t)
	k.api.set(func(me *portti.Me) { me.Card, me.May.Card = nil, "reauthentication_required" })
	b := k.browser()
	b.get("/")
	k.later(6 * time.Minute)
	b.get("/card").want(403, "/card", "error").says("log in again first")
	if got := k.op.Counts().Authorize; got != 2 {
		t.Errorf("%d sign-ins", got)
	}
}

// S28: who has an authenticator proves it before linking a card. The employer may
// not permit it any more (S8): then no level can be asked for.
func TestACodeIsAskedFor(t *testing.T) {
	for permitted, want := range map[bool]url.Values{true: {"acr_values": {rp.ACRPasswordOTP}}, false: {"prompt": {"login"}}} {
		k := newKit(t)
		k.enrol()
		k.api.set(func(me *portti.Me) {
			me.App = &portti.Authenticator{Kind: portti.App, Permitted: permitted}
			me.May = portti.May{Card: "code_required", App: "policy_denied", Token: "policy_denied"}
		})
		b := k.browser()
		b.get("/authenticator/try").want(200, "/authenticator/try")
		k.op.Set(func(s *rptest.Script) {
			s.ACR = ""
			s.Token = func(_, _ map[string]any) { k.api.set(func(me *portti.Me) { me.May.Card = "" }) }
		})
		b.get("/card").want(200, "/card", "card-start")
		if q := k.op.LastAuthorize(); q.Get("acr_values") != want.Get("acr_values") || q.Get("prompt") != want.Get("prompt") {
			t.Errorf("permitted %v: the provider was asked for %v", permitted, q)
		}
	}
}

// The provider out of reach: a page that says so, and nothing is lost.
func TestAProviderThatDoesNotAnswer(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/").want(200, "/")
	k.api.locked(func() { k.api.down = true })
	for _, lang := range []string{"fi", "sv", "en"} {
		b.get("/?lang="+lang).want(503, "/?lang="+lang, "error")
	}
	k.api.locked(func() { k.api.down = false })
	b.get("/").want(200, "/", "try")

	k.op.Set(func(s *rptest.Script) { s.Down = true })
	k.later(11 * time.Minute) // the access token has to be renewed
	b.get("/").want(503, "/", "error").says("The login service does not answer")
	k.op.Set(func(s *rptest.Script) { s.Down = false })
	b.get("/").want(200, "/", "try")

	// It may even come up later than we.
	k = newKit(t, func(c *Config) { c.Issuer = "http://127.0.0.1:1" })
	k.browser().get("/").want(503, "/", "error").says("The login service does not answer")
}

// Tokens are renewed without anybody noticing.
func TestAccessTokensAreRenewed(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.get("/password")
	k.later(11 * time.Minute)
	page.submit("/password", newPassword...).want(200, "/password/changed", "changed")
	if c := k.op.Counts(); c.Refresh != 1 || c.Authorize != 1 {
		t.Errorf("%+v", c)
	}
}

// A redirect is no answer of the API, least of all to a change.
func TestRedirectsAreNotFollowed(t *testing.T) {
	k := newKit(t, func(c *Config) {
		inner := c.HTTPClient.Transport
		c.HTTPClient = &http.Client{Transport: redirecting{inner}}
	})
	page := k.browser().get("/password").want(200, "/password", "current")
	page.submit("/password", newPassword...).want(503, "/password", "error")
}

// redirecting answers a changed password with a redirect.
type redirecting struct{ inner http.RoundTripper }

func (f redirecting) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := f.inner.RoundTrip(r)
	if err == nil && r.URL.Path == "/api/v1/me/password" {
		res.StatusCode, res.Header = http.StatusFound, http.Header{"Location": {"/"}}
	}
	return res, err
}

// Refusals keep their status and read in the reader's language.
func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		status int
		code   string
		says   string
	}{
		{400, "json_invalid", "not JSON"}, {403, "insufficient_scope", "You do not have the right"}, {403, "password_change_required", "Change your temporary password first"},
		{404, "unheard_of", "does not exist"}, {409, "changed_meanwhile", "at the same time"}, {410, "unheard_of", "has been used already"}, {429, "throttled", "too many attempts"},
		{503, "ephemeral_unavailable", "Nothing is lost"}, {502, "unexpected", "Nothing is lost"}, {504, "unexpected", "Nothing is lost"}, {500, "internal", "The error is ours"}, {405, "method", "The error is ours"},
	} {
		k := newKit(t)
		b := k.browser()
		b.get("/")
		k.api.refuses("GET ", c.status, c.code)
		want := c.status
		switch want {
		case 502, 504:
			want = 503
		case 405:
			want = 500
		}
		b.get("/").want(want, "/", "error").says(c.says)
	}
}
