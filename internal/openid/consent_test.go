package openid_test

import (
	"net/url"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/store"
)

func thirdParty(c *openid.Client) { c.ThirdParty = true }

// consents is what anna allows rp.
func (k *kit) consents(scopes ...string) {
	k.t.Helper()
	c := openid.Consent{User: "anna", Client: "rp", Scopes: scopes, Created: k.now(), Updated: k.now()}
	if err := k.store.SaveConsent(k.t.Context(), c, audit.Event{Type: audit.ConsentGiven, Actor: "user:anna"}); err != nil {
		k.t.Fatal(err)
	}
}

// What a person has allowed, and nothing beside it, is got without a page; taken
// back, it is worth nothing at once.
func TestConsentTakenBack(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		k.client("rp", thirdParty)
		b := k.browser()
		if a := k.authorize(b, request()); a.to != nil || a.body != "consent_required\n" {
			t.Fatalf("without consent: %d %v %s", a.status, a.to, a.body)
		}
		k.consents("email", "openid", "profile")
		r := k.signedIn(b)
		if got := k.authorize(b, request("prompt", "none", "scope", "openid")).params; got.Get("code") == "" {
			t.Errorf("less than was allowed: %v", got)
		}
		if got := k.authorize(b, request("prompt", "none")).params; got.Get("code") == "" {
			t.Errorf("prompt=none: %v", got)
		}
		code := k.code(b, request())
		if all, err := k.p.Allowed(t.Context(), "anna"); err != nil || len(all) != 1 || all[0].Client.ID != "rp" || len(all[0].Scopes) != 3 {
			t.Errorf("allowed: %+v %v", all, err)
		}
		if all, err := k.p.Allowed(t.Context(), "bosse"); err != nil || len(all) != 0 {
			t.Errorf("bosse allowed: %+v %v", all, err)
		}
		if err := k.p.Disallow(t.Context(), session.Session{ID: "sid", User: "bosse", Organisation: "agency"}, "rp"); fault.Code(err) != "consent_not_found" {
			t.Errorf("bosse takes anna's consent back: %v", err)
		}
		if err := k.p.Disallow(t.Context(), session.Session{ID: "sid", User: "anna", Organisation: "agency"}, "rp"); err != nil {
			t.Fatal(err)
		}
		if err := k.p.Disallow(t.Context(), session.Session{ID: "sid", User: "anna", Organisation: "agency"}, "rp"); fault.Code(err) != "consent_not_found" {
			t.Errorf("twice: %v", err)
		}
		if e, err := k.store.AuditEvents(t.Context(), store.Trail{User: "anna", Types: []audit.Type{audit.ConsentRevoked}, Limit: 2}); err != nil || len(e) != 1 || e[0].Organisation != "agency" || e[0].Session != "sid" || e[0].Client != "rp" {
			t.Errorf("the trail has %+v, %v", e, err)
		}
		if u := k.userinfo(r.text("access_token")); u.status != 401 {
			t.Errorf("userinfo afterwards: %d", u.status)
		}
		refused(t, "refresh", k.post("rp", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}}), 400, "invalid_grant")
		// A code that was on its way brings nothing either.
		refused(t, "code", k.post("rp", redeem(code)), 400, "invalid_grant")
		if got := k.authorize(b, request("prompt", "none")).params; got.Get("error") != "consent_required" {
			t.Errorf("prompt=none afterwards: %v", got)
		}
	})
}

// prompt=consent asks a third party's people again, and nobody else.
func TestPromptConsent(t *testing.T) {
	k := newKit(t)
	k.client("rp", thirdParty)
	k.client("first")
	k.consents("email", "openid", "profile")
	b := k.browser()
	k.signedIn(b)
	if a := k.authorize(b, request("prompt", "consent")); a.to != nil || a.body != "consent_required\n" {
		t.Errorf("%d %v %s", a.status, a.to, a.body)
	}
	k.code(b, request("client_id", "first", "prompt", "consent"))
}
