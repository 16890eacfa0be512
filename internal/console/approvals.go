package console

import (
	"net/http"
	"net/url"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const approvalsPath = "/card-approvals"

// approvalsPage lists cards that wait until somebody has looked whose they are (S29).
type approvalsPage struct {
	web.Page
	Approvals []portti.CardApproval
	All       bool   // of every organisation
	Done      string // approve or refuse: what was just decided; "" for nothing
	Pager     pager
}

// decisions are the two ways to decide on a card.
var decisions = map[string]bool{"approve": true, "refuse": true}

func (p *Pages) approvals(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("card.approve"); err != nil {
		return err
	}
	list, err := p.api.CardApprovals(r.Context(), v.token, r.FormValue("after"))
	if err != nil {
		return refused(err)
	}
	page := &approvalsPage{Approvals: list.Approvals, All: !v.staff.OwnAlone("card.approve"), Pager: pagerOf(r, list.Next)}
	if d := r.FormValue("done"); decisions[d] {
		page.Done = d
	}
	return p.show(w, r, http.StatusOK, "card_approvals", page)
}

// approvalPage shows the card's holder and the account beside each other.
type approvalPage struct {
	web.Page
	Approval portti.CardApproval
	Path     string // of this page
	Reason   string
}

func (p *Pages) approvalOf(r *http.Request, v *visit) (*approvalPage, error) {
	if err := v.need("card.approve"); err != nil {
		return nil, err
	}
	a, err := p.api.CardApproval(r.Context(), v.token, r.PathValue("approval"))
	if err != nil {
		return nil, refused(err)
	}
	return &approvalPage{Approval: a, Path: approvalsPath + "/" + url.PathEscape(a.ID)}, nil
}

func (p *Pages) approval(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.approvalOf(r, v)
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "card_approval", page)
}

// decide approves or refuses a card, as the button says that was pressed: without
// one nothing is approved.
func (p *Pages) decide(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, err := p.approvalOf(r, v)
	if err != nil {
		return err
	}
	page.Reason = whyOf(r).Reason
	decision := r.PostFormValue("decision")
	switch decision {
	case "approve":
		err = p.api.ApproveCard(r.Context(), v.token, page.Approval.ID, page.Reason)
	case "refuse":
		err = p.api.RefuseCard(r.Context(), v.token, page.Approval.ID, page.Reason)
	default:
		return p.show(w, r, http.StatusOK, "card_approval", page)
	}
	if err != nil {
		return p.again(w, r, "card_approval", &page.Page, page, ofAnother(refused(err)))
	}
	return see(w, r, approvalsPath+"?done="+decision)
}
