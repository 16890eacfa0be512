package api

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/pkg/portti"
)

// consentOperations are on what a person has allowed third parties.
func (a *API) consentOperations() []operation {
	return []operation{
		self(a, "GET /api/v1/me/consents", "What the person has allowed third parties' services", a.consents),
		self(a, "DELETE /api/v1/me/consents/{client}", "Take a consent back; the service's tokens end with it", a.withdraw),
	}
}

var errFull = fault.New(fault.Denied, "full_signin_required", "A password alone is not enough for this.")

// consents lists what the person has allowed third parties' services.
func (a *API) consents(r *http.Request, self identity.Self, _ nothing) (portti.Consents, error) {
	if !self.Full {
		return portti.Consents{}, errFull
	}
	all, err := a.Consents.Allowed(r.Context(), string(self.User))
	if err != nil {
		return portti.Consents{}, err
	}
	answer := portti.Consents{Consents: []portti.Consent{}}
	for _, c := range all {
		answer.Consents = append(answer.Consents, portti.Consent{Client: c.Client.ID, Name: c.Client.Name, Home: c.Client.HomeURI, Scopes: c.Scopes, Claims: c.Claims,
			Given: c.Created, Changed: c.Updated})
	}
	return answer, nil
}

// withdraw takes a consent back; the service's tokens end with it.
func (a *API) withdraw(r *http.Request, self identity.Self, _ nothing) (nothing, error) {
	if !self.Full {
		return nothing{}, errFull
	}
	p, err := a.Directory.Store.Account(r.Context(), self.User)
	if err != nil {
		return nothing{}, err
	}
	s := session.Session{ID: self.Session, User: string(self.User), Organisation: string(p.User.Organisation)}
	return nothing{}, a.Consents.Disallow(r.Context(), s, r.PathValue("client"))
}
