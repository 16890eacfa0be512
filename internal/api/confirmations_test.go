package api

import (
	"net/http"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// S64: what waits has pages, and a colleague's refusal is read by whoever asks.
func TestASecondPersonRefuses(t *testing.T) {
	h := newHouse(t)
	_, err := h.Directory.ChangeOrganisation(t.Context(), identity.System, "west", func(o *identity.Organisation) { o.SecondPerson = true })
	h.must(err)
	const one, two = "west/helpdesk", "east/helpdesk"
	person := "/api/v1/people/" + string(h.people["west/employee"])
	waiting := func(query string) (list portti.WaitingConfirmations) {
		t.Helper()
		if status, code := h.ask(two, "GET", "/api/v1/confirmations"+query, "", nil, &list); status != http.StatusOK {
			t.Fatalf("list: %d %s", status, code)
		}
		return list
	}
	ask := func(check string) (asked portti.AskedConfirmation) {
		t.Helper()
		if status, code := h.ask(one, "POST", person+"/checks/"+check+"/confirmations", `{"act":"password.order","reason":"forgotten"}`, nil, &asked); status != http.StatusCreated {
			t.Fatalf("asked: %d %s", status, code)
		}
		return asked
	}
	newCheck := func() (check portti.Check) {
		t.Helper()
		if status, code := h.ask(one, "POST", person+"/checks", `{"method":"employer_confirmed","ticket":"T-1"}`, nil, &check); status != http.StatusCreated {
			t.Fatalf("check: %d %s", status, code)
		}
		return check
	}
	check := newCheck()
	asked := ask(check.ID)
	path := "/api/v1/confirmations/" + asked.ID
	if status, code := h.ask(two, "POST", path+"/refuse", `{"reason":""}`, nil, nil); status != http.StatusBadRequest || code != "required" {
		t.Errorf("without a reason: %d %s", status, code)
	}
	if status, code := h.ask(two, "POST", path+"/refuse", `{"reason":"no such ticket"}`, nil, nil); status >= 300 {
		t.Fatalf("refused: %d %s", status, code)
	}
	if status, code := h.ask(two, "POST", path+"/confirm", "", nil, nil); status != http.StatusNotFound || code != "confirmation_not_found" {
		t.Errorf("confirmed when it was refused: %d %s", status, code)
	}
	if list := waiting(""); len(list.Confirmations) != 0 {
		t.Errorf("what was refused waits: %+v", list)
	}
	var seen portti.Check
	if h.ask(one, "GET", person+"/checks/"+check.ID, "", nil, &seen); len(seen.Confirmations) != 1 || seen.Confirmations[0].Refusal != "no such ticket" || seen.Confirmations[0].Refuser != "A B" || seen.Confirmations[0].Refused.IsZero() {
		t.Errorf("whoever asks sees %+v", seen.Confirmations)
	}
	ask(check.ID)
	if status, code := h.ask(one, "GET", "/api/v1/confirmations?after=yesterday", "", nil, nil); status != http.StatusBadRequest || code != "query_invalid" {
		t.Errorf("after nothing: %d %s", status, code)
	}
	list := waiting("")
	if len(list.Confirmations) != 1 || list.Next != "" {
		t.Fatalf("what waits: %+v", list)
	}
	if rest := waiting("?after=9999999999999999.a"); len(rest.Confirmations) != 0 {
		t.Errorf("after the last: %+v", rest)
	}
	if status, code := h.ask(one, "POST", "/api/v1/confirmations/"+list.Confirmations[0].ID+"/refuse", `{"reason":"hung up"}`, nil, nil); status >= 300 {
		t.Fatalf("withdrawn: %d %s", status, code)
	}
	if h.ask(one, "GET", person+"/checks/"+check.ID, "", nil, &seen); len(waiting("").Confirmations) != 0 {
		t.Error("what was withdrawn waits")
	}
}
