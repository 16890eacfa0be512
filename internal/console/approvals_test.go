package console

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

var liisasCard = portti.CardApproval{ID: "a1", User: "u2", Username: "liisa", Name: "Liisa Lahti", Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"},
	Holder: "LAHTI-LAINE LIISA", HolderOrg: "Kuntala", Issuer: "CA", Tail: "4711", NotAfter: time.Now(), Proved: "app", Asked: time.Now(), Expires: time.Now()}

// S29: who may decide finds the cards that wait, and sees card and account beside
// each other before deciding.
func TestCardsThatWait(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/card-approvals", portti.CardApprovals{Approvals: []portti.CardApproval{liisasCard}, Next: "17.a1"})
	k.api.Answer("GET /api/v1/card-approvals/a1", liisasCard)
	b := k.Browser()
	for _, staff := range []portti.Staff{responsible, helpDesk} {
		k.as(staff)
		if links := b.Get("/").Want(200, "/").Links(); !slices.Contains(links, "/card-approvals") {
			t.Errorf("%v: no way to the cards: %v", staff.Roles, links)
		}
		page := b.Get("/card-approvals?after=3.x").Want(200, "*", "approvals", "first-page", "next-page").Says("Liisa Lahti", "LAHTI-LAINE LIISA")
		if !slices.Contains(page.Links(), "/card-approvals/a1") {
			t.Error("no way to the card")
		}
	}
	calls := k.api.Calls("GET /api/v1/card-approvals")
	if got := calls[len(calls)-1].Operation; got != "GET /api/v1/card-approvals?after=3.x" {
		t.Errorf("asked for %s", got)
	}
	const path = "/card-approvals/a1"
	page := b.Get(path).Want(200, path, "beside", "holder", "name", "proved", "approve", "refuse").Says("a password and a code of an app")

	// Without a button, such as by Enter in a browser that names none, nothing is decided.
	page.Submit(path, "reason", "looked").Want(200, path, "approval")
	if changes := k.api.Changes(); len(changes) > 0 {
		t.Errorf("decided without a decision: %v", changes)
	}
	k.api.Answer("POST /api/v1/card-approvals/a1/refuse", &portti.Error{Status: 400, Code: "required", Field: "reason", Detail: "RAW WORDS"})
	page.Submit(path, "decision", "refuse").Want(400, path, "reason-problem").Silent("RAW WORDS")
	for _, decision := range []string{"approve", "refuse"} {
		k.api.Answer("POST /api/v1/card-approvals/a1/"+decision, nil)
		page.Submit(path, "reason", "married", "decision", decision).Want(200, "/card-approvals?done="+decision, "done")
		calls := k.api.Calls("POST /api/v1/card-approvals/a1/" + decision)
		if got := calls[len(calls)-1].Body; got != `{"reason":"married"}` {
			t.Errorf("%s: sent %s", decision, got)
		}
	}
	for code, status := range map[string]int{"card_approval_overtaken": 409, "card_approval_expired": 410, "card_approval_not_found": 404, "card_already_linked": 409} {
		k.api.Refuse("POST /api/v1/card-approvals/a1/approve", status, code)
		page.Submit(path, "reason", "r", "decision", "approve").Want(status, path, "approval").Silent("RAW WORDS", "your username")
	}
	before := len(k.api.Changes())
	if got := b.Post(path, url.Values{"reason": {"r"}, "decision": {"approve"}}); got.Status != 403 || len(k.api.Changes()) != before {
		t.Errorf("without our form: %d", got.Status)
	}

	own := liisasCard
	own.May = "own_account"
	k.api.Answer("GET /api/v1/card-approvals/a1", own)
	b.Get(path).Want(200, path, "may-not").Without("approve", "refuse")
	k.as(auditor)
	b.Get("/card-approvals").Want(403, "*", "error")
	b.Get(path).Want(403, "*", "error")
	if slices.Contains(b.Get("/").Links(), "/card-approvals") {
		t.Error("an auditor is led to the cards")
	}
}

// What waits for somebody with the role stands on the home page, with how much of it;
// nothing is said where nothing waits, or to those who may not decide.
func TestHomeTellsWhatWaits(t *testing.T) {
	k := newKit(t)
	desk := helpDesk
	desk.Rights = append(slices.Clone(desk.Rights), "identity.confirm")
	k.as(desk)
	b := k.Browser()
	b.Get("/").Want(200, "/", "due").Silent("Cards that wait (", "Second person (")
	k.api.Answer("GET /api/v1/card-approvals", portti.CardApprovals{Approvals: make([]portti.CardApproval, 50), Next: "a50"})
	k.api.Answer("GET /api/v1/confirmations", portti.WaitingConfirmations{Confirmations: make([]portti.WaitingConfirmation, 2)})
	b.Get("/").Want(200, "/", "due").Says("Cards that wait (50+)", "Second person (2)")
	k.as(auditor)
	b.Get("/").Want(200, "/", "due").Silent("Cards that wait", "Second person")
	k.as(desk)
	k.api.Refuse("GET /api/v1/confirmations", 503, "store_unavailable")
	b.Get("/").Without("due")
}
