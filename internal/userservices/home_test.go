package userservices

import (
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

// S4, S18: the first day offers what the employer permits, and nothing else.
func TestChooseShowsWhatIsPermitted(t *testing.T) {
	denied := "policy_denied"
	for name, c := range map[string]struct {
		may       portti.May
		has, lack []string
		kinds     []string
		noKinds   []string
	}{
		"all":          {portti.May{}, []string{"link-card", "link-authenticator"}, nil, []string{"kind-app", "kind-token"}, nil},
		"card":         {portti.May{App: denied, Token: denied}, []string{"link-card"}, []string{"link-authenticator"}, nil, nil},
		"app":          {portti.May{Card: denied, Token: denied}, []string{"link-authenticator"}, []string{"link-card"}, []string{"kind-app"}, []string{"kind-token"}},
		"token":        {portti.May{Card: denied, App: denied}, []string{"link-authenticator"}, []string{"link-card"}, []string{"kind-token"}, []string{"kind-app"}},
		"nothing":      {portti.May{Card: denied, App: denied, Token: denied}, []string{"blocked"}, []string{"link-card", "link-authenticator"}, nil, nil},
		"account shut": {portti.May{Card: "account_disabled", App: "account_disabled", Token: "account_disabled"}, []string{"blocked"}, []string{"link-card", "link-authenticator"}, nil, nil},
		"a new code":   {portti.May{Card: "not_in_the_catalogue", App: denied, Token: denied}, []string{"error"}, []string{"link-card"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			k := newKit(t)
			k.enrol()
			k.api.set(func(me *portti.Me) { me.May = c.may })
			b := k.browser()
			page := b.get("/")
			page.want(page.status, "/", c.has...).without(c.lack...).says()
			if c.may.Card != "" {
				b.get("/card").want(403, "/card", "error").without("card-start")
			}
			page = b.get("/authenticator")
			if len(c.kinds) == 0 {
				page.want(403, "/authenticator", "error").without("authenticator-start")
				return
			}
			page.want(200, "/authenticator", c.kinds...).without(c.noKinds...)
		})
	}
}

// S30: a card that is no good any more closes linking, and the page says what to do.
func TestAnExpiredCardClosesLinking(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.api.set(func(me *portti.Me) {
		me.Card = &portti.LinkedCard{Tail: "9f31", NotAfter: time.Now().Add(-time.Hour), Expired: true}
		me.May = portti.May{Card: "link_closed", App: "link_closed", Token: "link_closed"}
	})
	b := k.browser()
	b.get("/").want(200, "/", "blocked").without("link-card", "link-authenticator", "service").says("The card expired on", "Before a new card can be linked, you have to order a new password", "020 343 433")
	b.get("/card").want(403, "/card", "error").says("Order a new password")
	b.get("/authenticator").want(403, "/authenticator", "error")
	b.get("/continue").want(200, "/", "blocked")
	if k.api.bodies("POST /card/attempt") != nil {
		t.Error("an attempt was begun")
	}
}

// S8: a method that is no longer permitted still opens User Services, for a
// permitted one to be linked.
func TestATightenedPolicyStrandsNobody(t *testing.T) {
	k := newKit(t)
	k.enrol()
	k.api.set(func(me *portti.Me) {
		me.Organisation.Methods = []portti.Method{portti.Card}
		me.App = &portti.Authenticator{Kind: portti.App, Linked: time.Now().AddDate(-1, 0, 0)}
		me.May = portti.May{App: "policy_denied", Token: "policy_denied"}
	})
	k.browser().get("/").want(200, "/", "link-card").without("link-authenticator")
}

// The overview tells of every link how it stands (S30, S41, S60).
func TestOverview(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	b.get("/").want(200, "/", "try", "change-password", "logout").without("link-card", "link-authenticator").
		says("Maija Meikäläinen", "maija", "Esimerkkivirasto", "9f31", "Test CA", "Portti-1 TOTP-2FA", "You cannot remove the link yourself", "My card was replaced")
	k.api.set(func(me *portti.Me) {
		me.Organisation.Methods = []portti.Method{portti.Token}
		me.App.Permitted, me.Card.Expired = false, true
	})
	b.get("/").says("Your employer no longer permits this login method", "The card expired on")
	k.api.set(func(me *portti.Me) {
		me.Card, me.App, me.May = nil, nil, portti.May{Card: "policy_denied", App: "policy_denied", Token: "policy_denied"}
	})
	b.get("/").without("link-card", "link-authenticator", "try").says("No certificate card has been linked", "Your employer has not permitted this login method")
	k.api.set(func(me *portti.Me) {
		me.May = portti.May{Card: "reauthentication_required", App: "reauthentication_required", Token: "policy_denied"}
	})
	b.get("/").want(200, "/", "link-card", "link-authenticator")
}
