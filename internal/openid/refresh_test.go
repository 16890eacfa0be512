package openid_test

import (
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// reregister changes a registration, and waits until every replica knows.
func (k *kit) reregister(id string, edit func(c *openid.Client)) {
	k.t.Helper()
	c, err := k.store.Client(k.t.Context(), id)
	if err != nil {
		k.t.Fatal(err)
	}
	edit(&c)
	k.force(c)
}

// A grant stands on its client's registration, and not on what that once was. What
// the registration lost, a refresh does not give, in either format.
func TestARefreshFollowsTheRegistration(t *testing.T) {
	usual := func(c *openid.Client) {
		c.Scopes = append(c.Scopes, "offline_access")
		c.Resources = []string{api, archive}
	}
	offline := withScopes("openid", "email", "offline_access")
	byCard := func(g *openid.Grant, _ *openid.AccessToken) { g.Method = session.Card }
	byDevice := func(g *openid.Grant, _ *openid.AccessToken) { g.Kind = openid.GrantDevice }
	without := func(scope string) func(c *openid.Client) {
		return func(c *openid.Client) {
			c.Scopes = slices.DeleteFunc(slices.Clone(c.Scopes), func(s string) bool { return s == scope })
		}
	}
	for what, c := range map[string]struct {
		grant func(g *openid.Grant, t *openid.AccessToken)
		edit  func(c *openid.Client)
		code  string // "": still given
	}{
		"a higher level":             {nil, func(c *openid.Client) { c.MinimumACR = acrs.Card }, "invalid_grant"},
		"a level that was reached":   {byCard, func(c *openid.Client) { c.MinimumACR = acrs.Card }, ""},
		"the same level":             {nil, func(c *openid.Client) { c.MinimumACR = acrs.PasswordCode }, ""},
		"other methods":              {nil, func(c *openid.Client) { c.Methods = uint8(identity.MethodCard | identity.MethodToken) }, "invalid_grant"},
		"fewer methods":              {nil, func(c *openid.Client) { c.Methods = uint8(identity.MethodApp) }, ""},
		"no refresh":                 {nil, func(c *openid.Client) { c.GrantTypes = []openid.GrantType{openid.GrantCode} }, "unauthorized_client"},
		"no code":                    {nil, func(c *openid.Client) { c.GrantTypes = []openid.GrantType{openid.GrantDevice, openid.GrantRefresh} }, "invalid_grant"},
		"no device":                  {byDevice, nil, "invalid_grant"},
		"no offline_access":          {offline, without("offline_access"), "invalid_grant"},
		"offline_access as before":   {offline, nil, ""},
		"offline_access never asked": {nil, without("offline_access"), ""},
		"no resource of its grant":   {forResources(api), func(c *openid.Client) { c.Resources = []string{archive} }, "invalid_grant"},
		"one resource less":          {forResources(api, archive), func(c *openid.Client) { c.Resources = []string{api} }, "invalid_grant"},
		"no resource at all":         {forResources(api), func(c *openid.Client) { c.Resources = nil }, "invalid_grant"},
		"another's consent":          {nil, func(c *openid.Client) { c.ThirdParty = true }, "invalid_grant"},
		"no scope of its grant":      {nil, without("profile"), ""},
	} {
		for _, format := range []openid.AccessTokenFormat{openid.FormatReference, openid.FormatJWT} {
			t.Run(what+" "+string(format), func(t *testing.T) {
				k := newKit(t)
				k.client("rp", usual, func(c *openid.Client) { c.TokenFormat = format })
				if c.grant == nil {
					c.grant = func(*openid.Grant, *openid.AccessToken) {}
				}
				g := k.given("rp", c.grant)
				if c.edit != nil {
					k.reregister("rp", c.edit)
				}
				r := k.post("rp", refreshing(g.refresh))
				if c.code == "" {
					if r.status != http.StatusOK || r.text("id_token") == "" || k.about("rp", r.text("access_token")).json["active"] != true {
						t.Fatalf("%d %s", r.status, r.raw)
					}
					return
				}
				refused(t, what, r, 400, c.code)
				if c.code == "invalid_grant" && (k.about("rp", g.access).json["active"] != false || k.about("rp", g.refresh).json["active"] != false) {
					t.Error("the grant lives on")
				}
			})
		}
	}
}

// A scope that is taken from a client opens nothing any more: neither with the
// next token nor with those that there are.
func TestAScopeTakenFromAClient(t *testing.T) {
	for _, format := range []openid.AccessTokenFormat{openid.FormatReference, openid.FormatJWT} {
		k := newKit(t)
		k.client("rp", func(c *openid.Client) { c.TokenFormat = format })
		g := k.given("rp")
		k.reregister("rp", func(c *openid.Client) { c.Scopes = []string{"openid", "email"} })
		wide := refreshing(g.refresh)
		wide.Set("scope", "openid profile")
		refused(t, "asked for", k.post("rp", wide), 400, "invalid_scope")
		r := k.post("rp", refreshing(g.refresh))
		if r.text("scope") != "openid email" {
			t.Errorf("%q: %s", format, r.raw)
		}
		for what, token := range map[string]string{"new": r.text("access_token"), "old": g.access} {
			if a := k.about("rp", token); a.text("scope") != "openid email" {
				t.Errorf("%q, %s: %v", format, what, a.json)
			}
			if u := k.userinfo(token); u.json["email"] == nil || u.json["name"] != nil {
				t.Errorf("%q, %s: %v", format, what, u.json)
			}
		}
		if format == openid.FormatJWT && k.verify(r.text("access_token"), "at+jwt", "ES256")["scope"] != "openid email" {
			t.Error("the JWT has the old scope")
		}
		// The grant is as it was: the person has allowed it.
		k.reregister("rp", func(c *openid.Client) { c.Scopes = []string{"openid", "profile", "email"} })
		if r := k.post("rp", refreshing(r.text("refresh_token"))); r.text("scope") != "openid profile email" {
			t.Errorf("%q: %s", format, r.raw)
		}
	}
}

// FAPI 2.0 from the next refresh on: with a key of the client's and for a bound token.
func TestARefreshUnderAProfileThatIsNew(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	g := k.given("rp")
	key, signer := k.newDPoPKey(), clientjwttest.New(t, "ES256")
	k.reregister("rp", func(c *openid.Client) {
		jwtClient(signer)(c)
		strict(c)
		c.SecretHash = ""
	})
	asks := func() url.Values { return asserted(refreshing(g.refresh), signer.Assertion("rp", k.url)) }
	refused(t, "with the secret", k.post("rp", refreshing(g.refresh)), 401, "invalid_client")
	refused(t, "without a proof", k.prove("", asks()), 400, "invalid_request")
	r := k.prove("", asks(), k.tokenProof(key))
	if r.status != http.StatusOK || r.text("token_type") != "DPoP" || r.text("refresh_token") != "" {
		t.Fatalf("%d %s", r.status, r.raw)
	}
	if u := k.userinfo(r.text("access_token")); u.status != http.StatusUnauthorized {
		t.Errorf("a bound token without its key: %d", u.status)
	}
}

// A public client keeps a refresh token that is bound to its key. One from before
// it had to have a key is worth something to anybody, so it is spent as ever.
func TestAnUnboundRefreshTokenIsNeverKept(t *testing.T) {
	k := newKit(t)
	k.client("app", public)
	old := k.given("app")
	k.reregister("app", func(c *openid.Client) { c.DPoP, c.KeepRefreshToken = true, true })
	thief, owner := k.newDPoPKey(), k.newDPoPKey()
	try := func(token string, key string) reply {
		form := refreshing(token)
		form.Set("client_id", "app")
		return k.prove("", form, key)
	}
	if r := try(old.refresh, k.tokenProof(thief)); r.status != http.StatusOK || r.text("refresh_token") == "" {
		t.Errorf("not rotated: %d %s", r.status, r.raw)
	}
	refused(t, "again", try(old.refresh, k.tokenProof(owner)), 400, "invalid_grant")

	jkt := openid.Binding("jkt:" + owner.Thumbprint())
	bound := k.given("app", func(g *openid.Grant, t *openid.AccessToken) { g.RefreshBinding, t.Binding = jkt, jkt })
	for range 2 {
		if r := try(bound.refresh, k.tokenProof(owner)); r.status != http.StatusOK || r.text("refresh_token") != "" {
			t.Errorf("not kept: %d %s", r.status, r.raw)
		}
	}
	refused(t, "another key", try(bound.refresh, k.tokenProof(thief)), 400, "invalid_grant")
}

// S5: a token is worth nothing the moment the employer forbids how it was got.
func TestATokenOfAForbiddenMethod(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	g := k.given("rp")
	if _, err := k.caller(g.access); err != nil {
		t.Fatal(err)
	}
	k.permit(identity.MethodCard)
	if _, err := k.caller(g.access); codeOf(err) != "invalid_token" {
		t.Errorf("the JSON API: %v", err)
	}
	if u := k.userinfo(g.access); u.status != http.StatusUnauthorized {
		t.Errorf("userinfo: %d", u.status)
	}
	if r := k.about("rp", g.access); r.raw != `{"active":false}` {
		t.Errorf("introspection: %s", r.raw)
	}
	r := k.post("rp", refreshing(g.refresh))
	if refused(t, "refresh", r, 400, "invalid_grant"); r.text("error_description") != "method_not_permitted_by_employer" {
		t.Errorf("%s", r.raw)
	}
	k.permit(identity.MethodApp)
	k.wait(time.Second)
	if r := k.post("rp", refreshing(g.refresh)); r.status != http.StatusOK {
		t.Errorf("permitted again: %d %s", r.status, r.raw)
	}
}
