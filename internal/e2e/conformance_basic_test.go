package e2e

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// TestConformanceConfig is oidcc-config-certification-test-plan.
func TestConformanceConfig(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		s := newSuite(t, w)
		if s.conf["issuer"] != w.Issuer() {
			t.Errorf("issuer %v", s.conf["issuer"])
		}
		for name, value := range s.conf {
			if endpoint := strings.HasSuffix(name, "_endpoint") || name == "jwks_uri"; endpoint && !strings.HasPrefix(value.(string), "https://") {
				t.Errorf("%s: %v", name, value)
			}
			if list, ok := value.([]any); ok && (len(list) == 0 || duplicates(list)) {
				t.Errorf("%s: %v", name, list)
			}
		}
		for name, member := range map[string]string{"subject_types_supported": "public", "response_types_supported": "code", "id_token_signing_alg_values_supported": "RS256",
			"scopes_supported": "openid", "claims_supported": "sub", "request_object_signing_alg_values_supported": "RS256", "code_challenge_methods_supported": "S256",
			"ui_locales_supported": "fi", "grant_types_supported": "refresh_token"} {
			if list, _ := s.conf[name].([]any); !slices.Contains(list, any(member)) {
				t.Errorf("%s lacks %s: %v", name, member, s.conf[name])
			}
		}
		for _, alg := range s.conf["request_object_signing_alg_values_supported"].([]any) {
			if alg == "none" {
				t.Error("unsigned request objects are offered")
			}
		}
		answer, body := raw(t, w, http.MethodGet, s.conf["jwks_uri"].(string), "")
		var set struct{ Keys []map[string]any }
		if err := json.Unmarshal([]byte(body), &set); err != nil || answer.StatusCode != http.StatusOK || len(set.Keys) == 0 {
			t.Fatalf("JWKS: %s %s %v", answer.Status, body, err)
		}
		seen := map[any]bool{}
		for _, key := range set.Keys {
			if kid := key["kid"]; kid == nil || kid == "" || seen[kid] {
				t.Errorf("kid %v", kid)
			} else {
				seen[kid] = true
			}
			for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k"} {
				if _, there := key[private]; there {
					t.Errorf("%v holds a private part %s", key["kid"], private)
				}
			}
		}
	})
}

func duplicates(list []any) bool {
	seen := map[any]bool{}
	for _, v := range list {
		if seen[v] {
			return true
		}
		seen[v] = true
	}
	return false
}

// TestConformanceBasic is oidcc-basic-certification-test-plan, static_client.
func TestConformanceBasic(t *testing.T) {
	Each(t, func(t *testing.T, w *World) { runModules(t, newSuite(t, w), basic) })
}

// TestConformanceFormPost is oidcc-formpost-basic-certification-test-plan.
func TestConformanceFormPost(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		s := newSuite(t, w)
		s.mode = "form_post"
		runModules(t, s, basic)
	})
}

var profileClaims = []string{"name", "family_name", "given_name", "middle_name", "nickname", "preferred_username", "profile", "picture", "website", "gender",
	"birthdate", "zoneinfo", "locale", "updated_at"}

var claimsOfScope = map[string][]string{"profile": profileClaims, "email": {"email", "email_verified"}, "address": {"address"}, "phone": {"phone_number", "phone_number_verified"}}

// scope is oidcc-scope-*: every claim of the scope at userinfo, of the right type,
// and none of another.
func scope(names ...string) func(s *suite) {
	return func(s *suite) {
		tokens, id := s.flow(s.p, url.Values{"scope": {"openid " + strings.Join(names, " ")}})
		claims := s.userinfo(s.p, "GET", tokens, id["sub"])
		for of, list := range claimsOfScope {
			for _, claim := range list {
				if _, there := claims[claim]; there != slices.Contains(names, of) {
					s.Errorf("%s: %v, scope %v", claim, claims[claim], names)
				}
			}
		}
		for claim, value := range claims {
			kind := map[string]string{"updated_at": "float64", "email_verified": "bool", "phone_number_verified": "bool", "address": "map[string]interface {}"}[claim]
			if kind == "" {
				kind = "string"
			}
			if !is(value, kind) {
				s.Errorf("%s is %T", claim, value)
			}
		}
		if address, ok := claims["address"].(map[string]any); ok {
			for _, member := range []string{"formatted", "street_address", "locality", "region", "postal_code", "country"} {
				if !is(address[member], "string") {
					s.Errorf("address.%s: %v", member, address[member])
				}
			}
		}
	}
}

// accepts is a request with parameters that may be used or ignored, and are never
// an error.
func accepts(extra url.Values) func(s *suite) {
	return func(s *suite) { s.flow(s.p, extra) }
}

// again is a second authorization in the same browser; asked tells whether the
// sign-in pages must come up.
func (s *suite) again(asked bool, extra url.Values) (before, after map[string]any) {
	s.Helper()
	_, before = s.flow(s.p, nil)
	s.w.Clock.Advance(2 * time.Second)
	times := s.signedIn
	_, after = s.flow(s.p, extra)
	if (s.signedIn > times) != asked {
		s.Errorf("signed in again: %v", !asked)
	}
	if before["sub"] != after["sub"] {
		s.Errorf("sub %v became %v", before["sub"], after["sub"])
	}
	if newer := after["auth_time"].(float64) > before["auth_time"].(float64); newer != asked {
		s.Errorf("auth_time %v became %v", before["auth_time"], after["auth_time"])
	}
	return before, after
}

var basic = map[string]func(s *suite){
	"oidcc-server": func(s *suite) { s.flow(s.p, nil) },
	"oidcc-response-type-missing": func(s *suite) {
		s.refused(s.p, url.Values{"response_type": nil}, "invalid_request", "unsupported_response_type")
	},
	"oidcc-userinfo-get": func(s *suite) {
		tokens, id := s.flow(s.p, nil)
		s.userinfo(s.p, "GET", tokens, id["sub"])
	},
	"oidcc-userinfo-post-header": func(s *suite) {
		tokens, id := s.flow(s.p, nil)
		s.userinfo(s.p, "POST", tokens, id["sub"])
	},
	"oidcc-userinfo-post-body": func(s *suite) {
		tokens, id := s.flow(s.p, nil)
		s.userinfo(s.p, "form", tokens, id["sub"])
	},
	"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": accepts(url.Values{"nonce": nil}),
	"oidcc-scope-profile":                     scope("profile"),
	"oidcc-scope-email":                       scope("email"),
	"oidcc-scope-address":                     scope("address"),
	"oidcc-scope-phone":                       scope("phone"),
	"oidcc-scope-all":                         scope("profile", "email", "address", "phone"),
	"oidcc-display-page":                      accepts(url.Values{"display": {"page"}}),
	"oidcc-display-popup":                     accepts(url.Values{"display": {"popup"}}),
	"oidcc-ui-locales":                        accepts(url.Values{"ui_locales": {"se no-NB xx"}}),
	"oidcc-claims-locales":                    accepts(url.Values{"claims_locales": {"se xx"}}),
	"oidcc-login-hint":                        accepts(url.Values{"login_hint": {"buffy@example.com"}}),
	"oidcc-unknown-parameter":                 accepts(url.Values{"extra": {"foobar"}}),
	"oidcc-ensure-other-scope-order-succeeds": accepts(url.Values{"scope": {"email openid"}}),
	"oidcc-alternate-happy-flow": func(s *suite) {
		_, first := s.flow(s.p, nil)
		_, second := s.flow(s.q, nil)
		if first["sub"] != second["sub"] || s.signedIn != 1 {
			s.Errorf("%v, %v after %d sign-ins", first["sub"], second["sub"], s.signedIn)
		}
	},
	"oidcc-prompt-login": func(s *suite) { s.again(true, url.Values{"prompt": {"login"}}) },
	"oidcc-prompt-none-not-logged-in": func(s *suite) {
		s.refused(s.p, url.Values{"prompt": {"none"}, "state": {strings.Repeat("1234567890abcdef", 8)}}, "login_required")
	},
	"oidcc-prompt-none-logged-in": func(s *suite) { s.again(false, url.Values{"prompt": {"none"}}) },
	"oidcc-id-token-hint": func(s *suite) {
		first, id := s.flow(s.p, nil)
		_, second := s.flow(s.p, url.Values{"prompt": {"none"}, "id_token_hint": {first.ID}})
		if second["sub"] != id["sub"] || second["auth_time"] != id["auth_time"] {
			s.Errorf("%v became %v", id, second)
		}
		s.refused(s.p, url.Values{"prompt": {"none"}, "id_token_hint": {first.ID + "x"}}, "login_required")
	},
	"oidcc-max-age-1":     func(s *suite) { s.again(true, url.Values{"max_age": {"1"}}) },
	"oidcc-max-age-10000": func(s *suite) { s.again(false, url.Values{"max_age": {"10000"}}) },
	"oidcc-max-age-0":     func(s *suite) { s.again(true, url.Values{"max_age": {"0"}}) }, // not theirs: standards.md 6
	"oidcc-ensure-request-with-acr-values-succeeds": func(s *suite) {
		var values []string
		for _, v := range s.conf["acr_values_supported"].([]any) {
			values = append(values, v.(string))
		}
		_, id := s.flow(s.p, url.Values{"acr_values": {strings.Join(values, " ")}})
		if !slices.Contains(values, id["acr"].(string)) {
			s.Errorf("acr %v is not one of %v", id["acr"], values)
		}
	},
	"oidcc-codereuse":           func(s *suite) { s.reuse(0) },
	"oidcc-codereuse-30seconds": func(s *suite) { s.reuse(30 * time.Second) },
	"oidcc-ensure-registered-redirect-uri": func(s *suite) {
		s.page(s.p, url.Values{"redirect_uri": {s.p.Redirect + "/other"}})
		s.page(s.p, url.Values{"redirect_uri": {s.p.Redirect + "?foo=bar"}}) // oidcc-redirect-uri-query-added
		s.page(s.p, url.Values{"redirect_uri": nil})
		s.page(s.p, url.Values{"client_id": {"nobody"}})
	},
	"oidcc-ensure-post-request-succeeds": func(s *suite) {
		page := s.v.Post(s.conf["authorization_endpoint"].(string), "cross-site", must(url.Parse(s.p.URL(s.params(nil))))(s.T).Query())
		got := s.answered(s.p, s.who.SignIn(page))
		s.redeems(s.p, got.Get("code"), nil)
	},
	"oidcc-server-client-secret-post": func(s *suite) {
		got := s.authorizes(s.post, nil)
		secret := s.post.Secret
		s.post.Secret = ""
		defer func() { s.post.Secret = secret }()
		tokens := must(s.post.Redeem(got.Get("code"), url.Values{"code_verifier": nil, "client_secret": {secret}}))(s.T)
		if tokens.Status != http.StatusOK {
			s.Fatalf("%+v", tokens)
		}
		s.idToken(s.post, tokens, "nonce-"+s.post.ID)
	},
	"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": func(s *suite) {
		s.refused(s.p, url.Values{"request": {"eyJhbGciOiJub25lIn0.eyJpc3MiOiJvdGhlciJ9."}}, "request_not_supported")
		s.refused(s.p, url.Values{"request_uri": {"https://other.example/r.jwt"}}, "request_uri_not_supported")
	},
	"oidcc-claims-essential": func(s *suite) {
		tokens, id := s.flow(s.p, url.Values{"claims": {`{"userinfo":{"name":{"essential":true}}}`}})
		claims := s.userinfo(s.p, "GET", tokens, id["sub"])
		if claims["name"] != "Conny Formance" || claims["email"] != nil {
			s.Errorf("%v", claims)
		}
	},
	"oidcc-refresh-token": refreshToken,
	"oidcc-ensure-request-with-valid-pkce-succeeds": func(s *suite) {
		got := s.authorizes(s.p, url.Values{"code_challenge": {s.p.Challenge()}, "code_challenge_method": {"S256"}})
		if tokens := must(s.p.Redeem(got.Get("code"), nil))(s.T); tokens.Status != http.StatusOK {
			s.Errorf("%+v", tokens)
		}
	},
}

// reuse is oidcc-codereuse: the second use is refused, and what the first one
// brought is dead.
func (s *suite) reuse(after time.Duration) {
	s.Helper()
	got := s.authorizes(s.p, nil)
	tokens, _ := s.redeems(s.p, got.Get("code"), nil)
	s.w.Clock.Advance(after)
	if second := must(s.p.Redeem(got.Get("code"), url.Values{"code_verifier": nil}))(s.T); second.Status != http.StatusBadRequest || second.Error != "invalid_grant" {
		s.Errorf("the second use: %+v", second)
	}
	if s.p.alive(tokens.Access) {
		s.Error("the access token outlived the replay of its code")
	}
}

// refreshToken is oidcc-refresh-token.
func refreshToken(s *suite) {
	tokens, id := s.flow(s.p, url.Values{"scope": {"openid offline_access"}, "prompt": {"consent"}})
	if tokens.Refresh == "" {
		s.Fatalf("no refresh token: %+v", tokens)
	}
	foreign, _ := s.flow(s.q, url.Values{"scope": {"openid offline_access"}, "prompt": {"consent"}})
	if got := must(s.p.Renew(foreign.Refresh))(s.T); got.Status != http.StatusBadRequest || got.Error != "invalid_grant" {
		s.Errorf("another client's refresh token: %+v", got)
	}
	s.w.Clock.Advance(2 * time.Second)
	renewed := must(s.p.Renew(tokens.Refresh))(s.T)
	if renewed.Status != http.StatusOK || renewed.Access == tokens.Access {
		s.Fatalf("%+v", renewed)
	}
	after := s.idToken(s.p, renewed, "")
	for _, claim := range []string{"iss", "sub", "aud", "azp", "auth_time", "acr", "sid"} {
		if !equalClaim(id[claim], after[claim]) {
			s.Errorf("%s: %v became %v", claim, id[claim], after[claim])
		}
	}
	if after["iat"].(float64) <= id["iat"].(float64) {
		s.Errorf("iat %v became %v", id["iat"], after["iat"])
	}
	answer, _ := raw(s.T, s.w, http.MethodPost, s.conf["token_endpoint"].(string), "grant_type=refresh_token&refresh_token=x")
	if answer.Header.Get("Cache-Control") != "no-store" {
		s.Errorf("Cache-Control %q", answer.Header.Get("Cache-Control"))
	}
}

// TestConformanceTestPlan is what oidcc-test-plan has more than the basic one.
func TestConformanceTestPlan(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		runModules(t, newSuite(t, w), map[string]func(s *suite){
			"oidcc-redirect-uri-query-OK": func(s *suite) {
				p := w.Party("other4", func(c *openid.Client) {
					c.RequirePKCE, c.Algorithm, c.RedirectURIs = false, "RS256", []string{c.RedirectURIs[0] + "?dummy1=lorem&dummy2=ipsum"}
				})
				got := s.authorizes(p, nil)
				if got.Get("dummy1") != "lorem" || got.Get("dummy2") != "ipsum" || got.Get("code") == "" {
					s.Errorf("%v", got)
				}
				s.page(p, url.Values{"redirect_uri": {strings.Replace(p.Redirect, "lorem", "ipsum", 1)}}) // -mismatch
			},
			"oidcc-server-rotate-keys": func(s *suite) {
				kids := func() map[string]bool {
					_, body := raw(s.T, w, http.MethodGet, s.conf["jwks_uri"].(string), "")
					var set struct{ Keys []struct{ Kid string } }
					if err := json.Unmarshal([]byte(body), &set); err != nil {
						s.Fatal(err)
					}
					found := map[string]bool{}
					for _, k := range set.Keys {
						found[k.Kid] = true
					}
					return found
				}
				before := kids()
				master := must(keys.ReadMaster(strings.NewReader(w.Master)))(s.T)
				ring := must(keys.OpenRing(s.Context(), w.Replicas[0].Store.Keys(), master, keys.Options{Kinds: []keys.Kind{keys.RSA2048, keys.P256}, Now: w.Clock.Now}))(s.T)
				must(ring.Prepare(s.Context(), keys.RSA2048))(s.T)
				eventually(s.T, "every replica publishes the new key", func() bool {
					for range w.Replicas { // they answer by turns
						if len(kids()) <= len(before) {
							return false
						}
					}
					return true
				})
				for kid := range maps.Keys(before) {
					if !kids()[kid] {
						s.Errorf("the old key %s is gone", kid)
					}
				}
			},
		})
	})
}
