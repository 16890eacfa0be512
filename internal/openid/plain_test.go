package openid_test

import (
	"net/http"
	"net/url"
	"reflect"
	"testing"

	"github.com/portti-id/portti/internal/openid"
)

// A client without openid speaks OAuth alone (RFC 6749; the plain_oauth variant of
// FAPI 2.0): it gets access tokens for its APIs, and learns nothing of the person.
func TestPlainOAuth(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp", func(c *openid.Client) { c.Scopes, c.Resources = []string{"reports", "reports.write"}, []string{api} })
		k.client("api", resource)
		b := k.browser()
		first := k.post("rp", redeem(k.code(b, request("scope", "reports openid", "nonce", ""))))
		if first.status != http.StatusOK || first.text("id_token") != "" || first.text("scope") != "reports" || first.text("refresh_token") == "" {
			t.Fatalf("%d %s", first.status, first.raw)
		}
		for _, tokens := range []reply{first, k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.text("refresh_token")}})} {
			if tokens.text("id_token") != "" {
				t.Errorf("an ID token for a client that is not registered for openid: %s", tokens.raw)
			}
			if r := k.userinfo(tokens.text("access_token")); r.status == http.StatusOK {
				t.Errorf("userinfo: %s", r.raw)
			}
			r := k.about("api", tokens.text("access_token"))
			if r.json["active"] != true || !reflect.DeepEqual(r.json["aud"], api) || r.text("scope") != "reports" || r.text("acr") != acrs.PasswordCode {
				t.Errorf("at the API: %s", r.raw)
			}
		}
		for _, scope := range []string{"openid", "", "other"} {
			if a := k.authorize(b, request("scope", scope)); a.params.Get("error") != "invalid_scope" {
				t.Errorf("scope %q: %v", scope, a.params)
			}
		}
	})
}
