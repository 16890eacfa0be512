package openid_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/openid"
)

// conformance 2.1: true statements, and nothing of what the library would claim
// (implicit, jwt-bearer, RS256 only: zitadel-oidc 3, discovery).
func TestMetadata(t *testing.T) {
	k := newKit(t)
	var docs [2]map[string]any
	for i, path := range []string{openid.ConfigPath, openid.ServerPath} {
		a := k.read(must(http.Get(k.url + path)))
		if err := json.Unmarshal([]byte(a.body), &docs[i]); err != nil || a.status != http.StatusOK || a.header.Get("Content-Type") != "application/json" {
			t.Fatalf("%s: %d %v %s", path, a.status, err, a.body)
		}
		if a.header.Get("ETag") == "" || !strings.Contains(a.header.Get("Cache-Control"), "max-age=") {
			t.Errorf("%s: %v", path, a.header)
		}
		req, _ := http.NewRequest(http.MethodGet, k.url+path, nil)
		req.Header.Set("If-None-Match", `"x", W/`+a.header.Get("ETag"))
		if r := k.do(req); r.status != http.StatusNotModified || r.raw != "" {
			t.Errorf("%s: %d %q", path, r.status, r.raw)
		}
	}
	if !reflect.DeepEqual(docs[0], docs[1]) {
		t.Error("the two documents differ")
	}
	list := func(v ...any) []any { return v }
	want := map[string]any{
		"issuer": k.url, "authorization_endpoint": k.url + "/authorize", "token_endpoint": k.url + "/token", "userinfo_endpoint": k.url + "/userinfo",
		"jwks_uri": k.url + "/jwks", "end_session_endpoint": k.url + "/end_session",
		"response_types_supported": list("code"), "response_modes_supported": list("query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"),
		"pushed_authorization_request_endpoint": k.url + "/par", "require_pushed_authorization_requests": false,
		"authorization_signing_alg_values_supported":       list("RS256", "ES256", "EdDSA", "PS256"),
		"grant_types_supported":                            list("authorization_code", "refresh_token", "client_credentials", "urn:ietf:params:oauth:grant-type:device_code", "urn:ietf:params:oauth:grant-type:token-exchange"),
		"subject_types_supported":                          list("public", "pairwise"),
		"id_token_signing_alg_values_supported":            list("RS256", "ES256", "EdDSA", "PS256"),
		"token_endpoint_auth_methods_supported":            list("client_secret_basic", "client_secret_post", "private_key_jwt", "none"),
		"dpop_signing_alg_values_supported":                list("ES256", "EdDSA", "PS256"),
		"token_endpoint_auth_signing_alg_values_supported": list("RS256", "ES256", "EdDSA", "PS256"),
		"acr_values_supported":                             list("urn:portti:acr:card", "urn:portti:acr:pwd-otp"), // never enrol
		"scopes_supported":                                 list("openid", "profile", "email", "address", "phone", "offline_access"),
		"code_challenge_methods_supported":                 list("S256"), "ui_locales_supported": list("fi", "sv", "en"), "claim_types_supported": list("normal"),
		"introspection_endpoint": k.url + "/introspect", "revocation_endpoint": k.url + "/revoke",
		"introspection_endpoint_auth_methods_supported":            list("client_secret_basic", "client_secret_post", "private_key_jwt"), // never none
		"revocation_endpoint_auth_methods_supported":               list("client_secret_basic", "client_secret_post", "private_key_jwt", "none"),
		"introspection_endpoint_auth_signing_alg_values_supported": list("RS256", "ES256", "EdDSA", "PS256"),
		"revocation_endpoint_auth_signing_alg_values_supported":    list("RS256", "ES256", "EdDSA", "PS256"),
		"id_token_encryption_alg_values_supported":                 list("RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A128KW"),
		"id_token_encryption_enc_values_supported":                 list("A256GCM", "A128GCM", "A256CBC-HS512", "A128CBC-HS256"),
		"userinfo_encryption_alg_values_supported":                 list("RSA-OAEP-256", "ECDH-ES", "ECDH-ES+A256KW", "ECDH-ES+A128KW"),
		"userinfo_encryption_enc_values_supported":                 list("A256GCM", "A128GCM", "A256CBC-HS512", "A128CBC-HS256"),
		"userinfo_signing_alg_values_supported":                    list("RS256", "ES256", "EdDSA", "PS256"),
		"introspection_signing_alg_values_supported":               list("RS256", "ES256", "EdDSA", "PS256"),
		"authorization_response_iss_parameter_supported":           true, "backchannel_logout_supported": true, "backchannel_logout_session_supported": true,
		"device_authorization_endpoint": k.url + openid.DevicePath,
		"frontchannel_logout_supported": true, "frontchannel_logout_session_supported": true,
		"claims_parameter_supported": true, "request_parameter_supported": true, "request_uri_parameter_supported": true,
		"require_request_uri_registration": true, "request_object_signing_alg_values_supported": list("RS256", "ES256", "EdDSA", "PS256"),
	}
	for name, v := range docs[0] {
		if name != "claims_supported" && !reflect.DeepEqual(v, want[name]) {
			t.Errorf("%s is %v, want %v", name, v, want[name])
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("missing: %v", want)
	}
	// Every endpoint is there.
	for name, v := range docs[0] {
		if address, ok := v.(string); ok && name != "issuer" {
			if a := k.read(must(http.Get(address))); a.status == http.StatusNotFound {
				t.Errorf("%s: 404", name)
			}
		}
	}
}

func TestJWKS(t *testing.T) {
	k := newKit(t)
	a := k.read(must(http.Get(k.url + openid.JWKSPath)))
	var set struct{ Keys []map[string]any }
	if err := json.Unmarshal([]byte(a.body), &set); err != nil || len(set.Keys) != 3 {
		t.Fatalf("%v %s", err, a.body)
	}
	kids := map[any]bool{}
	for _, key := range set.Keys {
		kids[key["kid"]] = true
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
			if key[private] != nil {
				t.Errorf("a private part is published: %s", private)
			}
		}
	}
	if len(kids) != 3 || kids[nil] || kids[""] {
		t.Errorf("kids %v", kids)
	}
	if a.header.Get("ETag") == "" || !strings.Contains(a.header.Get("Cache-Control"), "max-age=") {
		t.Errorf("%v", a.header)
	}
}

// Any origin may call what programs call, without cookies; pages none
// (zitadel-oidc 3: every origin was reflected, with credentials, everywhere).
func TestCORS(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	for path, open := range map[string]bool{openid.TokenPath: true, openid.UserinfoPath: true, openid.RevokePath: true, openid.IntrospectPath: false, openid.JWKSPath: true, openid.ConfigPath: true, openid.ServerPath: true, openid.AuthorizePath: false, openid.PARPath: false} {
		for _, method := range []string{http.MethodOptions, http.MethodGet} {
			req, _ := http.NewRequest(method, k.url+path, nil)
			req.Header.Set("Origin", "https://app.example")
			req.Header.Set("Access-Control-Request-Method", "POST")
			r := k.do(req)
			want := ""
			if open {
				want = "*"
			}
			if r.header.Get("Access-Control-Allow-Origin") != want || r.header.Get("Access-Control-Allow-Credentials") != "" {
				t.Errorf("%s %s: %v", method, path, r.header)
			}
			if open && method == http.MethodOptions && (r.status != http.StatusNoContent || !strings.Contains(r.header.Get("Access-Control-Allow-Headers"), "Authorization")) {
				t.Errorf("%s: preflight %d %v", path, r.status, r.header)
			}
		}
	}
}

// Of the library's own routes none is reachable: neither its health pages, nor
// its callback that completes anybody's request, nor endpoints of later issues.
func TestOnlyOurRoutes(t *testing.T) {
	k := newKit(t)
	for _, path := range []string{"/healthz", "/ready", "/authorize/callback?id=x", "/oauth/token", "/keys", "/oauth/introspect", "/token/", "/token/x"} {
		if a := k.read(must(http.Get(k.url + path))); a.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, a.status)
		}
	}
	for _, path := range []string{openid.JWKSPath, openid.ConfigPath} {
		if a := k.read(must(http.Post(k.url+path, "", nil))); a.status != http.StatusMethodNotAllowed || a.header.Get("Allow") == "" {
			t.Errorf("POST %s: %d", path, a.status)
		}
	}
}

// The issuer is a setting: no header can move it (zitadel-oidc 6.10).
func TestIssuerIsStatic(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	req, _ := http.NewRequest(http.MethodGet, k.url+openid.ConfigPath, nil)
	req.Host = "evil.example"
	req.Header.Set("Forwarded", "host=evil.example")
	req.Header.Set("X-Forwarded-Host", "evil.example")
	if r := k.do(req); strings.Contains(r.raw, "evil") || r.text("issuer") != k.url {
		t.Errorf("%s", r.raw)
	}
	req, _ = http.NewRequest(http.MethodPost, k.url+openid.TokenPath, strings.NewReader(redeem(k.code(k.browser(), request())).Encode()))
	req.Host = "evil.example"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("rp", k.secrets["rp"])
	if c := k.claims(k.do(req).text("id_token")); c["iss"] != k.url {
		t.Errorf("iss %v", c["iss"])
	}
}

func TestSettingsAreChecked(t *testing.T) {
	for what, edit := range map[string]func(c *openid.Config){
		"http":            func(c *openid.Config) { c.Issuer = "http://id.example" },
		"no issuer":       func(c *openid.Config) { c.Issuer = "" },
		"query":           func(c *openid.Config) { c.Issuer = "https://id.example/?a=b" },
		"fragment":        func(c *openid.Config) { c.Issuer = "https://id.example/#x" },
		"name in it":      func(c *openid.Config) { c.Issuer = "https://me@id.example" },
		"no sign-in page": func(c *openid.Config) { c.SignIn = nil },
		"no levels":       func(c *openid.Config) { c.ACR = openid.ACRs{} },
		"odd alias":       func(c *openid.Config) { c.ACR.Aliases = map[string]string{"loa3": "gold"} },
		"long codes":      func(c *openid.Config) { c.CodeTTL = 61e9 },
	} {
		k := newKit(t)
		c := k.p.Config
		edit(&c)
		if _, err := openid.New(c, k.p.Deps); err == nil {
			t.Errorf("%s: accepted", what)
		}
	}
	k := newKit(t)
	for _, issuer := range []string{"https://id.example", "https://id.example/idp", "http://id.localhost:8080", "http://localhost", "http://[::1]:1"} {
		c := k.p.Config
		c.Issuer = issuer
		if _, err := openid.New(c, k.p.Deps); err != nil {
			t.Errorf("%s: %v", issuer, err)
		}
	}
	d := k.p.Deps
	d.PairwiseSecret = d.PairwiseSecret[:31]
	if _, err := openid.New(k.p.Config, d); err == nil {
		t.Error("a short secret was accepted")
	}
	d = k.p.Deps
	d.People = nil
	if _, err := openid.New(k.p.Config, d); err == nil {
		t.Error("a missing part was accepted")
	}
}

// An issuer with a path has its endpoints under it, and its RFC 8414 metadata
// where that wants it (§3.1).
func TestIssuerWithPath(t *testing.T) {
	k := newKit(t)
	c := k.p.Config
	c.Issuer = "https://id.example/idp"
	p, err := openid.New(c, k.p.Deps)
	if err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/idp" + openid.ConfigPath: 200, openid.ServerPath + "/idp": 200, "/idp/jwks": 200, "/idp/token": 405, "/idp/authorize": 400, "/authorize": 404} {
		w := newRecorder()
		p.Handler().ServeHTTP(w, newGet(path))
		if w.Code != status {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
	w := newRecorder()
	r := newPost("/idp/token", redeem("x").Encode())
	r.SetBasicAuth("rp", "x")
	p.Handler().ServeHTTP(w, r)
	if w.Code != 401 {
		t.Errorf("token under a path: %d %s", w.Code, fmt.Sprint(w.Body))
	}
}
