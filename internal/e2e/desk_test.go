package e2e

import (
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
)

// atDesk is a browser in which somebody of the help desk has signed in to the Console.
func (w *World) atDesk(e *Employee) *Visitor {
	w.T.Helper()
	v := w.Visitor()
	e.SignIn(v.Open(w.Origin("console")+"/")).Must("console", "find")
	return v
}

// phones finds a caller from the home page, and records how she was recognised. It
// returns the page of the acts.
func (e *Employee) phones(desk *Visitor) *Page {
	e.w.T.Helper()
	console := e.w.Origin("console")
	page := desk.Open(console+"/").Press("find", "q", e.Username).Must("people")
	if !page.leads("/people/" + string(e.ID)) {
		e.w.T.Fatalf("%s is not found: %s", e.Username, page)
	}
	page = desk.Open(console + "/people/" + string(e.ID)).Must("acts")
	if !page.leads("/people/" + string(e.ID) + "/case") {
		e.w.T.Fatalf("no way to the workbench: %s", page)
	}
	return desk.Open(console+"/people/"+string(e.ID)+"/case").Must("case", "state").
		Press("record", "method", "employer_confirmed", "ticket", "T-4711").Must("work", "check", "acts")
}

// leads tells whether a link on the page has this address.
func (p *Page) leads(href string) bool {
	for n := range elements(p.doc) {
		if n.Data == "a" && attr(n, "href") == href {
			return true
		}
	}
	return false
}

// The phone, or the token, is another one (S61, S62): the help desk recognises the
// caller, removes the old link and reads out a code; the password with the code links
// the new one, and no password without it.
func TestThePhoneHasChanged(t *testing.T) {
	for _, kind := range []identity.Method{identity.MethodApp, identity.MethodToken} {
		t.Run(kind.String(), func(t *testing.T) {
			Each(t, func(t *testing.T, w *World) { phoneChanged(t, w, kind) })
		})
	}
}

func phoneChanged(t *testing.T, w *World, kind identity.Method) {
	heikki := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk)
	otto := w.Settled("otto.ohjelma", "tietoapu", kind)
	lost := otto.Key()
	deep := w.Origin("service") + "/records/9"
	before := w.Visitor()
	otto.SignIn(before.Open(deep)).Must("acr")

	desk := w.atDesk(heikki)
	work := otto.phones(desk)
	if work.Has("act-code") {
		t.Error("a linking code is offered while there is an authenticator")
	}
	// Without a reason nothing is done.
	act := work.Follow("act-remove").Must("act", "effects").Press("do", "reason", "").MustStatus(400).Must("reason-problem")
	if person := must(w.Replicas[0].Store.Person(t.Context(), otto.ID))(t); person.Authenticator == nil {
		t.Fatal("removed without a reason")
	}
	work = act.Press("do", "reason", "new phone").Must("done", "act-code", "linking")
	eventually(t, "the sessions of the old phone are over", func() bool { return !before.Open(w.Origin("service") + "/").Has("who") })

	// The password alone comes to User Services, and links nothing there.
	link := func(v *Visitor, fields ...string) *Page {
		page := otto.TypePassword(v.Open(deep)).Must("link-authenticator").Follow("link-authenticator").Must("authenticator-start")
		press := []string{"kind", kind.String(), "own_device", "yes"}
		if page.Has("work_phone") {
			press = append(press, "work_phone", "yes")
		}
		page = page.Press("authenticator-start", press...).Must("key", "qr", "linking_code")
		otto.Scan(page.Text("key"))
		return page.Press("code-submit", append([]string{"code", otto.Code()}, fields...)...)
	}
	if page := link(w.Visitor()).Must("linking_code-problem"); page.Has("code-submit") && page.URL.Host != hostOf(w.Origin("services")) {
		t.Errorf("without the code: %s", page)
	}
	link(w.Visitor(), "linking_code", "k7wp-3mxd").Must("linking_code-problem")
	if person := must(w.Replicas[0].Store.Person(t.Context(), otto.ID))(t); person.Authenticator != nil {
		t.Fatal("the password alone has linked an authenticator")
	}

	issued := work.Follow("act-code").Must("minutes").Press("do", "reason", "new phone", "minutes", "10").Must("issued", "secret", "say")
	code := issued.Text("secret")
	if got := issued.Header.Get("Cache-Control"); got != "no-store" || code == "" {
		t.Errorf("the code %q in an answer with Cache-Control %q", code, got)
	}
	if again := desk.Open(issued.URL.String()); strings.Contains(again.Body, code) {
		t.Error("the code is shown twice")
	}
	if strings.Contains(w.Log.String(), code) {
		t.Error("the code is in the log")
	}
	for _, letter := range w.Mailbox.Letters(otto.Email) {
		if strings.Contains(letter.Body, code) {
			t.Error("a letter carries the code")
		}
	}

	v := w.Visitor()
	page := link(v, "linking_code", strings.ToUpper(code)).Must("code-submit") // the new method is proved once (S20)
	page = page.Press("code-submit", "code", otto.Code()).Must("acr")
	if page.URL.String() != deep || page.Text("acr") != acrCode {
		t.Errorf("acr %q on %s", page.Text("acr"), page)
	}
	person := must(w.Replicas[0].Store.Person(t.Context(), otto.ID))(t)
	if person.Authenticator == nil || person.Authenticator.Kind != kind || otto.Key() == lost {
		t.Errorf("linked: %+v", person.Authenticator)
	}
	otto.SignIn(w.Visitor().Open(deep)).Must("acr")
	if state := desk.Open(w.Origin("console") + "/people/" + string(otto.ID) + "/case"); state.Has("linking") {
		t.Error("linking is closed still")
	}
}

// S63, S55: a password that the help desk orders is read out where nothing carries
// it, once, and otherwise the help desk never sees it.
func TestAnOrderByPhone(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		heikki := w.Settled("heikki.tuki", "tietoapu", identity.MethodApp).With(identity.RoleHelpDesk)
		otto := w.Settled("otto.ohjelma", "tietoapu", identity.MethodApp)
		molla := w.Settled("molla.molemmat", "kuntala", identity.MethodApp)
		desk := w.atDesk(heikki)

		issued := otto.phones(desk).Follow("act-order").Must("way").Press("do", "reason", "forgotten").Must("issued", "secret")
		otto.Password, otto.Temporary = "", strings.ToUpper(issued.Text("secret"))
		page := otto.TypePassword(w.Visitor().Open(w.Origin("service") + "/records/9")).Must("code-submit") // S57
		page = page.Press("code-submit", "code", otto.Code()).Must("change-submit")
		page.Press("change-submit", "new", ownSecret+" toinen", "repeat", ownSecret+" toinen").Must("acr")

		work := molla.phones(desk).Follow("act-order").Press("do", "reason", "forgotten").Must("done")
		if work.Has("secret") {
			t.Error("a password that a letter carries is shown")
		}
		eventually(t, "the letter is there", func() bool { return len(w.Mailbox.Letters(molla.Email)) > 0 })
		desk.Open(w.Origin("console") + "/people/" + string(heikki.ID) + "/case").Must("may-not") // nobody helps themselves
	})
}
