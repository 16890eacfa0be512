package userservices

import (
	"testing"

	"github.com/portti-id/portti/pkg/portti"
)

// S18, S20, S37, S41: choose, link, and on to the service that waits.
func TestFirstDayWithAnAuthenticator(t *testing.T) {
	k := newKit(t)
	k.enrol()
	resume := k.op.URL + "/signin/resume"
	k.api.set(func(me *portti.Me) {
		me.Waiting = &portti.Waiting{Service: map[string]string{"fi": "Palvelu", "en": "The Service"}, Resume: resume}
	})
	b := k.browser()
	b.get("/").want(200, "/", "link-card", "link-authenticator").says("Choose how you will log in", "The Service waits for you")
	page := b.get("/authenticator").want(200, "/authenticator", "kind-app", "kind-token", "work_phone")
	page = page.submit("/authenticator", "kind", "app", "own_device", "yes", "work_phone", "yes").want(200, "/authenticator", "qr", "key", "code")
	page.says(testKey)
	page = page.submit("/authenticator/confirm", "code", "492 039")
	page.want(303, resume)
}
