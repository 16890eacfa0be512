package console

import (
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
	page.Submit(path, "reason", "new phone").Want(200, path, "waits", "reload").Says("new phone").Without("do", "ask")
	calls := k.api.Calls("POST /api/v1/people/u2/checks/C1/confirmations")
	if got := calls[len(calls)-1].Body; got != `{"act":"authenticator.remove","reason":"new phone"}` {
		t.Errorf("asked %s", got)
	}
	b.Get("/people/u2/case/C1/order").Want(200, "*", "ask").Without("waits", "do") // of another act
	b.Get("/people/u2/case/C1").Want(200, "*", "work").Says("waits for a second person")

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
	k.api.Answer("GET /api/v1/confirmations", portti.WaitingConfirmations{Confirmations: []portti.WaitingConfirmation{waits}})
	b.Get("/confirmations").Want(200, "*", "confirmations").Says("Liisa Lahti", "Heikki Tuki", "Give a linking code").Without("none")
	k.api.Answer("GET /api/v1/confirmations/f1", waits)
	page := b.Get("/confirmations/f1").Want(200, "*", "confirm", "effects").Says("Heikki Tuki", "new phone", "T-4711", "passport", "Identified on video", "Give a linking code")
	k.api.Refuse("POST /api/v1/confirmations/f1/confirm", 403, "higher_account")
	page.Submit("/confirmations/f1").Want(403, "/confirmations/f1", "problems")
	k.api.Answer("POST /api/v1/confirmations/f1/confirm", nil)
	page.Submit("/confirmations/f1").Want(200, "/confirmations?done=confirmed", "done")
	before := len(k.api.Changes())
	if got := b.Post("/confirmations/f1", nil); got.Status != 403 || len(k.api.Changes()) != before {
		t.Errorf("without our form: %d", got.Status)
	}

	waits.May = "second_is_first"
	k.api.Answer("GET /api/v1/confirmations/f1", waits)
	b.Get("/confirmations/f1").Want(200, "*", "may-not").Without("confirm").Says("A colleague confirms it")
	k.api.Answer("GET /api/v1/confirmations/f1", &portti.Error{Status: 404, Code: "confirmation_not_found"})
	b.Get("/confirmations/f1").Want(404, "*", "error").Says("Somebody has confirmed it already")
	k.as(responsible)
	b.Get("/confirmations").Want(403, "*", "error")
	b.Get("/confirmations/f1").Want(403, "*", "error")
}
