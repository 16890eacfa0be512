package userservices

import (
	"net/http"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

type homePage struct {
	web.Page
	Name, Username, Organisation      string
	Card                              *cardLink
	Asked                             *askedCard // waits for an approval; nil for none
	Authenticator                     *authenticatorLink
	Account                           string
	CanLinkCard, CanLinkAuthenticator bool
	NewPassword                       *wantedPassword // nil mostly
	Service                           string
}

// wantedPassword was perhaps wanted by somebody else (S59): asked for and not confirmed
// yet, or ordered within a day.
type wantedPassword struct{ Asked, Ordered time.Time }

type cardLink struct {
	Holder, Issuer, Tail   string
	Expires, Linked, Used  time.Time
	State                  string // why it is no good any more: expired, revoked, suspended, untrusted; "" when it is
	ExpiresSoon, Permitted bool
}

// askedCard is a card that is not linked until somebody has looked (S29).
type askedCard struct {
	Holder, Issuer, Tail, Contact string
	Since, Until                  time.Time
}

type authenticatorLink struct {
	Kind      string
	Linked    time.Time
	Permitted bool
}

type choosePage struct {
	web.Page
	Organisation     string
	Card, App, Token bool
	Blocked          string
	Linked           *cardLink  // the card that is no good any more (S30); nil otherwise
	Asked            *askedCard // waits for an approval; nil for none
}

// home shows one's own links; in an enrol session, what to link first.
func (p *Pages) home(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.me.Full {
		return p.choose(w, r, v)
	}
	me := v.me
	page := &homePage{Page: web.Page{Client: v.service()}, Name: me.Name, Username: me.Username, Organisation: me.Organisation.Name, Account: p.config.Account,
		CanLinkCard: possible(me.May.Card), CanLinkAuthenticator: possible(me.May.App) || possible(me.May.Token), Service: p.resume(v)}
	page.Card, page.Asked = p.linkedCard(me), p.asked(me)
	if n := (wantedPassword{me.NewPassword.Asked, me.NewPassword.Ordered}); n != (wantedPassword{}) {
		page.NewPassword = &n
	}
	if a := me.App; a != nil {
		page.Authenticator = &authenticatorLink{Kind: string(a.Kind), Linked: a.Linked, Permitted: a.Permitted}
	}
	return p.show(w, r, http.StatusOK, "home", page)
}

// linkedCard is the person's card, nil when none is linked.
func (p *Pages) linkedCard(me portti.Me) *cardLink {
	c := me.Card
	if c == nil {
		return nil
	}
	link := &cardLink{Holder: c.Holder, Issuer: c.Issuer, Tail: c.Tail, Expires: c.NotAfter, Linked: c.Linked, Used: c.Used, ExpiresSoon: c.ExpiresSoon, Permitted: permits(me, portti.Card)}
	switch {
	case p.site.Texts().Has("us.card.state." + c.State):
		link.State = c.State
	case c.Expired:
		link.State = "expired"
	}
	return link
}

func (p *Pages) asked(me portti.Me) *askedCard {
	if me.Asked == nil {
		return nil
	}
	return &askedCard{Holder: me.Asked.Holder, Issuer: me.Asked.Issuer, Tail: me.Asked.Tail, Contact: me.Organisation.ITContact, Since: me.Asked.Asked, Until: me.Asked.Expires}
}

// possible tells whether a link can be added, if need be after signing in again.
func possible(code string) bool { return code == "" || code == "reauthentication_required" }

func permits(me portti.Me, m portti.Method) bool { return slices.Contains(me.Organisation.Methods, m) }

// choose is the first day's page: what the employer permits, and no more (S18).
// A person who has linked something already goes on to prove it (S20).
func (p *Pages) choose(w http.ResponseWriter, r *http.Request, v *visit) error {
	me := v.me
	page := &choosePage{Page: web.Page{Client: v.service()}, Asked: p.asked(me), Organisation: me.Organisation.Name, Card: me.May.Card == "", App: me.May.App == "", Token: me.May.Token == ""}
	if page.Card || page.App || page.Token {
		return p.show(w, r, http.StatusOK, "choose", page)
	}
	if p.linked(me) != "" {
		return p.showLinked(w, r, v)
	}
	code := reason(me)
	if code == "code_required" {
		return barred(code)
	}
	if page.Blocked = code; !p.site.Texts().Has("fault." + code) {
		return barred(code)
	}
	if me.Card != nil && me.Card.Expired {
		page.Linked = p.linkedCard(me) // S30
	}
	return p.show(w, r, http.StatusOK, "choose", page)
}

// linked is the level that the person's links reach, "" when none can sign in.
func (p *Pages) linked(me portti.Me) string {
	switch {
	case me.App != nil && me.App.Permitted:
		return p.code
	case me.Card != nil && !me.Card.Expired && permits(me, portti.Card):
		return p.card
	}
	return ""
}

// reason is why nothing can be linked: what bars a permitted method says more
// than that another one is not permitted.
func reason(me portti.Me) string {
	codes := []string{me.May.Card, me.May.App, me.May.Token}
	for _, code := range codes {
		if code != "policy_denied" {
			return code
		}
	}
	return "policy_denied"
}

// showLinked says that a link stands, and where to go on from here: an enrol
// session ends with the first use of it.
func (p *Pages) showLinked(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, next := web.Page{Client: v.service()}, ""
	if !v.me.Full {
		next = continuePath
	}
	if p.linked(v.me) == p.card {
		return p.show(w, r, http.StatusOK, "card_linked", &cardLinkedPage{Page: page, Tail: v.me.Card.Tail, Service: next})
	}
	return p.show(w, r, http.StatusOK, "authenticator_linked", &authenticatorLinkedPage{Page: page, Kind: string(v.me.App.Kind), Account: p.config.Account, Service: next})
}

// proceed is goOn by a link. Only a person follows it: if the provider has lost
// the browser's session meanwhile, it sends them back here, and by itself that
// would go in circles.
func (p *Pages) proceed(w http.ResponseWriter, r *http.Request, v *visit) error {
	acr := p.linked(v.me)
	if acr == "" {
		return app.See(w, r, homePath)
	}
	return p.goOn(w, r, v, acr, homePath)
}

// goOn leads on after something was linked: in an enrol session to the provider,
// where the new method is proved once (S20), for the waiting service or else for
// ourselves; in a full session to done, the page that says so.
func (p *Pages) goOn(w http.ResponseWriter, r *http.Request, v *visit, acr, done string) error {
	if v.me.Full {
		return app.See(w, r, done)
	}
	if resume := p.resume(v); resume != "" {
		return app.See(w, r, resume)
	}
	p.rp.Login(w, r, rp.LoginOptions{ReturnTo: done, ACRValues: []string{acr}})
	return nil
}
