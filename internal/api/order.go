package api

import (
	"net/http"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

func (a *API) order(r *http.Request, self identity.Self, _ struct{}) (nothing, error) {
	return nothing{}, a.Directory.OrderOwn(r.Context(), self)
}

func (a *API) cancelAsk(r *http.Request, self identity.Self, _ struct{}) (nothing, error) {
	return nothing{}, a.Directory.CancelOwnAsk(r.Context(), self)
}

func (a *API) freeze(r *http.Request, self identity.Self, _ struct{}) (nothing, error) {
	return nothing{}, a.Directory.FreezeOwn(r.Context(), self)
}

// newPassword tells a person of a new password that perhaps somebody else wanted
// (S59); who has proved a password alone is not told.
func (a *API) newPassword(r *http.Request, self identity.Self) (portti.NewPassword, error) {
	if !self.Full {
		return portti.NewPassword{}, nil
	}
	waiting, err := a.Directory.WaitingLinks(r.Context(), self.User)
	return portti.NewPassword{Asked: waiting[identity.ToOrder].Created, Ordered: waiting[identity.NotMe].Created}, err
}
