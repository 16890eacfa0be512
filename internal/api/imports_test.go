package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

func importing(t *testing.T, organisation, csv string) string {
	t.Helper()
	body, err := json.Marshal(portti.NewImport{Organisation: organisation, CSV: csv})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

const newcomers = "username;given_name;family_name;language\nuusi;Uusi;Ihminen;fi\neast-employee;A;B;fi\n"

// S65: a file is checked, applied, and is its maker's alone.
func TestPeopleFromAFile(t *testing.T) {
	h := newHouse(t)
	const as = "west/responsible"
	var i portti.Import
	if status, code := h.ask(as, "POST", "/api/v1/imports", importing(t, "", newcomers), nil, &i); status != http.StatusCreated || i.Organisation.ID != "west" || i.Create != 1 || i.Wrong != 1 || i.State != "checked" || !i.Handover {
		t.Fatalf("%d %s %+v", status, code, i)
	}
	path := "/api/v1/imports/" + i.ID
	var rows portti.ImportRows
	if status, code := h.ask(as, "GET", path+"/rows?verdict=wrong", "", nil, &rows); status != 200 || len(rows.Rows) != 1 || rows.Rows[0].Code != "username_taken" || rows.Rows[0].Line != 3 {
		t.Errorf("%d %s %+v", status, code, rows)
	}
	if raw, _ := json.Marshal(rows); strings.Contains(string(raw), `"east"`) {
		t.Errorf("it tells whose the name is: %s", raw)
	}
	for query, want := range map[string]string{"?verdict=x": "query_invalid", "?after=x": "query_invalid", "?after=-1": "query_invalid", "?limit=5": "query_invalid"} {
		if _, code := h.ask(as, "GET", path+"/rows"+query, "", nil, nil); code != want {
			t.Errorf("%s: %s", query, code)
		}
	}
	for _, other := range []string{"east/responsible", "west/operator", "east/operator"} {
		for _, do := range []string{"GET ", "GET /rows", "POST /apply"} {
			method, below, _ := strings.Cut(do, " ")
			status, code := h.ask(other, method, path+below, "", nil, nil)
			if s, c := h.ask(other, method, "/api/v1/imports/none"+below, "", nil, nil); s != status || c != code || status != http.StatusNotFound {
				t.Errorf("%s %s: %d %s, and of none %d %s", other, do, status, code, s, c)
			}
		}
	}
	if status, code := h.ask(as, "POST", path+"/apply", "", nil, &i); status != 200 || i.State != "applying" {
		t.Errorf("%d %s %+v", status, code, i)
	}
	if n, err := h.Directory.WorkImports(t.Context()); n != 1 || err != nil {
		t.Errorf("%d %v", n, err)
	}
	if status, code := h.ask(as, "GET", path, "", nil, &i); status != 200 || i.State != "done" || i.Done != 2 || i.Finished.IsZero() {
		t.Errorf("%d %s %+v", status, code, i)
	}
	if p, err := h.db.PersonByName(t.Context(), "uusi"); err != nil || p.User.Organisation != "west" {
		t.Errorf("%+v %v", p.User, err)
	}
}

// Never into another organisation than one's own, nor one that is not there.
func TestImportsStayInTheirOrganisation(t *testing.T) {
	h := newHouse(t)
	status, code := h.ask("west/responsible", "POST", "/api/v1/imports", importing(t, "east", newcomers), nil, nil)
	if s, c := h.ask("west/responsible", "POST", "/api/v1/imports", importing(t, "nowhere", newcomers), nil, nil); s != status || c != code || status != http.StatusNotFound {
		t.Errorf("%d %s for east, %d %s for nowhere", status, code, s, c)
	}
	var i portti.Import
	if status, code := h.ask("west/operator", "POST", "/api/v1/imports", importing(t, "east", newcomers), nil, &i); status != http.StatusCreated || i.Organisation.ID != "east" || i.Wrong != 0 {
		t.Errorf("an operator: %d %s %+v", status, code, i)
	}
}

// This operation alone takes large bodies, and those within bounds.
func TestLargeBodies(t *testing.T) {
	h := newHouse(t)
	const as = "west/responsible"
	big := newcomers + strings.Repeat("# a line that is no person of ours and says nothing\n", 2000)
	var i portti.Import
	if status, code := h.ask(as, "POST", "/api/v1/imports", importing(t, "", big), nil, &i); status != http.StatusCreated || i.Wrong != 2001 {
		t.Errorf("%d bytes: %d %s %+v", len(big), status, code, i)
	}
	if _, code := h.ask(as, "POST", "/api/v1/imports", importing(t, "", newcomers+strings.Repeat("x", identity.MostImportBytes)), nil, nil); code != "import_too_large" {
		t.Errorf("too large a file: %s", code)
	}
	if status, _ := h.ask(as, "POST", "/api/v1/imports", importing(t, "", strings.Repeat("x", 2*mostImportBody)), nil, nil); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large a body: %d", status)
	}
	if status, _ := h.ask(as, "POST", "/api/v1/people", `{"username":"`+strings.Repeat("x", 200<<10)+`"}`, nil, nil); status != http.StatusBadRequest && status != http.StatusRequestEntityTooLarge {
		t.Errorf("large elsewhere: %d", status)
	}
}
