package userservices

import (
	"net/http"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/pkg/portti"
)

// A new password that somebody else wanted (S59): what was asked can be cancelled,
// and what was ordered freezes the account.

// cancelAsk cancels what was asked. What is over already needs no cancelling.
func (p *Pages) cancelAsk(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := p.api.CancelAsk(r.Context(), v.token); err != nil && portti.Code(err) != "mailed_link_spent" {
		return app.Refused(err)
	}
	return app.See(w, r, homePath)
}

// toHome is GET at the address of a form: a reload.
func (p *Pages) toHome(w http.ResponseWriter, r *http.Request, _ *visit) error {
	return app.See(w, r, homePath)
}

// freeze says what "this was not me" does.
func (p *Pages) freeze(w http.ResponseWriter, r *http.Request, v *visit) error {
	if v.me.NewPassword.Ordered.IsZero() {
		return fault.New(fault.NotFound, "not_found", "There is no such page.")
	}
	return p.show(w, r, http.StatusOK, "freeze", &plainPage{})
}

// placeFreeze freezes the account. This session ends with it, so the page is the
// answer itself.
func (p *Pages) placeFreeze(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := p.api.Freeze(r.Context(), v.token); err != nil {
		return app.Refused(err)
	}
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return p.show(w, r, http.StatusOK, "frozen", &plainPage{})
}
