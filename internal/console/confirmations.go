package console

import (
	"net/http"
	"net/url"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const confirmationsPath = "/confirmations"

// waits is an act that waits for a second person (S64).
type waits struct {
	portti.WaitingConfirmation
	Act string // of the pages of the workbench; Confirmation has the right that it takes
}

func waitsOf(c portti.WaitingConfirmation) waits {
	a, _ := caseActBy(c.Act)
	return waits{c, a.name}
}

type confirmationsPage struct {
	web.Page
	Waiting []waits
	Done    bool
}

// confirmations lists what waits.
func (p *Pages) confirmations(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("identity.confirm"); err != nil {
		return err
	}
	list, err := p.api.Confirmations(r.Context(), v.token)
	if err != nil {
		return refused(err)
	}
	page := &confirmationsPage{Done: r.FormValue("done") == "confirmed"}
	for _, c := range list.Confirmations {
		page.Waiting = append(page.Waiting, waitsOf(c))
	}
	return p.show(w, r, http.StatusOK, "confirmations", page)
}

type confirmationPage struct {
	web.Page
	Confirmation portti.WaitingConfirmation
	Act          string
	Path         string // of this page
}

func (p *Pages) confirmationOf(r *http.Request, v *visit) (*confirmationPage, error) {
	if err := v.need("identity.confirm"); err != nil {
		return nil, err
	}
	c, err := p.api.Confirmation(r.Context(), v.token, r.PathValue("confirmation"))
	if err != nil {
		return nil, refused(err)
	}
	return &confirmationPage{Confirmation: c, Act: waitsOf(c).Act, Path: confirmationsPath + "/" + url.PathEscape(c.ID)}, nil
}

// confirmation shows whom and what it is about.
func (p *Pages) confirmation(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.confirmationOf(r, v)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "confirmation", page)
}

// confirm lets the colleague do it.
func (p *Pages) confirm(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.confirmationOf(r, v)
	if err != nil {
		return err
	}
	if err := p.api.Confirm(r.Context(), v.token, page.Confirmation.ID); err != nil {
		return p.again(w, r, "confirmation", &page.Page, page, refused(err))
	}
	return see(w, r, confirmationsPath+"?done=confirmed")
}
