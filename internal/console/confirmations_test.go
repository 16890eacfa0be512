package console

import (
	"slices"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

// S64: where the organisation wants a second person, an act that opens an account is
// asked for first, waits, and is done for the reason that was confirmed.
func TestAnActThatNeedsASecondPerson(t *testing.T) {
	careful := liisasCase
	careful.Seconds = []string{"account.unfreeze", "password.order", "authenticator.remove", "linking_code.issue"}
	k, b := atTheDesk(t, careful)
	const path = "/people/u2/case/C1/remove"
	b.Get("/people/u2/case/C1").Want(200, "*", "work").Says("needs a second person")
	b.Get("/people/u2/case/C1/sessions").Want(200, "*", "act", "do").Without("ask")
	page := b.Get(path).Want(200, "*", "needed", "ask", "reason").Without("do", "ticket")
	k.api.Answer("POST /api/v1/people/u2/checks/C1/confirmations", &portti.Error{Status: 400, Code: "required", Field: "reason"})
	page = page.Submit(path, "reason", " ").Want(400, path, "reason-problem", "ask").Without("do")
	k.api.Answer("POST /api/v1/people/u2/checks/C1/confirmations", portti.AskedConfirmation{ID: "f1"})
	waits := liisasCheck
	waits.Confirmations = []portti.AskedConfirmation{{ID: "f1", Act: "authenticator.remove", Reason: "new phone", Asked: time.Now()}}
	k.api.Answer("GET /api/v1/people/u2/checks/C1", waits)
	if page := page.Submit(path, "reason", "new phone").Want(200, path, "waits", "reload", "withdraw").Says("new phone").Without("do", "ask"); !slices.Contains(page.Links(), "/confirmations/f1") {
		t.Error("the page does not lead to where it can be withdrawn")
	}
	calls := k.api.Calls("POST /api/v1/people/u2/checks/C1/confirmations")
	if got := calls[len(calls)-1].Body; got != `{"act":"authenticator.remove","reason":"new phone"}` {
		t.Errorf("asked %s", got)
	}
	b.Get("/people/u2/case/C1/order").Want(200, "*", "ask").Without("waits", "do") // of another act
	b.Get("/people/u2/case/C1").Want(200, "*", "work").Says("waits for a second person")

	turned := waits
	turned.Confirmations = []portti.AskedConfirmation{{ID: "f1", Act: "authenticator.remove", Reason: "new phone", Asked: time.Now(), Refused: time.Now(), Refusal: "no such ticket", Refuser: "Helmi Tuki"}}
	k.api.Answer("GET /api/v1/people/u2/checks/C1", turned)
	b.Get("/people/u2/case/C1").Want(200, "*", "work").Says("refused")
	b.Get(path).Want(200, "*", "refused", "ask", "reason").Says("Helmi Tuki", "no such ticket").Without("do", "waits")

	confirmed := waits
	confirmed.Confirmations = []portti.AskedConfirmation{{ID: "f1", Act: "authenticator.remove", Reason: "new phone", Asked: time.Now(), Confirmed: time.Now()}}
	k.api.Answer("GET /api/v1/people/u2/checks/C1", confirmed)
	page = b.Get(path).Want(200, "*", "confirmed", "do", "ticket").Says("new phone").Without("reason")
	k.api.Answer("POST /api/v1/people/u2/authenticator/remove", &portti.Error{Status: 400, Code: "required", Field: "ticket"})
	page = page.Submit(path, "ticket", "").Want(400, path, "ticket-problem", "confirmed", "do")
	k.api.Answer("POST /api/v1/people/u2/authenticator/remove", nil)
	page.Submit(path, "ticket", "T-1").Want(200, "/people/u2/case/C1?done=remove", "done")
	calls = k.api.Calls("POST /api/v1/people/u2/authenticator/remove")
	if got := calls[len(calls)-1].Body; got != `{"reason":"new phone","ticket":"T-1","check":"C1"}` {
		t.Errorf("sent %s", got)
	}
	// Whoever had confirmed it has left: somebody else is asked.
	k.api.Refuse("POST /api/v1/people/u2/authenticator/remove", 403, "check_needs_second")
	b.Get(path).Submit(path, "ticket", "T-1").Want(403, path, "ask", "reason").Says("second person").Without("do")
}

// The second person sees who asks for what, of whom and why, before confirming it.
func TestBeingTheSecondPerson(t *testing.T) {
	k := newKit(t)
	k.as(with("helpdesk", "people.see", "identity.confirm"))
	b := k.Browser()
	waits := portti.WaitingConfirmation{AskedConfirmation: portti.AskedConfirmation{ID: "f1", Act: "linking_code.issue", Reason: "new phone", Asked: time.Now()}, User: "u2", Username: "liisa", Name: "Liisa Lahti",
		Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"}, Check: portti.Check{ID: "C1", Method: "video_identified", Ticket: "T-4711", Note: "passport", Expires: time.Now().Add(time.Hour)}, Asker: "Heikki Tuki"}
	k.api.Answer("GET /api/v1/confirmations", portti.WaitingConfirmations{})
	b.Get("/confirmations").Want(200, "*", "none")
	k.api.Answer("GET /api/v1/confirmations", portti.WaitingConfirmations{Confirmations: []portti.WaitingConfirmation{waits}, Next: "17.f1"})
	list := b.Get("/confirmations?after=3.x").Want(200, "*", "confirmations", "first-page", "next-page").Says("Liisa Lahti", "Heikki Tuki", "Give a linking code").Without("none")
	if !slices.Contains(list.Links(), "/confirmations?after=17.f1") {
		t.Errorf("the next page: %v", list.Links())
	}
	calls := k.api.Calls("GET /api/v1/confirmations")
	if got := calls[len(calls)-1].Operation; got != "GET /api/v1/confirmations?after=3.x" {
		t.Errorf("asked for %s", got)
	}
	k.api.Answer("GET /api/v1/confirmations/f1", waits)
	page := b.Get("/confirmations/f1").Want(200, "*", "confirm", "refuse", "reason", "effects").Without("withdraw").Says("Heikki Tuki", "new phone", "T-4711", "passport", "Identified on video", "Give a linking code")
	k.api.Refuse("POST /api/v1/confirmations/f1/confirm", 403, "higher_account")
	page.Submit("/confirmations/f1", "decision", "confirm").Want(403, "/confirmations/f1", "problems")
	k.api.Answer("POST /api/v1/confirmations/f1/confirm", nil)
	page.Submit("/confirmations/f1", "decision", "confirm").Want(200, "/confirmations?done=confirm", "done")
	k.api.Answer("POST /api/v1/confirmations/f1/refuse", &portti.Error{Status: 400, Code: "required", Field: "reason", Detail: "RAW WORDS"})
	page.Submit("/confirmations/f1", "decision", "refuse").Want(400, "/confirmations/f1", "reason-problem", "refuse").Silent("RAW WORDS")
	k.api.Answer("POST /api/v1/confirmations/f1/refuse", nil)
	page.Submit("/confirmations/f1", "decision", "refuse", "reason", "no such ticket").Want(200, "/confirmations?done=refuse", "done").Says("Refused")
	calls = k.api.Calls("POST /api/v1/confirmations/f1/refuse")
	if got := calls[len(calls)-1].Body; got != `{"reason":"no such ticket"}` {
		t.Errorf("refused with %s", got)
	}
	before := len(k.api.Changes())
	page.Submit("/confirmations/f1", "reason", "r").Want(200, "/confirmations/f1", "confirm") // as no button of the page sends it
	if len(k.api.Changes()) != before {
		t.Error("something was decided without a button")
	}
	if got := b.Post("/confirmations/f1", nil); got.Status != 403 || len(k.api.Changes()) != before {
		t.Errorf("without our form: %d", got.Status)
	}

	waits.May = "second_is_first"
	k.api.Answer("GET /api/v1/confirmations/f1", waits)
	b.Get("/confirmations/f1").Want(200, "*", "may-not", "withdraw").Without("confirm", "refuse").Says("A colleague confirms or refuses it").
		Submit("/confirmations/f1", "decision", "withdraw", "reason", "hung up").Want(200, "/confirmations?done=withdraw", "done").Says("Withdrawn")
	waits.May = "higher_account"
	k.api.Answer("GET /api/v1/confirmations/f1", waits)
	b.Get("/confirmations/f1").Want(200, "*", "may-not").Without("confirm", "refuse", "withdraw")
	k.api.Answer("GET /api/v1/confirmations/f1", &portti.Error{Status: 404, Code: "confirmation_not_found"})
	b.Get("/confirmations/f1").Want(404, "*", "error").Says("Somebody has decided it already")
	k.as(responsible)
	b.Get("/confirmations").Want(403, "*", "error")
	b.Get("/confirmations/f1").Want(403, "*", "error")
}
