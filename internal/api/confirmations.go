package api

import (
	"net/http"
	"net/url"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// confirmationOperations are those on acts that a second person confirms (S64).
func (a *API) confirmationOperations() []operation {
	return []operation{
		managed(a, "POST /api/v1/people/{user}/checks/{check}/confirmations", identity.IdentityCheck, "Ask a colleague to confirm an act (account.unfreeze, password.order, authenticator.remove, linking_code.issue), where the organisation wants a second person", a.askSecond),
		managed(a, "GET /api/v1/confirmations", identity.IdentityConfirm, "Acts that wait for a second person, the longest first, 50 a page", a.listConfirmations),
		managed(a, "GET /api/v1/confirmations/{confirmation}", identity.IdentityConfirm, "One of them", a.showConfirmation),
		managed(a, "POST /api/v1/confirmations/{confirmation}/confirm", identity.IdentityConfirm, "Let the colleague who asks do it, once", a.confirm),
		managed(a, "POST /api/v1/confirmations/{confirmation}/refuse", identity.IdentityConfirm, "Refuse it, or withdraw what one has asked for oneself", a.refuseSecond),
	}
}

func (a *API) askSecond(r *http.Request, by identity.Actor, in portti.NewConfirmation) (answer[portti.AskedConfirmation], error) {
	c, err := a.Directory.AskSecond(r.Context(), by, userOf(r), identity.CheckID(r.PathValue("check")), identity.Right(in.Act), in.Reason)
	return answer[portti.AskedConfirmation]{Body: askedConfirmation(c), Status: http.StatusCreated, Made: "/api/v1/confirmations/" + url.PathEscape(string(c.ID))}, err
}

func askedConfirmation(c identity.Confirmation) portti.AskedConfirmation {
	return portti.AskedConfirmation{ID: string(c.ID), Act: string(c.Act), Reason: c.Reason, Asked: c.Asked, Confirmed: c.At, Refused: c.Refused, Refusal: c.Refusal}
}

// confirmationsAtOnce is a page of the list.
const confirmationsAtOnce = 50

func (a *API) listConfirmations(r *http.Request, by identity.Actor, _ nothing) (answer[portti.WaitingConfirmations], error) {
	var none answer[portti.WaitingConfirmations]
	query, err := only(r, "after")
	if err != nil {
		return none, err
	}
	asked, id, err := cursor(query.Get("after"))
	if err != nil {
		return none, err
	}
	list, err := a.Directory.WaitingConfirmations(r.Context(), by, identity.ConfirmationsOf{AfterAsked: asked, After: identity.ConfirmationID(id), Limit: confirmationsAtOnce + 1})
	if err != nil {
		return none, err
	}
	out := portti.WaitingConfirmations{Confirmations: []portti.WaitingConfirmation{}}
	list, out.Next = pageOf(list, confirmationsAtOnce, func(w identity.WaitingConfirmation) string { return cursorAt(w.Asked, string(w.ID)) })
	for _, w := range list {
		out.Confirmations = append(out.Confirmations, confirmation(w))
	}
	return answer[portti.WaitingConfirmations]{Body: out}, nil
}

func confirmation(w identity.WaitingConfirmation) portti.WaitingConfirmation {
	p := w.Person
	return portti.WaitingConfirmation{AskedConfirmation: askedConfirmation(w.Confirmation), User: string(p.User.ID), Username: p.User.Username, Name: p.User.Name(),
		Organisation: portti.OrganisationName{ID: string(p.Organisation.ID), Name: p.Organisation.Name},
		Check:        checkOf(w.Check), Asker: w.Asker, PasswordHours: int(identity.OrderedPasswordLasts.Hours()), May: fault.Code(w.May)}
}

func confirmationID(r *http.Request) identity.ConfirmationID {
	return identity.ConfirmationID(r.PathValue("confirmation"))
}

func (a *API) showConfirmation(r *http.Request, by identity.Actor, _ nothing) (answer[portti.WaitingConfirmation], error) {
	if _, err := only(r); err != nil {
		return answer[portti.WaitingConfirmation]{}, err
	}
	w, err := a.Directory.WaitingConfirmation(r.Context(), by, confirmationID(r))
	if err != nil {
		return answer[portti.WaitingConfirmation]{}, err
	}
	return answer[portti.WaitingConfirmation]{Body: confirmation(w)}, nil
}

func (a *API) confirm(r *http.Request, by identity.Actor, _ nothing) (answer[nothing], error) {
	return answer[nothing]{}, a.Directory.Confirm(r.Context(), by, confirmationID(r))
}

func (a *API) refuseSecond(r *http.Request, by identity.Actor, in oneReason) (answer[nothing], error) {
	return answer[nothing]{}, a.Directory.RefuseSecond(r.Context(), by, confirmationID(r), in.Reason)
}
