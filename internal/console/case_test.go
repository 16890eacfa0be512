package console

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
	"golang.org/x/net/html"
)

var (
	liisasCase = portti.Case{User: "u2", Username: "liisa", Name: "Liisa Lahti", Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"}, Phone: "+358401234567",
		Card: &portti.LinkedCard{Holder: "LAHTI LIISA", NotAfter: time.Now().Add(time.Hour)},
		App:  &portti.CaseAuthenticator{Authenticator: portti.Authenticator{Kind: portti.App, Fast: -60, Permitted: true}, Failures: 7, BlockedUntil: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}}
	liisasCheck = portti.Check{ID: "C1", Method: "called_back", Ticket: "T-1", Expires: time.Now().Add(30 * time.Minute)}
)

// atTheDesk is somebody of the help desk with Liisa on the phone.
func atTheDesk(t *testing.T, c portti.Case) (*kit, *apptest.Browser) {
	t.Helper()
	k := newKit(t)
	k.as(helpDesk)
	person := liisa
	person.Rights = []string{"identity.check"}
	k.api.Answer("GET /api/v1/people/u2", person)
	k.api.Answer("GET /api/v1/people/u2/case", c)
	k.api.Answer("GET /api/v1/people/u2/checks/C1", liisasCheck)
	return k, k.Browser()
}

// The home page of the help desk leads to a person at once, and the person's page to
// the workbench.
func TestFromHomeToACaller(t *testing.T) {
	k, b := atTheDesk(t, liisasCase)
	k.api.Answer("GET /api/v1/people", portti.People{People: []portti.Person{liisa}})
	b.Get("/").Want(200, "/", "q", "find")
	if links := b.Get("/people?q=liisa").Want(200, "*", "people").Links(); !slices.Contains(links, "/people/u2") {
		t.Errorf("found, and no way to the person: %v", links)
	}
	if links := b.Get("/people/u2").Want(200, "*", "acts").Links(); !slices.Contains(links, "/people/u2/case") {
		t.Errorf("no way to the workbench: %v", links)
	}
	k.as(with("auditor", "audit.see"))
	b.Get("/").Without("q", "find")
}

// S64: the identity check comes first; what is wrong with it is said at its field,
// and nothing that was written is lost.
func TestTheIdentityCheck(t *testing.T) {
	k, b := atTheDesk(t, liisasCase)
	page := b.Get("/people/u2/case").Want(200, "*", "case", "state", "phone", "blocked", "clock", "method", "record").Says("+358401234567", "about 60 seconds slow", "until it is unlocked")
	for _, method := range portti.CheckMethods {
		page.Want(200, "*", "method-"+method, "method-"+method+"-hint")
		if n := page.Element("method-" + method); slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "checked" }) {
			t.Errorf("%s is chosen before anybody has chosen", method)
		}
	}
	k.api.Answer("POST /api/v1/people/u2/checks", &portti.Error{Status: 400, Code: "check_method_unknown", Field: "method", Detail: "RAW WORDS"})
	page = page.Submit("/people/u2/case", "ticket", "T-1", "note", "by the switchboard").Want(400, "/people/u2/case", "method-problem").Silent("RAW WORDS")
	k.api.Answer("POST /api/v1/people/u2/checks", &portti.Error{Status: 400, Code: "required", Field: "ticket"})
	page = page.Submit("/people/u2/case", "method", "called_back", "ticket", "").Want(400, "/people/u2/case", "ticket-problem")
	if got := apptest.Attr(page.Element("note"), "value"); got != "by the switchboard" {
		t.Errorf("the note is %q now", got)
	}
	k.api.Answer("POST /api/v1/people/u2/checks", liisasCheck)
	page.Submit("/people/u2/case", "ticket", "T-1").Want(200, "/people/u2/case/C1", "work", "check", "acts").Says("Called back", "T-1")
	calls := k.api.Calls("POST /api/v1/people/u2/checks")
	if got := calls[len(calls)-1].Body; got != `{"method":"called_back","ticket":"T-1","note":"by the switchboard"}` {
		t.Errorf("recorded %s", got)
	}

	barred := liisasCase
	barred.May = "higher_account"
	k.api.Answer("GET /api/v1/people/u2/case", barred)
	b.Get("/people/u2/case").Want(200, "*", "may-not").Without("record").Says("role of their own")
	k.as(responsible)
	b.Get("/people/u2/case").Want(403, "*", "error")
	b.Get("/people/u2/case/C1").Want(403, "*", "error")
}

// Without a number that has been there for a while there is nobody to call back.
func TestNobodyIsCalledBackWithoutANumber(t *testing.T) {
	unreachable := liisasCase
	unreachable.Phone = ""
	_, b := atTheDesk(t, unreachable)
	b.Get("/people/u2/case").Want(200, "*", "case", "method-employer_confirmed").Without("method-called_back")
}

// The acts that make sense as things stand are offered, and no others.
func TestActsThatMakeSense(t *testing.T) {
	frozen, closed, bare, waiting, given := liisasCase, liisasCase, liisasCase, liisasCase, liisasCase
	frozen.Frozen = time.Now()
	closed.Disabled, closed.Card, closed.App = true, nil, nil
	bare.App = nil
	waiting.App, waiting.Closed = nil, time.Now()
	given.App, given.Closed, given.LinkingCode = nil, time.Now(), &portti.OpenLinkingCode{Expires: time.Now().Add(time.Hour)}
	for name, c := range map[string]struct {
		state  portti.Case
		offers string
	}{
		"linked": {liisasCase, "order unlock resync remove sessions"}, "frozen": {frozen, "unfreeze order unlock resync remove sessions"}, "closed": {closed, ""},
		"never linked": {bare, "order unlock sessions"}, "removed": {waiting, "order unlock code sessions"}, "code given": {given, "order unlock code sessions"},
	} {
		_, b := atTheDesk(t, c.state)
		page := b.Get("/people/u2/case/C1").Want(200, "*", "work")
		var offered []string
		for _, a := range caseActs {
			if slices.Contains(page.Links(), "/people/u2/case/C1/"+a.name) {
				offered = append(offered, a.name)
				b.Get("/people/u2/case/C1/"+a.name).Want(200, "*", "act", "effects", "reason", "ticket", "do")
			} else {
				b.Get("/people/u2/case/C1/"+a.name).Want(200, "*", "no-sense").Without("do")
			}
		}
		if got := strings.Join(offered, " "); got != c.offers {
			t.Errorf("%s: %q is offered, want %q", name, got, c.offers)
		}
	}
	k, b := atTheDesk(t, liisasCase)
	b.Get("/people/u2/case/C1/impersonate").Want(404, "*", "error")
	few := with("helpdesk", "people.see", "identity.check", "sessions.end")
	k.as(few)
	if links := b.Get("/people/u2/case/C1").Want(200, "*", "work").Links(); !slices.Contains(links, "/people/u2/case/C1/sessions") || slices.Contains(links, "/people/u2/case/C1/order") {
		t.Errorf("with one right: %v", links)
	}
	b.Get("/people/u2/case/C1/order").Want(403, "*", "error")
	if changes := k.api.Changes(); len(changes) > 0 {
		t.Errorf("reading changed %v", changes)
	}
}

// Each act is done by a POST with its reason, its ticket and the check, and then
// the page says what to tell the caller.
func TestActsAtTheDesk(t *testing.T) {
	removed := liisasCase
	removed.App, removed.Closed, removed.Frozen = nil, time.Now(), time.Now()
	for name, c := range map[string]struct {
		state           portti.Case
		operation, body string
		answer          any
		fields          []string
	}{
		"order":    {liisasCase, "/order", `{"reason":"r","ticket":"T-1","check":"C1"}`, portti.Ordered{}, nil},
		"remove":   {liisasCase, "/authenticator/remove", `{"reason":"r","ticket":"T-1","check":"C1"}`, nil, nil},
		"unlock":   {liisasCase, "/authenticator/unlock", `{"reason":"r","ticket":"T-1","check":"C1"}`, nil, nil},
		"resync":   {liisasCase, "/authenticator/resync", `{"reason":"r","ticket":"T-1","check":"C1","first":"123456","second":"654321"}`, portti.Resynced{Fast: 300}, []string{"first", " 123456", "second", "654321"}},
		"sessions": {liisasCase, "/sessions/end", `{"reason":"r","ticket":"T-1","check":"C1"}`, nil, nil},
		"unfreeze": {removed, "/unfreeze", `{"reason":"r","ticket":"T-1","check":"C1"}`, nil, nil},
	} {
		k, b := atTheDesk(t, c.state)
		path := "/people/u2/case/C1/" + name
		operation := "POST /api/v1/people/u2" + c.operation
		k.api.Answer(operation, &portti.Error{Status: 400, Code: "required", Field: "reason", Detail: "RAW WORDS"})
		page := b.Get(path).Submit(path, append(c.fields, "reason", "")...).Want(400, path, "act", "reason-problem").Silent("RAW WORDS")
		if got := apptest.Attr(page.Element("ticket"), "value"); got != "T-1" {
			t.Errorf("%s: the ticket is %q now", name, got)
		}
		k.api.Answer(operation, &portti.Error{Status: 429, Code: "too_many_acts", Args: map[string]string{"n": "12"}})
		page = page.Submit(path, "reason", "r").Want(429, path, "act").Says("12 minutes")
		k.api.Answer(operation, c.answer)
		page.Submit(path).Want(200, "/people/u2/case/C1?done="+name, "done", "work").Without("secret")
		calls := k.api.Calls(operation)
		if got := calls[len(calls)-1].Body; got != c.body {
			t.Errorf("%s: sent %s", name, got)
		}
		before := len(k.api.Changes())
		if got := b.Post(path, map[string][]string{"reason": {"r"}, "ticket": {"T-1"}}); got.Status != http.StatusForbidden || len(k.api.Changes()) != before {
			t.Errorf("%s without our form: %d", name, got.Status)
		}
	}
	k, b := atTheDesk(t, liisasCase)
	k.api.Answer("POST /api/v1/people/u2/authenticator/resync", &portti.Error{Status: 400, Code: "resync_no_match", Field: "first"})
	b.Get("/people/u2/case/C1/resync").Submit("/people/u2/case/C1/resync", "first", "111111", "second", "222222", "reason", "r").Want(400, "*", "first-problem").Says("one after the other")
	k.api.Refuse("POST /api/v1/people/u2/order", 403, "account_disabled")
	b.Get("/people/u2/case/C1/order").Submit("/people/u2/case/C1/order", "reason", "r").Want(403, "*", "act").Silent("Your account")
}

// S55, S61: what is read out is shown once, on a page that nobody keeps, and nowhere else.
func TestWhatIsReadOut(t *testing.T) {
	handed := liisasCase
	handed.Handover = true
	removed := liisasCase
	removed.App, removed.Closed = nil, time.Now()
	until := time.Now().Add(10 * time.Minute)
	for name, c := range map[string]struct {
		state     portti.Case
		operation string
		answer    any
		secret    string
		fields    []string
	}{
		"order": {handed, "/order", portti.Ordered{Password: "abcd-efgh-jkmn", Expires: until}, "abcd-efgh-jkmn", nil},
		"code":  {removed, "/linking-code", portti.LinkingCode{Code: "k7wp-3mxd", Expires: until}, "k7wp-3mxd", []string{"minutes", "10"}},
	} {
		k, b := atTheDesk(t, c.state)
		k.api.Answer("POST /api/v1/people/u2"+c.operation, c.answer)
		path := "/people/u2/case/C1/" + name
		page := b.Get(path).Want(200, path, "do").Submit(path, append(c.fields, "reason", "new phone")...).Want(200, "*", "issued", "secret", "until", "say", "back")
		k.onlyOnce(page, c.secret, "/people/u2/case/C1")
		for _, at := range []string{path, "/people/u2/case/C1", "/people/u2/case", "/people/u2"} {
			b.Get(at).Silent(c.secret)
		}
	}
	k, b := atTheDesk(t, removed)
	k.api.Answer("POST /api/v1/people/u2/linking-code", &portti.Error{Status: 400, Code: "linking_code_life", Field: "minutes"})
	for _, minutes := range []string{"9", "99999", "-10", "x", "0x0a", ""} {
		b.Get("/people/u2/case/C1/code").Submit("/people/u2/case/C1/code", "minutes", minutes, "reason", "r").Want(400, "*", "minutes-problem")
	}
	for _, c := range k.api.Calls("POST /api/v1/people/u2/linking-code") {
		if !strings.Contains(c.Body, `"minutes":0`) {
			t.Errorf("asked for %s", c.Body)
		}
	}
}

// A check that has ended leads to its form. What was typed comes back with the new
// one, and nothing is done without it.
func TestACheckThatHasEnded(t *testing.T) {
	for _, code := range []string{"identity_check_invalid", "identity_check_required"} {
		k, b := atTheDesk(t, liisasCase)
		page := b.Get("/people/u2/case/C1/remove").Want(200, "*", "do")
		k.api.Answer("POST /api/v1/people/u2/authenticator/remove", &portti.Error{Status: 403, Code: code, Field: "check"})
		page = page.Submit("/people/u2/case/C1/remove", "reason", "lost phone", "ticket", "T-2").Want(403, "/people/u2/case/C1/remove", "case", "method-problem", "record")
		k.api.Answer("POST /api/v1/people/u2/checks", &portti.Error{Status: 400, Code: "check_method_unknown", Field: "method"})
		page = page.Submit("/people/u2/case").Want(400, "*", "record") // and it goes along still
		second := liisasCheck
		second.ID, second.Ticket = "C2", "T-2"
		k.api.Answer("POST /api/v1/people/u2/checks", second)
		page = page.Submit("/people/u2/case", "method", "document_shown").Want(200, "/people/u2/case", "act", "do")
		if got := apptest.Attr(page.Element("reason"), "value") + "|" + apptest.Attr(page.Element("ticket"), "value"); got != "lost phone|T-2" {
			t.Errorf("reason and ticket are %q now", got)
		}
		k.api.Answer("POST /api/v1/people/u2/authenticator/remove", nil)
		k.api.Answer("GET /api/v1/people/u2/checks/C2", second)
		page.Submit("/people/u2/case/C2/remove").Want(200, "/people/u2/case/C2?done=remove", "done")
		calls := k.api.Calls("POST /api/v1/people/u2/authenticator/remove")
		if got := calls[len(calls)-1].Body; got != `{"reason":"lost phone","ticket":"T-2","check":"C2"}` {
			t.Errorf("sent %s", got)
		}
	}
	k, b := atTheDesk(t, liisasCase)
	k.api.Refuse("GET /api/v1/people/u2/checks/C1", 403, "identity_check_invalid")
	b.Get("/people/u2/case/C1").Want(200, "/people/u2/case?check=ended", "record").Says("no longer valid")
	page := b.Get("/people/u2/case/C1/order").Want(200, "/people/u2/case?act=order&check=ended", "record")
	k.api.Answer("POST /api/v1/people/u2/checks", liisasCheck)
	k.api.Answer("GET /api/v1/people/u2/checks/C1", liisasCheck)
	page.Submit("/people/u2/case", "method", "called_back", "ticket", "T-1").Want(200, "/people/u2/case/C1/order", "act", "do")
	b.Get("/people/u2/case?check=ended&act=//evil.example").Want(200, "*", "record").Silent("evil")
}
