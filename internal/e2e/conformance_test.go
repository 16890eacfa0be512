package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// The modules of the OpenID Foundation's plans, each under its name there, against
// a running provider. The suite itself is pointed at Portti by deploy/conformance.
//
//	conformance_test.go         suite: what every module has at hand
//	conformance_basic_test.go   Config OP, Basic OP, and Form Post OP: the same with another response mode
//	conformance_logout_test.go  RP-initiated, back-channel and front-channel logout
//	conformance_fapi_test.go    FAPI 2.0 Security Profile: what its modules have at hand, fapi_flow and fapi_proofs the modules
//	conformance_dynamic_test.go Dynamic OP

// suite is one module's run: a browser with nothing in it, two clients, a third
// with client_secret_post, and a person with every claim.
type suite struct {
	*testing.T
	w          *World
	v          *Visitor
	who        *Employee
	p, q, post *Party
	algs       []string // of ID tokens; none: RS256
	mode       string   // response_mode that every request has; "" for none
	conf       map[string]any
	signedIn   int // how often the sign-in pages were met
}

// runModules runs them one after the other, by name.
func runModules(t *testing.T, s suite, all map[string]func(s *suite)) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) {
			whole := s.w.T
			s.w.T = t // what a page lacks ends the module, not all of them
			defer func() { s.w.T = whole }()
			run := s
			run.T, run.v = t, s.w.Visitor()
			all[name](&run)
		})
	}
}

// newSuite registers the clients and the person.
func newSuite(t *testing.T, w *World) suite {
	t.Helper()
	static := func(c *openid.Client) {
		c.Algorithm, c.RequirePKCE = "RS256", false
		c.Scopes = []string{"openid", "profile", "email", "address", "phone", "offline_access"}
	}
	s := suite{T: t, w: w, who: w.Settled("conny.formance", "kuntala", identity.MethodApp)}
	s.p, s.q = w.Party("other", static), w.Party("other2", static)
	s.post = w.Party("other3", static, func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	_, err := w.Replicas[0].Directory.ChangeUser(t.Context(), operator, s.who.ID, func(u *identity.User) { u.Claims = everyClaim })
	if err != nil {
		t.Fatal(err)
	}
	answer, body := raw(t, w, http.MethodGet, w.Issuer()+openid.ConfigPath, "")
	if err := json.Unmarshal([]byte(body), &s.conf); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("discovery: %s: %v", answer.Status, err)
	}
	return s
}

var everyClaim = identity.Claims{MiddleName: "Testi", Nickname: "Tessa", Profile: "https://agency.example/people/conny", Picture: "https://agency.example/people/conny.png",
	Website: "https://conny.example/", Gender: "female", Birthdate: "1980-02-29", Zoneinfo: "Europe/Helsinki", EmailVerified: true, Phone: "+358401234567",
	Address: identity.Address{Formatted: "Koekatu 1\n00100 Helsinki", Street: "Koekatu 1", Locality: "Helsinki", Region: "Uusimaa", PostalCode: "00100", Country: "Finland"}}

// params is what a module sends, without PKCE, as the plans of OpenID Connect do.
func (s *suite) params(extra url.Values) url.Values {
	base := url.Values{"code_challenge": nil, "code_challenge_method": nil, "scope": {"openid"}}
	if s.mode != "" {
		base.Set("response_mode", s.mode)
	}
	maps.Copy(base, extra) // an empty list stays: URL takes the parameter out then
	return base
}

// opens goes to the authorization endpoint and returns what is shown there.
func (s *suite) opens(p *Party, extra url.Values) *Page { return s.v.Open(p.URL(s.params(extra))) }

// authorizes goes there, signs in where the pages ask for it, and returns what the
// client is sent.
func (s *suite) authorizes(p *Party, extra url.Values) url.Values {
	s.Helper()
	page := s.opens(p, extra)
	if page.Has("login-submit") {
		s.signedIn++
		page = s.who.SignIn(page)
	}
	return s.answered(p, page)
}

// answered is the authorization response, which must come in the mode that was
// asked for (Form Post OP: CheckCallbackHttpMethodIsPost).
func (s *suite) answered(p *Party, page *Page) url.Values {
	s.Helper()
	var got url.Values
	if s.mode == "form_post" {
		form := page.find(func(n *html.Node) bool { return n.Data == "form" })
		if form == nil || attr(form, "action") != p.Redirect || attr(form, "method") != "post" || page.find(func(n *html.Node) bool { return n.Data == "noscript" }) == nil {
			s.Fatalf("no form for %s but %s:\n%s", p.Redirect, page, page.Body)
		}
		if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "script-src 'sha256-") || !strings.Contains(policy, "form-action") {
			s.Errorf("the policy of the page: %s", policy)
		}
		got = controls(form)
	} else {
		got = p.Answer(page)
	}
	if got.Get("iss") != s.w.Issuer() {
		s.Errorf("iss %q (RFC 9207)", got.Get("iss"))
	}
	return got
}

// refused is an authorization that must end in one of these errors at the client.
func (s *suite) refused(p *Party, extra url.Values, codes ...string) {
	s.Helper()
	got := s.answered(p, s.opens(p, extra))
	if !slices.Contains(codes, got.Get("error")) || got.Has("code") {
		s.Errorf("%v, want one of %v", got, codes)
	}
	want := "state-" + p.ID
	if values, ok := extra["state"]; ok {
		want = strings.Join(values, "")
	}
	if got.Get("state") != want {
		s.Errorf("state %q", got.Get("state"))
	}
	if !grammar.MatchString(got.Get("error_description")) {
		s.Errorf("error_description %q", got.Get("error_description"))
	}
}

// page wants an error page of ours, which tells the client nothing.
func (s *suite) page(p *Party, extra url.Values) {
	s.Helper()
	page := s.opens(p, extra).Must("oauth-error")
	if page.Status < 400 || page.URL.Host != must(url.Parse(s.w.Issuer()))(s.T).Host {
		s.Errorf("not an error page of the provider: %s", page)
	}
}

// flow is a whole code flow: tokens whose ID token was checked.
func (s *suite) flow(p *Party, extra url.Values) (Tokens, map[string]any) {
	s.Helper()
	got := s.authorizes(p, extra)
	if got.Get("code") == "" || got.Get("state") != "state-"+p.ID {
		s.Fatalf("the authorization response: %v", got)
	}
	return s.redeems(p, got.Get("code"), extra)
}

func (s *suite) redeems(p *Party, code string, extra url.Values) (Tokens, map[string]any) {
	s.Helper()
	if len(code) < 22 { // 128 bits
		s.Errorf("a code of %d characters can be guessed", len(code))
	}
	tokens := must(p.Redeem(code, url.Values{"code_verifier": nil}))(s.T)
	if tokens.Status != http.StatusOK || tokens.Seconds <= 0 || tokens.Access == "" || len(tokens.Access) < 22 {
		s.Fatalf("tokens: %+v", tokens)
	}
	nonce := "nonce-" + p.ID
	if values, ok := extra["nonce"]; ok {
		nonce = strings.Join(values, "")
	}
	return tokens, s.idToken(p, tokens, nonce)
}

// requested is what an ID token may hold when nothing was asked for; more is a
// warning of the suite.
var requested = []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "azp", "at_hash", "sid"}

// idToken verifies an ID token as a client of others does.
func (s *suite) idToken(p *Party, tokens Tokens, nonce string) map[string]any {
	s.Helper()
	ctx := oidc.ClientContext(s.Context(), p.http)
	keys := oidc.NewRemoteKeySet(ctx, s.conf["jwks_uri"].(string))
	algs := s.algs
	if algs == nil {
		algs = []string{"RS256"}
	}
	verified, err := oidc.NewVerifier(s.w.Issuer(), keys, &oidc.Config{ClientID: p.ID, Now: s.w.Clock.Now, SupportedSigningAlgs: algs}).Verify(ctx, tokens.ID)
	if err != nil {
		s.Fatalf("ID token: %v", err)
	}
	if err := verified.VerifyAccessToken(tokens.Access); err != nil {
		s.Errorf("at_hash: %v", err)
	}
	var claims map[string]any
	if err := verified.Claims(&claims); err != nil {
		s.Fatal(err)
	}
	if verified.Nonce != nonce {
		s.Errorf("nonce %q, want %q", verified.Nonce, nonce)
	}
	if _, there := claims["nonce"]; there && nonce == "" {
		s.Error("a nonce that nobody sent")
	}
	for name := range claims {
		if !slices.Contains(requested, name) {
			s.Errorf("the ID token holds %s, which nobody asked for", name)
		}
	}
	if now := s.w.Clock.Now(); verified.IssuedAt.After(now.Add(time.Second)) || verified.IssuedAt.Before(now.Add(-time.Minute)) {
		s.Errorf("iat %s", verified.IssuedAt)
	}
	return claims
}

// userinfo asks in one of the ways of RFC 6750 §2 and wants the ID token's sub.
func (s *suite) userinfo(p *Party, way string, tokens Tokens, sub any) map[string]any {
	s.Helper()
	method, body := http.MethodGet, ""
	if way != "GET" {
		method = http.MethodPost
	}
	if way == "form" {
		body = url.Values{"access_token": {tokens.Access}}.Encode()
	}
	r := must(http.NewRequest(method, s.conf["userinfo_endpoint"].(string), strings.NewReader(body)))(s.T)
	if way == "form" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r.Header.Set("Authorization", "Bearer "+tokens.Access)
	}
	answer := must(p.http.Do(r))(s.T)
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	text := must(io.ReadAll(answer.Body))(s.T)
	var claims map[string]any
	if err := json.Unmarshal(text, &claims); err != nil || answer.StatusCode != http.StatusOK || !strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
		s.Fatalf("userinfo by %s: %s %s %v", way, answer.Status, text, err)
	}
	if claims["sub"] != sub || sub == nil {
		s.Errorf("sub %v, want %v", claims["sub"], sub)
	}
	for name, value := range claims {
		if value == "" || value == nil {
			s.Errorf("userinfo: %s is empty", name)
		}
	}
	return claims
}

// is tells the type of a claim, as the suite checks it.
func is(value any, kind string) bool { return fmt.Sprintf("%T", value) == kind }
