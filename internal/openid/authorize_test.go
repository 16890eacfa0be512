package openid_test

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// grammar is error text by RFC 6749 §5.2; the conformance suite fails on a quote.
func grammar(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' })
}

// Nothing is sent anywhere until client and address are proved.
func TestUnprovedRequestsGetAPage(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("disabled")
	if _, err := k.clients.Disable(t.Context(), "operator:test", "disabled", false); err != nil {
		t.Fatal(err)
	}
	twice := func(name, value string) url.Values {
		q := request()
		q.Add(name, value)
		return q
	}
	for what, c := range map[string]struct {
		q      url.Values
		status int
		code   string
	}{
		"no client":              {request("client_id", ""), 400, "invalid_request"},
		"two clients":            {twice("client_id", "rp"), 400, "invalid_request"},
		"unknown client":         {request("client_id", "stranger"), 400, "invalid_client"},
		"client that is no name": {request("client_id", "rp\x00' or 1=1 --\xff"), 400, "invalid_client"},
		"disabled client":        {request("client_id", "disabled"), 403, "unauthorized_client"},
		"no redirect_uri":        {request("redirect_uri", ""), 400, "invalid_request"},
		"two redirect_uris":      {twice("redirect_uri", "https://evil.example/"), 400, "invalid_request"},
		"too long":               {request("state", strings.Repeat("s", 20000)), 414, "invalid_request"},
	} {
		a := k.authorize(k.browser(), c.q)
		p := k.problems.Swap(nil)
		if a.status != c.status || a.to != nil || !strings.Contains(a.body, `id="oauth-error"`) || p == nil || p.Code != c.code || !grammar(p.Description) {
			t.Errorf("%s: %d %v %+v", what, a.status, a.to, p)
		}
		if a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", what, a.header)
		}
	}
	if a := k.read(must(http.Get(k.url + openid.AuthorizePath + "?client_id=%zz"))); a.status != 400 {
		t.Errorf("broken query: %d", a.status)
	}
	req, _ := http.NewRequest(http.MethodPut, k.url+openid.AuthorizePath, nil)
	if a := k.read(must(http.DefaultClient.Do(req))); a.status != 405 || a.header.Get("Allow") != "GET, POST" {
		t.Errorf("PUT: %d %v", a.status, a.header)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Open redirect attempts: addresses are compared character by character.
func TestRedirectURIsAreExact(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.RedirectURIs = []string{callback, callback + "?a=1"} })
	k.client("native", public, func(c *openid.Client) {
		c.Native, c.RedirectURIs = true, []string{"http://127.0.0.1/cb", "http://[::1]:80/cb?x=1", "http://localhost/cb"}
	})
	for client, refused := range map[string][]string{
		"rp": {
			"https://rp.example/cb/", "https://rp.example/cb?", "https://rp.example/cb?b=1", "https://rp.example/cb?a=1&b=2", "https://rp.example/CB",
			"https://RP.example/cb", "https://rp.example:443/cb", "http://rp.example/cb", "https://rp.example/cb#f", "https://rp.example/./cb",
			"https://rp.example/x/../cb", "https://rp.example/%63b", "https://rp.example/c%2562", "https://rp.example%2fcb", "https://user@rp.example/cb",
			"https://rp.example@evil.example/cb", "https://evil.example/https://rp.example/cb", "https://rp.example.evil.example/cb", "//rp.example/cb",
			"https:\\\\rp.example\\cb", "https://rp.example\\@evil.example/cb", " https://rp.example/cb", "https://rp.example/cb ", "https://rp.example/cb\n",
			"javascript:alert(1)", "data:text/html,x", "https://*/cb", "/cb", "https%3A%2F%2Frp.example%2Fcb",
		},
		"native": { // any port, and nothing else
			"http://127.0.0.1:1/", "http://127.0.0.1:1/cb?x=1", "http://127.0.0.1:1/cb#f", "http://127.0.0.2:1/cb", "https://127.0.0.1:1/cb",
			"http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1:x/cb", "http://127.0.0.1:123456/cb", "http://127.0.0.1.evil.example:1/cb", "http://[::1]:2/cb",
			"http://0.0.0.0/cb", "http://localhost.evil.example/cb", "http://127.1:1/cb", "http://evil.localhost:1/cb",
		},
	} {
		for _, uri := range refused {
			for _, prompt := range []string{"none", "login"} {
				a := k.authorize(k.browser(), request("client_id", client, "redirect_uri", uri, "prompt", prompt))
				if a.to != nil || a.status != http.StatusBadRequest {
					t.Errorf("%s %q: %d %v", client, uri, a.status, a.to)
				}
			}
		}
	}
	for _, uri := range []string{"http://127.0.0.1/cb", "http://127.0.0.1:51234/cb", "http://[::1]:51234/cb?x=1", "http://localhost:8/cb"} {
		b := k.browser()
		a := k.authorize(b, request("client_id", "native", "redirect_uri", uri))
		if a.params.Get("code") == "" || !strings.HasPrefix(a.to.String(), uri) {
			t.Errorf("%q: %d %v", uri, a.status, a.to)
			continue
		}
		// The address that was used is the address that must come back.
		if r := k.post("", redeem(a.params.Get("code"), "client_id", "native", "redirect_uri", uri)); r.status != http.StatusOK {
			t.Errorf("%q: %d %s", uri, r.status, r.raw)
		}
	}
}

// Every other error goes to the client, with state and iss, in the mode it asked for.
func TestErrorsReachTheClient(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("public", public)
	k.client("pkce", func(c *openid.Client) { c.RequirePKCE = true })
	k.client("native", func(c *openid.Client) { c.Native = true })
	k.client("plain", func(c *openid.Client) { c.Scopes = []string{"openid"} })
	repeated := func(name string) url.Values {
		q := request(name, "x")
		q.Add(name, "y")
		return q
	}
	cases := map[string]struct {
		q    url.Values
		code string
	}{
		"request object":            {request("request", "eyJ"), "request_not_supported"},
		"request_uri":               {request("request_uri", "https://rp.example/r"), "request_uri_not_supported"}, // zitadel-oidc 3: was ignored
		"registration":              {request("registration", "{}"), "registration_not_supported"},
		"no response_type":          {request("response_type", ""), "invalid_request"},
		"implicit":                  {request("response_type", "id_token"), "unsupported_response_type"},
		"hybrid":                    {request("response_type", "code id_token"), "unsupported_response_type"},
		"token":                     {request("response_type", "token"), "unsupported_response_type"},
		"unknown response_mode":     {request("response_mode", "web_message"), "invalid_request"},
		"no scope":                  {request("scope", ""), "invalid_scope"}, // zitadel-oidc 3: was accepted
		"no openid":                 {request("scope", "profile email"), "invalid_scope"},
		"scope with a quote":        {request("scope", `openid "x"`), "invalid_scope"},
		"plain PKCE":                {request("code_challenge_method", "plain"), "invalid_request"}, // zitadel-oidc 3: was accepted
		"PKCE without method":       {request("code_challenge_method", ""), "invalid_request"},      // means plain
		"PKCE method alone":         {request("code_challenge", ""), "invalid_request"},
		"short challenge":           {request("code_challenge", "abc"), "invalid_request"},
		"padded challenge":          {request("code_challenge", s256(verifier)+"="), "invalid_request"},
		"public without PKCE":       {request("client_id", "public", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"registered without PKCE":   {request("client_id", "pkce", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"native without PKCE":       {request("client_id", "native", "code_challenge", "", "code_challenge_method", ""), "invalid_request"},
		"none with login":           {request("prompt", "none login"), "invalid_request"},
		"none with consent":         {request("prompt", "consent none"), "invalid_request"},
		"unknown prompt":            {request("prompt", "create"), "invalid_request"}, // zitadel-oidc 3: was accepted
		"max_age that is no number": {request("max_age", "soon"), "invalid_request"},  // zitadel-oidc 3: was a page
		"negative max_age":          {request("max_age", "-1"), "invalid_request"},
		"nonce with a zero byte":    {request("nonce", "a\x00b"), "invalid_request"}, // PostgreSQL cannot store it
		"nonce that is not UTF-8":   {request("nonce", "a\xffb"), "invalid_request"},
		"two nonces":                {repeated("nonce"), "invalid_request"},
		"two scopes":                {repeated("scope"), "invalid_request"},
		"two prompts":               {repeated("prompt"), "invalid_request"},
		"two challenges":            {repeated("code_challenge"), "invalid_request"},
		"two response_types":        {repeated("response_type"), "invalid_request"},
		"two modes":                 {repeated("response_mode"), "invalid_request"},
		"bad hint":                  {request("id_token_hint", "x.y.z"), "login_required"},
	}
	for what, c := range cases {
		a := k.authorize(k.browser(), c.q)
		if a.status != http.StatusSeeOther || !strings.HasPrefix(a.to.String(), callback+"?") || a.params.Get("error") != c.code ||
			a.params.Get("state") != "the-state" || a.params.Get("iss") != k.url || a.params.Has("code") {
			t.Errorf("%s: %d %v", what, a.status, a.to)
			continue
		}
		if d := a.params.Get("error_description"); d == "" || !grammar(d) {
			t.Errorf("%s: description %q", what, d)
		}
		if len(c.q["response_mode"]) > 0 {
			continue
		}
		// zitadel-oidc 3: errors were never form-posted
		c.q.Set("response_mode", "form_post")
		a = k.authorize(k.browser(), c.q)
		if a.status != http.StatusOK || a.to != nil || !strings.Contains(a.body, `name="error" value="`+c.code+`"`) || !strings.Contains(a.body, `name="state" value="the-state"`) {
			t.Errorf("%s, form_post: %d %v %s", what, a.status, a.to, a.body)
		}
	}
	// A state that cannot be given back as it came is not given back at all.
	for _, q := range []url.Values{repeated("state"), request("state", "a\r\nSet-Cookie: x=y")} {
		if a := k.authorize(k.browser(), q); a.params.Get("error") != "invalid_request" || a.params.Has("state") || a.header.Get("Set-Cookie") != "" {
			t.Errorf("state %q: %v %v", q["state"], a.to, a.header)
		}
	}
	// A scope that the client is not registered for is left out.
	r := k.post("plain", redeem(k.code(k.browser(), request("client_id", "plain", "scope", "openid profile us.enrol us nonsense"))))
	if r.text("scope") != "openid" {
		t.Errorf("scope %q", r.text("scope"))
	}
}

func TestLongStateAndNonceAreKept(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	state, nonce := strings.Repeat("s", 1000), strings.Repeat("n", 384)
	a := k.authorize(k.browser(), request("state", state, "nonce", nonce))
	if a.params.Get("state") != state {
		t.Error("state was changed")
	}
	if c := k.claims(k.post("rp", redeem(a.params.Get("code"))).text("id_token")); c["nonce"] != nonce {
		t.Error("nonce was changed")
	}
}

// zitadel-oidc 6.3: a sign-in belongs to the browser that began it. Neither can
// an attacker have a victim complete his request, nor complete a victim's.
func TestRequestIsBoundToItsBrowser(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	attacker, victim := k.browser(), k.browser()
	attacker.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	victim.CheckRedirect = attacker.CheckRedirect
	page := k.authorize(attacker, request()).to.Path
	k.authorize(victim, request()) // has a binding cookie of its own
	for _, suffix := range []string{"", "?cancel"} {
		for _, b := range []*http.Client{victim, {CheckRedirect: attacker.CheckRedirect}} {
			a := k.read(must(b.Get(k.url + page + suffix)))
			if a.status != http.StatusNotFound || !strings.Contains(a.body, "request_unknown") || a.to != nil {
				t.Errorf("another browser: %d %v %s", a.status, a.to, a.body)
			}
		}
	}
	// The pages' functions themselves refuse, too.
	for _, f := range []func(w http.ResponseWriter, r *http.Request, id string) error{
		func(w http.ResponseWriter, r *http.Request, id string) error { return k.p.Complete(w, r, id, anna) },
		func(w http.ResponseWriter, r *http.Request, id string) error {
			return k.p.Refuse(w, r, id, openid.AccessDenied)
		},
	} {
		var err error
		probe := probe(func(w http.ResponseWriter, r *http.Request) {
			err = f(w, r, strings.TrimPrefix(page, "/signin/"))
		})
		if codeOf(err) != "request_unknown" || probe.Header().Get("Location") != "" {
			t.Errorf("%v %v", err, probe.Header())
		}
	}
	if _, err := k.p.Request(t.Context(), strings.TrimPrefix(page, "/signin/"), ""); codeOf(err) != "request_unknown" {
		t.Errorf("no browser: %v", err)
	}
	// The owner's request is none the worse for it.
	if a := k.get(attacker, page, nil); a.params.Get("code") == "" {
		t.Errorf("owner: %d %s", a.status, a.body)
	}
}

// A double submit gives one code.
func TestCompleteOnce(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := k.authorize(b, request()).to.Path
	var mu sync.Mutex
	got := map[string]int{}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			r, err := b.Get(k.url + page)
			if err != nil {
				t.Error(err)
				return
			}
			a := k.read(r)
			mu.Lock()
			defer mu.Unlock()
			if a.params.Get("code") != "" {
				got["code"]++
			} else {
				got[strings.TrimSpace(a.body)]++
			}
		})
	}
	all.Wait()
	if got["code"] != 1 || got["request_done"] != 49 {
		t.Errorf("%v", got)
	}
}

// What stood when the request began may not stand when it is completed.
func TestCompleteLooksAgain(t *testing.T) {
	begin := func(k *kit, pairs ...string) (*http.Client, string) {
		b := k.browser()
		b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		return b, k.authorize(b, request(pairs...)).to.Path
	}
	t.Run("client disabled", func(t *testing.T) {
		k := newKit(t)
		k.client("rp")
		b, page := begin(k)
		if _, err := k.clients.Disable(t.Context(), "operator:test", "rp", false); err != nil {
			t.Fatal(err)
		}
		k.wait(5 * time.Second) // as long as a client is taken from memory
		if a := k.get(b, page, nil); a.to != nil || !strings.Contains(a.body, "client_disabled") {
			t.Errorf("%d %v %s", a.status, a.to, a.body)
		}
	})
	t.Run("session of a dead epoch", func(t *testing.T) {
		k := newKit(t)
		k.client("rp")
		b, page := begin(k)
		dead := anna
		dead.Epoch = 0
		k.as(dead)
		if a := k.get(b, page, nil); a.to != nil || !strings.Contains(a.body, "session_expired") {
			t.Errorf("%d %v %s", a.status, a.to, a.body)
		}
	})
	t.Run("full session on a password alone", func(t *testing.T) { // S1: a slip of the pages
		k := newKit(t)
		k.client("rp")
		b, page := begin(k)
		k.as(withID(anna, session.Password))
		if a := k.get(b, page, nil); a.to != nil || !strings.Contains(a.body, openid.ReasonNoSession) {
			t.Errorf("%d %v %s", a.status, a.to, a.body)
		}
		// The request is still open for a proper sign-in.
		k.as(anna)
		if a := k.get(b, page, nil); a.params.Get("code") == "" {
			t.Errorf("%d %v %s", a.status, a.to, a.body)
		}
	})
}

// Nothing that opens something is ever logged, by us or by the library (zitadel-oidc 6.13).
func TestNoSecretsInLogs(t *testing.T) {
	var library logs
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&library, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	k := newKit(t)
	k.client("rp")
	canary := "CANARY-state-nonce-hint"
	b := k.browser()
	pairs := []string{"state", canary, "nonce", canary, "login_hint", canary, "id_token_hint", canary, "acr_values", canary}
	k.authorize(b, request(pairs...)) // the hint is refused
	pairs[7] = ""
	code := k.code(b, request(pairs...))
	good := k.post("rp", redeem(code))
	k.post("rp", redeem(code))                                           // replayed
	k.post("rp", redeem(canary, "code_verifier", canary))                // unknown
	k.post("", redeem(code, "client_id", "rp", "client_secret", canary)) // wrong method
	k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {good.text("refresh_token") + canary}})
	k.post("rp", url.Values{"grant_type": {canary}})
	k.userinfo(canary)
	k.userinfo(good.text("access_token"))
	seen := k.logs.String() + library.String()
	if !strings.Contains(seen, "code replayed") || !strings.Contains(seen, "request error") {
		t.Fatalf("the test does not see the logs:\n%s", seen)
	}
	for what, secret := range map[string]string{"canary": canary, "code": code, "verifier": verifier, "client secret": k.secrets["rp"],
		"access token": good.text("access_token"), "refresh token": good.text("refresh_token"), "ID token": good.text("id_token")} {
		if strings.Contains(seen, secret) {
			t.Errorf("the log holds the %s", what)
		}
	}
	for _, e := range k.events.list {
		if strings.Contains(e.Details["grant"], code) {
			t.Error("the audit trail holds the code")
		}
	}
	if k.events.count(audit.CodeReplayed) != 1 {
		t.Errorf("audit: %v", k.events.list)
	}
}

// A backend that is away is told of in a word, and its text stays inside.
func TestBackendAway(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	k.signedIn(b)
	code := k.code(b, request("prompt", "none"))
	if err := k.store.Close(); err != nil {
		t.Fatal(err)
	}
	a := k.authorize(b, request("prompt", "none"))
	if e := a.params.Get("error"); e != "temporarily_unavailable" && e != "server_error" || strings.Contains(a.to.String(), "sql") {
		t.Errorf("authorize: %v", a.to)
	}
	r := k.post("rp", redeem(code))
	if r.status < 500 || r.text("error") != "temporarily_unavailable" && r.text("error") != "server_error" || strings.Contains(r.raw, "sql") || strings.Contains(r.raw, "closed") {
		t.Errorf("token: %d %s", r.status, r.raw)
	}
	k.wait(time.Minute)
	if a := k.authorize(k.browser(), request()); a.status != http.StatusServiceUnavailable || a.to != nil {
		t.Errorf("client: %d %v", a.status, a.to)
	}
}
