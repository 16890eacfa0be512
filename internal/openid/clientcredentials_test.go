package openid_test

import (
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

func own(pairs ...string) url.Values {
	v := url.Values{"grant_type": {"client_credentials"}}
	for i := 0; i < len(pairs); i += 2 {
		v.Add(pairs[i], pairs[i+1])
	}
	return v
}

// machine is a client that nobody signs in to.
func machine(c *openid.Client) {
	c.GrantTypes, c.RedirectURIs, c.PostLogoutRedirectURIs = []openid.GrantType{openid.GrantClient}, nil, nil
	c.Scopes, c.Resources = []string{"read", "write"}, []string{api, archive}
}

// RFC 6749 §4.4.
func TestClientCredentials(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("machine", machine)
		k.client("api", resource)
		r := k.post("machine", own())
		if r.status != http.StatusOK || r.text("token_type") != "Bearer" || r.text("scope") != "read write" || r.json["expires_in"] != float64(300) ||
			r.header.Get("Cache-Control") != "no-store" || len(r.json) != 4 { // no refresh token (§4.4.3), no ID token
			t.Fatalf("%d %s", r.status, r.raw)
		}
		about := k.about("machine", r.text("access_token"))
		for name, want := range map[string]any{"active": true, "sub": "machine", "client_id": "machine", "aud": k.url, "scope": "read write", "acr": nil, "amr": nil, "auth_time": nil} {
			if about.json[name] != want {
				t.Errorf("%s is %v, want %v", name, about.json[name], want)
			}
		}
		// It is nobody's: userinfo does not open, and the API sees that it has no person.
		if u := k.userinfo(r.text("access_token")); u.status != http.StatusForbidden || u.text("error") != "insufficient_scope" {
			t.Errorf("userinfo: %d %s", u.status, u.raw)
		}
		if g, err := k.caller(r.text("access_token")); err != nil || g.User != "" || g.Client != "machine" {
			t.Errorf("%+v %v", g, err)
		}

		narrow := k.post("machine", own("scope", "write", "resource", api))
		if narrow.text("scope") != "write" {
			t.Errorf("scope: %s", narrow.raw)
		}
		if a := k.about("api", narrow.text("access_token")); a.text("aud") != api || a.text("sub") != "machine" {
			t.Errorf("the resource hears %v", a.json)
		}
		if a := k.about("api", r.text("access_token")); a.json["active"] != false {
			t.Errorf("the resource hears of another's token: %v", a.json)
		}
		both := k.post("machine", own("resource", api, "resource", archive, "resource", api))
		if a := k.about("api", both.text("access_token")); !reflect.DeepEqual(a.json["aud"], []any{api, archive}) {
			t.Errorf("two resources: %v", a.json)
		}
		k.wait(5 * time.Minute)
		if a := k.about("machine", r.text("access_token")); a.json["active"] != false {
			t.Errorf("expired: %v", a.json)
		}
	})
}

func TestWhatAClientCannotHaveInItsOwnName(t *testing.T) {
	k := newKit(t)
	k.client("machine", machine)
	k.client("rp")
	k.client("public", public)
	k.client("both", func(c *openid.Client) {
		c.GrantTypes = append(c.GrantTypes, openid.GrantClient)
		c.Scopes = []string{"openid", "profile", "email", "address", "phone", "offline_access", "us", "us.enrol", "us.later", "read"}
	})
	for what, c := range map[string]struct {
		client string
		form   url.Values
		code   string
	}{
		"not registered for it":    {"rp", own(), "unauthorized_client"},
		"another scope":            {"machine", own("scope", "admin"), "invalid_scope"},
		"a person's scope":         {"both", own("scope", "openid us us.enrol us.later profile offline_access"), "invalid_scope"},
		"another resource":         {"machine", own("resource", "https://elsewhere.example"), "invalid_target"},
		"one of two resources":     {"machine", own("resource", api, "resource", "https://elsewhere.example"), "invalid_target"},
		"ourselves as a resource":  {"machine", own("resource", k.url), "invalid_target"},
		"a longer resource":        {"machine", own("resource", api+"/"), "invalid_target"},
		"a relative resource":      {"machine", own("resource", "/api"), "invalid_target"},
		"a resource with fragment": {"machine", own("resource", api+"#"), "invalid_target"},
	} {
		refused(t, what, k.post(c.client, c.form), 400, c.code)
	}
	// A public client has proved nothing, whatever is registered.
	c, err := k.store.Client(t.Context(), "public")
	if err != nil {
		t.Fatal(err)
	}
	c.GrantTypes = append(c.GrantTypes, openid.GrantClient, openid.GrantExchange)
	k.force(c)
	refused(t, "public client", k.post("", own("client_id", "public")), 401, "invalid_client")
	if r := k.post("both", own()); r.text("scope") != "read" {
		t.Errorf("what is a person's was given: %s", r.raw)
	}
	if r := k.post("both", own("scope", "openid read")); r.text("scope") != "read" {
		t.Errorf("what is a person's was given: %s", r.raw)
	}
}

func TestParallelClientCredentials(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("machine", machine)
		var all sync.WaitGroup
		var mu sync.Mutex
		seen := map[string]bool{}
		for range 50 {
			all.Go(func() {
				r := k.post("machine", own())
				mu.Lock()
				defer mu.Unlock()
				if seen[r.text("access_token")] = true; r.status != http.StatusOK {
					t.Errorf("%d %s", r.status, r.raw)
				}
			})
		}
		all.Wait()
		if len(seen) != 50 {
			t.Errorf("%d tokens", len(seen))
		}
	})
}

// RFC 9068 §2: what a resource reads without asking us.
func TestAccessTokensThatAreJWTs(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		jwt := func(alg keys.Algorithm) func(c *openid.Client) {
			return func(c *openid.Client) {
				c.TokenFormat, c.Algorithm, c.Resources = openid.FormatJWT, alg, []string{api, archive}
			}
		}
		k.client("rp", jwt(keys.ES256))
		k.client("rsa", jwt(""))
		k.client("machine", func(c *openid.Client) { machine(c); jwt(keys.EdDSA)(c) })
		r := k.post("rp", redeem(k.codeWith(k.browser(), request(), map[string]any{"resources": []string{api, archive}})))
		c := k.verify(r.text("access_token"), "at+jwt", keys.ES256)
		for name, want := range map[string]any{"iss": k.url, "sub": "anna", "client_id": "rp", "scope": "openid profile email", "acr": acrs.PasswordCode, "cnf": nil} {
			if c[name] != want {
				t.Errorf("%s is %v, want %v", name, c[name], want)
			}
		}
		id := k.claims(r.text("id_token"))
		if !reflect.DeepEqual(c["aud"], []any{api, archive}) || !reflect.DeepEqual(c["amr"], id["amr"]) || c["auth_time"] != id["auth_time"] || c["exp"].(float64)-c["iat"].(float64) != 300 || c["jti"] == "" || len(c) != 11 {
			t.Errorf("%v", c)
		}
		if id["at_hash"] == nil || id["at_hash"] != leftHalf(r.text("access_token")) {
			t.Errorf("at_hash %v", id["at_hash"])
		}
		// It is none of the other kinds: no ID token, no token for us.
		if u := k.userinfo(r.text("access_token")); u.status != http.StatusUnauthorized {
			t.Errorf("userinfo of a resource's token: %d", u.status)
		}
		if a := k.authorize(k.browser(), request("id_token_hint", r.text("access_token"))); a.params.Get("error") != "login_required" {
			t.Errorf("an access token passed for an ID token: %v", a.to)
		}
		// Narrower at a refresh; another jti.
		r = k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}, "resource": {archive}, "scope": {"openid email"}})
		again := k.verify(r.text("access_token"), "at+jwt", keys.ES256)
		if again["aud"] != archive || again["scope"] != "openid email" || again["jti"] == c["jti"] || again["sub"] != "anna" || again["acr"] != acrs.PasswordCode {
			t.Errorf("%v", again)
		}
		// Without a resource it is for us, and dies with its grant like any other.
		ours := k.post("rsa", redeem(k.code(k.browser(), request("client_id", "rsa"))))
		token := ours.text("access_token")
		if c := k.verify(token, "at+jwt", keys.RS256); c["aud"] != k.url {
			t.Errorf("aud %v", c["aud"])
		}
		if u := k.userinfo(token); u.status != http.StatusOK || u.text("email") == "" {
			t.Errorf("userinfo: %d %s", u.status, u.raw)
		}
		if r := k.postTo(openid.RevokePath, "rsa", url.Values{"token": {ours.text("refresh_token")}}); r.status != http.StatusOK {
			t.Fatalf("revoke: %d", r.status)
		}
		if u := k.userinfo(token); u.status != http.StatusUnauthorized {
			t.Errorf("userinfo after revocation: %d", u.status)
		}
		if c := k.verify(k.post("machine", own("resource", api)).text("access_token"), "at+jwt", keys.EdDSA); c["sub"] != "machine" || c["aud"] != api || c["acr"] != nil || c["amr"] != nil || c["auth_time"] != nil || c["scope"] != "read write" {
			t.Errorf("%v", c)
		}
	})
}

// A JWT that we signed and never gave out opens nothing: what counts is the store.
func TestOnlyStoredJWTsLive(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.TokenFormat = openid.FormatJWT })
	token, err := ring(t).Sign(keys.ES256, "at+jwt", []byte(`{"iss":"`+k.url+`","sub":"anna","aud":"`+k.url+`","client_id":"rp","exp":9999999999,"scope":"openid"}`))
	if err != nil {
		t.Fatal(err)
	}
	if u := k.userinfo(token); u.status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", u.status)
	}
	if r := k.about("rp", token); r.raw != `{"active":false}` {
		t.Errorf("introspection: %s", r.raw)
	}
}

// RFC 6749 §6, RFC 8707 §2.2: a refresh may ask for less, and the grant keeps what it has.
func TestRefreshNarrows(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp", func(c *openid.Client) { c.Resources = []string{api, archive, k.url} })
		k.client("thief")
		r := k.post("rp", redeem(k.codeWith(k.browser(), request(), map[string]any{"resources": []string{api, k.url}})))
		next := func(client string, pairs ...string) reply {
			v := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}
			for i := 0; i < len(pairs); i += 2 {
				v.Add(pairs[i], pairs[i+1])
			}
			answer := k.post(client, v)
			if answer.status == http.StatusOK {
				r = answer
			}
			return answer
		}
		refused(t, "wider scope", next("rp", "scope", "openid address"), 400, "invalid_scope")
		refused(t, "registered, but not granted", next("rp", "resource", archive), 400, "invalid_target")
		refused(t, "one more resource", next("rp", "resource", api, "resource", archive), 400, "invalid_target")
		refused(t, "another client", next("thief", "scope", "openid"), 400, "invalid_grant")
		if a := next("rp", "scope", "email", "resource", api); a.text("scope") != "email" || a.json["id_token"] != nil {
			t.Errorf("narrow: %s", a.raw)
		}
		if a := k.about("rp", r.text("access_token")); a.text("scope") != "email" || a.text("aud") != api {
			t.Errorf("narrow: %v", a.json)
		}
		if a := next("rp", "scope", "openid email profile email", "resource", k.url); a.text("scope") != "openid email profile" || a.json["id_token"] == nil {
			t.Errorf("wide again: %s", a.raw)
		}
		if u := k.userinfo(r.text("access_token")); u.status != http.StatusOK || u.text("name") == "" {
			t.Errorf("userinfo of a token for us: %d %s", u.status, u.raw)
		}
		if a := next("rp"); a.text("scope") != "openid profile email" {
			t.Errorf("nothing asked: %s", a.raw)
		}
		// A used one revokes the family, also where it asks for less.
		used := r.text("refresh_token")
		next("rp")
		refused(t, "reuse", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {used}, "scope": {"openid"}}), 400, "invalid_grant")
		refused(t, "the family", next("rp"), 400, "invalid_grant")
		refused(t, "the family, narrow", next("rp", "scope", "openid"), 400, "invalid_grant")
	})
}

// At the code exchange a resource narrows what was granted, and only that.
func TestCodeExchangeForAResource(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.Resources = []string{api, archive} })
	code := func(resources ...string) string {
		return k.codeWith(k.browser(), request(), map[string]any{"resources": resources})
	}
	form := redeem(code(api, archive))
	form.Add("resource", archive)
	if a := k.about("rp", k.post("rp", form).text("access_token")); a.text("aud") != archive {
		t.Errorf("%v", a.json)
	}
	for what, form := range map[string]url.Values{
		"not granted":      redeem(code(api), "resource", archive),
		"nothing granted":  redeem(k.code(k.browser(), request()), "resource", api),
		"ours not granted": redeem(code(api), "resource", k.url),
	} {
		refused(t, what, k.post("rp", form), 400, "invalid_target")
	}
	// The scope of a code was settled where it was given.
	if r := k.post("rp", redeem(k.code(k.browser(), request("scope", "openid")), "scope", "openid email")); r.text("scope") != "openid" {
		t.Errorf("%s", r.raw)
	}
}

// Why a person's tokens ended is told in the same words whatever was asked for.
func TestRefreshSaysWhyAlsoWhereItNarrows(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.TokenFormat = openid.FormatJWT })
	token := k.signedIn(k.browser()).text("refresh_token")
	k.disable("anna")
	r := k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	refused(t, "disabled", r, 400, "invalid_grant")
	if r.text("error_description") != "account_disabled" {
		t.Errorf("%s", r.raw)
	}
	refused(t, "unknown grant", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"AAAAAAAAAAAAAAAAAAAAAA.x"}}), 400, "invalid_grant")
}
