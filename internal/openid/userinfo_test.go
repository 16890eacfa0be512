package openid_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

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
		"openid profile": {"name", "given_name", "family_name", "preferred_username", "locale", "organisation", "organisation_name"},
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
