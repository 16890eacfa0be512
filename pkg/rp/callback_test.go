package rp_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// signedIn tells who the browser is at the application.
func (b browser) signedIn(a *app) string {
	b.t.Helper()
	body, _ := b.get(a.URL + "/")
	return strings.TrimPrefix(body, "home of ")
}

func TestTokensAreCheckedAndRefused(t *testing.T) {
	claim := func(name string, value any) func(*rptest.Script) {
		return func(s *rptest.Script) {
			s.Token = func(_, claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			}
		}
	}
	header := func(name string, value any) func(*rptest.Script) {
		return func(s *rptest.Script) { s.Token = func(header, _ map[string]any) { header[name] = value } }
	}
	answer := func(name string, value any) func(*rptest.Script) {
		return func(s *rptest.Script) {
			s.TokenResponse = func(m map[string]any) {
				if m[name] = value; value == nil {
					delete(m, name)
				}
			}
		}
	}
	now := time.Now()
	for name, lie := range map[string]func(*rptest.Script){
		"alg none":                 header("alg", "none"),
		"alg HS256 with our key":   header("alg", "HS256"),
		"alg not registered":       header("alg", "RS256"),
		"key of another algorithm": header("kid", "rsa"),
		"unknown key":              header("kid", "nobody's"),
		"other issuer":             claim("iss", "https://evil.example"),
		"no issuer":                claim("iss", nil),
		"other audience":           claim("aud", "other-app"),
		"no audience":              claim("aud", nil),
		"one more audience":        claim("aud", []string{"app", "other-app"}),
		"azp of another":           claim("azp", "other-app"),
		"expired":                  claim("exp", now.Add(-time.Minute).Unix()),
		"no expiry":                claim("exp", nil),
		"from the future":          claim("iat", now.Add(time.Hour).Unix()),
		"not valid yet":            claim("nbf", now.Add(time.Hour).Unix()),
		"no iat":                   claim("iat", nil),
		"no sub":                   claim("sub", nil),
		"endless sub":              claim("sub", strings.Repeat("x", 256)),
		"other nonce":              claim("nonce", "x"),
		"no nonce":                 claim("nonce", nil),
		"other access token":       answer("access_token", "somebody-elses"),
		"empty at_hash of another": claim("at_hash", "AAAAAAAAAAAAAAAAAAAAAA"),
		"no ID token":              answer("id_token", nil),
		"DPoP token":               answer("token_type", "DPoP"),
		"userinfo of another":      func(s *rptest.Script) { s.UserInfo = func(m map[string]any) { m["sub"] = "user-2" } },
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, func(c *rp.Config) { c.Algorithms = []string{"ES256"} })
			a.op.Set(lie)
			b := a.browser(t)
			body, status := b.get(a.URL + "/records/1")
			if status != http.StatusBadRequest || body != "error "+rp.InvalidResponse {
				t.Errorf("got %d %q", status, body)
			}
			expect(t, "way on", a.lastError().ReturnTo, "/records/1")
			expect(t, "signed in", b.signedIn(a), "nobody")
		})
	}
}

func TestTokensThatAreRight(t *testing.T) {
	for name, change := range map[string]struct {
		config func(*rp.Config)
		script func(*rptest.Script)
	}{
		"RS256 of the metadata": {nil, func(s *rptest.Script) {
			s.Token = func(h, _ map[string]any) { h["alg"] = "RS256" }
		}},
		"trusted second audience, azp ours": {func(c *rp.Config) { c.Audiences = []string{"api"} }, func(s *rptest.Script) {
			s.Token = func(_, c map[string]any) { c["aud"], c["azp"] = []string{"app", "api"}, "app" }
		}},
		"no at_hash": {nil, func(s *rptest.Script) {
			s.Token = func(_, c map[string]any) { delete(c, "at_hash") }
		}},
		"no userinfo wanted": {func(c *rp.Config) { c.NoUserInfo = true }, func(s *rptest.Script) {
			s.UserInfo = func(m map[string]any) { m["sub"] = "never asked" }
		}},
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, change.config)
			a.op.Set(change.script)
			b := a.browser(t)
			b.get(a.URL + "/records/1")
			expect(t, "signed in", b.signedIn(a), "user-1")
		})
	}
	t.Run("second audience without azp", func(t *testing.T) {
		a := start(t, func(c *rp.Config) { c.Audiences = []string{"api"} })
		a.op.Set(func(s *rptest.Script) {
			s.Token = func(_, c map[string]any) { c["aud"] = []string{"app", "api"} }
		})
		if body, _ := a.browser(t).get(a.URL + "/records/1"); body != "error "+rp.InvalidResponse {
			t.Errorf("got %q", body)
		}
	})
}

func TestAnswersOfAnotherProviderAreNotUsed(t *testing.T) { // mix-up, RFC 9207
	for name, lie := range map[string]func(url.Values){
		"other iss": func(q url.Values) { q.Set("iss", "https://evil.example") },
		"no iss":    func(q url.Values) { q.Del("iss") },
		"two iss":   func(q url.Values) { q.Add("iss", "https://evil.example") },
		"two codes": func(q url.Values) { q.Add("code", "x") },
		"error of another provider": func(q url.Values) {
			q.Del("code")
			q.Set("error", "access_denied")
			q.Set("iss", "https://evil.example")
		},
		"code and error":        func(q url.Values) { q.Set("error", "access_denied") },
		"nothing":               func(q url.Values) { q.Del("code") },
		"error that is no code": func(q url.Values) { q.Del("code"); q.Set("error", "<script>\n") },
	} {
		t.Run(name, func(t *testing.T) {
			a := start(t, nil)
			a.op.Set(func(s *rptest.Script) { s.Response = lie })
			b := a.browser(t)
			body, _ := b.get(a.URL + "/records/1")
			expect(t, "page", body, "error "+rp.InvalidResponse)
			if n := a.op.Counts().Code; n != 0 {
				t.Errorf("the code went to the token endpoint")
			}
			expect(t, "signed in", b.signedIn(a), "nobody")
		})
	}
	t.Run("provider that sends no iss", func(t *testing.T) {
		a := start(t, nil)
		a.op.Set(func(s *rptest.Script) { s.Response = func(q url.Values) { q.Del("iss") } })
		body, _ := a.browser(t).get(a.URL + "/records/1")
		expect(t, "page", body, "error "+rp.InvalidResponse)
	})
}

func TestIssIsOptionalWhereMetadataDoNotPromiseIt(t *testing.T) {
	op := rptest.New(t)
	op.Set(func(s *rptest.Script) {
		s.Metadata = func(m map[string]any) { delete(m, "authorization_response_iss_parameter_supported") }
		s.Response = func(q url.Values) { q.Del("iss") }
	})
	a := start(t, func(c *rp.Config) { c.Issuer = op.URL })
	a.op = op
	b := a.browser(t)
	b.get(a.URL + "/records/1")
	expect(t, "signed in", b.signedIn(a), "user-1")
	op.Set(func(s *rptest.Script) { s.Response = func(q url.Values) { q.Set("iss", "https://evil.example") } })
	body, _ := a.browser(t).get(a.URL + "/records/1")
	expect(t, "wrong iss is wrong anyway", body, "error "+rp.InvalidResponse)
}

func TestCodeInjectedIntoAnotherBrowser(t *testing.T) {
	a := start(t, nil)
	attacker, victim := a.browser(t), a.browser(t)
	a.op.Set(func(s *rptest.Script) { s.Claims["sub"] = "attacker" })
	stolen := attacker.toCallback(a, "/records/1") // the attacker's code, not redeemed
	a.op.Set(func(s *rptest.Script) { s.Claims["sub"] = "victim" })

	// A browser without cookies, and one with a sign-in of its own under way.
	victim.get(stolen)
	expect(t, "who the victim is", victim.signedIn(a), "victim")
	victim = a.browser(t)
	own := victim.toCallback(a, "/records/2")
	attackers, _ := url.Parse(stolen)
	mixed, _ := url.Parse(own)
	q := mixed.Query()
	q.Set("code", attackers.Query().Get("code")) // the attacker's code with the victim's state: PKCE
	mixed.RawQuery = q.Encode()
	victim.get(mixed.String())
	expect(t, "who the victim is", victim.signedIn(a), "victim")
}

func TestStateOfTheAttackerIsWorthNothingToTheVictim(t *testing.T) { // state fixation
	a := start(t, nil)
	attacker, victim := a.browser(t), a.browser(t)
	authorize := attacker.step(a.URL + "/records/1") // the attacker's state, nonce and challenge
	a.op.Set(func(s *rptest.Script) { s.Claims["sub"] = "victim" })
	callback := victim.step(authorize) // the victim signs in for it
	before := a.op.Counts().Code
	location := victim.step(callback)
	if a.op.Counts().Code != before {
		t.Error("the victim's code was redeemed for the attacker's state")
	}
	if !strings.HasPrefix(location, a.op.URL+"/authorize?") {
		t.Errorf("the victim does not start cleanly: %q", location)
	}
}

func TestNonceOfAnotherSignInIsRefused(t *testing.T) { // nonce replay
	a := start(t, nil)
	b := a.browser(t)
	var first any
	a.op.Set(func(s *rptest.Script) {
		s.Token = func(_, claims map[string]any) {
			if first == nil {
				first = claims["nonce"]
			}
			claims["nonce"] = first
		}
	})
	b.get(a.URL + "/records/1")
	expect(t, "first", b.signedIn(a), "user-1")
	other := a.browser(t)
	body, _ := other.get(a.URL + "/records/1")
	expect(t, "second", body, "error "+rp.InvalidResponse)
}

func TestLogoutTokenIsNoIDToken(t *testing.T) {
	a := start(t, nil)
	a.op.Set(func(s *rptest.Script) {
		s.TokenResponse = func(m map[string]any) {
			m["id_token"] = a.op.LogoutToken(map[string]any{"sub": "user-1"})
		}
	})
	body, _ := a.browser(t).get(a.URL + "/records/1")
	expect(t, "page", body, "error "+rp.InvalidResponse)
}

func TestFiftyCallbacksWithOneCode(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	callback := b.toCallback(a, "/records/1")
	u, _ := url.Parse(a.URL)
	cookies := b.Jar.Cookies(u)
	var wg sync.WaitGroup
	var mu sync.Mutex
	sessions, restarts := 0, 0
	for range 50 {
		wg.Go(func() {
			req, _ := http.NewRequestWithContext(t.Context(), "GET", callback, nil)
			for _, c := range cookies {
				req.AddCookie(c)
			}
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			_ = res.Body.Close()
			mu.Lock()
			defer mu.Unlock()
			switch to := res.Header.Get("Location"); {
			case to == "/records/1":
				sessions++
			case strings.HasPrefix(to, a.op.URL+"/authorize?"):
				restarts++
			default:
				t.Errorf("a callback ended with %d at %q", res.StatusCode, to)
			}
		})
	}
	wg.Wait()
	if sessions != 1 || restarts != 49 {
		t.Errorf("%d sessions and %d restarts, want 1 and 49", sessions, restarts)
	}
	if n := a.op.Counts(); n.Code != 1 || n.Replays != 0 {
		t.Errorf("the provider saw %+v: a replay there would revoke the tokens", n)
	}
}

func TestStaleCallbacksStartCleanly(t *testing.T) { // S68
	now := newClock()
	a := start(t, func(c *rp.Config) { c.Now = now.Now })
	a.op.Set(func(s *rptest.Script) { s.Now = now.Now })

	t.Run("reload when signed in", func(t *testing.T) {
		b := a.browser(t)
		callback := b.toCallback(a, "/records/1")
		b.get(callback)
		body, _ := b.get(callback)
		expect(t, "page", body, "GET /records/1 user-1 urn:portti:acr:pwd-otp Maija Meikäläinen")
	})
	t.Run("back button after signing out elsewhere", func(t *testing.T) {
		b := a.browser(t)
		callback := b.toCallback(a, "/records/1")
		b.get(callback)
		if code := postLogoutToken(t, a, a.op.LogoutToken(map[string]any{"sub": "user-1"})); code != 200 {
			t.Fatalf("logout: %d", code)
		}
		now.forward(time.Second)
		body, _ := b.get(callback)
		expect(t, "page", body, "GET /records/1 user-1 urn:portti:acr:pwd-otp Maija Meikäläinen")
	})
	t.Run("cookies cleared meanwhile", func(t *testing.T) {
		callback := a.browser(t).toCallback(a, "/records/1")
		b := a.browser(t)
		b.get(callback)
		expect(t, "signed in", b.signedIn(a), "user-1")
	})
	t.Run("kept open overnight", func(t *testing.T) {
		b := a.browser(t)
		callback := b.toCallback(a, "/records/1")
		now.forward(12 * time.Hour)
		b.get(callback)
		expect(t, "signed in", b.signedIn(a), "user-1")
	})
	t.Run("old restart kept open overnight", func(t *testing.T) {
		callback := a.browser(t).toCallback(a, "/records/1")
		b := a.browser(t)
		again := b.step(b.step(callback)) // restarted, not finished
		now.forward(12 * time.Hour)
		b.get(again)
		expect(t, "signed in", b.signedIn(a), "user-1")
	})
	t.Run("first day of 60 minutes", func(t *testing.T) { // S20
		b := a.browser(t)
		callback := b.toCallback(a, "/records/9")
		now.forward(75 * time.Minute)
		body, _ := b.get(callback)
		expect(t, "page", body, "GET /records/9 user-1 urn:portti:acr:pwd-otp Maija Meikäläinen")
	})
	t.Run("without parameters", func(t *testing.T) {
		b := a.browser(t)
		b.get(a.URL + "/callback")
		expect(t, "signed in", b.signedIn(a), "user-1")
	})
}

func TestBrowserWithoutCookiesIsToldSo(t *testing.T) { // S68
	a := start(t, nil)
	b := browser{t, &http.Client{}} // no jar
	body, status := b.get(a.URL + "/records/1")
	if status != http.StatusBadRequest || body != "error "+rp.CookiesBlocked {
		t.Errorf("got %d %q", status, body)
	}
	if n := a.op.Counts().Authorize; n != 2 {
		t.Errorf("went round %d times", n)
	}
}

func TestCodeThatExpiredOnItsWayIsTriedOnceMore(t *testing.T) {
	a := start(t, nil)
	a.op.Set(func(s *rptest.Script) { s.RefuseGrant = "invalid_grant" })
	b := a.browser(t)
	body, _ := b.get(a.URL + "/records/1")
	expect(t, "page", body, "error "+rp.InvalidResponse)
	expect(t, "way on", a.lastError().ReturnTo, "/records/1")
	if n := a.op.Counts().Authorize; n != 2 {
		t.Errorf("went to the provider %d times", n)
	}
	callback := b.toCallback(a, "/records/2")
	restart := b.step(callback)
	a.op.Set(func(s *rptest.Script) { s.RefuseGrant = "" })
	body, _ = b.get(restart)
	expect(t, "second try", body[:14], "GET /records/2")
}

func TestErrorsOfTheProviderReachTheApplication(t *testing.T) {
	for code, status := range map[string]int{
		"access_denied": 403, "login_required": 401, "interaction_required": 401, "consent_required": 401,
		"unmet_authentication_requirements": 403, "server_error": 503, "temporarily_unavailable": 503, "something_new": 403,
	} {
		a := start(t, nil)
		a.op.Set(func(s *rptest.Script) { s.Refuse = code })
		b := a.browser(t)
		body, got := b.get(a.URL + "/login?prompt=none&to=/records/1")
		if body != "error "+code || got != status {
			t.Errorf("%s: got %d %q", code, got, body)
		}
		e := a.lastError()
		if e.Code != code || e.Description != "the test refuses" || e.Prompt != "none" || e.ReturnTo != "/records/1" {
			t.Errorf("%s: error %+v", code, e)
		}
	}
}

func TestTokenEndpointTrouble(t *testing.T) {
	for name, test := range map[string]struct {
		script func(*rptest.Script)
		want   string
	}{
		"down":         {func(s *rptest.Script) { s.Down = true }, rp.TemporarilyUnavailable},
		"wrong secret": {func(s *rptest.Script) { s.RefuseGrant = "invalid_client" }, rp.InvalidResponse},
		"userinfo refuses": {func(s *rptest.Script) {
			s.Token = func(_, c map[string]any) { delete(c, "at_hash") }
			s.TokenResponse = func(m map[string]any) { m["access_token"] = "unknown" }
		}, rp.TemporarilyUnavailable},
		"unauthorized client": {func(s *rptest.Script) { s.RefuseGrant = "unauthorized_client" }, rp.InvalidResponse},
	} {
		a := start(t, nil)
		b := a.browser(t)
		callback := b.toCallback(a, "/records/1")
		a.op.Set(test.script)
		b.get(callback)
		a.op.Set(func(s *rptest.Script) { s.Down = false })
		expect(t, name, a.lastError().Code, test.want)
	}
}

func TestDemandedLevelIsEnforcedOnReturn(t *testing.T) { // S1, S20
	a := start(t, func(c *rp.Config) { c.DefaultACR = rp.ACRPasswordOTP })
	for name, test := range map[string]struct{ ask, reached, want string }{
		"card asked, code given":        {rp.ACRCard, rp.ACRPasswordOTP, ""},
		"card asked, card given":        {rp.ACRCard, rp.ACRCard, "user-1"},
		"code asked, card given":        {rp.ACRPasswordOTP, rp.ACRCard, "user-1"},
		"either asked, code given":      {rp.ACRCard + " " + rp.ACRPasswordOTP, rp.ACRPasswordOTP, "user-1"},
		"nothing asked, password given": {"", rp.ACREnrol, ""},
		"code asked, password given":    {rp.ACRPasswordOTP, rp.ACREnrol, ""},
		"unknown asked":                 {"urn:x", rp.ACRCard, ""},
	} {
		a.op.Set(func(s *rptest.Script) { s.ACR = test.reached })
		b := a.browser(t)
		body, _ := b.get(a.URL + "/login?acr=" + url.QueryEscape(test.ask))
		if test.want == "" {
			expect(t, name, body, "error "+rp.UnmetRequirements)
			expect(t, name+": level", a.lastError().ACR, test.reached)
			expect(t, name, b.signedIn(a), "nobody")
		} else {
			expect(t, name, b.signedIn(a), test.want)
		}
	}
}

func TestFreshSignInIsEnforcedOnReturn(t *testing.T) {
	now := time.Now()
	for name, test := range map[string]struct {
		query    string
		authTime any
		ok       bool
	}{
		"max_age kept":             {"max_age=5m", now.Add(-4 * time.Minute).Unix(), true},
		"max_age ignored":          {"max_age=5m", now.Add(-time.Hour).Unix(), false},
		"max_age, no auth_time":    {"max_age=5m", nil, false},
		"prompt=login kept":        {"prompt=login", now.Unix(), true},
		"prompt=login ignored":     {"prompt=login", now.Add(-time.Hour).Unix(), false},
		"no demand":                {"", now.Add(-time.Hour).Unix(), true},
		"no demand, no auth_time":  {"", nil, true},
		"prompt=login+consent old": {"prompt=consent+login", now.Add(-time.Hour).Unix(), false},
	} {
		a := start(t, nil)
		a.op.Set(func(s *rptest.Script) {
			s.Token = func(_, claims map[string]any) {
				if claims["auth_time"] = test.authTime; test.authTime == nil {
					delete(claims, "auth_time")
				}
			}
		})
		b := a.browser(t)
		b.get(a.URL + "/login?" + test.query)
		want := "nobody"
		if test.ok {
			want = "user-1"
		}
		expect(t, name, b.signedIn(a), want)
	}
}

func TestNoOpenRedirect(t *testing.T) {
	a := start(t, nil)
	for _, evil := range []string{
		"https://evil.example/", "//evil.example", "///evil.example", "/\\evil.example", "\\\\evil.example", "/\t/evil.example",
		"/\n/evil.example", "\t//evil.example", "http:evil.example", "javascript:alert(1)", "evil.example", "/%zz", "/x\x00", "/\x7f/",
		"/" + strings.Repeat("a", 5000),
	} {
		b := a.browser(t)
		callback := b.toCallback(a, "/login?to="+url.QueryEscape(evil))
		expect(t, evil, b.step(callback), "/")
	}
	for _, good := range []string{"/", "/records/7", "/records/7?next=https://evil.example#top", "/a//b", "/%2F%2Fevil.example", "/ääkköset"} {
		b := a.browser(t)
		callback := b.toCallback(a, "/login?to="+url.QueryEscape(good))
		want := good
		if good == "/a//b" {
			want = "/a/b" // net/http cleans it
		}
		if good == "/ääkköset" {
			want = "/%c3%a4%c3%a4kk%c3%b6set"
		}
		expect(t, good, b.step(callback), want)
	}
}

func TestCallbackTakesOnlyGET(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	callback := b.toCallback(a, "/records/1")
	for _, method := range []string{"HEAD", "POST", "PUT"} {
		if res := b.once(t, method, callback, nil); res.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, res.StatusCode)
		}
	}
	b.get(callback)
	expect(t, "the code is not spent", b.signedIn(a), "user-1")
}

func TestCallbackLeavesNoTrace(t *testing.T) {
	a := start(t, nil)
	b := a.browser(t)
	res := b.once(t, "GET", b.toCallback(a, "/records/1"), nil)
	expect(t, "Cache-Control", res.Header.Get("Cache-Control"), "no-store")
	expect(t, "Referrer-Policy", res.Header.Get("Referrer-Policy"), "no-referrer")
	if res.StatusCode != http.StatusSeeOther {
		t.Errorf("status %d", res.StatusCode)
	}
}
