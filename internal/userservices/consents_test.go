package userservices

import (
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

// What third parties may use is shown in words, and withdrawn with a button.
func TestConsents(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/").want(200, "*", "consents")
	page := b.get("/consents").want(200, "/consents", "consents", "withdraw-outsider").says("Outsider", "https://outsider.example/", "your e-mail address", "the permission reports", "your date of birth")
	page.submit("/consents").want(200, "/consents?withdrawn", "consents").says("The permission has been withdrawn.")
	if calls := k.api.bodies("DELETE /consents/outsider"); len(calls) != 1 {
		t.Errorf("withdrawn %d times", len(calls))
	}
	k.api.refuses("DELETE /consents/outsider", 404, "consent_not_found") // by another tab
	page.submit("/consents").want(200, "/consents?withdrawn", "consents")
	k.api.refuses("DELETE /consents/outsider", 503, "database_unavailable")
	page.submit("/consents").want(503, "*", "error")
}

// A password alone shows and withdraws nothing.
func TestConsentsNeedAFullSignIn(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.get("/consents").want(200, "/consents")
	k.api.set(func(me *portti.Me) { me.Full = false })
	b.get("/consents").want(403, "*", "error")
	page.submit("/consents").want(403, "*", "error")
	if calls := k.api.bodies("DELETE /consents/outsider"); len(calls) != 0 {
		t.Errorf("withdrawn %d times", len(calls))
	}
}
