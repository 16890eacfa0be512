package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
)

// over leads back to the choice of methods.
func (p *Pages) over(w http.ResponseWriter, r *http.Request, in *waiting) error {
	f, err := p.Login.StartOver(r.Context(), in.demand)
	return p.answer(w, r, in, f, err)
}

// cancel sends the person back to the service without a sign-in. Who has proved who
// they are and cannot give the card that the service demands has not refused
// anything, and the service hears that.
func (p *Pages) cancel(w http.ResponseWriter, r *http.Request, in *waiting) error {
	why := openid.AccessDenied
	f, err := p.Login.Start(r.Context(), in.demand, in.session)
	if err != nil {
		return err
	}
	if f.Step == login.UseCard && in.CardOnly {
		why = openid.Unmet
	}
	return p.refuse(w, r, in, why)
}

func (p *Pages) refuse(w http.ResponseWriter, r *http.Request, in *waiting, e openid.Error) error {
	err := p.Provider.Refuse(w, r, in.ID, e)
	if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Gone) {
		return p.restart(w, r)
	}
	return err
}
