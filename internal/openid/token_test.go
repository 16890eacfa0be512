package openid_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/ephemeral/ephemeraltest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// refused checks what every error of the token endpoint has in common.
func refused(t *testing.T, what string, r reply, status int, code string) {
	t.Helper()
	if r.status != status || r.text("error") != code {
		t.Errorf("%s: %d %s, want %d %s", what, r.status, r.raw, status, code)
	}
	if r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: %v", what, r.header)
	}
	if d := r.text("error_description"); !grammar(d) || d == "" {
		t.Errorf("%s: description %q", what, d)
	}
	for name := range r.json {
		if name != "error" && name != "error_description" {
			t.Errorf("%s: member %s", what, name)
		}
	}
	if got := r.header.Get("WWW-Authenticate"); (r.status == http.StatusUnauthorized) != strings.HasPrefix(got, "Basic ") {
		t.Errorf("%s: WWW-Authenticate %q", what, got)
	}
}

func TestTokenEndpointFailures(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("post", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	k.client("public", public)
	k.client("codeonly", func(c *openid.Client) { c.GrantTypes = []openid.GrantType{openid.GrantCode} })
	k.client("disabled")
	if _, err := k.clients.Disable(t.Context(), "operator:test", "disabled", false); err != nil {
		t.Fatal(err)
	}
	form := func(pairs ...string) url.Values { return redeem("x", pairs...) }
	secret := k.secrets["rp"]
	basic := func(id, secret string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
	}
	for what, c := range map[string]struct {
		header string
		body   string
		status int
		code   string
	}{
		"no grant_type":                         {basic("rp", secret), form("grant_type", "").Encode(), 400, "invalid_request"},
		"unknown grant_type":                    {basic("rp", secret), form("grant_type", "päss\"word").Encode(), 400, "unsupported_grant_type"}, // the library echoes it
		"password grant":                        {basic("rp", secret), form("grant_type", "password").Encode(), 400, "unsupported_grant_type"},
		"client_credentials":                    {basic("rp", secret), form("grant_type", "client_credentials").Encode(), 400, "unauthorized_client"},
		"client_credentials of a public client": {"", form("grant_type", "client_credentials", "client_id", "public").Encode(), 400, "unauthorized_client"},
		"device code":                           {basic("rp", secret), form("grant_type", "urn:ietf:params:oauth:grant-type:device_code", "device_code", "x").Encode(), 400, "unauthorized_client"},
		"token exchange":                        {basic("rp", secret), form("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange").Encode(), 400, "unauthorized_client"}, // off unless registered
		"odd scope":                             {basic("rp", secret), form("scope", "a\"b").Encode(), 400, "invalid_scope"},
		"odd resource":                          {basic("rp", secret), form("resource", "https://api.example/#x").Encode(), 400, "invalid_target"},
		"eleven resources":                      {basic("rp", secret), form().Encode() + resourcesOf(11), 400, "invalid_target"},
		"jwt-bearer":                            {"", form("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion", "x").Encode(), 400, "unsupported_grant_type"}, // zitadel-oidc 6.4
		"no client":                             {"", form().Encode(), 401, "invalid_client"},
		"unknown client":                        {basic("stranger", secret), form().Encode(), 401, "invalid_client"},
		"client that is SQL":                    {basic("rp'--\x00", secret), form().Encode(), 401, "invalid_client"},
		"disabled client":                       {basic("disabled", k.secrets["disabled"]), form().Encode(), 401, "invalid_client"},
		"wrong secret":                          {basic("rp", secret+"x"), form().Encode(), 401, "invalid_client"},
		"empty secret":                          {basic("rp", ""), form().Encode(), 401, "invalid_client"},
		"hash as secret":                        {basic("rp", hash(secret)), form().Encode(), 401, "invalid_client"},
		"no secret":                             {"", form("client_id", "rp").Encode(), 401, "invalid_client"},
		"basic client posts":                    {"", form("client_id", "rp", "client_secret", secret).Encode(), 401, "invalid_client"}, // zitadel-oidc 2.2
		"post client, basic":                    {basic("post", k.secrets["post"]), form().Encode(), 401, "invalid_client"},
		"public with a secret":                  {"", form("client_id", "public", "client_secret", "x").Encode(), 401, "invalid_client"},
		"both methods":                          {basic("rp", secret), form("client_id", "rp", "client_secret", secret).Encode(), 400, "invalid_request"},
		"two client_ids":                        {basic("rp", secret), form("client_id", "public").Encode(), 400, "invalid_request"},
		"assertion":                             {"", form("client_id", "rp", "client_assertion", "x", "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer").Encode(), 401, "invalid_client"},
		"odd assertion type":                    {"", form("client_id", "rp", "client_assertion", "x", "client_assertion_type", "\"ä\"").Encode(), 401, "invalid_client"}, // the library echoes it
		"Bearer":                                {"Bearer x", form("client_id", "public").Encode(), 401, "invalid_client"},
		"broken Basic":                          {"Basic !", form().Encode(), 401, "invalid_client"},
		"broken escape":                         {basic("rp", "%zz"), form().Encode(), 401, "invalid_client"},
		"grant not registered":                  {basic("codeonly", k.secrets["codeonly"]), "grant_type=refresh_token&refresh_token=x", 400, "unauthorized_client"}, // the library quotes it
		"no code":                               {basic("rp", secret), form("code", "").Encode(), 400, "invalid_request"},
		"no redirect_uri":                       {basic("rp", secret), form("redirect_uri", "").Encode(), 400, "invalid_request"},
		"unknown code":                          {basic("rp", secret), form().Encode(), 400, "invalid_grant"},
		"no refresh_token":                      {basic("rp", secret), "grant_type=refresh_token", 400, "invalid_request"},
		"unknown refresh_token":                 {basic("rp", secret), "grant_type=refresh_token&refresh_token=AAAAAAAAAAAAAAAAAAAAAA.x", 400, "invalid_grant"},
		"odd refresh_token":                     {basic("rp", secret), "grant_type=refresh_token&refresh_token=%27.%27", 400, "invalid_grant"},
		"code twice":                            {basic("rp", secret), form().Encode() + "&code=y", 400, "invalid_request"}, // zitadel-oidc 3: duplicates
		"grant_type twice":                      {basic("rp", secret), form().Encode() + "&grant_type=refresh_token", 400, "invalid_request"},
		"zero byte":                             {basic("rp", secret), form("code", "a\x00b").Encode(), 400, "invalid_request"},
		"not UTF-8":                             {basic("rp", secret), form("code", "\xff").Encode(), 400, "invalid_request"},
		"broken form":                           {basic("rp", secret), "grant_type=%zz", 400, "invalid_request"},
		"too long":                              {basic("rp", secret), "grant_type=" + strings.Repeat("x", 40<<10), 400, "invalid_request"}, // zitadel-oidc 6.15
	} {
		req, _ := http.NewRequest(http.MethodPost, k.url+openid.TokenPath, strings.NewReader(c.body))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if c.header != "" {
			req.Header.Set("Authorization", c.header)
		}
		refused(t, what, k.do(req), c.status, c.code)
	}

	// zitadel-oidc 3: GET with secrets in the address worked.
	code := k.code(k.browser(), request())
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPut} {
		req, _ := http.NewRequest(method, k.url+openid.TokenPath+"?"+redeem(code).Encode(), nil)
		req.SetBasicAuth("rp", secret)
		r := k.do(req)
		if r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") != "POST, OPTIONS" || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d %v", method, r.status, r.header)
		}
	}
	req, _ := http.NewRequest(http.MethodPost, k.url+openid.TokenPath+"?code="+code, strings.NewReader(redeem("", "code", "").Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("rp", secret)
	refused(t, "code in the address", k.do(req), 400, "invalid_request")
	req, _ = http.NewRequest(http.MethodPost, k.url+openid.TokenPath, bytes.NewReader([]byte(`{"grant_type":"authorization_code"}`)))
	req.Header.Set("Content-Type", "application/json")
	req.SetBasicAuth("rp", secret)
	refused(t, "JSON", k.do(req), 400, "invalid_request")
	// None of it spent the code: strangers cannot burn codes.
	if r := k.post("rp", redeem(code)); r.status != http.StatusOK {
		t.Errorf("the code was spent: %d %s", r.status, r.raw)
	}
}

func hash(s string) string { return fmt.Sprintf("%x", sha(s)) }

func TestRegisteredAuthenticationMethods(t *testing.T) {
	k := newKit(t)
	k.client("post", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	k.client("public", public)
	if r := k.post("", redeem(k.code(k.browser(), request("client_id", "post")), "client_id", "post", "client_secret", k.secrets["post"])); r.status != http.StatusOK {
		t.Errorf("client_secret_post: %d %s", r.status, r.raw)
	}
	if r := k.post("", redeem(k.code(k.browser(), request("client_id", "public")), "client_id", "public")); r.status != http.StatusOK {
		t.Errorf("none: %d %s", r.status, r.raw)
	}
}

// The code is bound to client, address and verifier, and is spent by whoever
// presents it with anything else.
func TestCodeIsBoundAndSpent(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.RedirectURIs = append(c.RedirectURIs, "https://rp.example/other") })
	k.client("thief", func(c *openid.Client) { c.RedirectURIs = []string{callback} })
	k.client("public", public)
	noPKCE := []string{"code_challenge", "", "code_challenge_method", ""}
	for what, c := range map[string]struct {
		ask    []string
		client string
		form   []string
	}{
		"another client":             {nil, "thief", nil}, // GHSA-xqxv-4jc2-x56x, zitadel-oidc 6.2
		"another registered address": {nil, "rp", []string{"redirect_uri", "https://rp.example/other"}},
		"wrong verifier":             {nil, "rp", []string{"code_verifier", strings.Repeat("x", 43)}},
		"no verifier, confidential":  {nil, "rp", []string{"code_verifier", ""}}, // zitadel-oidc 0.6: tokens were issued
		"short verifier":             {[]string{"code_challenge", s256("short")}, "rp", []string{"code_verifier", "short"}},
		"long verifier":              {[]string{"code_challenge", s256(strings.Repeat("x", 129))}, "rp", []string{"code_verifier", strings.Repeat("x", 129)}},
		"challenge as verifier":      {nil, "rp", []string{"code_verifier", s256(verifier)}},
		"verifier without challenge": {noPKCE, "rp", nil}, // RFC 9700 4.8.2: downgrade
	} {
		code := k.code(k.browser(), request(c.ask...))
		refused(t, what, k.post(c.client, redeem(code, c.form...)), 400, "invalid_grant")
		// Spent also for the owner, with everything right.
		owner := redeem(code)
		if len(c.ask) == len(noPKCE) {
			owner.Del("code_verifier")
		}
		refused(t, what+", owner", k.post("rp", owner), 400, "invalid_grant")
	}
	// zitadel-oidc 0.6: a public client without PKCE got tokens
	code := k.code(k.browser(), request("client_id", "public"))
	refused(t, "public without verifier", k.post("", redeem(code, "client_id", "public", "code_verifier", "")), 400, "invalid_grant")
	// A confidential client that is not registered for PKCE may do without.
	if r := k.post("rp", redeem(k.code(k.browser(), request(noPKCE...)), "code_verifier", "")); r.status != http.StatusOK {
		t.Errorf("without PKCE: %d %s", r.status, r.raw)
	}
}

func TestCodeExpires(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	code := k.code(k.browser(), request())
	k.wait(time.Minute)
	refused(t, "after 60 s", k.post("rp", redeem(code)), 400, "invalid_grant")
}

func TestCodesAreNotGuessable(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	seen := map[string]bool{}
	for range 20 {
		code := k.code(b, request())
		raw, err := base64.RawURLEncoding.DecodeString(code)
		if err != nil || len(raw) != 32 || seen[code] {
			t.Fatalf("code %q", code)
		}
		seen[code] = true
	}
}

// RFC 6749 4.1.2: a replay is refused, kills what was issued, and is on record.
func TestReplayedCodeKillsItsTokens(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	code := k.code(b, request())
	first := k.post("rp", redeem(code))
	other := k.signedIn(b)
	k.wait(90 * time.Second) // longer than a code lives: the tombstone must, too (conformance, codereuse-30seconds)
	if k.userinfo(first.text("access_token")).status != http.StatusOK {
		t.Fatal("the first token does not work")
	}
	refused(t, "replay", k.post("rp", redeem(code)), 400, "invalid_grant")
	if s := k.userinfo(first.text("access_token")).status; s != http.StatusUnauthorized {
		t.Errorf("access token after the replay: %d", s)
	}
	refused(t, "refresh token after the replay", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.text("refresh_token")}}), 400, "invalid_grant")
	if k.userinfo(other.text("access_token")).status != http.StatusOK {
		t.Error("another sign-in's token died with it")
	}
	if k.events.count(audit.CodeReplayed) != 1 {
		t.Errorf("audit: %+v", k.events.list)
	}
	e := k.events.list[0]
	if e.Client != "rp" || e.Address != "192.0.2.1" || e.Details["grant"] != openid.GrantID(code) {
		t.Errorf("audit: %+v", e)
	}
}

// pairs runs f on both pairs of backends.
func pairs(t *testing.T, f func(t *testing.T, k *kit)) {
	t.Run("SQLite and memory", func(t *testing.T) { f(t, newKit(t)) })
	t.Run("PostgreSQL and Redis", func(t *testing.T) {
		var e ephemeral.Store = ephemeraltest.Open(t)
		f(t, newKitOn(t, storetest.Open(t, store.Postgres), e))
	})
}

// atOnce sends the same form 50 times in parallel and returns the winners.
func atOnce(t *testing.T, k *kit, form url.Values) (won []reply) {
	var all sync.WaitGroup
	var mu sync.Mutex
	start := make(chan struct{})
	for range 50 {
		all.Go(func() {
			<-start
			r := k.post("rp", form)
			mu.Lock()
			defer mu.Unlock()
			if r.status == http.StatusOK {
				won = append(won, r)
			} else {
				refused(t, "loser", r, 400, "invalid_grant")
			}
		})
	}
	close(start)
	all.Wait()
	return won
}

// zitadel-oidc 0.7: 8 of 8 parallel redemptions of one code succeeded.
func TestParallelRedemption(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp")
		won := atOnce(t, k, redeem(k.code(k.browser(), request())))
		if len(won) != 1 {
			t.Fatalf("%d redeemed the code", len(won))
		}
		// The other 49 were replays, so the one winner's tokens are dead.
		if s := k.userinfo(won[0].text("access_token")).status; s != http.StatusUnauthorized {
			t.Errorf("access token: %d", s)
		}
		refused(t, "refresh", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {won[0].text("refresh_token")}}), 400, "invalid_grant")
	})
}

func TestParallelRefresh(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp")
		won := atOnce(t, k, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.signedIn(k.browser()).text("refresh_token")}})
		if len(won) != 1 {
			t.Fatalf("%d refreshed", len(won))
		}
		if s := k.userinfo(won[0].text("access_token")).status; s != http.StatusUnauthorized {
			t.Errorf("access token of a family with a reused token: %d", s)
		}
		refused(t, "the family", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {won[0].text("refresh_token")}}), 400, "invalid_grant")
		if k.events.count(audit.RefreshReused) == 0 {
			t.Error("no audit event")
		}
	})
}

func TestRefresh(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp")
		k.client("thief")
		first := k.signedIn(k.browser())
		was := k.claims(first.text("id_token"))
		k.wait(2 * time.Second)
		form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.text("refresh_token")}}
		refused(t, "another client", k.post("thief", form), 400, "invalid_grant")
		second := k.post("rp", form)
		if second.status != http.StatusOK || second.text("refresh_token") == first.text("refresh_token") || second.text("access_token") == first.text("access_token") {
			t.Fatalf("refresh: %d %s", second.status, second.raw)
		}
		if second.text("scope") != "openid profile email" || second.header.Get("Cache-Control") != "no-store" || second.text("token_type") != "Bearer" {
			t.Errorf("%v %s", second.header, second.raw)
		}
		is := k.claims(second.text("id_token"))
		// OpenID Connect Core 12.2; zitadel-oidc 2.4: acr went missing on refresh
		for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time", "acr", "sid"} {
			if is[name] != was[name] {
				t.Errorf("%s was %v and is %v", name, was[name], is[name])
			}
		}
		if is["iat"].(float64) <= was["iat"].(float64) || fmt.Sprint(is["amr"]) != fmt.Sprint(was["amr"]) || is["nonce"] != nil || is["at_hash"] == was["at_hash"] {
			t.Errorf("was %v, is %v", was, is)
		}
		if k.userinfo(second.text("access_token")).status != http.StatusOK {
			t.Error("the new access token does not work")
		}
		// The old one comes back: the family is dead.
		refused(t, "reuse", k.post("rp", form), 400, "invalid_grant")
		refused(t, "after reuse", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second.text("refresh_token")}}), 400, "invalid_grant")
		if k.userinfo(second.text("access_token")).status != http.StatusUnauthorized {
			t.Error("the access token outlived its family")
		}
		if k.events.count(audit.RefreshReused) != 1 {
			t.Errorf("audit: %+v", k.events.list)
		}
	})
}

func TestRefreshTokensForWhomAndHowLong(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("codeonly", func(c *openid.Client) { c.GrantTypes = []openid.GrantType{openid.GrantCode} })
	k.client("offline", func(c *openid.Client) { c.Scopes = []string{"openid", "offline_access"} })
	b := k.browser()
	if r := k.post("codeonly", redeem(k.code(b, request("client_id", "codeonly")))); r.text("refresh_token") != "" {
		t.Error("a client without the grant got a refresh token")
	}
	bound := k.signedIn(b).text("refresh_token")
	offline := k.post("offline", redeem(k.code(b, request("client_id", "offline", "scope", "openid offline_access")))).text("refresh_token")
	next := func(client, token string) reply {
		return k.post(client, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}
	k.wait(session.FullAbsolute - time.Minute)
	r := next("rp", bound)
	if r.status != http.StatusOK || r.json["expires_in"].(float64) > 60 {
		t.Fatalf("session-bound, a minute before the session ends: %d %s", r.status, r.raw)
	}
	k.wait(time.Minute)
	refused(t, "session-bound, after the session", next("rp", r.text("refresh_token")), 400, "invalid_grant")
	if k.userinfo(r.text("access_token")).status != http.StatusUnauthorized {
		t.Error("the access token outlived the session")
	}
	r = next("offline", offline)
	if r.status != http.StatusOK {
		t.Fatalf("offline, after the session: %d %s", r.status, r.raw)
	}
	k.wait(30 * 24 * time.Hour)
	refused(t, "offline, after 30 days", next("offline", r.text("refresh_token")), 400, "invalid_grant")
}

// S5: the policy holds at every token issue. S36: so does the account's standing.
func TestRefreshAsksWhetherThePersonStillMay(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	form := func() url.Values {
		return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {k.signedIn(b).text("refresh_token")}}
	}
	barred := form()
	k.permit(identity.MethodCard)
	r := k.post("rp", barred)
	refused(t, "not permitted", r, 400, "invalid_grant")
	if r.text("error_description") != "method_not_permitted_by_employer" {
		t.Errorf("%s", r.raw)
	}
	k.permit(identity.AllMethods...)
	disabled, token := form(), k.signedIn(b).text("access_token")
	code := k.code(b, request())
	k.change(func(tx identity.Tx) error {
		p, err := tx.Person("anna")
		if err != nil {
			return err
		}
		p.User.Disabled = k.now()
		return tx.SaveUser(p.User)
	})
	for what, form := range map[string]url.Values{"refresh": disabled, "code": redeem(code)} {
		r = k.post("rp", form)
		refused(t, what, r, 400, "invalid_grant")
		if r.text("error_description") != "account_disabled" {
			t.Errorf("%s: %s", what, r.raw)
		}
	}
	if s := k.userinfo(token).status; s != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", s)
	}
}

// S54: what ends a person's sessions ends the tokens and the codes on their way.
func TestEndedSessionsEndTokens(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	r := k.signedIn(b)
	code := k.code(b, request())
	k.change(func(tx identity.Tx) error { return tx.EndSessions("anna", "") })
	refused(t, "code", k.post("rp", redeem(code)), 400, "invalid_grant")
	refused(t, "refresh", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}), 400, "invalid_grant")
	if s := k.userinfo(r.text("access_token")).status; s != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", s)
	}
}

func TestDisabledClientStops(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	r := k.signedIn(b)
	code := k.code(b, request())
	if _, err := k.clients.Disable(t.Context(), "operator:test", "rp", false); err != nil {
		t.Fatal(err)
	}
	k.wait(5 * time.Second)
	refused(t, "code", k.post("rp", redeem(code)), 401, "invalid_client")
	if s := k.userinfo(r.text("access_token")).status; s != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", s)
	}
	if a := k.authorize(b, request()); a.to != nil {
		t.Errorf("authorize: %v", a.to)
	}
}

// Each client's ID tokens are signed as it registered.
func TestAlgorithmPerClient(t *testing.T) {
	k := newKit(t)
	for _, alg := range keys.Algorithms {
		id := strings.ToLower(string(alg))
		k.client(id, func(c *openid.Client) { c.Algorithm = alg })
		token := k.post(id, redeem(k.code(k.browser(), request("client_id", id)))).text("id_token")
		if _, _, err := ring(t).Verify(token, "JWT", alg); err != nil {
			t.Errorf("%s: %v", alg, err)
		}
		// A hint of any of them is understood; zitadel-oidc 3: EdDSA was refused.
		if a := k.authorize(k.browser(), request("client_id", id, "id_token_hint", token)); a.params.Get("code") == "" {
			t.Errorf("%s hint: %v", alg, a.to)
		}
	}
	k.client("silent", func(c *openid.Client) { c.Algorithm = "" })
	token := k.post("silent", redeem(k.code(k.browser(), request("client_id", "silent")))).text("id_token")
	if _, _, err := ring(t).Verify(token, "JWT", keys.RS256); err != nil {
		t.Errorf("not registered: %v", err)
	}
}

// A client's own lifetime of access tokens.
func TestAccessTokenTTLPerClient(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.AccessTokenTTL = 10 * time.Minute })
	r := k.signedIn(k.browser())
	if r.json["expires_in"].(float64) != 600 {
		t.Errorf("expires_in %v", r.json["expires_in"])
	}
	k.wait(10*time.Minute - time.Second)
	if s := k.userinfo(r.text("access_token")).status; s != http.StatusOK {
		t.Errorf("before: %d", s)
	}
	k.wait(time.Second)
	if s := k.userinfo(r.text("access_token")).status; s != http.StatusUnauthorized {
		t.Errorf("after: %d", s)
	}
}

func resourcesOf(n int) (form string) {
	for i := range n {
		form += fmt.Sprintf("&resource=https://api.example/%d", i)
	}
	return form
}
