package openid_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

const accessType = "urn:ietf:params:oauth:token-type:access_token"

// swap is a token exchange that api's server may make; pairs change it, an empty
// value takes a parameter out.
func swap(token string, pairs ...string) url.Values {
	v := url.Values{"grant_type": {string(openid.GrantExchange)}, "subject_token": {token}, "subject_token_type": {accessType}, "resource": {archive}}
	for i := 0; i < len(pairs); i += 2 {
		if v.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// exchanger is the server of api, which calls archive.
func exchanger(c *openid.Client) {
	resource(c)
	c.GrantTypes, c.Scopes, c.ExchangeTo = []openid.GrantType{openid.GrantExchange}, []string{"read", "write"}, []string{archive}
}

func exchangeKit(t *testing.T, k *kit) *kit {
	k.client("rp", func(c *openid.Client) { c.Scopes = append(c.Scopes, "read", "write", "admin") })
	k.client("api", exchanger)
	k.client("archive", func(c *openid.Client) { resource(c); c.Serves = []string{archive} })
	return k
}

var forAPI = forResources(api)

// RFC 8693 §2.
func TestTokenExchange(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		exchangeKit(t, k)
		k.client("jwt", func(c *openid.Client) { exchanger(c); c.TokenFormat = openid.FormatJWT })
		subject := k.given("rp", forAPI, withScopes("openid", "read", "write", "admin"))
		r := k.post("api", swap(subject.access))
		if r.status != http.StatusOK || r.text("issued_token_type") != accessType || r.text("token_type") != "Bearer" || r.text("scope") != "read write" ||
			r.header.Get("Cache-Control") != "no-store" || len(r.json) != 5 { // no refresh token, no ID token
			t.Fatalf("%d %s", r.status, r.raw)
		}
		want := k.about("api", subject.access).json
		for _, asks := range []string{"archive", "api"} { // whom it is for, and whose it is
			got := k.about(asks, r.text("access_token")).json
			for _, name := range []string{"active", "sub", "acr", "auth_time", "iss"} {
				if got[name] != want[name] {
					t.Errorf("%s: %s was %v and is %v", asks, name, want[name], got[name])
				}
			}
			if got["client_id"] != "api" || got["aud"] != archive || got["scope"] != "read write" || got["exp"].(float64) > want["exp"].(float64) {
				t.Errorf("%s: %v", asks, got)
			}
		}
		// The first client has nothing to do with it.
		if a := k.about("rp", r.text("access_token")); a.json["active"] != false {
			t.Errorf("the first client hears of it: %v", a.json)
		}
		refused(t, "revocation by the first client", k.postTo(openid.RevokePath, "rp", url.Values{"token": {r.text("access_token")}}), 400, "invalid_grant")
		if u := k.userinfo(r.text("access_token")); u.status != http.StatusUnauthorized {
			t.Errorf("it opens userinfo: %d", u.status)
		}
		if r := k.post("api", swap(subject.access, "scope", "read", "requested_token_type", accessType)); r.text("scope") != "read" {
			t.Errorf("fewer scopes: %s", r.raw)
		}
		c := k.verify(k.post("jwt", swap(subject.access)).text("access_token"), "at+jwt", "ES256")
		if c["client_id"] != "jwt" || c["sub"] != "anna" || c["aud"] != archive || c["scope"] != "read write" || c["acr"] != acrs.PasswordCode || c["act"] != nil {
			t.Errorf("JWT: %v", c)
		}
	})
}

// It dies with what it stands on.
func TestExchangedTokensDieWithTheFirst(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		exchangeKit(t, k)
		k.client("archive2", func(c *openid.Client) {
			exchanger(c)
			c.Serves, c.ExchangeTo = []string{archive}, []string{"https://third.example"}
		})
		lives := func(client, token string) bool { return k.about(client, token).json["active"] == true }
		for what, end := range map[string]func(g given){
			"the first token is revoked": func(g given) { k.postTo(openid.RevokePath, "rp", url.Values{"token": {g.access}}) },
			"the grant is revoked":       func(g given) { k.postTo(openid.RevokePath, "rp", url.Values{"token": {g.refresh}}) },
			"the session ends": func(g given) {
				if err := k.p.EndSession(t.Context(), g.grant.Session, "logout"); err != nil {
					t.Fatal(err)
				}
			},
		} {
			subject := k.given("rp", forAPI, withScopes("read"))
			second := k.post("api", swap(subject.access)).text("access_token")
			third := k.post("archive2", swap(second, "resource", "https://third.example")).text("access_token")
			if !lives("api", second) || !lives("archive2", third) {
				t.Fatalf("%s: nothing to end", what)
			}
			if end(subject); lives("api", second) || lives("archive2", third) {
				t.Errorf("%s: exchanged tokens live on", what)
			}
			refused(t, what, k.post("api", swap(subject.access)), 400, "invalid_request")
		}
		// The other way round nothing happens.
		subject := k.given("rp", forAPI, withScopes("read"))
		second := k.post("api", swap(subject.access)).text("access_token")
		if r := k.postTo(openid.RevokePath, "api", url.Values{"token": {second}}); r.status != http.StatusOK || lives("api", second) || !lives("rp", subject.access) {
			t.Errorf("revoking the second: %d", r.status)
		}
		// A client that is disabled takes its tokens with it, whichever of the two.
		second = k.post("api", swap(subject.access)).text("access_token")
		for _, id := range []string{"api", "rp"} {
			if !lives("archive", second) {
				t.Fatalf("%s: not active before", id)
			}
			if _, err := k.clients.Disable(t.Context(), "operator:test", id, false); err != nil {
				t.Fatal(err)
			}
			if k.wait(5 * time.Second); lives("archive", second) {
				t.Errorf("%s is disabled, and the token lives", id)
			}
			if _, err := k.clients.Enable(t.Context(), "operator:test", id, false); err != nil {
				t.Fatal(err)
			}
			k.wait(5 * time.Second)
		}
		k.disable("anna")
		if lives("archive", second) {
			t.Error("the person is disabled, and the token lives")
		}
	})
}

// Every way to get more out of an exchange than was put in.
func TestTokenExchangeOnlyNarrows(t *testing.T) {
	k := exchangeKit(t, newKit(t))
	k.client("idle", resource)
	k.client("stranger", func(c *openid.Client) { exchanger(c); c.Serves = []string{"https://elsewhere.example"} })
	k.client("selfish", func(c *openid.Client) {
		exchanger(c)
		c.Serves = append(c.Serves, k.url)
		c.ExchangeTo = append(c.ExchangeTo, k.url, api)
	})
	k.client("poor", func(c *openid.Client) { exchanger(c); c.Scopes = []string{"other"} })
	k.client("machine", machine)
	good := k.given("rp", forAPI, withScopes("openid", "read", "admin"))
	short := k.given("rp", forAPI, withScopes("read"), func(_ *openid.Grant, t *openid.AccessToken) { t.Expires = k.now().UTC().Add(time.Minute) })
	session1 := k.signedIn(k.browser())
	for what, c := range map[string]struct {
		client string
		form   url.Values
		code   string
	}{
		"client not registered for it":   {"idle", swap(good.access), "unauthorized_client"},
		"the first client itself":        {"rp", swap(good.access), "unauthorized_client"},
		"a client that does not serve":   {"stranger", swap(good.access), "invalid_request"},
		"a token for userinfo":           {"api", swap(session1.text("access_token")), "invalid_request"},
		"a token for us, served":         {"selfish", swap(session1.text("access_token")), "invalid_request"},
		"us as the target":               {"selfish", swap(good.access, "resource", k.url), "invalid_target"}, // the person's account would open
		"another target":                 {"api", swap(good.access, "resource", "https://elsewhere.example"), "invalid_target"},
		"the same resource":              {"api", swap(good.access, "resource", api), "invalid_target"},
		"no target":                      {"api", swap(good.access, "resource", ""), "invalid_target"},
		"an audience":                    {"api", swap(good.access, "audience", "rp"), "invalid_target"},
		"a scope the token has not":      {"api", swap(good.access, "scope", "read write"), "invalid_scope"},
		"a scope the client has not":     {"api", swap(good.access, "scope", "read admin"), "invalid_scope"},
		"a scope of persons":             {"api", swap(good.access, "scope", "openid"), "invalid_scope"},
		"no scope in common":             {"poor", swap(good.access), "invalid_scope"},
		"no subject token":               {"api", swap(""), "invalid_request"},
		"unknown subject token":          {"api", swap(strings.Repeat("A", 43)), "invalid_request"},
		"a refresh token":                {"api", swap(good.refresh), "invalid_request"},
		"a refresh token, said so":       {"api", swap(good.refresh, "subject_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"},
		"an ID token":                    {"api", swap(session1.text("id_token"), "subject_token_type", "urn:ietf:params:oauth:token-type:id_token"), "invalid_request"},
		"an ID token as an access token": {"api", swap(session1.text("id_token")), "invalid_request"},
		"no type":                        {"api", swap(good.access, "subject_token_type", ""), "invalid_request"},
		"JWT as a type":                  {"api", swap(good.access, "subject_token_type", "urn:ietf:params:oauth:token-type:jwt"), "invalid_request"},
		"a refresh token is wanted":      {"api", swap(good.access, "requested_token_type", "urn:ietf:params:oauth:token-type:refresh_token"), "invalid_request"},
		"an ID token is wanted":          {"api", swap(good.access, "requested_token_type", "urn:ietf:params:oauth:token-type:id_token"), "invalid_request"},
		"an actor":                       {"api", swap(good.access, "actor_token", good.access, "actor_token_type", accessType), "invalid_request"},
		"a DPoP-bound token":             {"api", swap(k.given("rp", forAPI, withScopes("read"), boundTo("jkt:thumb")).access), "invalid_request"},
		"a certificate-bound token":      {"api", swap(k.given("rp", forAPI, withScopes("read"), boundTo("x5t#S256:print")).access), "invalid_request"},
		"a machine's token":              {"api", swap(k.post("machine", own("resource", api)).text("access_token")), "invalid_request"},
		"an enrol session's token": {"api", swap(k.given("rp", forAPI, withScopes("read"), func(g *openid.Grant, _ *openid.AccessToken) { g.Level, g.Method = session.Enrol, session.Password }).access),
			"invalid_request"},
	} {
		refused(t, what, k.post(c.client, c.form), 400, c.code)
	}
	two := swap(good.access)
	two.Add("resource", api)
	refused(t, "two targets", k.post("selfish", two), 400, "invalid_target")
	twice := swap(good.access)
	twice.Add("subject_token", short.access)
	refused(t, "two subject tokens", k.post("api", twice), 400, "invalid_request")

	// Never longer than the first, whatever the client's tokens live.
	if r := k.post("api", swap(short.access)); r.status != http.StatusOK || r.json["expires_in"].(float64) > 60 {
		t.Errorf("%d %s", r.status, r.raw)
	}
	k.wait(time.Minute)
	refused(t, "expired", k.post("api", swap(short.access)), 400, "invalid_request")
	if k.post("api", swap(good.access)).status != http.StatusOK {
		t.Error("a refused exchange ended the token")
	}

	// S5, S36: the person's standing and the employer's rules are asked again.
	k.permit(identity.MethodCard)
	refused(t, "not permitted", k.post("api", swap(good.access)), 400, "invalid_request") // §2.2.2
	k.permit(identity.AllMethods...)
	k.disable("anna")
	refused(t, "disabled person", k.post("api", swap(good.access)), 400, "invalid_request")
	// A public client cannot, whatever is registered.
	c, err := k.store.Client(t.Context(), "api")
	if err != nil {
		t.Fatal(err)
	}
	c.AuthMethod, c.SecretHash = openid.AuthNone, ""
	k.force(c)
	refused(t, "public client", k.post("", swap(good.access, "client_id", "api")), 401, "invalid_client")
}
