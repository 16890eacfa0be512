package openid_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// The whole way, by hand: sign in, code, tokens, userinfo.
func TestCodeFlow(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	a := k.authorize(k.browser(), request())
	if a.status != http.StatusSeeOther || a.params.Get("state") != "the-state" || a.params.Get("iss") != k.url {
		t.Fatalf("answer: %d %v", a.status, a.to)
	}
	before := k.now().Unix()
	r := k.post("rp", redeem(a.params.Get("code")))
	if r.status != http.StatusOK || r.header.Get("Cache-Control") != "no-store" || r.text("token_type") != "Bearer" || r.json["expires_in"].(float64) != 300 {
		t.Fatalf("tokens: %d %v %s", r.status, r.header, r.raw)
	}
	if r.text("scope") != "openid profile email" {
		t.Errorf("scope %q", r.text("scope"))
	}
	c := k.claims(r.text("id_token"))
	// These claims and no others: nothing that was not asked for (conformance, oidcc-server).
	for name, want := range map[string]any{"iss": k.url, "sub": "anna", "aud": "rp", "azp": "rp", "nonce": "the-nonce", "acr": "urn:portti:acr:pwd-otp"} {
		if c[name] != want {
			t.Errorf("%s is %v, want %v", name, c[name], want)
		}
		delete(c, name)
	}
	if amr := fmt.Sprint(c["amr"]); amr != "[pwd otp mfa]" { // S1
		t.Errorf("amr %s", amr)
	}
	if iat := int64(c["iat"].(float64)); iat < before || c["exp"].(float64)-c["iat"].(float64) != 300 {
		t.Errorf("iat %v exp %v", c["iat"], c["exp"])
	}
	if c["sid"] == "" || c["auth_time"].(float64) > c["iat"].(float64) {
		t.Errorf("sid %v auth_time %v", c["sid"], c["auth_time"])
	}
	for _, name := range []string{"amr", "iat", "exp", "auth_time", "sid", "at_hash"} {
		if _, ok := c[name]; !ok {
			t.Errorf("no %s", name)
		}
		delete(c, name)
	}
	if len(c) != 0 {
		t.Errorf("unrequested claims: %v", c)
	}
	u := k.userinfo(r.text("access_token"))
	want := map[string]any{"sub": "anna", "name": "Anna Aalto", "given_name": "Anna", "family_name": "Aalto", "preferred_username": "anna.aalto", "locale": "fi",
		"organisation": "clinic", "organisation_name": "Klinikka Oy", "email": "anna@clinic.example", "email_verified": false, "updated_at": u.json["updated_at"]}
	if u.status != http.StatusOK || !reflect.DeepEqual(u.json, want) {
		t.Errorf("userinfo: %d %v", u.status, u.json)
	}
}

// S2: a card needs nothing typed, and says so.
func TestCardIsTruthful(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.as(bosse)
	c := k.claims(k.signedIn(k.browser(), "acr_values", "urn:portti:acr:pwd-otp").text("id_token"))
	if c["acr"] != "urn:portti:acr:card" || fmt.Sprint(c["amr"]) != "[sc pin hwk mfa]" {
		t.Errorf("acr %v amr %v", c["acr"], c["amr"])
	}
}

func TestClientWithoutNonceGetsNone(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	if n, ok := k.claims(k.signedIn(k.browser(), "nonce", "").text("id_token"))["nonce"]; ok {
		t.Errorf("nonce %v", n)
	}
}

func TestSingleSignOn(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("other", func(c *openid.Client) { c.RedirectURIs = []string{"https://other.example/cb"} })
	b := k.browser()
	first := k.claims(k.signedIn(b).text("id_token"))
	k.as(bosse) // the page would sign in somebody else
	code := k.code(b, request("client_id", "other", "redirect_uri", "https://other.example/cb", "prompt", "none"))
	second := k.claims(k.post("other", redeem(code, "redirect_uri", "https://other.example/cb")).text("id_token"))
	if second["sub"] != "anna" || second["auth_time"] != first["auth_time"] || second["sid"] != first["sid"] {
		t.Errorf("first %v, second %v", first, second)
	}
}

func TestFreshSignInOnDemand(t *testing.T) {
	for _, demand := range [][]string{{"prompt", "login"}, {"prompt", "login consent"}, {"prompt", "select_account"}, {"max_age", "0"}, {"max_age", "1"}} {
		k := newKit(t)
		k.client("rp")
		b := k.browser()
		first := k.claims(k.signedIn(b).text("id_token"))
		k.wait(5 * time.Second)
		second := k.claims(k.signedIn(b, demand...).text("id_token"))
		if second["auth_time"].(float64) < first["auth_time"].(float64)+5 || second["sub"] != first["sub"] {
			t.Errorf("%v: auth_time %v then %v", demand, first["auth_time"], second["auth_time"])
		}
	}
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	first := k.claims(k.signedIn(b).text("id_token"))
	k.wait(5 * time.Second)
	for _, kept := range [][]string{{"max_age", "10000"}, {"prompt", "consent"}} {
		if again := k.claims(k.signedIn(b, kept...).text("id_token")); again["auth_time"] != first["auth_time"] {
			t.Errorf("%v signed in again", kept)
		}
	}
}

// prompt=login straight after a sign-in, within the same second, still shows the page.
func TestPromptLoginIsNotFooledBySeconds(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	k.signedIn(b)
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	for _, demand := range [][]string{{"prompt", "login"}, {"max_age", "0"}} {
		if a := k.authorize(b, request(demand...)); a.to == nil || !strings.HasPrefix(a.to.Path, "/signin/") {
			t.Errorf("%v: %v", demand, a.to)
		}
	}
}

func TestPromptNone(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("card", func(c *openid.Client) { c.MinimumACR = acrs.Card })
	k.client("us", userServices)
	state := strings.Repeat("s", 128)
	check := func(what string, b *http.Client, want string, pairs ...string) {
		t.Helper()
		a := k.authorize(b, request(append([]string{"prompt", "none", "state", state}, pairs...)...))
		if a.params.Get("error") != want || a.params.Get("state") != state || a.params.Get("iss") != k.url {
			t.Errorf("%s: %v", what, a.to)
		}
	}
	check("nobody", k.browser(), "login_required")
	b := k.browser()
	k.signedIn(b)
	check("signed in", b, "")
	check("weaker than the client's minimum", b, "login_required", "client_id", "card")
	check("weaker than asked", b, "login_required", "acr_values", acrs.Card)
	k.wait(10 * time.Second)
	check("too old", b, "login_required", "max_age", "5")
	check("combined", b, "invalid_request", "prompt", "none login")
	k.permit(identity.MethodCard)
	check("no longer permitted", b, "login_required") // S5
	k.permit(identity.AllMethods...)

	k.as(enrol)
	b = k.browser()
	k.code(b, request("client_id", "us", "scope", "openid us us.enrol"))
	check("enrol session for another client", b, "interaction_required") // S18
	check("enrol session for User Services", b, "", "client_id", "us", "scope", "openid us us.enrol")
	check("enrol session for full User Services", b, "interaction_required", "client_id", "us", "scope", "openid us")

	k.change(func(tx identity.Tx) error { return tx.EndSessions("anna", "") })
	check("session of a dead epoch", b, "login_required", "client_id", "us", "scope", "openid us us.enrol") // S54
}

// S19: an enrol session opens User Services and nothing else.
func TestEnrolSessionIsNarrow(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("us", userServices)
	k.client("greedy", func(c *openid.Client) { c.Scopes = []string{"openid", "us.enrol"} })
	k.as(enrol)
	b := k.browser()
	r := k.post("us", redeem(k.code(b, request("client_id", "us", "scope", "openid profile us us.enrol offline_access"))))
	if r.text("scope") != "openid us.enrol" || r.text("refresh_token") != "" {
		t.Fatalf("scope %q, refresh token %q", r.text("scope"), r.text("refresh_token"))
	}
	c := k.claims(r.text("id_token"))
	if c["acr"] != acrs.Enrol || fmt.Sprint(c["amr"]) != "[pwd]" {
		t.Errorf("acr %v amr %v", c["acr"], c["amr"])
	}
	g, err := k.caller(r.text("access_token"))
	if err != nil || g.ACR != acrs.Enrol || g.Level != session.Enrol {
		t.Errorf("token: %+v %v", g, err)
	}
	if u := k.userinfo(r.text("access_token")); u.status != http.StatusOK || len(u.json) != 1 {
		t.Errorf("userinfo gives more than sub: %v", u.json)
	}
	// Everybody else sees a full sign-in, and a page that completes with the
	// enrol session is refused.
	for _, q := range []url.Values{
		request(),
		request("scope", "openid us.enrol"),
		request("client_id", "greedy", "scope", "openid us.enrol"),
		request("client_id", "us", "scope", "openid us"),
		request("client_id", "us", "scope", "openid us us.enrol", "acr_values", acrs.PasswordCode),
	} {
		if a := k.authorize(b, q); a.params.Get("code") != "" || a.status != http.StatusForbidden || !strings.Contains(a.body, openid.ReasonEnrolOnly) {
			t.Errorf("%v: %d %v %s", q.Get("client_id"), a.status, a.to, a.body)
		}
	}
	// A full session gets the full token, and no enrol scope.
	k.as(anna)
	r = k.post("us", redeem(k.code(k.browser(), request("client_id", "us", "scope", "openid us us.enrol"))))
	if r.text("scope") != "openid us" || k.claims(r.text("id_token"))["acr"] != acrs.PasswordCode {
		t.Errorf("full: scope %q", r.text("scope"))
	}
	g, err = k.caller(r.text("access_token"))
	if err != nil || slices.Contains(g.Scopes, "us.enrol") {
		t.Errorf("full token: %+v %v", g, err)
	}
}

// S19: tokens of an enrol session end with it.
func TestEnrolTokenEndsWithItsSession(t *testing.T) {
	k := newKit(t)
	k.client("us", userServices)
	k.as(enrol)
	b := k.browser()
	k.code(b, request("client_id", "us", "scope", "openid us.enrol"))
	k.wait(session.EnrolAbsolute - time.Minute)
	r := k.post("us", redeem(k.code(b, request("client_id", "us", "scope", "openid us.enrol", "prompt", "none"))))
	if in := r.json["expires_in"].(float64); in > 60 {
		t.Errorf("expires in %v s, the session in 60", in)
	}
	k.wait(time.Minute)
	if u := k.userinfo(r.text("access_token")); u.status != http.StatusUnauthorized {
		t.Errorf("userinfo after the session: %d", u.status)
	}
}

// A client's minimum and acr_values step the session up in place.
func TestStepUp(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("card", func(c *openid.Client) { c.MinimumACR = acrs.Card })
	k.client("method", func(c *openid.Client) { c.Methods = uint8(identity.MethodCard) })
	for _, demand := range [][]string{{"client_id", "card"}, {"client_id", "method"}, {"acr_values", acrs.Card}, {"acr_values", "unknown " + acrs.Card}} {
		k.as(anna)
		b := k.browser()
		k.signedIn(b)
		if a := k.authorize(b, request(demand...)); a.status != http.StatusForbidden || !strings.Contains(a.body, openid.ReasonStepUp) {
			t.Errorf("%v: code for password and code: %d %v", demand, a.status, a.to)
		}
		stop := *b
		stop.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		a := k.authorize(&stop, request(demand...))
		u, _ := url.Parse(k.url)
		var binding string
		for _, c := range b.Jar.Cookies(u) {
			if c.Name == "browser" {
				binding = c.Value
			}
		}
		q, err := k.p.Request(t.Context(), strings.TrimPrefix(a.to.Path, "/signin/"), binding)
		if err != nil || !q.CardOnly {
			t.Errorf("%v: request %+v %v", demand, q, err)
		}
		k.as(withID(anna, session.Card))
		code := k.code(b, request(demand...))
		client := request(demand...).Get("client_id")
		if c := k.claims(k.post(client, redeem(code)).text("id_token")); c["acr"] != acrs.Card || c["sub"] != "anna" {
			t.Errorf("%v: %v", demand, c)
		}
	}
	// Names that nobody knows say nothing (conformance, acr_values "1 2").
	k.as(anna)
	if c := k.claims(k.signedIn(k.browser(), "acr_values", "1 2").text("id_token")); c["acr"] != acrs.PasswordCode {
		t.Errorf("acr %v", c["acr"])
	}
	// Any of several will do.
	if c := k.claims(k.signedIn(k.browser(), "acr_values", acrs.Card+" "+acrs.PasswordCode).text("id_token")); c["acr"] != acrs.PasswordCode {
		t.Errorf("acr %v", c["acr"])
	}
}

// S5: what the employer no longer permits is not enough, whatever the session says.
func TestEmployerPolicyHoldsForSessions(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	k.signedIn(b)
	code := k.code(b, request("prompt", "none"))
	k.permit(identity.MethodCard, identity.MethodToken)
	// a code that was on its way
	if r := k.post("rp", redeem(code)); r.status != http.StatusBadRequest || r.text("error") != "invalid_grant" || r.text("error_description") != "method_not_permitted_by_employer" {
		t.Errorf("code: %d %s", r.status, r.raw)
	}
	// single sign-on, and a page that completes with it
	if a := k.authorize(b, request()); a.status != http.StatusForbidden || !strings.Contains(a.body, openid.ReasonByEmployer) {
		t.Errorf("SSO: %d %v %s", a.status, a.to, a.body)
	}
}

// S15: a temporary password opens nothing, User Services included.
func TestTemporaryPasswordOpensNothing(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("us", userServices)
	b := k.browser()
	k.signedIn(b)
	k.change(func(tx identity.Tx) error {
		return tx.SetPassword("anna", identity.Password{Hash: "x", Temporary: true, Expires: k.now().Add(time.Hour)})
	})
	for _, q := range []url.Values{request(), request("client_id", "us", "scope", "openid us us.enrol")} {
		if a := k.authorize(b, q); a.params.Get("code") != "" || !strings.Contains(a.body, openid.ReasonTemporary) {
			t.Errorf("%d %v %s", a.status, a.to, a.body)
		}
		q.Set("prompt", "none")
		if a := k.authorize(b, q); a.params.Get("error") != "interaction_required" {
			t.Errorf("prompt=none: %v", a.to)
		}
	}
}

func TestIDTokenHint(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	annas := k.signedIn(b).text("id_token")
	k.as(bosse)
	bosses := k.signedIn(k.browser()).text("id_token")
	k.wait(time.Hour / 2) // both have expired
	if a := k.authorize(b, request("prompt", "none", "id_token_hint", annas)); a.params.Get("code") == "" {
		t.Errorf("the same user, expired hint: %v", a.to)
	}
	for what, q := range map[string]url.Values{
		"another user, silent":   request("prompt", "none", "id_token_hint", bosses),
		"another user":           request("id_token_hint", bosses),
		"somebody else signs in": request("prompt", "login", "id_token_hint", annas),
		"not a token":            request("id_token_hint", "abc"),
	} {
		b := k.browser()
		k.as(anna)
		k.signedIn(b)
		k.as(bosse)
		if a := k.authorize(b, q); a.params.Get("error") != "login_required" {
			t.Errorf("%s: %v %d", what, a.to, a.status)
		}
	}
}

func TestLoginHintAndLocalesReachThePages(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	a := k.authorize(b, request("login_hint", "anna.aalto", "ui_locales", "se sv fi", "claims_locales", "xx", "display", "popup", "unknown", "parameter"))
	var binding string
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		binding = c.Value
	}
	q, err := k.p.Request(t.Context(), strings.TrimPrefix(a.to.Path, "/signin/"), binding)
	if err != nil {
		t.Fatal(err)
	}
	if q.LoginHint != "anna.aalto" || !slices.Equal(q.Locales, []string{"se", "sv", "fi"}) || q.Client.ID != "rp" || q.RedirectTo != "https://rp.example" ||
		q.CardOnly || q.EnrolOK || q.Fresh || q.ACR != "" || q.User != "" {
		b, _ := json.Marshal(q)
		t.Errorf("request %s", b)
	}
}

// A form posted by the client's page comes without SameSite cookies: it starts
// again as a GET.
func TestPostedRequest(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	k.signedIn(b)
	r, err := b.PostForm(k.url+openid.AuthorizePath, request("prompt", "none"))
	if err != nil {
		t.Fatal(err)
	}
	if a := k.read(r); a.params.Get("code") == "" || r.Request.Method != http.MethodGet {
		t.Errorf("%d %v", a.status, a.to)
	}
}

func TestFormPost(t *testing.T) {
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) {
		d.Continue = func(*http.Request) (string, string) { return "sv", "Fortsätt" }
	})
	uri := "https://rp.example/cb?a=1&b=%22" // what &, = and quotes become
	k.client("quoted", func(c *openid.Client) { c.RedirectURIs = []string{uri} })
	for _, what := range []struct{ name, want string }{{"login", `name="code"`}, {"none", `name="error" value="login_required"`}} {
		a := k.authorize(k.browser(), request("client_id", "quoted", "redirect_uri", uri, "response_mode", "form_post", "prompt", what.name, "state", `<"&'>`))
		csp := a.header.Get("Content-Security-Policy")
		switch {
		case a.status != http.StatusOK || a.to != nil:
			t.Errorf("%s: %d %v", what.name, a.status, a.to)
		case !strings.Contains(a.body, what.want) || !strings.Contains(a.body, `action="https://rp.example/cb?a=1&amp;b=%22"`):
			t.Errorf("%s: %s", what.name, a.body)
		case !strings.Contains(a.body, `name="state" value="&lt;&#34;&amp;&#39;&gt;"`) || !strings.Contains(a.body, `name="iss" value="`+k.url):
			t.Errorf("%s: %s", what.name, a.body)
		case !strings.Contains(a.body, `<noscript><button type="submit">Fortsätt</button></noscript>`) || !strings.Contains(a.body, `lang="sv"`):
			t.Errorf("%s: %s", what.name, a.body)
		case !strings.Contains(csp, "script-src 'sha256-") || strings.Contains(csp, "unsafe") || !strings.Contains(csp, "form-action https: https://rp.example"):
			t.Errorf("%s: %s", what.name, csp)
		case a.header.Get("Cache-Control") != "no-store" || a.header.Get("Referrer-Policy") != "no-referrer":
			t.Errorf("%s: %v", what.name, a.header)
		}
	}
}

func TestFragmentMode(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	for _, prompt := range []string{"none", "login"} {
		a := k.authorize(k.browser(), request("response_mode", "fragment", "prompt", prompt, "state", "a b&c"))
		f, err := url.ParseQuery(a.to.EscapedFragment())
		if err != nil || a.to.RawQuery != "" || f.Get("state") != "a b&c" || f.Get("iss") != k.url || f.Get("code") == "" && f.Get("error") == "" {
			t.Errorf("%s: %v", prompt, a.to)
		}
	}
}

// A registered query stays as it is (conformance, …/callback?dummy1=lorem&dummy2=ipsum).
func TestRegisteredQueryIsKept(t *testing.T) {
	k := newKit(t)
	uri := callback + "?dummy1=lorem&dummy2=ipsum"
	k.client("rp", func(c *openid.Client) { c.RedirectURIs = []string{uri} })
	a := k.authorize(k.browser(), request("redirect_uri", uri))
	if !strings.HasPrefix(a.to.String(), uri+"&") || a.params.Get("code") == "" {
		t.Errorf("%v", a.to)
	}
	if r := k.post("rp", redeem(a.params.Get("code"), "redirect_uri", uri)); r.status != http.StatusOK {
		t.Errorf("%d %s", r.status, r.raw)
	}
}

func TestCancel(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	page := k.authorize(b, request()).to
	a := k.get(b, page.Path, url.Values{"cancel": {""}})
	if a.params.Get("error") != "access_denied" || a.params.Get("state") != "the-state" || a.params.Get("iss") != k.url {
		t.Errorf("%v", a.to)
	}
	if a := k.get(b, page.Path, nil); a.status != http.StatusNotFound || !strings.Contains(a.body, "request_done") {
		t.Errorf("after cancel: %d %s", a.status, a.body)
	}
}

// S20: the request waits while a person enrols, and not for ever.
func TestWaitingRequestExpires(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	b.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	early, late := k.authorize(b, request()).to, k.authorize(b, request()).to
	k.wait(70 * time.Minute)
	if a := k.get(b, early.Path, nil); a.params.Get("code") == "" {
		t.Errorf("after 70 min: %d %s", a.status, a.body)
	}
	k.wait(6 * time.Minute)
	if a := k.get(b, late.Path, nil); a.status != http.StatusNotFound || !strings.Contains(a.body, "request_unknown") {
		t.Errorf("after 76 min: %d %s", a.status, a.body)
	}
}
