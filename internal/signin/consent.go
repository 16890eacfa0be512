package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/web"
)

// consentPage asks whether a third party's service may learn what it asks for.
type consentPage struct {
	servicePage
	Allow, Deny    string
	Token          string   // what was shown, and to whom
	Person         string   // who is asked
	Scopes, Claims []string // what the service will learn
	Leads          string   // where the answer leads: the origin
}

// consent is the question. Where nothing has to be allowed, or nobody is signed in
// any more, the sign-in goes on.
func (p *Pages) consent(w http.ResponseWriter, r *http.Request, in *waiting) error {
	return p.askConsent(w, r, in)
}

func (p *Pages) askConsent(w http.ResponseWriter, r *http.Request, in *waiting, wrong ...*fault.Fault) error {
	if in.session == nil {
		return see(w, in.path())
	}
	asks, err := p.Provider.Asks(w, r, in.ID, *in.session)
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Gone):
		return p.restart(w, r)
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Unauthenticated), err == nil && asks == nil:
		return see(w, in.path())
	case err != nil:
		return err
	}
	person, err := p.Login.Directory.Store.Person(r.Context(), identity.UserID(in.session.User))
	if err != nil {
		return err
	}
	contact(r, person.Organisation)
	page := &consentPage{servicePage: in.page(), Allow: in.path("consent"), Deny: in.path("deny"), Token: asks.Token, Person: person.User.Name(),
		Scopes: asks.Scopes, Claims: asks.Claims, Leads: in.RedirectTo}
	page.Here = in.path("consent")
	page.Wrong(wrong...)
	status := http.StatusOK
	if len(wrong) > 0 {
		status = web.Status(wrong[0])
	}
	page.showLogo(w)
	return p.render(w, r, in, status, "signin/consent", page)
}

// allow is the person's yes.
func (p *Pages) allow(w http.ResponseWriter, r *http.Request, in *waiting) error {
	if in.session == nil {
		return see(w, in.path())
	}
	err := p.Provider.Allow(w, r, in.ID, *in.session, r.PostFormValue("shown"))
	switch changed, _ := fault.Of(err); {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Gone):
		return p.restart(w, r)
	case fault.Is(err, fault.Conflict):
		return p.askConsent(w, r, in, changed)
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Unauthenticated):
		return see(w, in.path()) // the session is not enough any more
	}
	return err
}

// deny is the person's no.
func (p *Pages) deny(w http.ResponseWriter, r *http.Request, in *waiting) error {
	return p.refuse(w, r, in, openid.NotAllowed)
}
