package openid_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// signing is a client that may sign its requests with a key.
func signing(key *clientjwttest.Key) func(c *openid.Client) {
	return func(c *openid.Client) {
		c.JWKS, c.RequestObjectAlg = key.JWKS(), keys.Algorithm(key.Alg)
	}
}

// object is request as the members of a request object for client rp; pairs change
// it, nil takes a member out.
func (k *kit) object(pairs ...any) map[string]any {
	now := k.now()
	members := map[string]any{"iss": "rp", "aud": k.url, "nbf": now.Add(-time.Second).Unix(), "exp": now.Add(time.Minute).Unix()}
	for name, values := range request() {
		members[name] = values[0]
	}
	for i := 0; i < len(pairs); i += 2 {
		if members[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(members, pairs[i].(string))
		}
	}
	return members
}

func unsigned(members map[string]any) string {
	payload, _ := json.Marshal(members)
	return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
}

// OpenID Connect Core §6.1: what the object says counts, and what it leaves out may
// stand outside.
func TestRequestObject(t *testing.T) {
	k := newKit(t)
	key := clientjwttest.New(t, "RS256")
	k.client("rp", signing(key))
	k.client("plain")
	b := k.browser()
	outside := request("request", key.Sign(nil, k.object("nonce", "inside", "state", nil, "max_age", 10000, "claims", map[string]any{"id_token": map[string]any{"auth_time": nil}})),
		"nonce", "outside", "state", "outside", "redirect_uri", "", "scope", "openid")
	a := k.authorize(b, outside)
	if a.params.Get("code") == "" || a.params.Get("state") != "outside" {
		t.Fatalf("%d %v %s", a.status, a.to, a.body)
	}
	tokens := k.post("rp", redeem(a.params.Get("code")))
	if c := k.claims(tokens.text("id_token")); c["nonce"] != "inside" || tokens.text("scope") != "openid profile email" {
		t.Errorf("%v %s", c, tokens.raw)
	}
	// A wrong type of response outside.
	a = k.authorize(b, request("request", key.Sign(nil, k.object()), "response_type", "id_token"))
	if a.params.Get("error") != "invalid_request" {
		t.Errorf("%d %v", a.status, a.to)
	}
	// An address that only the object names must be registered, too.
	a = k.authorize(b, request("request", key.Sign(nil, k.object("redirect_uri", "https://evil.example/"))))
	if p := k.problems.Swap(nil); a.to != nil || p == nil || p.Parameter != "redirect_uri" {
		t.Errorf("%d %v %+v", a.status, a.to, p)
	}
	// What is wrong inside is told at the address inside, in the mode inside.
	a = k.authorize(b, url.Values{"client_id": {"rp"}, "request": {key.Sign(nil, k.object("prompt", "none login", "response_mode", "fragment"))}})
	if a.to == nil || !strings.Contains(a.to.Fragment, "error=invalid_request") {
		t.Errorf("%d %v", a.status, a.to)
	}
	if a := k.authorize(b, request("client_id", "plain", "request", key.Sign(nil, k.object()))); a.params.Get("error") != "request_not_supported" {
		t.Errorf("%d %v", a.status, a.to)
	}
	if a := k.authorize(b, request("request_uri", "https://rp.example/r")); a.params.Get("error") != "request_uri_not_supported" {
		t.Errorf("%d %v", a.status, a.to)
	}
	if a := k.authorize(b, request("request_uri", "https://rp.example/r", "request", "x")); a.params.Get("error") != "invalid_request" {
		t.Errorf("%d %v", a.status, a.to)
	}
}

// RFC 9101 §6: what is refused, and that it is told at a registered address and
// shown as a page elsewhere; at the pushed request in JSON.
func TestRequestObjectsAreVerified(t *testing.T) {
	k := newKit(t)
	key, other := clientjwttest.New(t, "ES256"), clientjwttest.New(t, "ES256")
	k.client("rp", signing(key))
	bad := map[string]string{
		"unsigned":            unsigned(k.object()),
		"another key":         other.Sign(map[string]any{"kid": key.ID}, k.object()),
		"another algorithm":   clientjwttest.New(t, "RS256").Sign(nil, k.object()),
		"expired":             key.Sign(nil, k.object("exp", k.now().Add(-time.Minute).Unix())),
		"another audience":    key.Sign(nil, k.object("aud", "https://op.example")),
		"another issuer":      key.Sign(nil, k.object("iss", "other")),
		"another client":      key.Sign(nil, k.object("client_id", "other")),
		"an assertion":        key.Assertion("rp", k.url),
		"request inside":      key.Sign(nil, k.object("request", "x")),
		"request_uri inside":  key.Sign(nil, k.object("request_uri", "https://rp.example/r")),
		"a list for a string": key.Sign(nil, k.object("redirect_uri", []string{callback})),
		"changed":             strings.Replace(key.Sign(nil, k.object()), ".", ".e", 1),
		"no JWT":              "x",
	}
	for what, object := range bad {
		a := k.authorize(k.browser(), request("request", object, "response_mode", "form_post"))
		if a.status != http.StatusOK || !strings.Contains(a.body, `name="error" value="invalid_request_object"`) || !strings.Contains(a.body, `value="the-state"`) {
			t.Errorf("%s: %d %v %s", what, a.status, a.to, a.body)
		}
		for _, uri := range []string{"", "https://evil.example/"} {
			a = k.authorize(k.browser(), request("request", object, "redirect_uri", uri))
			if p := k.problems.Swap(nil); a.to != nil || a.status != http.StatusBadRequest || p == nil || p.Code != "invalid_request_object" || p.Parameter != "request" || !grammar(p.Description) {
				t.Errorf("%s, at %q: %d %v %+v", what, uri, a.status, a.to, p)
			}
		}
		if r := k.push("rp", url.Values{"client_id": {"rp"}, "request": {object}}); r.status != http.StatusBadRequest || r.text("error") != "invalid_request_object" {
			t.Errorf("%s, pushed: %d %s", what, r.status, r.raw)
		}
	}
}

// RFC 9101 §6.3: of a client that must sign, nothing outside counts.
func TestSignedRequestsOnly(t *testing.T) {
	k := newKit(t)
	key := clientjwttest.New(t, "PS256")
	k.client("rp", signing(key), func(c *openid.Client) { c.RequireRequestObject = true })
	if a := k.authorize(k.browser(), request()); a.params.Get("error") != "invalid_request" {
		t.Errorf("unsigned: %d %v", a.status, a.to)
	}
	if r := k.push("rp", request()); r.status != http.StatusBadRequest || r.text("error") != "invalid_request" {
		t.Errorf("unsigned, pushed: %d %s", r.status, r.raw)
	}
	outside := url.Values{"client_id": {"rp"}, "state": {"evil"}, "nonce": {"evil"}, "prompt": {"none"}, "response_mode": {"fragment"}, "scope": {"profile"},
		"request": {key.Sign(nil, k.object("nonce", nil, "state", nil))}}
	for what, a := range map[string]answer{"direct": k.authorize(k.browser(), outside), "pushed": k.pushedObject(outside)} {
		if a.params.Get("code") == "" || a.params.Has("state") {
			t.Fatalf("%s: %d %v %s", what, a.status, a.to, a.body)
		}
		if c := k.claims(k.post("rp", redeem(a.params.Get("code"))).text("id_token")); c["nonce"] != nil {
			t.Errorf("%s: %v", what, c)
		}
	}
	for what, members := range map[string]map[string]any{
		"no exp": k.object("exp", nil), "no nbf": k.object("nbf", nil), "too lasting": k.object("exp", k.now().Add(2*time.Hour).Unix()),
		"old": k.object("nbf", k.now().Add(-2*time.Hour).Unix()), "no client_id": k.object("client_id", nil),
	} {
		if a := k.authorize(k.browser(), request("request", key.Sign(nil, members))); a.params.Get("error") != "invalid_request_object" {
			t.Errorf("%s: %d %v", what, a.status, a.to)
		}
	}
}

// pushedObject pushes a request that a browser then brings.
func (k *kit) pushedObject(form url.Values) answer {
	k.t.Helper()
	r := k.push("rp", form)
	if r.status != http.StatusCreated {
		k.t.Fatalf("%d %s", r.status, r.raw)
	}
	return k.authorize(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {r.text("request_uri")}})
}

// conformance 2.7, oidcc-request-uri-signed-rs256: the registered address has a
// fragment, which is no hash of what lies there.
func TestRequestURI(t *testing.T) {
	var object atomic.Pointer[string]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/object":
			w.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
			_, _ = io.WriteString(w, *object.Load()+"\n")
		case "/long":
			_, _ = io.WriteString(w, strings.Repeat("x", 40<<10))
		case "/moved":
			http.Redirect(w, r, "/object", http.StatusFound)
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	k := newKit(t)
	key := clientjwttest.New(t, "RS256")
	hashed := server.URL + "/object#" + s256("anything")
	k.client("rp", signing(key), func(c *openid.Client) {
		c.RequestURIs = []string{hashed, server.URL + "/moved", server.URL + "/long", server.URL + "/gone"}
	})
	good := key.Sign(map[string]any{"typ": "oauth-authz-req+jwt"}, k.object("nonce", "fetched"))
	object.Store(&good)
	a := k.authorize(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {hashed}, "response_type": {"code"}, "scope": {"openid"}})
	if a.params.Get("code") == "" {
		t.Fatalf("%d %v %s", a.status, a.to, a.body)
	}
	if c := k.claims(k.post("rp", redeem(a.params.Get("code"))).text("id_token")); c["nonce"] != "fetched" {
		t.Errorf("%v", c)
	}
	for uri, code := range map[string]string{
		server.URL + "/object": "invalid_request_uri", server.URL + "/object#other": "invalid_request_uri", server.URL + "/object?a=b#" + s256("anything"): "invalid_request_uri",
		server.URL + "/moved": "invalid_request_uri", server.URL + "/long": "invalid_request_uri", server.URL + "/gone": "invalid_request_uri",
		"https://evil.example/object": "invalid_request_uri", "file:///etc/passwd": "invalid_request_uri", "urn:example:r": "invalid_request_uri",
	} {
		if a := k.authorize(k.browser(), request("request_uri", uri)); a.params.Get("error") != code || a.params.Get("state") != "the-state" {
			t.Errorf("%s: %d %v", uri, a.status, a.to)
		}
	}
	bad := unsigned(k.object())
	object.Store(&bad)
	k.wait(time.Second) // what was fetched serves no longer
	if a := k.authorize(k.browser(), request("request_uri", hashed)); a.params.Get("error") != "invalid_request_object" {
		t.Errorf("unsigned: %d %v", a.status, a.to)
	}
}

// A registered address inside our own network is not called.
func TestRequestURIsAreNotFetchedFromInside(t *testing.T) {
	var called atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { called.Store(true) }))
	t.Cleanup(server.Close)
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) { c.Outgoing = openid.Outgoing{} })
	k.client("rp", signing(clientjwttest.New(t, "ES256")), func(c *openid.Client) { c.RequestURIs = []string{server.URL + "/object"} })
	a := k.authorize(k.browser(), request("request_uri", server.URL+"/object"))
	if a.params.Get("error") != "invalid_request_uri" || called.Load() {
		t.Errorf("%v, called: %v", a.to, called.Load())
	}
}

// FAPI 2.0: pushed with a key's proof; an object that came along is all that counts,
// but none is needed.
func TestPushedByFAPIClient(t *testing.T) {
	k := newKit(t)
	key := clientjwttest.New(t, "ES256")
	k.client("rp", func(c *openid.Client) {
		f := fapi(t)
		f.ID, f.RedirectURIs, f.JWKS, f.RequestObjectAlg = c.ID, []string{callback, callback + "?dummy1=lorem&dummy2=ipsum"}, key.JWKS(), keys.ES256
		*c = f
	})
	push := func(form url.Values) reply {
		return k.push("", asserted(form, key.Assertion("rp", k.url)))
	}
	plain := request("redirect_uri", callback+"?dummy1=lorem&dummy2=ipsum", "scope", "openid", "client_id", "")
	signed := url.Values{"nonce": {"evil"}, "request": {key.Sign(nil, k.object("scope", "openid"))}}
	for what, form := range map[string]url.Values{"plain": plain, "signed": signed} {
		r := push(form)
		if r.status != http.StatusCreated {
			t.Fatalf("%s: %d %s", what, r.status, r.raw)
		}
		a := k.authorize(k.browser(), url.Values{"client_id": {"rp"}, "request_uri": {r.text("request_uri")}})
		if a.params.Get("code") == "" || a.params.Get("iss") != k.url || what == "plain" && a.params.Get("dummy2") != "ipsum" {
			t.Errorf("%s: %d %v", what, a.status, a.to)
		}
	}
	for what, c := range map[string]struct {
		form url.Values
		code string
	}{
		"no PKCE":         {request("code_challenge", "", "code_challenge_method", "", "scope", "openid"), "invalid_request"},
		"no redirect_uri": {request("redirect_uri", "", "scope", "openid"), "invalid_request"},
		"id_token":        {request("response_type", "code id_token", "scope", "openid"), "unsupported_response_type"},
		"old object":      {url.Values{"request": {key.Sign(nil, k.object("nbf", nil))}}, "invalid_request_object"},
	} {
		if r := push(c.form); r.status != http.StatusBadRequest || r.text("error") != c.code {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
	}
	if r := k.push("", request("scope", "openid")); r.status != http.StatusUnauthorized || r.text("error") != "invalid_client" {
		t.Errorf("no proof: %d %s", r.status, r.raw)
	}
}
