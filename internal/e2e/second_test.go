package e2e

import (
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// S64: where the organisation wants a second person, the help desk's member who has
// recognised the caller waits until a colleague has looked.
func TestASecondPersonConfirms(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		w.Organisation("tietoapu", func(o *identity.Organisation) { o.SecondPerson = true })
		heikki := w.Settled("heikki.tuki", "kuntala", identity.MethodApp).With(identity.RoleHelpDesk)
		helmi := w.Settled("helmi.tuki", "kuntala", identity.MethodApp).With(identity.RoleHelpDesk)
		otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		desk, colleague, console := w.atDesk(heikki), w.atDesk(helmi), w.Origin("console")

		act := otto.phones(desk).Follow("act-remove").Must("effects", "needed").Press("ask", "reason", "new phone").Must("waits", "reload")
		if act.Has("do") {
			t.Error("it can be done before anybody has confirmed it")
		}
		waiting := must(w.Replicas[0].Store.Confirmations(t.Context(), identity.ConfirmationsOf{Waiting: true}, w.Clock.Now()))(t)
		if len(waiting) != 1 {
			t.Fatalf("what waits: %+v", waiting)
		}
		path := "/confirmations/" + string(waiting[0].ID)
		if desk.Open(console + path).Must("may-not").Has("confirm") {
			t.Error("whoever asks may confirm it")
		}
		if !colleague.Open(console + "/confirmations").Must("confirmations").leads(path) {
			t.Fatal("the colleague does not find it")
		}
		// The colleague wants to know more, refuses, and is asked anew; a request that
		// nobody needs any more is withdrawn.
		colleague.Open(console+path).Press("refuse", "reason", "no such ticket").Must("done", "none")
		act = act.Follow("reload").Must("refused", "ask")
		if !strings.Contains(act.Text("refused"), "no such ticket") {
			t.Errorf("whoever asks reads %q", act.Text("refused"))
		}
		act.Press("ask", "reason", "new phone").Must("waits").Follow("withdraw").Press("withdraw", "reason", "wrong person").Must("done", "none")
		act = desk.Open(act.URL.String()).Must("ask").Press("ask", "reason", "new phone").Must("waits", "reload")
		waiting = must(w.Replicas[0].Store.Confirmations(t.Context(), identity.ConfirmationsOf{Waiting: true}, w.Clock.Now()))(t)
		if len(waiting) != 1 {
			t.Fatalf("what waits then: %+v", waiting)
		}
		path = "/confirmations/" + string(waiting[0].ID)
		page := colleague.Open(console+path).Must("why", "asker", "effects")
		if page.Text("why") != "new phone" || page.Text("username") != otto.Username {
			t.Errorf("the colleague sees %s", page)
		}
		page.Press("confirm").Must("done", "none")
		page.Press("confirm").MustStatus(404)

		act.Follow("reload").Must("confirmed", "do").Press("do").Must("done", "act-code")
		if person := must(w.Replicas[0].Store.Person(t.Context(), otto.ID))(t); person.Authenticator != nil {
			t.Error("the authenticator is there still")
		}
	})
}
