package openid_test

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

const api, archive = "https://api.example", "https://archive.example/v1"

// resource is a resource server: it serves api, and nobody signs in to it.
func resource(c *openid.Client) {
	c.GrantTypes, c.Scopes, c.RedirectURIs, c.PostLogoutRedirectURIs = []openid.GrantType{openid.GrantClient}, nil, nil, nil
	c.Serves = []string{api}
}

func (k *kit) about(client, token string, more ...string) reply {
	k.t.Helper()
	form := url.Values{"token": {token}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	return k.postTo(openid.IntrospectPath, client, form)
}

// RFC 7662 §2.2.
func TestIntrospection(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp", asksFor("read"))
		k.client("jwt", func(c *openid.Client) { c.TokenFormat = openid.FormatJWT })
		k.client("api", resource)
		k.client("stranger", func(c *openid.Client) { resource(c); c.Serves = []string{archive} })
		own, bound := k.given("rp"), k.given("rp", forResources(api, "https://other.example"), boundTo("jkt:thumb"), withScopes("openid", "read"))
		at := func(when time.Time) any { return float64(when.Unix()) }
		want := map[string]any{"active": true, "token_type": "Bearer", "iss": k.url, "sub": "anna", "aud": k.url, "client_id": "rp", "exp": at(own.token.Expires), "iat": at(own.token.Issued),
			"jti": hash(own.access)[:32], "scope": "openid profile email", "acr": acrs.PasswordCode, "amr": []any{"pwd", "otp", "mfa"}, "auth_time": at(own.grant.AuthTime)}
		for _, hint := range []string{"", "access_token", "refresh_token", "urn:nonsense"} { // it only says where to look first
			r := k.about("rp", own.access, "token_type_hint", hint)
			if r.status != http.StatusOK || !reflect.DeepEqual(r.json, want) || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
				t.Errorf("hint %q: %d %v %v\nwant %v", hint, r.status, r.header, r.json, want)
			}
		}
		want["aud"], want["token_type"], want["cnf"], want["scope"], want["jti"] = []any{api, "https://other.example"}, "DPoP", map[string]any{"jkt": "thumb"}, "openid read", hash(bound.access)[:32]
		want["exp"], want["iat"], want["auth_time"] = at(bound.token.Expires), at(bound.token.Issued), at(bound.grant.AuthTime)
		for _, client := range []string{"rp", "api"} {
			if r := k.about(client, bound.access); !reflect.DeepEqual(r.json, want) {
				t.Errorf("%s: %v\nwant %v", client, r.json, want)
			}
		}
		tls := k.given("rp", boundTo("x5t#S256:print"))
		if r := k.about("rp", tls.access); !reflect.DeepEqual(r.json["cnf"], map[string]any{"x5t#S256": "print"}) || r.text("token_type") != "Bearer" {
			t.Errorf("certificate-bound: %v", r.json)
		}
		// A refresh token is its client's alone.
		r := k.about("rp", bound.refresh)
		if r.json["active"] != true || r.text("client_id") != "rp" || r.text("aud") != k.url || r.json["token_type"] != nil || r.json["exp"] != at(bound.grant.Expires) {
			t.Errorf("refresh token: %v", r.json)
		}
		// A JWT says the same as introspection does of it.
		token := k.post("jwt", redeem(k.code(k.browser(), request("client_id", "jwt")))).text("access_token")
		claims := k.verify(token, "at+jwt", keys.ES256)
		claims["active"], claims["token_type"] = true, "Bearer"
		if r := k.about("jwt", token); !reflect.DeepEqual(r.json, claims) || r.text("jti") == "" {
			t.Errorf("JWT: %v\nwant %v", r.json, claims)
		}

		// Everything else is not active, and nothing more is said.
		dead := k.given("rp")
		if err := k.store.RevokeGrant(t.Context(), dead.grant.ID, k.now()); err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string][2]string{
			"another client's":                {"api", own.access},
			"another client's JWT":            {"rp", token},
			"for another resource":            {"stranger", bound.access},
			"another client's refresh token":  {"api", bound.refresh},
			"revoked":                         {"rp", dead.access},
			"refresh token, revoked":          {"rp", dead.refresh},
			"unknown":                         {"rp", own.access[1:] + "A"},
			"refresh token, another secret":   {"rp", own.refresh[:len(own.refresh)-2] + "AA"},
			"refresh token's grant alone":     {"rp", own.grant.ID},
			"hash":                            {"rp", hash(own.access)},
			"SQL":                             {"rp", "' or 1=1 --"},
			"JWT with another's signature":    {"jwt", token[:len(token)-4] + "AAAA"},
			"ID token":                        {"rp", k.signedIn(k.browser()).text("id_token")},
			"very long":                       {"rp", strings.Repeat("x", 20<<10)},
			"access token with white space":   {"rp", own.access + " "},
			"access token of unknown grant":   {"rp", strings.Repeat("A", 43)},
			"refresh token of a stored grant": {"rp", own.grant.ID + "." + strings.Repeat("A", 43)},
		} {
			if r := k.about(c[0], c[1]); r.status != http.StatusOK || r.raw != `{"active":false}` {
				t.Errorf("%s: %d %s", what, r.status, r.raw)
			}
		}
		k.wait(5 * time.Minute)
		if r := k.about("rp", own.access); r.raw != `{"active":false}` {
			t.Errorf("expired: %s", r.raw)
		}
	})
}

// A used refresh token is not active, and whoever is asked about it revokes nothing.
func TestIntrospectionOfAUsedRefreshToken(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	first := k.signedIn(k.browser()).text("refresh_token")
	second := k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first}}).text("refresh_token")
	if r := k.about("rp", first); r.raw != `{"active":false}` {
		t.Errorf("used: %s", r.raw)
	}
	if r := k.about("rp", second); r.json["active"] != true {
		t.Errorf("current: %s", r.raw)
	}
}

// What ends a person, ends what resources hear of the tokens.
func TestIntrospectionFollowsThePerson(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("api", resource)
	g := k.given("rp", forResources(api))
	if k.about("api", g.access).json["active"] != true {
		t.Fatal("not active")
	}
	k.save("anna", func(u *identity.User) { u.Disabled = k.now() })
	if r := k.about("api", g.access); r.raw != `{"active":false}` {
		t.Errorf("of a disabled person: %s", r.raw)
	}
	k.save("anna", func(u *identity.User) { u.Disabled = time.Time{} })
	if _, err := k.clients.Disable(t.Context(), "operator:test", "rp", false); err != nil {
		t.Fatal(err)
	}
	k.wait(5 * time.Second)
	if r := k.about("api", g.access); r.raw != `{"active":false}` {
		t.Errorf("of a disabled client: %s", r.raw)
	}
}

// RFC 9701: signed when asked for or registered, also when there is nothing to say.
func TestSignedIntrospection(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("api", resource)
	k.client("signed", func(c *openid.Client) { resource(c); c.IntrospectionAlg = keys.EdDSA })
	token := k.given("rp", forResources(api)).access
	const media = "application/token-introspection+jwt"
	for what, c := range map[string]struct {
		client string
		accept []string
		alg    keys.Algorithm
		token  string
		active bool
	}{
		"asked for":          {"api", []string{media}, keys.RS256, token, true},
		"among others":       {"api", []string{"text/html, Application/Token-Introspection+JWT;q=0.5", "*/*"}, keys.RS256, token, true},
		"registered":         {"signed", nil, keys.EdDSA, token, true},
		"registered, dead":   {"signed", []string{"application/json"}, keys.EdDSA, "x", false},
		"asked for, unknown": {"api", []string{media}, keys.RS256, "x", false},
	} {
		r := k.postTo(openid.IntrospectPath, c.client, url.Values{"token": {c.token}}, c.accept...)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != media || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v %s", what, r.status, r.header, r.raw)
		}
		claims := k.verify(r.raw, "token-introspection+jwt", c.alg)
		said, _ := claims["token_introspection"].(map[string]any)
		if claims["iss"] != k.url || claims["aud"] != c.client || claims["iat"] == nil || len(claims) != 4 || said["active"] != c.active || !c.active && len(said) != 1 || c.active && said["client_id"] != "rp" {
			t.Errorf("%s: %v", what, claims)
		}
	}
	for _, accept := range []string{"application/json", "*/*", "application/jwt"} {
		if r := k.postTo(openid.IntrospectPath, "api", url.Values{"token": {token}}, accept); r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %v", accept, r.header)
		}
	}
}

// RFC 7009 §2.
func TestRevocation(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp")
		k.client("thief")
		k.client("public", public)
		give := func(client, token string, more ...string) reply {
			form := url.Values{"token": {token}}
			for i := 0; i < len(more); i += 2 {
				form.Set(more[i], more[i+1])
			}
			return k.postTo(openid.RevokePath, client, form)
		}
		taken := func(what string, r reply) {
			t.Helper()
			if r.status != http.StatusOK || r.raw != "" || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s: %d %s %v", what, r.status, r.raw, r.header)
			}
		}
		g, other := k.given("rp"), k.given("rp")
		refused(t, "another client's access token", give("thief", g.access), 400, "invalid_grant")
		refused(t, "another client's refresh token", give("thief", g.refresh), 400, "invalid_grant")
		taken("wrong secret of the grant", give("rp", g.grant.ID+"."+strings.Repeat("A", 43)))
		if k.userinfo(g.access).status != http.StatusOK || k.about("rp", g.refresh).json["active"] != true {
			t.Fatal("a stranger, or a guess, revoked something")
		}
		// An access token goes alone.
		taken("access token", give("rp", g.access, "token_type_hint", "refresh_token"))
		if k.userinfo(g.access).status != http.StatusUnauthorized {
			t.Error("the access token works on")
		}
		r := k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {g.refresh}})
		if r.status != http.StatusOK {
			t.Fatalf("the refresh token went with it: %s", r.raw)
		}
		// A refresh token takes all that hangs under its grant.
		taken("refresh token", give("rp", r.text("refresh_token"), "token_type_hint", "access_token"))
		if k.userinfo(r.text("access_token")).status != http.StatusUnauthorized {
			t.Error("an access token outlived its grant")
		}
		refused(t, "revoked refresh token", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}), 400, "invalid_grant")
		taken("again", give("rp", r.text("refresh_token")))
		taken("again, access token", give("rp", g.access))
		taken("another's, but dead", give("thief", g.access))
		taken("unknown", give("rp", "x"))
		if k.userinfo(other.access).status != http.StatusOK {
			t.Error("another sign-in's token died")
		}
		// A public client names itself; that is all it can prove.
		p := k.given("public")
		refused(t, "public client's token, by another", give("rp", p.access), 400, "invalid_grant")
		taken("public client", give("", p.refresh, "client_id", "public"))
		if k.userinfo(p.access).status != http.StatusUnauthorized {
			t.Error("public client's token works on")
		}
	})
}

// Every error answer of the two endpoints.
func TestIntrospectionAndRevocationFailures(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("post", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	k.client("public", public)
	k.client("disabled")
	if _, err := k.clients.Disable(t.Context(), "operator:test", "disabled", false); err != nil {
		t.Fatal(err)
	}
	token := k.given("rp").access
	for _, path := range []string{openid.IntrospectPath, openid.RevokePath} {
		for what, c := range map[string]struct {
			client, secret, body string
			status               int
			code                 string
		}{
			"no client":          {"", "", "token=" + token, 401, "invalid_client"},
			"unknown client":     {"stranger", "x", "token=" + token, 401, "invalid_client"},
			"wrong secret":       {"rp", "x", "token=" + token, 401, "invalid_client"},
			"disabled client":    {"disabled", k.secrets["disabled"], "token=" + token, 401, "invalid_client"},
			"wrong method":       {"post", k.secrets["post"], "token=" + token, 401, "invalid_client"},
			"public with secret": {"public", "x", "token=" + token, 401, "invalid_client"},
			"no token":           {"rp", k.secrets["rp"], "", 400, "invalid_request"},
			"empty token":        {"rp", k.secrets["rp"], "token=", 400, "invalid_request"},
			"token twice":        {"rp", k.secrets["rp"], "token=a&token=b", 400, "invalid_request"},
			"zero byte":          {"rp", k.secrets["rp"], "token=%00", 400, "invalid_request"},
			"not UTF-8":          {"rp", k.secrets["rp"], "token=%ff", 400, "invalid_request"},
			"broken form":        {"rp", k.secrets["rp"], "token=%zz", 400, "invalid_request"},
			"too long":           {"rp", k.secrets["rp"], "token=" + strings.Repeat("x", 40<<10), 400, "invalid_request"},
		} {
			req, _ := http.NewRequest(http.MethodPost, k.url+path, strings.NewReader(c.body))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if c.client != "" {
				req.SetBasicAuth(c.client, c.secret)
			}
			refused(t, path+" "+what, k.do(req), c.status, c.code)
		}
		req, _ := http.NewRequest(http.MethodPost, k.url+path+"?token="+token, strings.NewReader(""))
		req.SetBasicAuth("rp", k.secrets["rp"])
		refused(t, path+" token in the address", k.do(req), 400, "invalid_request")
		for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodHead} {
			req, _ := http.NewRequest(method, k.url+path+"?token="+token, nil)
			req.SetBasicAuth("rp", k.secrets["rp"])
			if r := k.do(req); r.status != http.StatusMethodNotAllowed || r.header.Get("Allow") == "" || r.header.Get("Cache-Control") != "no-store" {
				t.Errorf("%s %s: %d %v", method, path, r.status, r.header)
			}
		}
	}
	// Anybody could ask in a public client's name (RFC 7662 §2.1).
	refused(t, "public client", k.postTo(openid.IntrospectPath, "", url.Values{"client_id": {"public"}, "token": {token}}), 401, "invalid_client")
	if k.userinfo(token).status != http.StatusOK {
		t.Error("a refused request revoked the token")
	}
}

// FuzzIntrospect: whatever comes as a token, the answer is one of ours.
func FuzzIntrospect(f *testing.F) {
	k := newKit(f)
	k.client("rp")
	g := k.given("rp")
	f.Add("token=" + g.access)
	f.Add("token=" + g.refresh + "&token_type_hint=refresh_token")
	f.Add("token=eyJhbGciOiJub25lIn0.e30.")
	f.Add("token=a&token=b&%zz")
	f.Add("token=%00%ff.%27.")
	h := k.p.Handler()
	f.Fuzz(func(t *testing.T, form string) {
		r := newPost(openid.IntrospectPath, form)
		r.SetBasicAuth("rp", k.secrets["rp"])
		w := newRecorder()
		h.ServeHTTP(w, r)
		a := parse(w)
		_, said := a.json["active"].(bool)
		if w.Code != http.StatusOK && w.Code != http.StatusBadRequest && w.Code != http.StatusUnauthorized || said != (w.Code == http.StatusOK) {
			t.Fatalf("%d %s", w.Code, a.raw)
		}
	})
}

// away is a database that has gone, but for the clients that are known.
type away struct {
	openid.Store
	gone *atomic.Bool
}

func (s away) err() error {
	if s.gone.Load() {
		return fault.New(fault.Unavailable, "database_unavailable", "It is gone.")
	}
	return nil
}

func (s away) Token(ctx context.Context, hash string, now time.Time) (openid.Grant, openid.AccessToken, error) {
	if err := s.err(); err != nil {
		return openid.Grant{}, openid.AccessToken{}, err
	}
	return s.Store.Token(ctx, hash, now)
}

func (s away) Grant(ctx context.Context, id string, now time.Time) (openid.Grant, error) {
	if err := s.err(); err != nil {
		return openid.Grant{}, err
	}
	return s.Store.Grant(ctx, id, now)
}

func (s away) IssueClient(ctx context.Context, g openid.Grant, t openid.AccessToken) error {
	if err := s.err(); err != nil {
		return err
	}
	return s.Store.IssueClient(ctx, g, t)
}

// Nobody is told that a token is dead because we cannot look.
func TestTokensWhileTheDatabaseIsAway(t *testing.T) {
	var gone atomic.Bool
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) { d.Store = away{d.Store, &gone} })
	k.client("rp", func(c *openid.Client) { c.TokenFormat = openid.FormatJWT })
	k.client("machine", machine)
	k.client("api", exchanger)
	g, subject := k.given("rp"), k.given("rp", forAPI, withScopes("read"))
	for _, id := range []string{"rp", "machine", "api"} {
		k.about(id, g.access) // known from here on
	}
	gone.Store(true)
	for what, r := range map[string]reply{
		"introspection":                   k.about("rp", g.access),
		"introspection of a refresh":      k.about("rp", g.refresh),
		"revocation":                      k.postTo(openid.RevokePath, "rp", url.Values{"token": {g.access}}),
		"revocation of a refresh":         k.postTo(openid.RevokePath, "rp", url.Values{"token": {g.refresh}}),
		"client credentials":              k.post("machine", own()),
		"token exchange":                  k.post("api", swap(subject.access)),
		"refresh that looks at its grant": k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {g.refresh}}),
		"userinfo":                        k.userinfo(g.access),
	} {
		refused(t, what, r, http.StatusServiceUnavailable, "temporarily_unavailable")
		if r.header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", what)
		}
	}
	gone.Store(false)
	if k.userinfo(g.access).status != http.StatusOK || k.about("rp", g.refresh).json["active"] != true {
		t.Error("something was lost meanwhile")
	}
}
