package e2e

import (
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
)

// dynamic is one module's run of oidcc-dynamic-certification-test-plan: a client that
// registers itself, proves itself with a key, and whose server is the host "other".
type dynamic struct {
	fapi
	key    *clientjwttest.Key // RS256
	served *sync.Map          // documents of the client's server by path
}

// TestConformanceDynamic is oidcc-dynamic-certification-test-plan[response_type=code] with
// private_key_jwt. oidcc-server-rotate-keys is with TestConformanceTestPlan.
func TestConformanceDynamic(t *testing.T) {
	open := func(c *server.Config) { c.SelfRegistration = openid.OpenSelfRegistration }
	EachWith(t, Options{Configure: open}, func(t *testing.T, w *World) {
		d := dynamic{fapi: fapi{suite: newSuite(t, w)}, key: clientjwttest.New(t, "RS256"), served: &sync.Map{}}
		w.Handle("other", http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			document, ok := d.served.Load(r.URL.Path)
			if !ok {
				_, _ = io.WriteString(rw, "<h1 id=other>The other service</h1>")
				return
			}
			rw.Header().Set("Content-Type", "application/json")
			if strings.HasSuffix(r.URL.Path, ".jwt") {
				rw.Header().Set("Content-Type", "application/oauth-authz-req+jwt")
			}
			_, _ = rw.Write(document.([]byte))
		}))
		for _, name := range slices.Sorted(maps.Keys(dynamicModules)) {
			t.Run("oidcc-"+name, func(t *testing.T) {
				run := d
				run.T, run.v = t, w.Visitor()
				dynamicModules[name](&run)
			})
		}
	})
}

// home is an address of the client's server.
func (d *dynamic) home(path string) string { return d.w.Origin("other") + path }

// sends registers a client as the suite does; extra replaces members, nil takes out.
func (d *dynamic) sends(extra map[string]any) answer {
	d.Helper()
	m := map[string]any{"client_name": "Conformance", "redirect_uris": []string{d.home("/callback")}, "grant_types": []string{"authorization_code", "refresh_token"}, "response_types": []string{"code"},
		"token_endpoint_auth_method": "private_key_jwt", "jwks": json.RawMessage(d.key.JWKS()), "contacts": []string{"certification@other.localhost"}, "id_token_signed_response_alg": "RS256"}
	for name, value := range extra {
		if m[name] = value; value == nil {
			delete(m, name)
		}
	}
	return d.manages(http.MethodPost, d.conf["registration_endpoint"].(string), "", must(json.Marshal(m))(d.T))
}

func (d *dynamic) manages(method, address, token string, body []byte) answer {
	d.Helper()
	r := must(http.NewRequest(method, address, strings.NewReader(string(body))))(d.T)
	r.Header.Set("Content-Type", "application/json")
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response := must(d.p.http.Do(r))(d.T)
	defer response.Body.Close() //nolint:errcheck // it was read to the end
	got := answer{Status: response.StatusCode, Header: response.Header, Body: string(must(io.ReadAll(response.Body))(d.T))}
	_ = json.Unmarshal([]byte(got.Body), &got.JSON)
	if got.Header.Get("Cache-Control") != "no-store" {
		d.Errorf("Cache-Control %q", got.Header.Get("Cache-Control"))
	}
	return got
}

// registers is a registration that must be taken. It is read back, and ended with the
// module, as the suite does.
func (d *dynamic) registers(extra map[string]any) *prover {
	d.Helper()
	got := d.sends(extra)
	uri, manage := got.text("registration_client_uri"), got.text("registration_access_token")
	if got.Status != http.StatusCreated || got.text("client_id") == "" || uri == "" || len(manage) < 22 || got.JSON["client_secret"] != nil {
		d.Fatalf("registration: %d %s", got.Status, got.Body)
	}
	if again := d.manages(http.MethodGet, uri, manage, nil); again.Status != http.StatusOK || again.text("client_id") != got.text("client_id") {
		d.Errorf("read back: %d %s", again.Status, again.Body)
	}
	d.Cleanup(func() {
		if gone := d.manages(http.MethodDelete, uri, manage, nil); gone.Status != http.StatusNoContent {
			d.Errorf("ended: %d %s", gone.Status, gone.Body)
		}
		if gone := d.manages(http.MethodGet, uri, manage, nil); gone.Status != http.StatusUnauthorized {
			d.Errorf("read after its end: %d %s", gone.Status, gone.Body)
		}
	})
	redirect := got.JSON["redirect_uris"].([]any)[0].(string)
	return &prover{Party: d.w.As(got.text("client_id"), redirect), alg: "RS256", key: d.key}
}

// refusedAs wants a registration's refusal (RFC 7591 §3.2.2).
func (d *dynamic) refusedAs(got answer, code string) {
	d.Helper()
	if got.Status != http.StatusBadRequest || got.text("error") != code || !grammar.MatchString(got.text("error_description")) {
		d.Errorf("registration: %d %s, want %s", got.Status, got.Body, code)
	}
}

// consents signs in, allows what the client asks for, and returns what it is sent.
func (d *dynamic) consents(c *prover, page *Page) url.Values {
	d.Helper()
	if page.Has("login-submit") {
		page = d.who.SignIn(page)
	}
	if page.Has("consent-allow") {
		page = page.Press("consent-allow")
	}
	return d.answered(c.Party, page)
}

func (d *dynamic) goes(c *prover, extra url.Values) string {
	d.Helper()
	got := d.consents(c, d.opens(c.Party, extra))
	if got.Get("code") == "" || got.Get("state") != "state-"+c.ID {
		d.Fatalf("the authorization response: %v", got)
	}
	return got.Get("code")
}

// gets redeems a code; the assertion is for the token endpoint, as the plan's are.
func (d *dynamic) gets(c *prover, code string, spoils ...spoil) Tokens {
	d.Helper()
	return d.tokens(c, d.redeem(c, code, url.Values{"code_verifier": nil}, slices.Concat([]spoil{forTokens(d)}, spoils)...), "nonce-"+c.ID)
}

func forTokens(d *dynamic) spoil { return claim("aud", d.conf["token_endpoint"]) }

// shows registers a client with an address that people must be shown, and looks for it.
func shows(member, id string) func(d *dynamic) {
	return func(d *dynamic) {
		address := d.home("/" + member)
		c := d.registers(map[string]any{member: address})
		page := d.who.SignIn(d.opens(c.Party, nil)).Must("consent-allow")
		shown := page.Attr(id, "href")
		if id == "" {
			if strings.Contains(page.Body, `src="`+address+`"`) {
				shown = address
			}
		}
		if shown != address {
			d.Errorf("%s is shown as %q on %s", member, shown, page)
		}
	}
}

// requestURI serves a request object and asks with its address.
func (d *dynamic) requestURI(object func(c *prover, claims map[string]any) string) (*prover, *Page) {
	d.Helper()
	address := d.home("/request.jwt")
	c := d.registers(map[string]any{"request_uris": []string{address}, "request_object_signing_alg": "RS256"})
	claims := map[string]any{"client_id": c.ID, "response_type": "code", "redirect_uri": c.Redirect, "scope": "openid", "state": "state-" + c.ID, "nonce": "nonce-" + c.ID, "aud": d.w.Issuer(), "nbf": d.ago(0), "exp": d.ago(-time.Minute)}
	d.served.Store("/request.jwt", []byte(object(c, claims)))
	return c, d.v.Open(d.conf["authorization_endpoint"].(string) + "?" + url.Values{"client_id": {c.ID}, "response_type": {"code"}, "scope": {"openid"}, "redirect_uri": {c.Redirect},
		"state": {"state-" + c.ID}, "request_uri": {address}}.Encode())
}

var dynamicModules = map[string]func(d *dynamic){
	"discovery-endpoint-verification": func(d *dynamic) {
		if d.conf["registration_endpoint"] != d.w.Issuer()+openid.RegisterPath {
			d.Errorf("registration_endpoint %v", d.conf["registration_endpoint"])
		}
		if list, _ := d.conf["token_endpoint_auth_methods_supported"].([]any); !slices.Contains(list, any("private_key_jwt")) {
			d.Errorf("token_endpoint_auth_methods_supported %v", list)
		}
	},
	"server": func(d *dynamic) {
		c := d.registers(nil)
		tokens := d.gets(c, d.goes(c, nil))
		d.userinfo(c.Party, "GET", tokens, tokens.Claims()["sub"])
	},
	"ensure-client-assertion-with-iss-aud-succeeds": func(d *dynamic) {
		c := d.registers(nil)
		d.gets(c, d.goes(c, nil), claim("aud", d.w.Issuer()))
	},
	"ensure-redirect-uri-in-authorization-request": func(d *dynamic) {
		c := d.registers(map[string]any{"redirect_uris": []string{d.home("/callback"), d.home("/callback2")}})
		d.page(c.Party, url.Values{"redirect_uri": nil})
	},
	"ensure-request-object-with-redirect-uri": func(d *dynamic) {
		c := d.registers(map[string]any{"request_object_signing_alg": "RS256"})
		object := d.key.RequestObject(map[string]any{"client_id": c.ID, "redirect_uri": c.Redirect, "aud": d.w.Issuer(), "nbf": d.ago(0), "exp": d.ago(-time.Minute)})
		got := d.consents(c, d.opens(c.Party, url.Values{"request": {object}, "redirect_uri": {d.home("/elsewhere")}}))
		if got.Get("code") == "" {
			d.Errorf("%v", got)
		}
	},
	"idtoken-rs256": func(d *dynamic) {
		c := d.registers(map[string]any{"id_token_signed_response_alg": "RS256"})
		d.gets(c, d.goes(c, nil))
	},
	"idtoken-unsigned": func(d *dynamic) {
		if list, _ := d.conf["id_token_signing_alg_values_supported"].([]any); slices.Contains(list, any("none")) {
			d.Error("unsigned ID tokens are offered")
		}
		d.refusedAs(d.sends(map[string]any{"id_token_signed_response_alg": "none"}), "invalid_client_metadata")
	},
	"userinfo-rs256": func(d *dynamic) {
		c := d.registers(map[string]any{"userinfo_signed_response_alg": "RS256"})
		tokens := d.gets(c, d.goes(c, nil))
		answer, body := raw(d.T, d.w, http.MethodGet, d.conf["userinfo_endpoint"].(string), "", "Authorization", "Bearer "+tokens.Access)
		if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "application/jwt" {
			d.Fatalf("userinfo: %s %s", answer.Status, answer.Header.Get("Content-Type"))
		}
		keySet := oidc.NewRemoteKeySet(oidc.ClientContext(d.Context(), d.p.http), d.conf["jwks_uri"].(string))
		payload := must(keySet.VerifySignature(oidc.ClientContext(d.Context(), d.p.http), body))(d.T)
		var claims map[string]any
		if err := json.Unmarshal(payload, &claims); err != nil || claims["iss"] != d.w.Issuer() || claims["aud"] != c.ID || claims["sub"] != tokens.Claims()["sub"] {
			d.Errorf("%s", payload)
		}
	},
	"redirect-uri-query-OK": func(d *dynamic) {
		c := d.registers(map[string]any{"redirect_uris": []string{d.home("/callback?foo=bar")}})
		if got := d.consents(c, d.opens(c.Party, nil)); got.Get("foo") != "bar" || got.Get("code") == "" {
			d.Errorf("%v", got)
		}
	},
	"redirect-uri-query-added": func(d *dynamic) {
		d.page(d.registers(nil).Party, url.Values{"redirect_uri": {d.home("/callback?foo=bar")}})
	},
	"redirect-uri-query-mismatch": func(d *dynamic) {
		c := d.registers(map[string]any{"redirect_uris": []string{d.home("/callback?foo=bar")}})
		d.page(c.Party, url.Values{"redirect_uri": {d.home("/callback?bar=foo")}})
	},
	"redirect-uri-regfrag": func(d *dynamic) {
		d.refusedAs(d.sends(map[string]any{"redirect_uris": []string{d.home("/callback#foo")}}), "invalid_redirect_uri")
	},
	"registration-logo-uri":   shows("logo_uri", ""),
	"registration-policy-uri": shows("policy_uri", "service-policy"),
	"registration-tos-uri":    shows("tos_uri", "service-terms"),
	"registration-jwks-uri": func(d *dynamic) {
		d.served.Store("/keys", d.key.JWKS())
		c := d.registers(map[string]any{"jwks": nil, "jwks_uri": d.home("/keys")})
		d.gets(c, d.goes(c, nil))
	},
	"registration-sector-uri": func(d *dynamic) {
		d.served.Store("/sector", must(json.Marshal([]string{d.home("/callback"), "https://third.example/callback"}))(d.T))
		c := d.registers(map[string]any{"subject_type": "pairwise", "sector_identifier_uri": d.home("/sector")})
		tokens := d.gets(c, d.goes(c, nil))
		if sub := tokens.Claims()["sub"]; sub == string(d.who.ID) || sub == nil {
			d.Errorf("sub %v", sub)
		}
	},
	"registration-sector-bad": func(d *dynamic) {
		d.served.Store("/sector-bad", []byte(`["https://third.example/callback"]`))
		d.refusedAs(d.sends(map[string]any{"subject_type": "pairwise", "sector_identifier_uri": d.home("/sector-bad")}), "invalid_client_metadata")
	},
	"request-uri-signed-rs256": func(d *dynamic) {
		c, page := d.requestURI(func(_ *prover, claims map[string]any) string { return d.key.RequestObject(claims) })
		got := d.consents(c, page)
		if got.Get("code") == "" {
			d.Fatalf("%v", got)
		}
		d.gets(c, got.Get("code"))
	},
	"request-uri-unsigned": func(d *dynamic) {
		c, page := d.requestURI(func(_ *prover, claims map[string]any) string { return sign(`{"alg":"none"}`, d.key.Sign(nil, claims)) })
		if got := d.answered(c.Party, page); got.Get("error") != "invalid_request_object" || got.Has("code") {
			d.Errorf("%v", got)
		}
	},
	"refresh-token": func(d *dynamic) {
		c := d.registers(nil)
		tokens := d.gets(c, d.goes(c, url.Values{"scope": {"openid offline_access"}, "prompt": {"consent"}}))
		d.tokens(c, d.renew(c, tokens.Refresh, forTokens(d)), "")
	},
	"refresh-token-rp-key-rotation": func(d *dynamic) {
		d.served.Store("/turning", d.key.JWKS())
		c := d.registers(map[string]any{"jwks": nil, "jwks_uri": d.home("/turning")})
		tokens := d.gets(c, d.goes(c, url.Values{"scope": {"openid offline_access"}, "prompt": {"consent"}}))
		newer := clientjwttest.New(d.T, "RS256")
		d.served.Store("/turning", newer.JWKS())
		c.key = newer
		d.w.Clock.Advance(61 * time.Second)
		d.tokens(c, d.renew(c, tokens.Refresh, forTokens(d)), "")
	},
}
