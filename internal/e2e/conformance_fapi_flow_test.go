package e2e

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/dpop"
)

// goes is a flow with something unusual in the request, which must work.
func goes(extra url.Values) func(f *fapi) {
	return func(f *fapi) {
		tokens := f.whole(f.first, extra)
		f.open("the flow", f.uses(f.first, tokens.Access))
	}
}

// unwanted is a request that must be refused as it is pushed.
func unwanted(extra url.Values, codes ...string) func(f *fapi) {
	return func(f *fapi) { f.refuses("the pushed request", f.push(f.first, extra), codes...) }
}

// visible is what the end user is shown when the client may not be told.
func (f *fapi) visible(page *Page) {
	f.Helper()
	page.Must("oauth-error")
	if page.Status < 400 || page.URL.Host != must(url.Parse(f.w.Issuer()))(f.T).Host {
		f.Errorf("not an error page of the provider: %s", page)
	}
}

// fapiFlow are the modules of every variant with a person, by what follows
// fapi2-security-profile-final- in their names.
var fapiFlow = map[string]func(f *fapi){
	"discovery-end-point-verification": fapiDiscovery,
	"happy-flow": func(f *fapi) {
		for _, c := range []*prover{f.first, f.second} {
			tokens := f.whole(c, nil)
			f.open("the token", f.uses(c, tokens.Access))
			f.shut("the token in the address", f.uses(c, tokens.Access, func(k *call) {
				k.address += "?access_token=" + tokens.Access
				k.header.Del("Authorization")
			}))
			f.v = f.w.Visitor()
		}
		if f.signedIn != 2 {
			f.Errorf("signed in %d times in two browsers", f.signedIn)
		}
	},
	"user-rejects-authentication": func(f *fapi) {
		for _, c := range []*prover{f.first, f.second} {
			got := f.answered(c.Party, f.visit(c, f.pushed(c, nil), nil).Must("login-cancel").Press("login-cancel"))
			if got.Get("error") != "access_denied" || got.Get("state") != "state-"+c.ID || got.Has("code") || !grammar.MatchString(got.Get("error_description")) {
				f.Errorf("%v", got)
			}
		}
	},
	"ensure-authorization-request-without-state-success":      goes(url.Values{"state": nil}),
	"ensure-authorization-request-without-nonce-success":      goes(url.Values{"nonce": nil}),
	"ensure-authorization-request-with-64-char-nonce-success": goes(url.Values{"nonce": {strings.Repeat("0aZ-_.~9", 8)}}),
	"ensure-authorization-request-with-long-nonce":            goes(url.Values{"nonce": {strings.Repeat("nonce!", 64)}}),
	"ensure-authorization-request-with-long-state":            goes(url.Values{"state": {strings.Repeat("state+/=~ ", 100)}}),
	"ensure-other-scope-order-succeeds":                       goes(url.Values{"scope": {"profile openid"}}),
	"test-claims-parameter-identity-claims":                   identityClaims,
	"access-token-type-header-case-sensitivity":               schemeInAnyCase,

	// What stands beside a request_uri does not count (RFC 9126 §4).
	"ensure-different-nonce-inside-and-outside-request-object": func(f *fapi) { f.beside(url.Values{"nonce": {"other"}}) },
	"ensure-different-state-inside-and-outside-request-object": func(f *fapi) { f.beside(url.Values{"state": {"other"}}) },
	"state-only-outside-request-object-not-used": func(f *fapi) {
		got := f.back(f.first, f.visit(f.first, f.pushed(f.first, url.Values{"state": nil}), url.Values{"state": {"outside"}}))
		if got.Has("state") || got.Get("code") == "" {
			f.Errorf("%v", got)
		}
	},
	"par-without-duplicate-parameters": goes(nil), // client_id and request_uri alone

	"ensure-request-object-without-redirect-uri-fails": unwanted(url.Values{"redirect_uri": nil}, "invalid_request"),
	"ensure-redirect-uri-in-authorization-request":     unwanted(url.Values{"redirect_uri": nil}, "invalid_request"),
	"ensure-registered-redirect-uri":                   unwanted(url.Values{"redirect_uri": {"https://other.localhost/callback/more"}}, "invalid_request"),
	"plain-fapi-tolerate-unregistered-redirect-uri":    unwanted(url.Values{"redirect_uri": {"https://evil.example/callback"}}, "invalid_request"),
	"ensure-response-type-code-idtoken-fails":          unwanted(url.Values{"response_type": {"code id_token"}}, "unsupported_response_type"),
	"ensure-response-type-token-fails":                 unwanted(url.Values{"response_type": {"token"}}, "unsupported_response_type"),
	"par-ensure-pkce-required":                         unwanted(url.Values{"code_challenge": nil, "code_challenge_method": nil}, "invalid_request"),
	"par-authorization-request-containing-request_uri-form-param": func(f *fapi) {
		f.refuses("a request_uri of ours inside", f.push(f.first, url.Values{"request_uri": {f.pushed(f.first, nil)}}), "invalid_request")
		f.refuses("another's inside", f.push(f.first, url.Values{"request_uri": {"https://other.localhost/request"}}), "invalid_request")
	},
	"par-plain-pkce-rejected": func(f *fapi) {
		f.refuses("plain", f.push(f.first, url.Values{"code_challenge": {f.first.Verifier}, "code_challenge_method": {"plain"}}), "invalid_request")
		f.refuses("no method", f.push(f.first, url.Values{"code_challenge_method": nil}), "invalid_request")
	},
	"ensure-unsigned-authorization-request-without-using-par-fails": func(f *fapi) {
		f.refused(f.first.Party, url.Values{"code_challenge": {f.first.Challenge()}, "code_challenge_method": {"S256"}}, "invalid_request")
		f.visible(f.v.Open(f.first.URL(url.Values{"redirect_uri": nil})))
	},
	"par-attempt-invalid-http-method": func(f *fapi) {
		for _, method := range []string{http.MethodPut, http.MethodGet, http.MethodDelete, http.MethodPatch} {
			k := f.call(f.first, http.MethodPost, f.at(f.first, "pushed_authorization_request_endpoint"), f.request(f.first, nil))
			k.method = method
			if got := f.once(k); got.Status != http.StatusMethodNotAllowed || got.Header.Get("Allow") != "POST" {
				f.Errorf("%s: %d, Allow %q", method, got.Status, got.Header.Get("Allow"))
			}
		}
	},
	"par-ensure-reused-request-uri-prior-to-auth-completion-succeeds": func(f *fapi) {
		uri := f.pushed(f.first, nil)
		f.visit(f.first, uri, nil).Must("login-submit")
		got := f.back(f.first, f.visit(f.first, uri, nil))
		f.tokens(f.first, f.redeem(f.first, got.Get("code"), nil), "nonce-"+f.first.ID)
	},
	"par-attempt-reuse-request_uri": func(f *fapi) {
		uri := f.pushed(f.first, nil)
		if got := f.back(f.first, f.visit(f.first, uri, nil)); got.Get("code") == "" {
			f.Fatalf("%v", got)
		}
		f.visible(f.visit(f.first, uri, nil))
		f.v = f.w.Visitor() // nobody is signed in here
		f.visible(f.visit(f.first, uri, nil))
	},
	"par-attempt-to-use-expired-request_uri": func(f *fapi) {
		uri := f.pushed(f.first, nil)
		f.w.Clock.Advance(61 * time.Second)
		f.visible(f.visit(f.first, uri, nil))
	},
	"par-attempt-to-use-request_uri-for-different-client": func(f *fapi) {
		uri := f.pushed(f.first, nil)
		f.visible(f.visit(f.second, uri, nil))
		if got := f.back(f.first, f.visit(f.first, uri, nil)); got.Get("code") == "" {
			f.Errorf("its own client, afterwards: %v", got)
		}
	},

	"ensure-pkce-code-verifier-required": func(f *fapi) {
		f.refuses("no verifier", f.redeem(f.first, f.code(f.first, nil), url.Values{"code_verifier": nil}), "invalid_grant")
	},
	"incorrect-pkce-code-verifier-rejected": func(f *fapi) {
		code := f.code(f.first, nil)
		f.refuses("a wrong verifier", f.redeem(f.first, code, url.Values{"code_verifier": {f.second.Verifier}}), "invalid_grant")
		f.refuses("the right one, afterwards", f.redeem(f.first, code, nil), "invalid_grant")
	},
	"ensure-authorization-code-is-bound-to-client": func(f *fapi) {
		f.refuses("another client's code", f.redeem(f.second, f.code(f.first, nil), url.Values{"redirect_uri": {f.first.Redirect}, "code_verifier": {f.first.Verifier}}), "invalid_grant")
	},
	"attempt-reuse-authorization-code-after-one-second": func(f *fapi) {
		code := f.code(f.first, nil)
		tokens := f.tokens(f.first, f.redeem(f.first, code, nil), "nonce-"+f.first.ID)
		f.w.Clock.Advance(time.Second)
		f.refuses("the second use", f.redeem(f.first, code, nil), "invalid_grant")
		f.shut("what the first use brought", f.uses(f.first, tokens.Access))
	},
	"ensure-token-endpoint-fails-with-expired-auth-code": func(f *fapi) {
		code := f.code(f.first, nil)
		f.w.Clock.Advance(62 * time.Second)
		f.refuses("a code of 62 s", f.redeem(f.first, code, nil), "invalid_grant")
	},
	"ensure-client-id-in-token-endpoint": otherClientID,
	"ensure-holder-of-key-required":      holderOfKey,
	"refresh-token":                      fapiRefresh,
}

// beside puts parameters into the browser's request that differ from the pushed ones.
func (f *fapi) beside(extra url.Values) {
	f.Helper()
	got := f.back(f.first, f.visit(f.first, f.pushed(f.first, nil), extra))
	if got.Get("state") != "state-"+f.first.ID {
		f.Errorf("state %q", got.Get("state"))
	}
	f.tokens(f.first, f.redeem(f.first, got.Get("code"), nil), "nonce-"+f.first.ID)
}

// fapiDiscovery holds the metadata to FAPI 2.0 Security Profile §5.3.2.
func fapiDiscovery(f *fapi) {
	for name, members := range map[string][]string{"code_challenge_methods_supported": {"S256"}, "token_endpoint_auth_signing_alg_values_supported": {"PS256", "ES256"},
		"dpop_signing_alg_values_supported": {"PS256", "ES256"}, "grant_types_supported": {"authorization_code", "refresh_token", "client_credentials"},
		"token_endpoint_auth_methods_supported": {"private_key_jwt", "tls_client_auth", "self_signed_tls_client_auth"},
		"id_token_signing_alg_values_supported": {"PS256", "ES256"}, "response_types_supported": {"code"}, "response_modes_supported": {"query", "form_post", "jwt"}} {
		for _, member := range members {
			if list, _ := f.conf[name].([]any); !slices.Contains(list, any(member)) {
				f.Errorf("%s lacks %s: %v", name, member, f.conf[name])
			}
		}
	}
	for _, name := range []string{"authorization_response_iss_parameter_supported", "tls_client_certificate_bound_access_tokens", "claims_parameter_supported"} {
		if f.conf[name] != true {
			f.Errorf("%s: %v", name, f.conf[name])
		}
	}
	for _, alg := range slices.Concat(f.conf["dpop_signing_alg_values_supported"].([]any), f.conf["token_endpoint_auth_signing_alg_values_supported"].([]any)) {
		if name := alg.(string); name == "none" || strings.HasPrefix(name, "HS") {
			f.Errorf("%s is offered", name)
		}
	}
	aliases, _ := f.conf["mtls_endpoint_aliases"].(map[string]any)
	for _, name := range []string{"token_endpoint", "pushed_authorization_request_endpoint", "userinfo_endpoint", "introspection_endpoint", "revocation_endpoint"} {
		alias, _ := aliases[name].(string)
		if main, _ := f.conf[name].(string); !strings.HasPrefix(alias, f.w.MTLS+"/") || !strings.HasPrefix(main, f.w.Issuer()+"/") {
			f.Errorf("%s: %s, with a certificate %s", name, main, alias)
		}
	}
	if f.conf["issuer"] != f.w.Issuer() || f.conf["jwks_uri"] == nil {
		f.Errorf("%v", f.conf)
	}
}

// identityClaims asks by name for whatever claims_supported says of people.
func identityClaims(f *fapi) {
	notPeoples := []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid"}
	var names []string
	for _, c := range f.conf["claims_supported"].([]any) {
		if !slices.Contains(notPeoples, c.(string)) {
			names = append(names, c.(string))
		}
	}
	if len(names) < 19 {
		f.Errorf("claims_supported: %v", names)
	}
	asked := `{"` + strings.Join(names, `":null,"`) + `":{"essential":true}}`
	code := f.code(f.first, url.Values{"scope": {"openid"}, "claims": {`{"userinfo":` + asked + `,"id_token":` + asked + `}`}})
	got := f.redeem(f.first, code, nil)
	if got.Status != http.StatusOK {
		f.Fatalf("%d %s", got.Status, got.Body)
	}
	inToken := Tokens{ID: got.text("id_token")}.Claims()
	answer := f.uses(f.first, got.text("access_token"))
	f.open("the token", answer)
	for _, name := range names {
		if answer.JSON[name] == nil || answer.JSON[name] == "" {
			f.Errorf("userinfo lacks %s", name)
		}
		if inToken[name] == nil || inToken[name] == "" {
			f.Errorf("the ID token lacks %s", name)
		}
	}
}

// schemeInAnyCase (RFC 9110 §11.1).
func schemeInAnyCase(f *fapi) {
	tokens := f.whole(f.first, nil)
	for _, change := range []func(string) string{strings.ToLower, strings.ToUpper} {
		f.open("the scheme in another case", f.uses(f.first, tokens.Access, func(k *call) {
			scheme, token, _ := strings.Cut(k.header.Get("Authorization"), " ")
			k.header.Set("Authorization", change(scheme)+" "+token)
		}))
	}
}

// otherClientID shows the first client's proof in the second one's name.
func otherClientID(f *fapi) {
	f.refuses("the other's client_id", f.asks(f.first, func(k *call) { k.form.Set("client_id", f.second.ID) }), "invalid_client", "invalid_request")
	f.refuses("the other's name, its own key", f.asks(f.first, func(k *call) {
		k.form.Set("client_id", f.second.ID)
		if k.assertion != nil {
			k.assertion["iss"], k.assertion["sub"] = f.second.ID, f.second.ID
		}
	}), "invalid_client")
}

// holderOfKey asks for tokens without the proof of a key to bind them to.
func holderOfKey(f *fapi) {
	if f.first.dpo != nil {
		f.refuses("no DPoP proof", f.asks(f.first, noProof), "invalid_request", "invalid_grant", dpop.InvalidProof)
		return
	}
	f.refuses("no certificate", f.asks(f.first, func(k *call) { k.by = f.bare(k.by) }), "invalid_client")
	f.refuses("another's certificate", f.asks(f.first, func(k *call) { k.by = f.second }), "invalid_client")
	f.refuses("at the issuer, where no certificate is asked for", f.asks(f.first, func(k *call) { k.address = f.conf["token_endpoint"].(string) }), "invalid_client")
	tokens := f.whole(f.first, nil)
	f.shut("the token without a certificate", f.uses(f.bare(f.first), tokens.Access))
	f.shut("the token with another's certificate", f.uses(f.second, tokens.Access))
	f.open("the token with its own", f.uses(f.first, tokens.Access))
}

// bare is a client without its certificate.
func (f *fapi) bare(c *prover) *prover {
	without := *c
	without.Party = c.Showing(nil)
	return &without
}

// fapiRefresh wants refresh tokens that stay as they are, for their client alone
// (FAPI 2.0 Security Profile §5.3.2.1).
func fapiRefresh(f *fapi) {
	offline := url.Values{"scope": {"openid offline_access"}, "prompt": {"consent"}}
	tokens, others := f.whole(f.first, offline), f.whole(f.second, offline)
	if tokens.Refresh == "" || others.Refresh == "" {
		f.Fatal("no refresh token")
	}
	for range 2 {
		f.w.Clock.Advance(30 * time.Second)
		renewed := f.renew(f.first, tokens.Refresh)
		again := f.tokens(f.first, renewed, "")
		if r := renewed.text("refresh_token"); r != "" && r != tokens.Refresh {
			f.Error("the refresh token was rotated")
		}
		before, after := tokens.Claims(), again.Claims()
		for _, name := range []string{"iss", "sub", "aud", "azp", "auth_time", "acr", "sid"} {
			if !equalClaim(before[name], after[name]) {
				f.Errorf("%s: %v became %v", name, before[name], after[name])
			}
		}
		f.open("the new token", f.uses(f.first, again.Access))
	}
	f.open("the first token of the other", f.uses(f.second, others.Access))
	f.shut("the other's token with one's own key", f.uses(f.first, others.Access))
	f.refuses("the other's refresh token", f.renew(f.first, others.Refresh), "invalid_grant")
	if f.first.dpo == nil {
		f.refuses("no certificate", f.renew(f.bare(f.first), tokens.Refresh), "invalid_client")
	} else {
		f.refuses("no client authentication", f.renew(f.first, tokens.Refresh, noAssertion), "invalid_client", "invalid_request")
		f.refuses("no proof", f.renew(f.first, tokens.Refresh, noProof), "invalid_request", "invalid_grant", "invalid_client")
	}
	f.tokens(f.first, f.renew(f.first, tokens.Refresh), "")
	f.tokens(f.second, f.renew(f.second, others.Refresh), "")
}
