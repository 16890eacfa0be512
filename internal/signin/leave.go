package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
)

// over leads back to the choice of methods.
func (p *Pages) over(w http.ResponseWriter, r *http.Request, in *waiting) error {
	f, err := p.Login.StartOver(r.Context(), in.demand)
	return p.answer(w, r, in, f, err)
}

// cancel sends the person back to the service without a sign-in.
func (p *Pages) cancel(w http.ResponseWriter, r *http.Request, in *waiting) error {
	err := p.Provider.Refuse(w, r, in.ID, openid.AccessDenied)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Gone) {
		return p.restart(w, r)
	}
	return err
}
