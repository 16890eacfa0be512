package openid_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

func TestUserinfoTakesTheToken(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	token := k.signedIn(k.browser()).text("access_token")
	form := url.Values{"access_token": {token}}.Encode()
	do := func(method, query, body string, headers ...string) reply {
		req, _ := http.NewRequest(method, k.url+openid.UserinfoPath+query, strings.NewReader(body))
		if body != "" {
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		for _, h := range headers {
			req.Header.Add("Authorization", h)
		}
		return k.do(req)
	}
	for what, r := range map[string]reply{
		"GET":                do("GET", "", "", "Bearer "+token),
		"POST":               do("POST", "", "", "Bearer "+token),
		"POST form":          do("POST", "", form),
		"scheme in any case": do("GET", "", "", "bEARER "+token), // RFC 9110 §11.1
	} {
		if r.status != http.StatusOK || r.text("sub") != "anna" || r.header.Get("Cache-Control") != "no-store" || r.header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v %s", what, r.status, r.header, r.raw)
		}
	}
	for what, c := range map[string]struct {
		r      reply
		status int
		code   string
	}{
		"nothing":        {do("GET", "", ""), 401, ""},
		"in the address": {do("GET", "?access_token="+token, ""), 401, ""}, // RFC 9700: never
		"form of a GET":  {do("GET", "", form), 401, ""},
		"Basic":          {do("GET", "", "", "Basic "+token), 401, ""},
		"wrong":          {do("GET", "", "", "Bearer "+token[1:]+"A"), 401, "invalid_token"}, // zitadel-oidc 2.2: was 403 server_error
		"no token":       {do("GET", "", "", "Bearer "), 401, ""},
		"odd":            {do("POST", "", "access_token=%FF%00%27"), 401, "invalid_token"}, // zitadel-oidc 6.1: garbage reached the store
		"twice":          {do("POST", "", form, "Bearer "+token), 400, "invalid_request"},
		"two forms":      {do("POST", "", form+"&"+form), 400, "invalid_request"},
		"two headers":    {do("GET", "", "", "Bearer "+token, "Bearer "+token), 400, "invalid_request"},
	} {
		challenge := c.r.header.Get("WWW-Authenticate")
		if c.r.status != c.status || c.r.text("error") != c.code || c.r.header.Get("Cache-Control") != "no-store" || !strings.HasPrefix(challenge, "Bearer ") {
			t.Errorf("%s: %d %v %s", what, c.r.status, c.r.header, c.r.raw)
		}
		if c.code != "" && !strings.Contains(challenge, `error="`+c.code+`"`) || c.code == "" && strings.Contains(challenge, "error") {
			t.Errorf("%s: challenge %s", what, challenge)
		}
	}
	if r := do("DELETE", "", "", "Bearer "+token); r.status != 405 || r.header.Get("Allow") == "" {
		t.Errorf("DELETE: %d", r.status)
	}
}

func TestClaimsByScope(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	for scope, names := range map[string][]string{
		"openid":         nil,
		"openid email":   {"email", "email_verified"},
		"openid profile": {"name", "given_name", "family_name", "preferred_username", "locale", "organisation", "organisation_name", "updated_at"},
	} {
		u := k.userinfo(k.signedIn(k.browser(), "scope", scope).text("access_token"))
		if len(u.json) != len(names)+1 || u.text("sub") != "anna" {
			t.Errorf("%s: %v", scope, u.json)
		}
		for _, n := range names {
			if _, ok := u.json[n]; !ok {
				t.Errorf("%s: no %s", scope, n)
			}
		}
	}
	// zitadel-oidc 6.17: a false email_verified was never said
	u := k.userinfo(k.signedIn(k.browser()).text("access_token"))
	if v, ok := u.json["email_verified"].(bool); !ok || v {
		t.Errorf("email_verified %v", u.json["email_verified"])
	}
	k.as(bosse) // has no address: nothing empty is sent
	if u := k.userinfo(k.signedIn(k.browser()).text("access_token")); u.json["email"] != nil || u.json["email_verified"] != nil {
		t.Errorf("%v", u.json)
	}
}

// conformance 2.2, scope-all: every claim of a scope, of the right type.
func TestEveryClaimOfAScope(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.Scopes = []string{"openid", "profile", "email", "address", "phone"} })
	k.save("anna", everything)
	profile := map[string]any{"name": "Anna Aalto", "given_name": "Anna", "family_name": "Aalto", "middle_name": "Maria", "nickname": "Ansku", "preferred_username": "anna.aalto",
		"profile": "https://people.example/anna", "picture": "https://people.example/anna.png", "website": "https://anna.example", "gender": "female", "birthdate": "1980-02-29",
		"zoneinfo": "Europe/Helsinki", "locale": "fi", "updated_at": float64(1700000000), "organisation": "clinic", "organisation_name": "Klinikka Oy"}
	for scope, want := range map[string]map[string]any{
		"openid":         {},
		"openid profile": profile,
		"openid email":   {"email": "anna@clinic.example", "email_verified": true},
		"openid phone":   {"phone_number": "+358401234567", "phone_number_verified": true},
		"openid address": {"address": map[string]any{"formatted": "Katu 1\n00100 Helsinki", "street_address": "Katu 1", "locality": "Helsinki", "region": "Uusimaa", "postal_code": "00100", "country": "FI"}},
	} {
		r := k.signedIn(k.browser(), "scope", scope)
		want["sub"] = "anna"
		if u := k.userinfo(r.text("access_token")); !reflect.DeepEqual(u.json, want) {
			t.Errorf("%s: %v", scope, u.json)
		}
		for name := range k.claims(r.text("id_token")) {
			if _, there := want[name]; there && name != "sub" {
				t.Errorf("%s: %s is in the ID token", scope, name) // conformance 2.2: a warning
			}
		}
	}
	// What is not verified is said to be so, and what is empty is not said.
	k.save("anna", func(u *identity.User) {
		u.Claims = identity.Claims{Phone: "+358401234567", Address: identity.Address{Country: "FI"}}
		u.Email = ""
	})
	u := k.userinfo(k.signedIn(k.browser(), "scope", "openid email phone address").text("access_token"))
	if want := map[string]any{"sub": "anna", "phone_number": "+358401234567", "phone_number_verified": false, "address": map[string]any{"country": "FI"}}; !reflect.DeepEqual(u.json, want) {
		t.Errorf("%v", u.json)
	}
}

// conformance 2.2, claims-essential; 2.9: every member of claims_supported can be
// asked for by name, where it is asked for and nowhere else.
func TestClaimsByName(t *testing.T) {
	k := newKit(t)
	k.client("rp", asksFor("phone"))
	k.save("anna", everything)
	asked := `{"userinfo":{"name":{"essential":true},"phone_number":null,"salary":null},"id_token":{"email":null,"sub":{"value":"bosse"},"acr":{"value":"x"},"nickname":{"essential":true}}}`
	u := k.userinfo(k.given("rp", withScopes("openid"), withClaims(asked)).access)
	if want := map[string]any{"sub": "anna", "name": "Anna Aalto", "phone_number": "+358401234567"}; !reflect.DeepEqual(u.json, want) {
		t.Errorf("userinfo: %v", u.json)
	}
	code := k.codeWith(k.browser(), request("scope", "openid"), map[string]any{"claims": asked})
	r := k.post("rp", redeem(code))
	for what, c := range map[string]map[string]any{
		"first":   k.claims(r.text("id_token")),
		"refresh": k.claims(k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}).text("id_token")),
	} {
		if c["email"] != "anna@clinic.example" || c["nickname"] != "Ansku" || c["sub"] != "anna" || c["acr"] != acrs.PasswordCode {
			t.Errorf("%s ID token: %v", what, c)
		}
		for _, name := range []string{"name", "phone_number", "salary", "email_verified", "organisation"} {
			if c[name] != nil {
				t.Errorf("%s ID token has %s", what, name)
			}
		}
	}
	if u := k.userinfo(k.given("rp", withScopes("openid"), withClaims(`{"userinfo":[`)).access); len(u.json) != 1 {
		t.Errorf("what cannot be read asks for nothing: %v", u.json)
	}
}

// What a client is registered for bounds what it can ask for by name.
func TestClaimsOfOtherScopesAreNotTold(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.Scopes = []string{"openid", "email"} })
	k.save("anna", everything)
	asked := `{"userinfo":{"name":{"essential":true},"phone_number":null,"email":null},"id_token":{"birthdate":{"essential":true},"email":null}}`
	r := k.post("rp", redeem(k.code(k.browser(), request("scope", "openid", "claims", asked))))
	for what, c := range map[string]map[string]any{"userinfo": k.userinfo(r.text("access_token")).json, "ID token": k.claims(r.text("id_token"))} {
		if c["email"] != "anna@clinic.example" || c["name"] != nil || c["phone_number"] != nil || c["birthdate"] != nil {
			t.Errorf("%s: %v", what, c)
		}
	}
	// Also of grants that were given before.
	g := k.given("rp", withScopes("openid"), withClaims(asked))
	if u := k.userinfo(g.access); u.json["name"] != nil || u.json["email"] == nil {
		t.Errorf("userinfo: %v", u.json)
	}
	again := k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {g.refresh}})
	if c := k.claims(again.text("id_token")); c["birthdate"] != nil || c["email"] == nil {
		t.Errorf("refresh: %v", c)
	}
}

func TestEveryClaimSupportedCanBeHad(t *testing.T) {
	k := newKit(t)
	k.client("rp", asksFor("address", "phone"))
	k.save("anna", everything)
	var doc struct {
		Claims []string `json:"claims_supported"`
	}
	if err := json.Unmarshal([]byte(k.read(must(http.Get(k.url+openid.ConfigPath))).body), &doc); err != nil {
		t.Fatal(err)
	}
	ofToken := k.claims(k.signedIn(k.browser()).text("id_token"))
	wish := map[string]any{}
	for _, name := range doc.Claims {
		wish[name] = nil
	}
	asked, _ := json.Marshal(map[string]any{"userinfo": wish})
	u := k.userinfo(k.given("rp", withScopes("openid"), withClaims(string(asked))).access)
	for _, name := range doc.Claims {
		if u.json[name] == nil && ofToken[name] == nil {
			t.Errorf("%s cannot be had", name)
		}
	}
}

// OpenID Connect Core 5.3.2; zitadel-oidc 3: no signed userinfo.
func TestSignedUserinfo(t *testing.T) {
	k := newKit(t)
	for _, alg := range keys.Algorithms {
		id := strings.ToLower(string(alg))
		k.client(id, func(c *openid.Client) { c.UserinfoAlg = alg })
		r := k.userinfo(k.given(id, withScopes("openid", "email")).access)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/jwt" || r.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%s: %d %v %s", alg, r.status, r.header, r.raw)
		}
		want := map[string]any{"iss": k.url, "aud": id, "sub": "anna", "email": "anna@clinic.example", "email_verified": false}
		if got := k.verify(r.raw, "userinfo+jwt", alg); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v", alg, got)
		}
		// It names issuer, subject and audience, and is no ID token for all that.
		if a := k.authorize(k.browser(), request("client_id", id, "id_token_hint", r.raw)); a.params.Get("error") != "login_required" {
			t.Errorf("%s: userinfo passed for an ID token: %v", alg, a.to)
		}
	}
}

// What opens nothing at userinfo.
func TestTokensThatAreNotForUserinfo(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	dpop, tls := boundTo("jkt:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"), boundTo("x5t#S256:0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I")
	for what, c := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"for a resource":            {k.given("rp", forResources("https://api.example")).access, 401, "invalid_token"},
		"for a resource and for us": {k.given("rp", forResources(k.url, "https://api.example")).access, 401, "invalid_token"},
		"narrowed to a resource": {k.given("rp", func(_ *openid.Grant, t *openid.AccessToken) { t.Resources = []string{"https://api.example"} }).access,
			401, "invalid_token"},
		"without openid": {k.given("rp", withScopes("profile")).access, 403, "insufficient_scope"},
		"narrowed to no openid": {k.given("rp", func(_ *openid.Grant, t *openid.AccessToken) { t.Scopes = []string{"profile"} }).access,
			403, "insufficient_scope"},
		"DPoP-bound as Bearer":        {k.given("rp", dpop).access, 401, "invalid_token"},
		"certificate-bound as Bearer": {k.given("rp", tls).access, 401, "invalid_token"},
		"refresh token":               {k.given("rp").refresh, 401, "invalid_token"},
		"odd JWT":                     {"a.b.c", 401, "invalid_token"},
		"long JWT":                    {"a.b." + strings.Repeat("c", 7<<10), 401, "invalid_token"},
	} {
		r := k.userinfo(c.token)
		if r.status != c.status || r.text("error") != c.code || r.header.Get("Cache-Control") != "no-store" || !strings.Contains(r.header.Get("WWW-Authenticate"), `error="`+c.code+`"`) {
			t.Errorf("%s: %d %s %v", what, r.status, r.raw, r.header)
		}
		if len(r.json) != 2 {
			t.Errorf("%s: %s", what, r.raw)
		}
		if _, err := k.caller(c.token); c.code == "invalid_token" && codeOf(err) != "invalid_token" { // the JSON API's door
			t.Errorf("%s opens the JSON API", what)
		}
	}
	if u := k.userinfo(k.given("rp", forResources(k.url)).access); u.status != http.StatusOK {
		t.Errorf("for us by name: %d", u.status)
	}
	// A narrowed token says at the API what it has, not what its grant has.
	g, err := k.caller(k.given("rp", withScopes("openid", "us"), func(_ *openid.Grant, t *openid.AccessToken) { t.Scopes = []string{"openid"} }).access)
	if err != nil || len(g.Scopes) != 1 {
		t.Errorf("%v %v", g.Scopes, err)
	}
}
