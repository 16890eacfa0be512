package userservices

import (
	"net/http"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

type consentsPage struct {
	web.Page
	Services []allowedService
}

// allowedService is a third party's service that may use the person's data.
type allowedService struct {
	ID, Name, Address string
	Scopes, Claims    []string
	Given             time.Time
}

// consents lists the services that the person has allowed something.
func (p *Pages) consents(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.me.Full {
		return app.ErrFull
	}
	all, err := p.api.Consents(r.Context(), v.token)
	if err != nil {
		return app.Refused(err)
	}
	page := &consentsPage{}
	for _, c := range all {
		page.Services = append(page.Services, allowedService{ID: c.Client, Name: app.Named(v.lang, c.Name, c.Client), Address: c.Home, Scopes: c.Scopes, Claims: c.Claims, Given: c.Changed})
	}
	if r.URL.Query().Has("withdrawn") {
		page.Tell(web.Success, "us.consents.withdrawn")
	}
	return p.show(w, r, http.StatusOK, "consents", page)
}

// withdraw takes a consent back. One that is gone already is what was wanted.
func (p *Pages) withdraw(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.me.Full {
		return app.ErrFull
	}
	err := p.api.Withdraw(r.Context(), v.token, r.PostFormValue("client"))
	if err != nil && portti.Code(err) != "consent_not_found" {
		return app.Refused(err)
	}
	return app.See(w, r, "/consents?withdrawn")
}
