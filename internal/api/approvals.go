package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// approvalOperations are those on cards that wait (S29).
func (a *API) approvalOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/card-approvals", identity.CardApprove, "Cards that wait until somebody has looked whose they are, the longest first, 50 a page", a.listApprovals),
		managed(a, "GET /api/v1/card-approvals/{approval}", identity.CardApprove, "One of them", a.showApproval),
		managed(a, "POST /api/v1/card-approvals/{approval}/approve", identity.CardApprove, "Link it: its holder is the person", a.approveCard),
		managed(a, "POST /api/v1/card-approvals/{approval}/refuse", identity.CardApprove, "End its waiting: its holder is somebody else", a.refuseCard),
	}
}

// approvalsAtOnce is a page of the list.
const approvalsAtOnce = 50

func (a *API) listApprovals(r *http.Request, by identity.Actor, _ nothing) (answer[portti.CardApprovals], error) {
	var none answer[portti.CardApprovals]
	query, err := only(r, "after")
	if err != nil {
		return none, err
	}
	asked, id, err := cursor(query.Get("after"))
	if err != nil {
		return none, err
	}
	list, err := a.Directory.WaitingCards(r.Context(), by, identity.ApprovalsOf{AfterAsked: asked, After: identity.LinkID(id), Limit: approvalsAtOnce + 1})
	if err != nil {
		return none, err
	}
	out := portti.CardApprovals{Approvals: []portti.CardApproval{}}
	list, out.Next = pageOf(list, approvalsAtOnce, func(w identity.WaitingCard) string { return cursorAt(w.Asked, string(w.Card.ID)) })
	for _, w := range list {
		out.Approvals = append(out.Approvals, approvalOf(by, w))
	}
	return answer[portti.CardApprovals]{Body: out}, nil
}

// cursor reads where a page begins: the time and ID of the last of the page before.
func cursor(after string) (time.Time, string, error) {
	if after == "" {
		return time.Time{}, "", nil
	}
	at, id, ok := strings.Cut(after, ".")
	micros, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil {
		return time.Time{}, "", fault.New(fault.Invalid, "query_invalid", "after: take it from the page before.").In("after")
	}
	return time.UnixMicro(micros).UTC(), id, nil
}

func cursorAt(asked time.Time, id string) string {
	return strconv.FormatInt(asked.UnixMicro(), 10) + "." + id
}

// pageOf is the first most of a list that was asked for with one more, and the cursor
// of the last of them where that one more is there.
func pageOf[T any](list []T, most int, cursor func(T) string) (page []T, next string) {
	if len(list) <= most {
		return list, ""
	}
	return list[:most], cursor(list[most-1])
}

func approvalOf(by identity.Actor, w identity.WaitingCard) portti.CardApproval {
	c := w.Card
	return portti.CardApproval{ID: string(c.ID), User: string(w.Person.User.ID), Username: w.Person.User.Username, Name: w.Person.User.Name(),
		Organisation: portti.OrganisationName{ID: string(w.Person.Organisation.ID), Name: w.Person.Organisation.Name},
		Holder:       c.HolderName, HolderOrg: c.HolderOrg, Issuer: c.Issuer, Tail: c.Tail(), NotAfter: c.NotAfter,
		Proved: w.Proved.String(), Asked: w.Asked, Expires: w.Expires, May: fault.Code(by.On(identity.CardApprove, w.Person.User))}
}

func approvalID(r *http.Request) identity.LinkID { return identity.LinkID(r.PathValue("approval")) }

func (a *API) showApproval(r *http.Request, by identity.Actor, _ nothing) (answer[portti.CardApproval], error) {
	if _, err := only(r); err != nil {
		return answer[portti.CardApproval]{}, err
	}
	w, err := a.Directory.WaitingCard(r.Context(), by, approvalID(r))
	if err != nil {
		return answer[portti.CardApproval]{}, err
	}
	return answer[portti.CardApproval]{Body: approvalOf(by, w)}, nil
}

type oneReason struct {
	Reason string `json:"reason"`
}

func (a *API) approveCard(r *http.Request, by identity.Actor, in oneReason) (answer[nothing], error) {
	return answer[nothing]{}, a.Directory.ApproveCard(r.Context(), by, approvalID(r), in.Reason)
}

func (a *API) refuseCard(r *http.Request, by identity.Actor, in oneReason) (answer[nothing], error) {
	return answer[nothing]{}, a.Directory.RefuseCard(r.Context(), by, approvalID(r), in.Reason)
}
