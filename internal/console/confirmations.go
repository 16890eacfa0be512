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
	Done    string // confirm, refuse or withdraw: what was just decided; "" for nothing
	Pager   pager
}

// secondDone are what can be done with an act that waits.
var secondDone = map[string]bool{"confirm": true, "refuse": true, "withdraw": true}

// confirmations lists what waits.
func (p *Pages) confirmations(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("identity.confirm"); err != nil {
		return err
	}
	list, err := p.api.Confirmations(r.Context(), v.token, r.FormValue("after"))
	if err != nil {
		return refused(err)
	}
	page := &confirmationsPage{Pager: pagerOf(r, list.Next)}
	if d := r.FormValue("done"); secondDone[d] {
		page.Done = d
	}
	for _, c := range list.Confirmations {
		page.Waiting = append(page.Waiting, waitsOf(c))
	}
	return p.show(w, r, http.StatusOK, "confirmations", page)
}

type confirmationPage struct {
	web.Page
	Confirmation portti.WaitingConfirmation
	Act          string
	Own          bool   // whoever looks has asked for it, and may withdraw it
	Path         string // of this page
	Reason       string // for refusing it
}

func (p *Pages) confirmationOf(r *http.Request, v *visit) (*confirmationPage, error) {
	if err := v.need("identity.confirm"); err != nil {
		return nil, err
	}
	c, err := p.api.Confirmation(r.Context(), v.token, r.PathValue("confirmation"))
	if err != nil {
		return nil, refused(err)
	}
	return &confirmationPage{Confirmation: c, Act: waitsOf(c).Act, Own: c.May == "second_is_first", Path: confirmationsPath + "/" + url.PathEscape(c.ID)}, nil
}

// confirmation shows whom and what it is about.
func (p *Pages) confirmation(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.confirmationOf(r, v)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "confirmation", page)
}

// decideSecond lets the colleague do it, or refuses or withdraws it, as the button says
// that was pressed: without one nothing is confirmed.
func (p *Pages) decideSecond(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.confirmationOf(r, v)
	if err != nil {
		return err
	}
	page.Reason = whyOf(r).Reason
	decision := r.PostFormValue("decision")
	switch decision {
	case "confirm":
		err = p.api.Confirm(r.Context(), v.token, page.Confirmation.ID)
	case "refuse", "withdraw":
		err = p.api.RefuseConfirmation(r.Context(), v.token, page.Confirmation.ID, page.Reason)
	default:
		return p.show(w, r, http.StatusOK, "confirmation", page)
	}
	if err != nil {
		return p.again(w, r, "confirmation", &page.Page, page, refused(err))
	}
	return see(w, r, confirmationsPath+"?done="+decision)
}
