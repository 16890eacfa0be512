package api

import (
	"net/http"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// recognised is the body of an act on the west's employee, on a check of the help desk's.
func (h *house) recognised(as, path string) string {
	h.t.Helper()
	var check portti.Check
	if status, code := h.ask(as, "POST", path+"/checks", `{"method":"employer_confirmed","ticket":"T-1"}`, nil, &check); status != http.StatusCreated || check.ID == "" {
		h.t.Fatalf("check: %d %s %+v", status, code, check)
	}
	return `{"reason":"forgotten","ticket":"T-1","check":"` + check.ID + `"}`
}

// S55, S63: an Order by the help desk shows the password where nothing carries it,
// that once; what a letter carries nobody else sees.
func TestAnOrderByTheHelpDesk(t *testing.T) {
	h := newHouse(t)
	path, as := "/api/v1/people/"+string(h.people["west/employee"]), "west/helpdesk"
	var c portti.Case
	if status, code := h.ask(as, "GET", path+"/case", "", nil, &c); status != http.StatusOK || !c.Handover || c.May != "" {
		t.Fatalf("case: %d %s %+v", status, code, c)
	}
	if status, code := h.ask(as, "POST", path+"/order", `{"reason":"r","ticket":"T-1"}`, nil, nil); status != http.StatusForbidden || code != "identity_check_required" {
		t.Errorf("without a check: %d %s", status, code)
	}
	why := h.recognised(as, path)
	var handed portti.Ordered
	if status, code := h.ask(as, "POST", path+"/order", why, nil, &handed); status != http.StatusOK || len(handed.Password) < 16 {
		t.Fatalf("handed over: %d %s %+v", status, code, handed)
	}
	var p portti.Person
	if h.ask(as, "GET", path, "", nil, &p); p.Password.State != "temporary" {
		t.Errorf("the password is %q", p.Password.State)
	}
	var again portti.Ordered
	if h.ask(as, "POST", path+"/order", why, nil, &again); again.Password == "" || again.Password == handed.Password {
		t.Errorf("the same password twice: %+v", again)
	}
	for name, body := range map[string]string{"another's check": h.recognised("east/helpdesk", path), "another person's check": h.recognised(as, "/api/v1/people/"+string(h.people["east/employee"]))} {
		if status, code := h.ask(as, "POST", path+"/order", body, nil, nil); status != http.StatusForbidden || code != "identity_check_invalid" {
			t.Errorf("%s: %d %s", name, status, code)
		}
	}

	_, err := h.Directory.ChangeOrganisation(t.Context(), identity.System, "west", func(o *identity.Organisation) { o.Delivery = identity.ByLetter })
	h.must(err)
	u, _, err := h.Directory.CreateUser(t.Context(), identity.System, identity.User{Username: "lettered", Organisation: "west", GivenName: "A", FamilyName: "B", Language: "en", Email: "a@b.example"})
	h.must(err)
	path = "/api/v1/people/" + string(u.ID)
	if status, code := h.ask(as, "GET", path+"/case", "", nil, &c); status != http.StatusOK || c.Handover {
		t.Errorf("case: %d %s %+v", status, code, c)
	}
	var sent portti.Ordered
	if status, code := h.ask(as, "POST", path+"/order", h.recognised(as, path), nil, &sent); status != http.StatusOK || sent.Password != "" {
		t.Errorf("by letter: %d %s %+v", status, code, sent)
	}
}

// S47, S60, S61: what the help desk does to somebody with nothing to do it to, and
// with nothing right in hand, is said with its field.
func TestActsOfTheHelpDeskThatDoNotHelp(t *testing.T) {
	h := newHouse(t)
	path, as := "/api/v1/people/"+string(h.people["west/employee"]), "west/helpdesk"
	why := h.recognised(as, path)
	with := func(more string) string { return strings.TrimSuffix(why, "}") + more + "}" }
	for name, c := range map[string]struct{ path, body, code string }{
		"removing nothing":             {"/authenticator/remove", why, "totp_not_linked"},
		"synchronising nothing":        {"/authenticator/resync", with(`,"first":"123456","second":"654321"`), "totp_not_linked"},
		"a code of five digits":        {"/authenticator/resync", with(`,"first":"12345","second":"654321"`), "resync_digits"},
		"a linking code for nothing":   {"/linking-code", with(`,"minutes":60`), "linking_code_needless"},
		"a linking code for 9 minutes": {"/linking-code", with(`,"minutes":9`), "linking_code_life"},
		"one for a day and a minute":   {"/linking-code", with(`,"minutes":1441`), "linking_code_life"},
		"one for ever":                 {"/linking-code", with(`,"minutes":9223372036854775807`), "linking_code_life"},
		"opening what is open":         {"/unfreeze", why, "account_not_frozen"},
		"no reason":                    {"/sessions/end", strings.Replace(why, "forgotten", " ", 1), "required"},
		"no ticket":                    {"/sessions/end", strings.Replace(why, "T-1", "", 1), "required"},
		"a way that is none":           {"/checks", `{"method":"secret_question","ticket":"T-1"}`, "check_method_unknown"},
	} {
		if status, code := h.ask(as, "POST", path+c.path, c.body, nil, nil); status < 400 || code != c.code {
			t.Errorf("%s: %d %s, want %s", name, status, code, c.code)
		}
	}
	if status, code := h.ask(as, "POST", path+"/sessions/end", why, nil, nil); status >= 300 {
		t.Errorf("sessions: %d %s", status, code)
	}
}
