package api

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/pkg/portti"
)

// ask calls the API with a body of its own and decodes the answer.
func (h *house) ask(as, method, path, body string, header map[string]string, into any) (int, string) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), method, path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+as)
	r.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code >= 300 {
		var e portti.Error
		h.must(json.Unmarshal(w.Body.Bytes(), &e))
		return w.Code, e.Code
	}
	if into != nil {
		h.must(json.Unmarshal(w.Body.Bytes(), into))
	}
	return w.Code, ""
}

// S65: a responsible user creates, edits, disables and enables people of the own
// organisation, and gives another first password.
func TestResponsibleUsersLookAfterTheirPeople(t *testing.T) {
	h := newHouse(t)
	const as = "west/responsible"
	var made portti.Issued
	status, code := h.ask(as, "POST", "/api/v1/people", `{"username":"new.one","given_name":"Uusi","family_name":"Ihminen","language":"fi"}`, nil, &made)
	if status != http.StatusCreated || len(made.Password) < 16 || made.Person.Password.State != "temporary" || made.Person.Organisation.ID != "west" {
		t.Fatalf("%d %s %+v", status, code, made)
	}
	path := "/api/v1/people/" + made.Person.ID

	var again portti.Issued
	if status, code := h.ask(as, "POST", path+"/first-password", "", nil, &again); status != 200 || again.Password == made.Password || again.Password == "" {
		t.Errorf("first password: %d %s %+v", status, code, again)
	}
	var shown portti.Person
	if status, code := h.ask(as, "GET", path, "", nil, &shown); status != 200 || !shown.May("people.change") || shown.May("people.roles") || shown.Usable {
		t.Errorf("%d %s %+v", status, code, shown)
	}
	change := `{"given_name":"Uusi","family_name":"Nimi","language":"sv","email":"uusi@west.example","phone":"+358401234567"}`
	for match, want := range map[string]string{"": "precondition_required", "*": "precondition_required", `"x"`: "precondition_required", `"99"`: "changed_meanwhile", `"0"`: "changed_meanwhile"} {
		if _, code := h.ask(as, "PUT", path, change, map[string]string{"If-Match": match}, nil); code != want {
			t.Errorf("If-Match %q: %s, want %s", match, code, want)
		}
	}
	match := map[string]string{"If-Match": versioned(shown.Version)}
	if status, code := h.ask(as, "PUT", path, change, match, &shown); status != 200 || shown.FamilyName != "Nimi" || shown.Phone != "+358401234567" {
		t.Errorf("%d %s %+v", status, code, shown)
	}
	if _, code := h.ask(as, "PUT", path, change, match, nil); code != "changed_meanwhile" {
		t.Errorf("the same twice: %s", code)
	}
	if _, code := h.ask(as, "POST", path+"/disable", `{}`, nil, nil); code != "required" {
		t.Errorf("disabled without a reason: %s", code)
	}
	if status, code := h.ask(as, "POST", path+"/disable", `{"reason":"left"}`, nil, &shown); status != 200 || shown.Disabled.IsZero() {
		t.Errorf("%d %s %+v", status, code, shown)
	}
	if _, code := h.ask(as, "POST", path+"/first-password", "", nil, nil); code != "account_disabled" {
		t.Errorf("a password for a closed account: %s", code)
	}
	if _, code := h.ask(as, "POST", path+"/enable", `{}`, nil, nil); code != "required" {
		t.Errorf("enabled without a reason: %s", code)
	}
	if status, code := h.ask(as, "POST", path+"/enable", `{"reason":"came back","ticket":"T-9"}`, nil, &again); status != 200 || again.Password == "" {
		t.Errorf("%d %s", status, code)
	}
	if e := h.recorded(audit.UserEnabled); len(e) != 1 || e[0].Details["note"] != "came back" || e[0].Details["ticket"] != "T-9" || e[0].Details["delivery"] == "" {
		t.Errorf("%+v", e)
	}
	if status, code := h.ask(as, "POST", path+"/roles", `{"give":["operator"]}`, nil, nil); status != 403 || code != "not_allowed" {
		t.Errorf("roles: %d %s", status, code)
	}
	if status, code := h.ask("west/operator", "POST", path+"/roles", `{"give":["responsible"]}`, nil, &shown); status != 200 || len(shown.Roles) != 1 {
		t.Errorf("roles by an operator: %d %s %+v", status, code, shown)
	}
	if _, code := h.ask(as, "POST", path+"/disable", `{"reason":"envy"}`, nil, nil); code != "higher_account" {
		t.Errorf("a responsible user on another: %s", code)
	}
}

// A password that a letter carries is nobody else's.
func TestPasswordsOfLettersAreNotShown(t *testing.T) {
	h := newHouse(t)
	_, err := h.Directory.ChangeOrganisation(t.Context(), identity.System, "west", func(o *identity.Organisation) { o.Delivery = identity.ByLetter })
	h.must(err)
	var made portti.Issued
	if status, code := h.ask("west/responsible", "POST", "/api/v1/people", `{"username":"new","given_name":"A","family_name":"B","language":"fi","email":"a@b.example"}`, nil, &made); status != 201 || made.Password != "" {
		t.Errorf("%d %s %+v", status, code, made)
	}
}

// Nothing of another organisation is read, whatever the query says; and the answer
// is that of what does not exist (S65).
func TestListsEndAtTheOrganisation(t *testing.T) {
	h := newHouse(t)
	for _, query := range []string{"", "?q=east", "?q=a", "?after=a", "?view=unused", "?limit=500", "?organisation=west"} {
		var page portti.People
		if status, code := h.ask("west/responsible", "GET", "/api/v1/people"+query, "", nil, &page); status != 200 {
			t.Errorf("%s: %d %s", query, status, code)
		}
		for _, p := range page.People {
			if p.Organisation.ID != "west" || len(p.Rights) != 0 {
				t.Errorf("%s shows %+v", query, p)
			}
		}
		if query == "" && len(page.People) != len(everyRole) {
			t.Errorf("%d people, want %d", len(page.People), len(everyRole))
		}
	}
	for _, path := range []string{"/api/v1/people", "/api/v1/people/counts", "/api/v1/people.csv"} {
		_, there := h.ask("west/responsible", "GET", path+"?organisation=east", "", nil, nil)
		_, nowhere := h.ask("west/responsible", "GET", path+"?organisation=nowhere", "", nil, nil)
		if there != "organisation_not_found" || there != nowhere {
			t.Errorf("%s: %q for another organisation, %q for none", path, there, nowhere)
		}
		if _, code := h.ask("west/helpdesk", "GET", path+"?view=nobody", "", nil, nil); code != "query_invalid" {
			t.Errorf("%s takes any view: %q", path, code)
		}
	}
	if _, code := h.ask("west/responsible", "POST", "/api/v1/people", `{"organisation":"east","username":"spy","given_name":"A","family_name":"B","language":"fi"}`, nil, nil); code != "organisation_not_found" {
		t.Errorf("created in another organisation: %q", code)
	}
	var n portti.PeopleCounts
	if h.ask("west/responsible", "GET", "/api/v1/people/counts", "", nil, &n); n.All != len(everyRole) || n.Unlinked != len(everyRole) {
		t.Errorf("counts of the own organisation: %+v", n)
	}
	if h.ask("west/helpdesk", "GET", "/api/v1/people/counts", "", nil, &n); n.All != 2*len(everyRole) {
		t.Errorf("counts of all: %+v", n)
	}
}

func TestPagesOfPeopleFollowEachOther(t *testing.T) {
	h := newHouse(t)
	var names []string
	for after := ""; ; {
		var page portti.People
		if status, code := h.ask("west/auditor", "GET", "/api/v1/people?limit=3&after="+url.QueryEscape(after), "", nil, &page); status != 200 {
			t.Fatal(status, code)
		}
		for _, p := range page.People {
			names = append(names, p.Username)
		}
		if after = page.Next; after == "" {
			break
		}
	}
	if len(names) != 2*len(everyRole) || strings.Join(names[:3], " ") != "east-auditor east-employee east-helpdesk" {
		t.Errorf("got %v", names)
	}
}

// S11: a list is a file that no spreadsheet computes, of the own people, and the
// trail tells who took it.
func TestListsAreFiles(t *testing.T) {
	h := newHouse(t)
	_, err := h.Directory.ChangeUser(t.Context(), identity.System, h.people["west/employee"], func(u *identity.User) {
		u.GivenName, u.FamilyName, u.Claims.Phone = `=HYPERLINK("http://evil")`, `@"x", y`, "+358401234567"
	})
	h.must(err)
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/api/v1/people.csv?view=unlinked", nil)
	r.Header.Set("Authorization", "Bearer west/responsible")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	body, marked := strings.CutPrefix(w.Body.String(), "\ufeff")
	if w.Code != 200 || !marked || w.Header().Get("Content-Type") != "text/csv; charset=utf-8" || !strings.HasPrefix(w.Header().Get("Content-Disposition"), "attachment") {
		t.Fatalf("%d %v %q", w.Code, w.Header(), w.Body)
	}
	rows, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	h.must(err)
	if len(rows) != 1+len(everyRole) || len(rows[0]) != len(identity.PeopleColumns) {
		t.Fatalf("rows %v", rows)
	}
	if got := fmt.Sprintf("%q", rows[2][1:6]); rows[2][0] != "west-employee" || got != `["'=HYPERLINK(\"http://evil\")" "'@\"x\", y" "" "en" "'+358401234567"]` {
		t.Errorf("got %s %s", rows[2][0], got)
	}
	for _, row := range rows[1:] {
		if row[6] != "west" {
			t.Errorf("somebody else's: %v", row)
		}
	}
	events, err := h.db.AuditEvents(t.Context(), store.Trail{Types: []audit.Type{audit.PeopleExported}, Limit: 10})
	h.must(err)
	if len(events) != 1 || events[0].Actor != "user:"+string(h.people["west/responsible"]) || events[0].Organisation != "west" || events[0].Details["view"] != "unlinked" {
		t.Errorf("the trail has %+v", events)
	}
}
