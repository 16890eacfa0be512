package openid_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// acrClaim is a claims parameter that asks for acr.
func acrClaim(essential bool, values ...string) string {
	acr := map[string]any{"essential": essential}
	if len(values) > 0 {
		acr["values"] = values
	}
	b, _ := json.Marshal(map[string]any{"id_token": map[string]any{"acr": acr}})
	return string(b)
}

const (
	cardACR = "urn:portti:acr:card"
	codeACR = "urn:portti:acr:pwd-otp"
)

// OpenID Connect Core §5.5.1.1: an essential acr is met, or the client hears why
// not; a voluntary one is a wish.
func TestACRAsAClaim(t *testing.T) {
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) { c.ACR.Aliases = map[string]string{"phrh": cardACR} })
	k.client("rp")
	k.client("codes", func(c *openid.Client) { c.Methods = uint8(identity.MethodApp) })
	for _, c := range []struct {
		what, client, claims, values string
		who                          session.Session // whom the page signs in
		stepUp                       bool            // an app session is not enough
		acr, err                     string
	}{
		{"essential, reached", "rp", acrClaim(true, codeACR), "", anna, false, codeACR, ""},
		{"essential card", "rp", acrClaim(true, cardACR), "", bosse, true, cardACR, ""},
		{"essential, its alias", "rp", acrClaim(true, "phrh"), "", bosse, true, "phrh", ""},
		{"essential, either", "rp", acrClaim(true, cardACR, codeACR), "", anna, false, codeACR, ""},
		{"essential, one of them unknown", "rp", acrClaim(true, "urn:x", cardACR), "", bosse, true, cardACR, ""},
		{"essential and unknown", "rp", acrClaim(true, "urn:x"), "", anna, false, "", "unmet_authentication_requirements"},
		{"nobody may ask for enrol", "rp", acrClaim(true, "urn:portti:acr:enrol"), "", anna, false, "", "unmet_authentication_requirements"},
		{"essential card, client takes codes alone", "codes", acrClaim(true, cardACR), "", anna, false, "", "unmet_authentication_requirements"},
		{"essential without values", "rp", acrClaim(true), "", anna, false, codeACR, ""},
		{"voluntary card", "rp", acrClaim(false, cardACR), "", anna, false, codeACR, ""},
		{"voluntary and unknown", "rp", acrClaim(false, "urn:x"), "", anna, false, codeACR, ""},
		{"voluntary alias, card there", "rp", acrClaim(false, "phrh"), "", bosse, false, "phrh", ""},
		{"essential code beside acr_values card", "rp", acrClaim(true, codeACR), cardACR, bosse, true, cardACR, ""},
		{"value alone", "rp", `{"id_token":{"acr":{"essential":true,"value":"` + cardACR + `"}}}`, "", bosse, true, cardACR, ""},
		{"at userinfo it demands nothing", "rp", strings.Replace(acrClaim(true, cardACR), "id_token", "userinfo", 1), "", anna, false, codeACR, ""},
		{"all of acr_values_supported", "rp", "", cardACR + " " + codeACR + " phrh", anna, false, codeACR, ""},
		{"acr_values of no meaning", "rp", "", "1 2", anna, false, codeACR, ""},
	} {
		b := k.browser()
		k.as(withID(c.who, session.App))
		k.code(b, request("client_id", c.client)) // somebody is signed in with a code
		k.as(c.who)
		q := request("client_id", c.client, "claims", c.claims, "acr_values", c.values)
		if c.who.Method == session.Card && !c.stepUp {
			q.Set("prompt", "login")
		}
		if c.stepUp {
			q.Set("prompt", "none")
			if a := k.authorize(b, q); a.params.Get("error") != "login_required" {
				t.Errorf("%s, silently: %v", c.what, a.to)
			}
			q.Del("prompt")
		}
		a := k.authorize(b, q)
		if a.params.Get("error") != c.err || a.params.Get("state") != "the-state" {
			t.Errorf("%s: %d %v", c.what, a.status, a.to)
			continue
		}
		if c.err != "" {
			continue
		}
		if got := k.claims(k.post(c.client, redeem(a.params.Get("code"))).text("id_token")); got["acr"] != c.acr {
			t.Errorf("%s: acr %v, want %s", c.what, got["acr"], c.acr)
		}
	}
}

// OpenID Connect Core §5.5.1: a sub that is asked for by its value is the only
// person who will do.
func TestSubAsAClaim(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	b := k.browser()
	k.signedIn(b)
	for _, member := range []string{"id_token", "userinfo"} {
		ask := func(sub string) string { return fmt.Sprintf(`{%q:{"sub":{"value":%q}}}`, member, sub) }
		if a := k.authorize(b, request("claims", ask("anna"), "prompt", "none")); a.params.Get("code") == "" {
			t.Errorf("%s, the same: %v", member, a.to)
		}
		for _, prompt := range []string{"", "none"} {
			if a := k.authorize(b, request("claims", ask("bosse"), "prompt", prompt)); a.params.Get("error") != "login_required" {
				t.Errorf("%s, another: %v", member, a.to)
			}
		}
		// The sign-in page is told whom to expect; another answer is no answer.
		if a := k.authorize(k.browser(), request("claims", ask("bosse"))); a.params.Get("error") != "login_required" {
			t.Errorf("%s, another signs in: %v", member, a.to)
		}
	}
	hint := k.signedIn(b).text("id_token")
	if a := k.authorize(b, request("claims", `{"id_token":{"sub":{"value":"bosse"}}}`, "id_token_hint", hint)); a.params.Get("error") != "login_required" {
		t.Errorf("against the hint: %v", a.to)
	}
	if a := k.authorize(b, request("claims", `{"id_token":{"sub":{"values":["anna","bosse"]}}}`)); a.params.Get("error") != "invalid_request" {
		t.Errorf("two persons: %v", a.to)
	}
}

func TestBadClaimsParameter(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	for _, claims := range []string{"[]", "name", `{"userinfo":{"name":1}}`, `{"userinfo":{},"userinfo":{}}`, strings.Repeat(`{"a":`, 50) + "1" + strings.Repeat("}", 50), `{"x":"` + strings.Repeat("x", 9000) + `"}`} {
		if a := k.authorize(k.browser(), request("claims", claims)); a.params.Get("error") != "invalid_request" || !grammar(a.params.Get("error_description")) {
			t.Errorf("%.40s: %d %v", claims, a.status, a.to)
		}
	}
}

// OpenID Connect Dynamic Client Registration §2: what a client registered holds
// where a request says nothing.
func TestRegisteredDefaults(t *testing.T) {
	k := newKit(t)
	ten := int64(600)
	k.client("rp", func(c *openid.Client) { c.DefaultMaxAge, c.DefaultACRValues = &ten, []string{cardACR} })
	b := k.browser()
	k.as(bosse)
	k.signedIn(b)
	for _, c := range []struct {
		what  string
		wait  time.Duration
		pairs []string
		code  bool
	}{
		{"a card of today", time.Minute, nil, true},
		{"older than registered", 10 * time.Minute, nil, false},
		{"but not than asked", 0, []string{"max_age", "1200"}, true},
	} {
		k.wait(c.wait)
		if a := k.authorize(b, request(append(c.pairs, "prompt", "none")...)); (a.params.Get("code") != "") != c.code {
			t.Errorf("%s: %v", c.what, a.to)
		}
	}
	b = k.browser()
	k.as(anna)
	k.code(b, request("acr_values", codeACR)) // asked for less than is registered as usual
	if a := k.authorize(b, request("prompt", "none")); a.params.Get("error") != "login_required" {
		t.Errorf("the registered level: %v", a.to)
	}
	if a := k.authorize(b, request("prompt", "none", "claims", acrClaim(true, codeACR))); a.params.Get("code") == "" {
		t.Errorf("claims instead: %v", a.to)
	}
}

// RFC 8707 §2: absolute, without fragment, and registered; several are one request.
func TestResourcesOfARequest(t *testing.T) {
	k := newKit(t)
	k.client("rp", func(c *openid.Client) { c.Resources = []string{"https://api.example/a", "urn:example:b"} })
	with := func(resources ...string) url.Values {
		q := request()
		q["resource"] = resources
		return q
	}
	for _, q := range []url.Values{with("https://api.example/a"), with("https://api.example/a", "urn:example:b", "https://api.example/a"), with("")} {
		if a := k.authorize(k.browser(), q); a.params.Get("code") == "" {
			t.Errorf("%v: %v", q["resource"], a.to)
		}
		if r := k.push("rp", q); r.status != http.StatusCreated {
			t.Errorf("%v: %d %s", q["resource"], r.status, r.raw)
		}
	}
	for _, q := range []url.Values{with("https://api.example/c"), with("https://api.example/a", "https://api.example/c"), with("https://api.example/a#f"), with("/a"), with("api.example/a"), with("https://api.example/A"), with("%zz")} {
		if a := k.authorize(k.browser(), q); a.params.Get("error") != "invalid_target" {
			t.Errorf("%v: %v", q["resource"], a.to)
		}
		if r := k.push("rp", q); r.status != http.StatusBadRequest || r.text("error") != "invalid_target" {
			t.Errorf("%v: %d %s", q["resource"], r.status, r.raw)
		}
	}
}

// conformance 2.2: display, locales and what nobody knows are no errors.
func TestWishesAreNoErrors(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	for _, wish := range [][]string{{"display", "page"}, {"display", "popup"}, {"display", "hologram"}, {"ui_locales", "se"}, {"ui_locales", "x-- 1 ÄÖ"}, {"claims_locales", "se"},
		{"claims_locales", "***"}, {"login_hint", "buffy@buffy.localhost"}, {"login_hint", strings.Repeat("x", 5000)}, {"extra", "foobar"}, {"acr_values", "1 2"}, {"audience", "x"}} {
		if a := k.authorize(k.browser(), request(wish...)); a.params.Get("code") == "" {
			t.Errorf("%v: %d %v", wish, a.status, a.to)
		}
	}
	twice := request("extra", "1")
	twice.Add("extra", "2")
	if a := k.authorize(k.browser(), twice); a.params.Get("code") == "" {
		t.Errorf("an unknown parameter twice: %v", a.to)
	}
}

// An error page says which parameter is to blame, for those who mend the client.
func TestProblemsNameTheParameter(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	for name, q := range map[string]url.Values{
		"client_id":    request("client_id", "stranger"),
		"redirect_uri": request("redirect_uri", "https://evil.example/"),
		"request":      request("redirect_uri", "", "request", "x"),
		"request_uri":  request("redirect_uri", "", "request_uri", "https://rp.example/r"),
	} {
		k.authorize(k.browser(), q)
		if p := k.problems.Swap(nil); p == nil || p.Parameter != name || (p.Client == nil) != (name == "client_id") {
			t.Errorf("%s: %+v", name, p)
		}
	}
	k.authorize(k.browser(), request("max_age", "soon"))
	if !strings.Contains(k.logs.String(), "parameter=max_age") {
		t.Error("the log does not name max_age")
	}
}

// OpenID Connect Core §8: a sub means whom the client that it was given to knows
// by it, in a hint as in the claims parameter.
func TestPairwisePersons(t *testing.T) {
	k := newKit(t)
	pairwise := func(c *openid.Client) { c.SubjectType = openid.SubjectPairwise }
	k.client("rp", pairwise)
	k.client("other", pairwise, func(c *openid.Client) { c.RedirectURIs = []string{"https://other.example/cb"} })
	b := k.browser()
	hint := k.signedIn(b).text("id_token")
	mine := k.claims(hint)["sub"].(string)
	code := k.code(b, request("client_id", "other", "redirect_uri", "https://other.example/cb"))
	theirHint := k.post("other", redeem(code, "redirect_uri", "https://other.example/cb")).text("id_token")
	theirs := k.claims(theirHint)["sub"].(string)
	if mine == theirs || mine == "anna" {
		t.Fatalf("subs %q and %q", mine, theirs)
	}
	ask := func(sub string) string { return fmt.Sprintf(`{"id_token":{"sub":{"value":%q}}}`, sub) }
	for _, c := range []struct {
		what  string
		pairs []string
		code  bool
	}{
		{"own hint", []string{"id_token_hint", hint}, true},
		{"another client's hint", []string{"id_token_hint", theirHint}, true},
		{"own sub", []string{"claims", ask(mine)}, true},
		{"both", []string{"claims", ask(mine), "id_token_hint", hint}, true},
		{"another client's sub", []string{"claims", ask(theirs)}, false},
		{"the person's own ID", []string{"claims", ask("anna")}, false},
	} {
		a := k.authorize(b, request(append(c.pairs, "prompt", "none")...))
		if (a.params.Get("code") != "") != c.code || !c.code && a.params.Get("error") != "login_required" {
			t.Errorf("%s: %v", c.what, a.to)
		}
	}
	k.as(bosse)
	other := k.browser()
	k.signedIn(other)
	if a := k.authorize(other, request("id_token_hint", hint, "prompt", "none")); a.params.Get("error") != "login_required" {
		t.Errorf("somebody else: %v", a.to)
	}
}
