package openid_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"testing"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// response reads the JWT of a signed response and returns its claims.
func (k *kit) response(raw string, alg keys.Algorithm) map[string]any {
	k.t.Helper()
	payload, _, err := ring(k.t).Verify(raw, "JWT", alg)
	if err != nil {
		k.t.Fatalf("%q: %v", raw, err)
	}
	var c map[string]any
	if err := json.Unmarshal(payload, &c); err != nil {
		k.t.Fatal(err)
	}
	return c
}

var posted = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// carried is what an answer brings the client, in whichever mode.
func carried(a answer) url.Values {
	v := url.Values{}
	switch {
	case a.to == nil:
		for _, m := range posted.FindAllStringSubmatch(a.body, -1) {
			v.Add(m[1], m[2])
		}
	case a.to.Fragment != "":
		v, _ = url.ParseQuery(a.to.Fragment)
	default:
		v = a.params
	}
	return v
}

// JARM §2: success and error are one signed JWT, and nothing stands beside it.
func TestSignedResponses(t *testing.T) {
	k := newKit(t)
	all := func(c *openid.Client) {
		c.ResponseModes = []string{"query", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}
	}
	k.client("rp", all)
	k.client("eddsa", all, func(c *openid.Client) { c.ResponseAlg = keys.EdDSA })
	for client, alg := range map[string]keys.Algorithm{"rp": keys.ES256, "eddsa": keys.EdDSA} {
		for mode, carrier := range map[string]string{"jwt": "query", "query.jwt": "query", "fragment.jwt": "fragment", "form_post.jwt": "form_post"} {
			good := k.authorize(k.browser(), request("client_id", client, "response_mode", mode))
			bad := k.authorize(k.browser(), request("client_id", client, "response_mode", mode, "prompt", "none"))
			for what, a := range map[string]answer{"code": good, "error": bad} {
				v := carried(a)
				if len(v) != 1 || !v.Has("response") || (carrier == "form_post") != (a.status == http.StatusOK) || carrier == "fragment" && a.to.RawQuery != "" {
					t.Fatalf("%s %s: %d %v %v", mode, what, a.status, a.to, v)
				}
				c := k.response(v.Get("response"), alg)
				if exp := c["exp"].(float64) - float64(k.now().Unix()); c["iss"] != k.url || c["aud"] != client || c["state"] != "the-state" || exp > 600 || exp < 500 || c["sub"] != nil {
					t.Errorf("%s %s: %v", mode, what, c)
				}
				if what == "error" {
					if c["error"] != "login_required" || c["error_description"] == "" || c["code"] != nil {
						t.Errorf("%s: %v", mode, c)
					}
					continue
				}
				if r := k.post(client, redeem(c["code"].(string))); r.status != http.StatusOK {
					t.Errorf("%s: %d %s", mode, r.status, r.raw)
				}
				// It is no ID token, although it bears our signature.
				if a := k.authorize(k.browser(), request("id_token_hint", v.Get("response"))); a.params.Get("error") != "login_required" {
					t.Errorf("%s: taken for an ID token: %v", mode, a.to)
				}
			}
		}
	}
}

// Modes by registration: signed ones only where they are listed, and of the others
// those that are, if any are (ASVS 10.4.12).
func TestResponseModesByRegistration(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	k.client("post", func(c *openid.Client) { c.ResponseModes = []string{"form_post"} })
	k.client("signed", func(c *openid.Client) { c.ResponseModes = []string{"fragment.jwt", "query.jwt"} })
	for client, may := range map[string][]string{
		"rp":     {"query", "fragment", "form_post"},
		"post":   {"form_post"},
		"signed": {"fragment.jwt", "query.jwt"},
	} {
		for _, mode := range []string{"query", "fragment", "form_post", "jwt", "query.jwt", "fragment.jwt", "form_post.jwt", "web_message"} {
			v := carried(k.authorize(k.browser(), request("client_id", client, "response_mode", mode)))
			in := v.Has("code") || v.Has("response") && k.response(v.Get("response"), keys.ES256)["code"] != nil
			if in != slices.Contains(may, mode) {
				t.Errorf("%s, %s: %v", client, mode, v)
			}
			if !in && client != "signed" && v.Get("error") != "invalid_request" {
				t.Errorf("%s, %s: %v", client, mode, v)
			}
		}
	}
	// Who asks for none gets query, or the first that is registered.
	for client, want := range map[string]string{"rp": "map[code:true iss:true state:true]", "post": "map[code:true iss:true state:true]", "signed": "map[response:true]"} {
		a := k.authorize(k.browser(), request("client_id", client))
		names := map[string]bool{}
		for name := range maps.Keys(carried(a)) {
			names[name] = true
		}
		if fmt.Sprint(names) != want || (a.to == nil) != (client == "post") {
			t.Errorf("%s: %v %v", client, a.to, names)
		}
	}
}
