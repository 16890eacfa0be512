package userservices

import (
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

// S58: what it does is said before it is done; a POST alone does it.
func TestMyCardWasReplaced(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/").want(200, "/", "order")
	page := b.get("/order").want(200, "/order", "order-submit").says("removes the link to your certificate card", "logged out of every service", "temporary password")
	if k.api.bodies("POST /order") != nil {
		t.Fatal("it was ordered by a look")
	}
	page.submit("/order").want(200, "/order", "ordered").says("A new password has been ordered", "Link the new card in User Services", "Remove your card")
	if n := len(k.api.bodies("POST /order")); n != 1 {
		t.Errorf("ordered %d times", n)
	}
}

// S55: whom no letter reaches is told whom to ask; who only gave a password too.
func TestWhoCannotOrderIsToldWhomToAsk(t *testing.T) {
	for _, code := range []string{"order_by_support", "full_signin_required"} {
		k := newKit(t)
		k.api.set(func(me *portti.Me) { me.May.Order, me.Organisation.ITContact = code, "it@virasto.example" })
		k.browser().get("/order").want(200, "/order", "order-ask").without("order-submit").says("it@virasto.example", "020 343 433")
	}
	k := newKit(t)
	page := k.browser().get("/order")
	k.api.refuses("POST /order", 403, "order_by_support")
	page.submit("/order").want(200, "/order", "order-ask").without("order-submit", "ordered")
}

// S29: the person is warned, sends the card to be approved, and sees who decides.
func TestACardThatWaits(t *testing.T) {
	k := canLinkCard(t)
	k.api.set(func(me *portti.Me) { me.Organisation.ITContact = "it@virasto.example" })
	b := k.browser()
	b.get("/card/waiting").want(200, "/", "link-card") // nothing waits
	k.api.refuses("POST /card/link", 403, "card_awaits_approval")
	page := b.get("/card/return?code=RESULT").want(200, "*", "card-confirm", "near")
	k.api.set(func(me *portti.Me) {
		me.Asked = &portti.AskedCard{Holder: "MEIKALAINEN MAIJA", Issuer: "Test CA", Tail: "9f31", Asked: time.Now(), Expires: time.Now().AddDate(0, 0, 14)}
	})
	page.submit("/card/confirm").want(200, "/card/waiting", "waits", "card-again").says("MEIKALAINEN MAIJA", "9f31", "it@virasto.example", "responsible user")
	b.get("/").want(200, "/", "asked", "link-card").says("A card waits for approval")
	k.api.refuses("POST /card/seen", 403, "card_holder_differs")
	b.get("/card/return?code=RESULT").want(403, "*", "card-failed").says("The card seems to be somebody else's").without("card-confirm")
}

// S72: pages of a signed-in person know when the session ends unused; to ask is to
// use it, and without a session nothing is kept alive.
func TestTheSessionWarns(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/").without("session-warning")
	k.api.set(func(me *portti.Me) { me.Session.Idle = 900 })
	b.get("/").want(200, "/", "session-warning", "session-continue", "session-logout").says("Your session is about to expire")
	b.get("/session").want(204, "/session")
	k.api.refuses("GET ", 401, "session_expired")
	if s := k.browser().get("/session"); s.status == 204 {
		t.Error("a session that is over was kept alive")
	}
}

// S30: why the card is no good any more, and that a new one needs an order.
func TestWhyACardIsNoGood(t *testing.T) {
	for state, says := range map[string]string{"expired": "The card expired on", "revoked": "has been revoked", "suspended": "has been suspended", "untrusted": "issuer of the card is no longer accepted", "new": "The card expired on"} {
		k := newKit(t)
		k.enrol()
		k.api.set(func(me *portti.Me) {
			me.Card = &portti.LinkedCard{Tail: "9f31", NotAfter: time.Now().Add(-time.Hour), Expired: true, State: state}
			me.May = portti.May{Card: "link_closed", App: "link_closed", Token: "link_closed"}
		})
		k.browser().get("/").want(200, "/", "blocked", "card-state").without("link-card", "link-authenticator").says(says, "Before a new card can be linked")
	}
}
