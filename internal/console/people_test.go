package console

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
)

var liisa = portti.Person{ID: "u2", Version: 4, Username: "liisa", GivenName: "Liisa", FamilyName: "Lahti", Email: "liisa@example.test", Language: "fi",
	Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"}, Password: portti.PersonPassword{State: "temporary", Expires: time.Now().Add(time.Hour)},
	Rights: []string{"people.change", "people.disable", "people.enable", "people.roles", "password.first"}}

// S11: lists with their numbers, searched, paged, and as a file.
func TestListsOfPeople(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/people", portti.People{People: []portti.Person{liisa}, Next: "liisa"})
	k.api.Answer("GET /api/v1/people/counts", portti.PeopleCounts{All: 4711, Unlinked: 42})
	k.as(responsible)
	b := k.Browser()
	b.Get("/").Want(200, "/", "due").Says("42")
	b.Get("/people?view=unlinked&q=lah&after=kaisa").Want(200, "*", "people", "views", "new-person", "first-page", "next-page", "file").Says("Lahti Liisa", "(4711)", "(42)")
	calls := k.api.Calls("GET /api/v1/people")
	if got := calls[len(calls)-1].Operation; got != "GET /api/v1/people?after=kaisa&limit=50&q=lah&view=unlinked" {
		t.Errorf("asked for %s", got)
	}
	b.Get("/people?view=nonsense").Want(200, "/people")
	k.as(auditor)
	b.Get("/people").Without("new-person")
}

// A person's page shows what the API says that the reader may do.
func TestAPersonsPage(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/people/u2", liisa)
	b := k.Browser()
	page := b.Get("/people/u2").Want(200, "/people/u2", "person", "acts", "no-links")
	links := strings.Join(page.Links(), " ")
	for _, path := range []string{"/edit", "/first-password", "/roles", "/disable"} {
		if !strings.Contains(links, "/people/u2"+path) {
			t.Errorf("no link to %s", path)
		}
	}
	if strings.Contains(links, "/enable") {
		t.Error("an open account can be opened")
	}
	bare := liisa
	bare.Rights = nil
	k.api.Answer("GET /api/v1/people/u2", bare)
	b.Get("/people/u2").Want(200, "/people/u2").Without("acts")
	for _, path := range []string{"/edit", "/first-password", "/roles", "/disable", "/enable"} {
		b.Get("/people/u2"+path).Want(403, "*", "error")
	}
	b.Get("/people/u2").Want(200, "*", "no-acts", "events", "traces")
	k.as(auditor)
	b.Get("/people/u2").Want(200, "*", "events").Without("traces")
	k.as(operator)
	k.api.Refuse("GET /api/v1/people/u2", 404, "user_not_found")
	b.Get("/people/u2").Want(404, "*", "error")
	if changes := k.api.Changes(); len(changes) > 0 {
		t.Errorf("reading changed %v", changes)
	}
}

// S13: the temporary password is shown once, on a sheet; what was wrong is said at
// the field, and nothing that was written is lost.
func TestAnAccountIsCreated(t *testing.T) {
	k := newKit(t)
	k.as(responsible)
	b := k.Browser()
	form := []string{"username", "liisa", "given-name", "Liisa", "family-name", "Lahti", "email", "", "phone_number", "", "language", "fi"}
	k.api.Refuse("POST /api/v1/people", http.StatusConflict, "username_taken")
	b.Get("/people/new").Want(200, "/people/new", "new", "username").Submit("/people/new", form...).Want(409, "/people/new", "new", "username-problem").Silent("RAW WORDS")
	k.api.Answer("POST /api/v1/people", portti.Issued{Person: liisa, Password: "abcd-efgh-jkmn", Expires: time.Now()})
	page := b.Get("/people/new").Submit("/people/new", form...).Want(200, "*", "issued", "sheet", "password").Says("liisa")
	calls := k.api.Calls("POST /api/v1/people")
	if body := calls[len(calls)-1].Body; !strings.Contains(body, `"username":"liisa"`) {
		t.Errorf("sent %s", body)
	}
	k.onlyOnce(page, "abcd-efgh-jkmn", "/people/u2")
	b.Get("/people/new").Silent("abcd-efgh-jkmn")
	k.as(auditor)
	b.Get("/people/new").Want(403, "*", "error")
}

// What somebody else has changed meanwhile is shown, what was written stays, and
// the next try is over what there is now.
func TestAnEditThatComesSecond(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/people/u2", liisa)
	b := k.Browser()
	page := b.Get("/people/u2/edit").Want(200, "/people/u2/edit", "edit")
	now := liisa
	now.Version, now.FamilyName = 5, "Laine"
	k.api.Answer("GET /api/v1/people/u2", now)
	k.api.Refuse("PUT /api/v1/people/u2", http.StatusConflict, "changed_meanwhile")
	page = page.Submit("/people/u2/edit", "family-name", "Lehto").Want(409, "/people/u2/edit", "meanwhile").Says("Laine")
	if got := apptest.Attr(page.Element("family-name"), "value"); got != "Lehto" {
		t.Errorf("what was written is %q now", got)
	}
	k.api.Answer("PUT /api/v1/people/u2", now)
	page.Submit("/people/u2/edit").Want(200, "/people/u2?done=changed", "done")
	var matches []string
	for _, c := range k.api.Calls("PUT /api/v1/people/u2") {
		matches = append(matches, c.Header.Get("If-Match"))
	}
	if strings.Join(matches, " ") != `"4" "5"` {
		t.Errorf("saved over %v", matches)
	}
}

// S36, S65: acts say what they do before they are done, and are done by a form of ours alone.
func TestActsOnAPerson(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/people/u2", liisa)
	b := k.Browser()
	k.api.Refuse("POST /api/v1/people/u2/disable", http.StatusBadRequest, "required")
	b.Get("/people/u2/disable").Want(200, "*", "act", "reason", "do").Submit("/people/u2/disable", "reason", "").Want(400, "/people/u2/disable", "act").Silent("RAW WORDS")
	k.api.Answer("POST /api/v1/people/u2/disable", liisa)
	b.Get("/people/u2/disable").Submit("/people/u2/disable", "reason", "left", "ticket", "T-7").Want(200, "/people/u2?done=disabled", "done")
	k.api.Answer("POST /api/v1/people/u2/first-password", portti.Issued{Person: liisa, Password: "wxyz-abcd"})
	b.Get("/people/u2/first-password").Want(200, "*", "do").Submit("/people/u2/first-password").Want(200, "*", "issued", "password").Says("wxyz-abcd")
	k.api.Answer("POST /api/v1/people/u2/enable", portti.Issued{Person: liisa})
	b.Get("/people/u2/enable").Want(200, "*", "do").Submit("/people/u2/enable", "reason", "came back").Want(200, "/people/u2?done=enabled", "done").Says("has been sent")
	for act, body := range map[string]string{"disable": `{"reason":"left","ticket":"T-7"}`, "enable": `{"reason":"came back"}`} {
		if calls := k.api.Calls("POST /api/v1/people/u2/" + act); len(calls) == 0 || calls[len(calls)-1].Body != body {
			t.Errorf("%s: %v", act, calls)
		}
	}
	k.api.Answer("POST /api/v1/people/u2/roles", liisa)
	b.Get("/people/u2/roles").Want(200, "*", "role-operator").Submit("/people/u2/roles", "role", "responsible").Want(200, "/people/u2?done=roles", "done")
	if calls := k.api.Calls("POST /api/v1/people/u2/roles"); len(calls) != 1 || calls[0].Body != `{"give":["responsible"]}` {
		t.Errorf("roles: %v", calls)
	}
	begun := liisa
	begun.FirstSignIn = time.Now()
	k.api.Answer("GET /api/v1/people/u2", begun)
	b.Get("/people/u2/first-password").Want(200, "*", "begun").Without("do")
}

// Whoever sees several organisations lists the people of one, and takes the same list
// as a file; its page leads there, and to a new account of it.
func TestPeopleOfOneOrganisation(t *testing.T) {
	k := newKit(t)
	k.api.Answer("GET /api/v1/people", portti.People{People: []portti.Person{liisa}, Next: "liisa"})
	k.api.Answer("GET /api/v1/people/counts", portti.PeopleCounts{All: 7})
	b := k.Browser()
	page := b.Get("/people?organisation=o1").Want(200, "*", "people", "organisation", "next-page").Says("(7)")
	if got := apptest.Attr(page.Element("organisation"), "value"); got != "o1" {
		t.Errorf("the filter shows %q", got)
	}
	links := strings.Join(page.Links(), " ")
	for _, href := range []string{"/people?organisation=o1&view=unlinked", "/people?after=liisa&organisation=o1", "/people.csv?organisation=o1", "/people/new?organisation=o1", "/people/import?organisation=o1"} {
		if !strings.Contains(links, href) {
			t.Errorf("no link to %s: %s", href, links)
		}
	}
	for _, operation := range []string{"GET /api/v1/people", "GET /api/v1/people/counts"} {
		if calls := k.api.Calls(operation); len(calls) != 1 || !strings.Contains(calls[0].Operation, "organisation=o1") {
			t.Errorf("%s: %v", operation, calls)
		}
	}
	for _, path := range []string{"/people/new", "/people/import"} {
		if got := apptest.Attr(b.Get(path+"?organisation=o1").Element("organisation"), "value"); got != "o1" {
			t.Errorf("%s is for %q", path, got)
		}
	}
	k.api.Refuse("GET /api/v1/people", http.StatusNotFound, "organisation_not_found")
	b.Get("/people?organisation=nowhere").Want(400, "*", "people", "organisation-problem").Without("none")

	k.as(ownAlone(responsible, "people.see", "people.create"))
	b.Get("/people/new?organisation=o9").Without("organisation")
}

// ownAlone is somebody some of whose rights end at her own organisation.
func ownAlone(s portti.Staff, rights ...string) portti.Staff {
	s.Own = rights
	return s
}
