package console

import (
	"bytes"
	"encoding/json"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
)

// send uploads a file as the form of the page does.
func send(page *apptest.Page, file string, pairs ...string) *apptest.Page {
	page.T.Helper()
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	for i := 0; i < len(pairs); i += 2 {
		_ = m.WriteField(pairs[i], pairs[i+1]) // a buffer takes everything
	}
	part, err := m.CreateFormFile("file", "people.csv")
	if err != nil {
		page.T.Fatal(err)
	}
	_, _ = part.Write([]byte(file))
	_ = m.Close()
	r, err := http.NewRequestWithContext(page.T.Context(), "POST", page.B.K.URL+"/people/import", &body)
	if err != nil {
		page.T.Fatal(err)
	}
	r.Header.Set("Content-Type", m.FormDataContentType())
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return page.B.Do(r)
}

// S65: a file is checked, looked at, applied, watched, and done.
func TestPeopleComeFromAFile(t *testing.T) {
	k := newKit(t)
	own := responsible
	own.Own = []string{"people.create"}
	k.as(own)
	b := k.Browser()
	i := portti.Import{ID: "I1", Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"}, State: "checked", Rows: 9, Done: 2, Create: 4, Change: 2, Unchanged: 1, Wrong: 2, Expires: time.Now().Add(time.Hour)}
	k.api.Answer("POST /api/v1/imports", i)
	k.api.Answer("GET /api/v1/imports/I1", i)
	k.api.Answer("GET /api/v1/imports/I1/rows?verdict=wrong", portti.ImportRows{Next: "7", Rows: []portti.ImportRow{
		{Line: 3, Cells: map[string]string{"username": "liisa", "email": "no address"}, Verdict: "wrong", Fields: []string{"email"}, Code: "email_invalid", Done: true}, {Line: 7, Verdict: "wrong", Code: "import_cells", Done: true}}})
	k.api.Answer("GET /api/v1/imports/I1/rows?verdict=change", portti.ImportRows{Rows: []portti.ImportRow{{Line: 4, Cells: map[string]string{"username": "matti", "family_name": "Meri"}, Verdict: "change", Fields: []string{"family_name"}}}})
	k.api.Answer("GET /api/v1/imports/I1/rows", portti.ImportRows{})

	form := b.Get("/people/import").Want(200, "/people/import", "import-file", "file", "check").Without("organisation")
	page := send(form, "username;email\nliisa;no address\n", "csrf", form.CSRF()).Want(200, "/imports/I1", "checked", "apply", "passwords", "views").
		Says("liisa", "e-mail: no address", "This is not an e-mail address.", "more or fewer cells", "temporary password by e-mail", "Rows that are wrong are left out.", "(4)").Without("look", "problems")
	var sent portti.NewImport
	if calls := k.api.Calls("POST /api/v1/imports"); len(calls) != 1 || json.Unmarshal([]byte(calls[0].Body), &sent) != nil || sent != (portti.NewImport{Organisation: "o1", CSV: "username;email\nliisa;no address\n"}) {
		t.Errorf("sent %v", calls)
	}
	if links := strings.Join(page.Links(), " "); !strings.Contains(links, "/imports/I1?after=7&verdict=wrong") {
		t.Errorf("the next page is not of the wrong rows: %s", links)
	}
	b.Get("/imports/I1?verdict=change").Want(200, "*", "checked").Says("family name: Meri").Silent("liisa")
	b.Get("/imports/I1?verdict=all").Want(200, "*", "none")
	b.Get("/imports/I1?verdict=nonsense").Want(200, "/imports/I1")
	if changes := k.api.Changes(); len(changes) != 1 {
		t.Errorf("looking changed %v", changes)
	}

	i.State, i.Done = "applying", 5
	k.api.Answer("GET /api/v1/imports/I1", i)
	k.api.Answer("POST /api/v1/imports/I1/apply", i)
	running := page.Submit("/imports/I1").Want(200, "/imports/I1", "applying", "look").Says("5 of 9").Without("apply")
	if got := running.Header.Get("Refresh"); got != "5; url=/imports/I1?look=1" {
		t.Errorf("the page loads again by %q", got)
	}
	if got := b.Get("/imports/I1?look=119").Header.Get("Refresh"); got != "5; url=/imports/I1?look=120" {
		t.Errorf("the page loads again by %q", got)
	}
	for _, look := range []string{"120", "-1", "x"} { // an empty chair keeps no session alive
		if b.Get("/imports/I1?look="+look).Want(200, "*", "look").Header.Get("Refresh") != "" {
			t.Errorf("look=%s: the page loads again", look)
		}
	}
	if b.Get("/imports/I1?verdict=wrong").Header.Get("Refresh") != "" {
		t.Error("somebody who reads rows is disturbed")
	}
	i.State, i.Reason = "stopped", "organisation_disabled"
	k.api.Answer("GET /api/v1/imports/I1", i)
	stopped := b.Get("/imports/I1").Want(200, "*", "stopped", "apply").Says("The organisation has been closed.", "Go on with the import")
	stopped.Submit("/imports/I1")
	if calls := k.api.Calls("POST /api/v1/imports/I1/apply"); len(calls) != 2 {
		t.Errorf("applied %d times, want 2", len(calls))
	}
	i.State, i.Reason, i.Done, i.Handover = "done", "", 9, true
	k.api.Answer("GET /api/v1/imports/I1", i)
	end := b.Get("/imports/I1").Want(200, "*", "done", "passwords", "another").Says("Created", "9 of 9", "have no password yet").Without("apply", "look")
	if end.Header.Get("Refresh") != "" {
		t.Error("the page loads again for ever")
	}
}

func TestAFileWithNothingToDo(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/imports/I1", portti.Import{ID: "I1", State: "checked", Rows: 2, Unchanged: 1, Wrong: 1})
	k.api.Answer("GET /api/v1/imports/I1/rows", portti.ImportRows{})
	k.Browser().Get("/imports/I1").Want(200, "*", "nothing").Without("apply")
}

// What is wrong with the file is said beside it, and nothing goes to the API in
// vain; an operator says whose people they are.
func TestAFileThatIsNotTaken(t *testing.T) {
	k := newKit(t)
	b := k.Browser()
	form := b.Get("/people/import").Want(200, "*", "organisation")
	csrf := form.CSRF()
	for name, file := range map[string]string{"too large": strings.Repeat("a", mostFile+1), "not text": "username\n\xe4iti\n"} {
		page := send(form, file, "csrf", csrf, "organisation", "o7").Want(400, "*", "file-problem")
		if got := apptest.Attr(page.Element("organisation"), "value"); got != "o7" {
			t.Errorf("%s: what was written is %q now", name, got)
		}
	}
	send(form, strings.Repeat("a", mostUpload), "csrf", csrf).Want(413, "*", "error")
	if changes := k.api.Changes(); len(changes) > 0 {
		t.Errorf("the API was asked: %v", changes)
	}
	k.api.Answer("POST /api/v1/imports", &portti.Error{Status: 400, Code: "import_header", Field: "csv", Detail: "RAW WORDS OF THE API"})
	send(form, "a,b\n", "csrf", csrf).Want(400, "*", "file-problem").Says("The first line must name the columns")
	k.api.Answer("POST /api/v1/imports", &portti.Error{Status: 400, Code: "import_column_unknown", Field: "csv", Args: map[string]string{"column": "shoe"}})
	send(form, "shoe\n", "csrf", csrf).Want(400, "*", "file-problem").Says("shoe")
	k.api.Refuse("POST /api/v1/imports", 404, "organisation_not_found")
	send(form, "username\n", "csrf", csrf, "organisation", "nowhere").Want(400, "*", "organisation-problem").Says()
	k.api.Refuse("POST /api/v1/imports", 409, "import_running")
	send(form, "username\n", "csrf", csrf).Want(409, "*", "problems").Says("still being applied")
	k.api.Answer("POST /api/v1/imports", &portti.Error{Status: 400, Code: "import_empty", Field: "csv"})
	b.Post("/people/import", url.Values{"csrf": {csrf}}).Want(400, "*", "file-problem") // a form without a file
}

// An import is its owner's alone, and only for those who create people.
func TestWhoseAnImportIs(t *testing.T) {
	k := newKit(t)
	b := k.Browser()
	k.as(responsible)
	k.api.Answer("GET /api/v1/people", portti.People{})
	b.Get("/people").Want(200, "*", "import")
	form := b.Get("/people/import")
	csrf := form.CSRF()
	k.api.Refuse("GET /api/v1/imports/I2", 404, "import_not_found")
	k.api.Refuse("POST /api/v1/imports/I2/apply", 404, "import_not_found")
	b.Get("/imports/I2").Want(404, "*", "error")
	b.Post("/imports/I2", url.Values{"csrf": {csrf}}).Want(404, "*", "error")
	before := len(k.api.Changes())
	send(form, "username\n").Want(403, "*", "error")
	b.Post("/imports/I2", url.Values{}).Want(403, "*", "error")
	k.as(auditor)
	b.Get("/people").Want(200, "*").Without("import")
	b.Get("/people/import").Want(403, "*", "error")
	b.Get("/imports/I2").Want(403, "*", "error")
	send(form, "username\n", "csrf", csrf).Want(403, "*", "error")
	b.Post("/imports/I2", url.Values{"csrf": {csrf}}).Want(403, "*", "error")
	if after := len(k.api.Changes()); after != before {
		t.Errorf("the API was asked: %v", k.api.Changes()[before:])
	}
}
