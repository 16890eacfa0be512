package openid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// encryptedTo registers a key of the client's own, and returns what opens with it.
func encryptedTo(t *testing.T) (register func(c *openid.Client), open func(token string) (payload, cty string)) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	jwks, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: key.Public(), KeyID: "enc-1", Use: "enc"}}})
	if err != nil {
		t.Fatal(err)
	}
	return func(c *openid.Client) { c.JWKS = jwks }, func(token string) (string, string) {
		t.Helper()
		parsed, err := jose.ParseEncryptedCompact(token, []jose.KeyAlgorithm{jose.ECDH_ES, jose.ECDH_ES_A256KW}, []jose.ContentEncryption{jose.A256GCM, jose.A128CBC_HS256})
		if err != nil {
			t.Fatalf("%v: %s", err, token)
		}
		payload, err := parsed.Decrypt(key)
		if err != nil {
			t.Fatal(err)
		}
		cty, _ := parsed.Header.ExtraHeaders[jose.HeaderContentType].(string)
		if parsed.Header.KeyID != "enc-1" {
			t.Errorf("kid %q", parsed.Header.KeyID)
		}
		return string(payload), cty
	}
}

// OpenID Connect Core §10.2: signed, then encrypted to the client alone.
func TestEncryptedIDTokens(t *testing.T) {
	k := newKit(t)
	register, open := encryptedTo(t)
	k.client("rp", register, func(c *openid.Client) { c.IDTokenEncAlg, c.IDTokenEnc = "ECDH-ES+A256KW", "A256GCM" })
	k.client("standard", register, func(c *openid.Client) { c.IDTokenEncAlg = "ECDH-ES" })
	r := k.signedIn(k.browser())
	token, cty := open(r.text("id_token"))
	if c := k.claims(token); c["sub"] != "anna" || c["aud"] != "rp" || cty != "JWT" || c["at_hash"] != leftHalf(r.text("access_token")) {
		t.Errorf("cty %q, %v", cty, c)
	}
	// What the client has opened is a hint; what it has not, nobody can read.
	if a := k.authorize(k.browser(), request("id_token_hint", token)); a.params.Get("code") == "" {
		t.Errorf("hint: %v", a.to)
	}
	if a := k.authorize(k.browser(), request("id_token_hint", r.text("id_token"))); a.params.Get("error") != "login_required" {
		t.Errorf("encrypted hint: %v", a.to)
	}
	again, _ := open(k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}).text("id_token"))
	if c := k.claims(again); c["sub"] != "anna" {
		t.Errorf("%v", c)
	}
	token, _ = open(k.post("standard", redeem(k.code(k.browser(), request("client_id", "standard")))).text("id_token"))
	if c := k.claims(token); c["aud"] != "standard" {
		t.Errorf("%v", c)
	}
}

func TestEncryptedUserinfo(t *testing.T) {
	k := newKit(t)
	register, open := encryptedTo(t)
	k.client("nested", register, func(c *openid.Client) {
		c.UserinfoAlg, c.UserinfoEncAlg, c.UserinfoEnc = keys.ES256, "ECDH-ES", "A256GCM"
	})
	k.client("plain", register, func(c *openid.Client) { c.UserinfoEncAlg = "ECDH-ES" })
	for id, nested := range map[string]bool{"nested": true, "plain": false} {
		r := k.userinfo(k.given(id).access)
		if r.status != http.StatusOK || r.header.Get("Content-Type") != "application/jwt" || strings.Count(r.raw, ".") != 4 {
			t.Fatalf("%s: %d %v %s", id, r.status, r.header, r.raw)
		}
		payload, cty := open(r.raw)
		claims := map[string]any{}
		if nested {
			claims = k.verify(payload, "userinfo+jwt", keys.ES256)
		} else if err := json.Unmarshal([]byte(payload), &claims); err != nil {
			t.Fatal(err)
		}
		if claims["sub"] != "anna" || claims["email"] != "anna@clinic.example" || (cty == "JWT") != nested || (claims["aud"] == id) != nested {
			t.Errorf("%s: cty %q, %v", id, cty, claims)
		}
	}
}

// What was to be encrypted is never sent in the clear instead.
func TestNothingInTheClearInstead(t *testing.T) {
	k := newKit(t)
	register, _ := encryptedTo(t)
	c := k.client("rp", register, func(c *openid.Client) { c.IDTokenEncAlg, c.UserinfoEncAlg = "ECDH-ES", "ECDH-ES" })
	c, err := k.store.Client(t.Context(), c.ID)
	if err != nil {
		t.Fatal(err)
	}
	for what, edit := range map[string]func(c *openid.Client){
		"no keys":         func(c *openid.Client) { c.JWKS = nil },
		"no key for it":   func(c *openid.Client) { c.IDTokenEncAlg, c.UserinfoEncAlg = "RSA-OAEP-256", "RSA-OAEP-256" },
		"not offered":     func(c *openid.Client) { c.IDTokenEncAlg, c.UserinfoEncAlg = "RSA1_5", "RSA1_5" },
		"keys unreadable": func(c *openid.Client) { c.JWKS = []byte(`{"keys":7}`) },
	} {
		broken := c
		edit(&broken)
		k.force(broken)
		c.Version++
		refused(t, what, k.post("rp", redeem(k.code(k.browser(), request()))), 500, "server_error")
		if r := k.userinfo(k.given("rp").access); r.status != http.StatusInternalServerError || strings.Contains(r.raw, "anna") {
			t.Errorf("%s: %d %s", what, r.status, r.raw)
		}
	}
}
