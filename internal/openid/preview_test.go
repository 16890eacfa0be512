package openid_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// standing is the grant that somebody's token for the Console stands on.
func standing(user string, m session.Method) openid.Grant {
	return openid.Grant{Kind: openid.GrantCode, Client: "console", User: user, Session: "S1", Epoch: 1, Level: session.Full, Method: m, AuthTime: time.Now().Truncate(time.Second), Scopes: []string{"openid", "clients"}}
}

func previewed(t *testing.T, raw json.RawMessage) map[string]any {
	t.Helper()
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	return claims
}

// What is previewed is what a real login gives, but for what each login has of its own.
func TestThePreviewIsWhatALoginGives(t *testing.T) {
	k := newKit(t)
	for name, edit := range map[string]func(c *openid.Client){"plain": func(*openid.Client) {}, "pairwise": func(c *openid.Client) { c.SubjectType = openid.SubjectPairwise }} {
		id := k.client(name, edit).ID
		c, err := k.store.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		r := k.post(id, redeem(k.code(k.browser(), request("client_id", id))))
		if r.status != http.StatusOK {
			t.Fatalf("token: %d %s", r.status, r.raw)
		}
		raw, err := base64.RawURLEncoding.DecodeString(strings.Split(r.text("id_token"), ".")[1])
		if err != nil {
			t.Fatal(err)
		}
		real := previewed(t, raw)
		g := standing("anna", session.App)
		p, err := k.p.Preview(t.Context(), c, g)
		if err != nil || p.Reason != "" || p.Scope != "openid profile email" {
			t.Fatalf("%+v %v", p, err)
		}
		told := previewed(t, p.IDToken)
		if told["sid"] != g.Session || told["auth_time"] != float64(g.AuthTime.Unix()) {
			t.Errorf("the session is %v of %v", told["sid"], told["auth_time"])
		}
		for _, own := range []string{"nonce", "at_hash"} {
			if told[own] != nil || real[own] == nil {
				t.Errorf("%s: %v in the preview, %v in a token", own, told[own], real[own])
			}
			delete(real, own)
		}
		for _, own := range []string{"sid", "auth_time", "iat", "exp"} {
			if told[own] == nil || real[own] == nil {
				t.Errorf("%s: %v in the preview, %v in a token", own, told[own], real[own])
			}
			delete(real, own)
			delete(told, own)
		}
		if !maps.Equal(asText(real), asText(told)) {
			t.Errorf("previewed %v, and a token says %v", told, real)
		}
		req, _ := http.NewRequest(http.MethodGet, k.url+openid.UserinfoPath, nil)
		req.Header.Set("Authorization", "Bearer "+r.text("access_token"))
		if got := previewed(t, p.Userinfo); !reflect.DeepEqual(got, k.do(req).json) {
			t.Errorf("previewed %v, and userinfo says %v", got, k.do(req).json)
		}
	}
}

// asText has every value as JSON.
func asText(claims map[string]any) map[string]string {
	flat := map[string]string{}
	for name, v := range claims {
		b, _ := json.Marshal(v)
		flat[name] = string(b)
	}
	return flat
}

// Nothing is told where a login would not get there, and the reason is the one that
// the endpoint itself would find.
func TestAPreviewThatIsNotEnough(t *testing.T) {
	k := newKit(t)
	k.permit(identity.MethodApp, identity.MethodCard)
	for name, c := range map[string]struct {
		edit   func(c *openid.Client)
		by     session.Method
		reason string
		told   bool
	}{
		"enough":       {func(c *openid.Client) { c.MinimumACR = acrs.PasswordCode }, session.App, "", true},
		"too weak":     {func(c *openid.Client) { c.MinimumACR = acrs.Card }, session.App, openid.ReasonStepUp, false},
		"card":         {func(c *openid.Client) { c.MinimumACR = acrs.Card }, session.Card, "", true},
		"other method": {func(c *openid.Client) { c.Methods = uint8(identity.MethodsOf(identity.MethodCard)) }, session.App, openid.ReasonStepUp, false},
		"by employer":  {func(*openid.Client) {}, session.Token, openid.ReasonByEmployer, false},
		"third party":  {func(c *openid.Client) { c.ThirdParty = true }, session.App, openid.ReasonConsent, true},
		"no logins": {func(c *openid.Client) {
			c.GrantTypes = []openid.GrantType{openid.GrantClient}
			c.RedirectURIs = nil
			c.PostLogoutRedirectURIs = nil
		}, session.App, openid.ReasonNoLogins, false},
	} {
		id := strings.ReplaceAll(name, " ", "-")
		k.client(id, c.edit)
		client, err := k.store.Client(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		p, err := k.p.Preview(t.Context(), client, standing("anna", c.by))
		if err != nil || p.Reason != c.reason || (p.IDToken != nil) != c.told || (p.Userinfo != nil) != c.told {
			t.Errorf("%s: %+v %s %s %v", name, p, p.IDToken, p.Userinfo, err)
		}
		if p.Demand != client.MinimumACR {
			t.Errorf("%s: demands %q", name, p.Demand)
		}
	}
	if _, err := k.clients.Disable(t.Context(), "operator:test", "enough", false); err != nil {
		t.Fatal(err)
	}
	closed, err := k.store.Client(t.Context(), "enough")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := k.p.Preview(t.Context(), closed, standing("anna", session.App)); err != nil || p.Reason != openid.ReasonClientClosed || p.IDToken != nil {
		t.Errorf("a closed client: %+v %v", p, err)
	}
	// A session that has ended tells nothing, and one on a password alone is none.
	card, _ := k.store.Client(t.Context(), "card")
	ended := standing("anna", session.Card)
	ended.Epoch = 0
	if p, err := k.p.Preview(t.Context(), card, ended); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("an ended session: %+v %v", p, err)
	}
	weak := standing("bosse", session.Password)
	weak.Level = session.Enrol
	if p, err := k.p.Preview(t.Context(), card, weak); err != nil || p.Reason == "" || p.IDToken != nil {
		t.Errorf("a password alone: %+v %v", p, err)
	}
}
