package console

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
)

var (
	kuntala = portti.Employer{ID: "kuntala", Name: "Kuntala", Delivery: "handover", Holder: "approve", CardNames: "Kuntala kommun", Version: 3,
		Policy: portti.Policy{Methods: []portti.Method{portti.Card, portti.App}, ITContact: "IT 09 1"}}
	kuntalasPolicy = portti.PolicyState{Organisation: portti.OrganisationName{ID: "kuntala", Name: "Kuntala"}, Policy: kuntala.Policy, Version: 3}
)

// body reads what a call sent.
func body[T any](t *testing.T, c apptest.Call) (in T) {
	t.Helper()
	if err := json.Unmarshal([]byte(c.Body), &in); err != nil {
		t.Fatalf("%s: %v", c.Body, err)
	}
	return in
}

func withOrganisation(k *kit) {
	k.api.Answer("GET /api/v1/organisations", portti.Employers{Organisations: []portti.Employer{kuntala}, Next: "kuntala"})
	k.api.Answer("GET /api/v1/organisations/kuntala", kuntala)
	k.api.Answer("GET /api/v1/organisations/kuntala/policy", kuntalasPolicy)
}

// Who may look sees it all, and is led to what the role allows and to nothing else.
func TestOrganisationsByRole(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	for name, c := range map[string]struct {
		staff portti.Staff
		sees  []string
	}{
		"operator":         {operator, []string{"/policy", "/edit", "/disable"}},
		"responsible user": {responsible, []string{"/policy"}},
		"help desk":        {helpDesk, nil},
		"auditor":          {auditor, nil},
	} {
		k.as(c.staff)
		b := k.Browser()
		links := b.Get("/organisations?after=a").Want(200, "*", "organisations", "first-page", "next-page").Says("Kuntala", "Certificate card").Links()
		if slices.Contains(links, newOrganisationPath) != (name == "operator") {
			t.Errorf("%s is led to %v", name, links)
		}
		links = b.Get("/organisations/kuntala").Want(200, "*", "organisation").Says("IT 09 1", "Handed over", "Kuntala kommun").Links()
		for _, path := range []string{"/policy", "/edit", "/disable", "/enable"} {
			if got := slices.Contains(links, "/organisations/kuntala"+path); got != slices.Contains(c.sees, path) {
				t.Errorf("%s is led to %s: %v", name, path, got)
			}
			if !slices.Contains(c.sees, path) && (path != "/enable" || name != "operator") {
				b.Get("/organisations/kuntala"+path).Want(403, "*", "error")
			}
		}
		if name != "operator" {
			b.Get(newOrganisationPath).Want(403, "*", "error")
		}
		if name == "help desk" || name == "auditor" {
			b.Get("/organisations/kuntala/policy/affected?method=card").Want(403, "*", "error")
		}
	}
	if changes := k.api.Changes(); len(changes) > 0 {
		t.Errorf("reading changed %v", changes)
	}
	k.api.Refuse("GET /api/v1/organisations/kuntala", http.StatusNotFound, "organisation_not_found")
	k.Browser().Get("/organisations/kuntala").Want(404, "*", "error")
}

// S8: whom a change touches is shown first; nothing is changed before that is
// confirmed, and what is confirmed is what was shown.
func TestAPolicyIsChangedAfterItsDryRun(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	k.as(responsible)
	at := time.Now().Add(time.Hour)
	effect := portti.PolicyEffect{People: 4711, Stranded: 61, Without: 7, Narrowed: 0}
	k.api.Answer("POST /api/v1/organisations/kuntala/policy", portti.PolicyOutcome{State: kuntalasPolicy, Effect: effect})
	k.api.Answer("GET /api/v1/organisations/kuntala/policy/stranded", portti.Affected{Next: "liisa", People: []portti.AffectedPerson{
		{ID: "u2", Username: "liisa", Name: "Liisa Lahti", Authenticator: portti.App, MayEnable: []portti.Method{portti.Card}},
		{ID: "u3", Username: "matti", Name: "Matti Meri", Card: &portti.LinkedCard{Tail: "1234", NotAfter: at, Expired: true}, Authenticator: portti.App}}})
	b := k.Browser()
	form := b.Get("/organisations/kuntala/policy").Want(200, "*", "policy", "methods", "look")
	day := time.Now().AddDate(0, 1, 0).Format(time.DateOnly)
	page := form.Submit("/organisations/kuntala/policy", "app", "", "session_idle", "20", "from", day, "responsible_contact", "Viivi").
		Want(200, "*", "policy-confirm", "stranded", "more", "confirm").Says("4711", "61", "Liisa Lahti", "Enable in User Services: Certificate card", "a link has to be removed first", "List those who have no way now").Silent("List those who lose one")
	calls := k.api.Calls("POST /api/v1/organisations/kuntala/policy")
	if len(calls) != 1 || !strings.HasSuffix(calls[0].Operation, "?dry_run=true") {
		t.Fatalf("before it was confirmed: %v", calls)
	}
	for _, href := range page.Links() {
		if strings.Contains(href, "/policy/affected?") {
			b.Get(href).Want(200, "*", "affected").Says("Matti Meri")
		}
	}
	if asked := k.api.Calls("GET /api/v1/organisations/kuntala/policy/stranded"); !slices.ContainsFunc(asked, func(c apptest.Call) bool {
		return strings.Contains(c.Operation, "group=without") && strings.Contains(c.Operation, "methods=card") && strings.Contains(c.Operation, "from=")
	}) {
		t.Errorf("asked for %v", asked)
	}

	back := page.Submit("/organisations/kuntala/policy", "again", "yes").Want(200, "*", "policy")
	if got := apptest.Attr(back.Element("from"), "value"); got != day || apptest.Attr(back.Element("responsible_contact"), "value") != "Viivi" {
		t.Errorf("back at the form: the day is %q", got)
	}
	page.Submit("/organisations/kuntala/policy", "confirmed", "yes").Want(200, "/organisations/kuntala?done=planned", "done")
	calls = k.api.Calls("POST /api/v1/organisations/kuntala/policy")
	if len(calls) != 2 || strings.Contains(calls[1].Operation, "dry_run=true") || calls[1].Body != calls[0].Body {
		t.Fatalf("confirmed: %v", calls)
	}
	if c := body[portti.PolicyChange](t, calls[1]); calls[1].Header.Get("If-Match") != `"3"` || !slices.Equal(c.Policy.Methods, []portti.Method{portti.Card}) || c.Policy.SessionIdle != 20 || c.Policy.ITContact != "IT 09 1" || c.From.Local().Format(time.DateOnly) != day {
		t.Errorf("changed to %+v", c)
	}

	// A day that has begun is at once.
	form.Submit("/organisations/kuntala/policy", "from", time.Now().Format(time.DateOnly)).Want(200, "*", "policy-confirm").Says("Change at once").
		Submit("/organisations/kuntala/policy", "confirmed", "yes").Want(200, "/organisations/kuntala?done=policy", "done")
}

// What was wrong is said at the field, and nothing that was typed is lost.
func TestAPolicyThatIsRefused(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	b := k.Browser()
	form := b.Get("/organisations/kuntala/policy").Want(200, "*", "policy")
	for _, wrong := range [][2]string{{"session_idle", "soon"}, {"session_absolute", "1h"}, {"from", "tomorrow"}} {
		page := form.Submit("/organisations/kuntala/policy", wrong[0], wrong[1]).Want(400, "*", "policy", wrong[0]+"-problem")
		if got := apptest.Attr(page.Element(wrong[0]), "value"); got != wrong[1] {
			t.Errorf("%s is %q", wrong[0], got)
		}
	}
	if got := k.api.Changes(); len(got) > 0 {
		t.Errorf("the API was asked: %v", got)
	}
	for field, code := range map[string]string{"methods": "methods_empty", "session_idle": "session_limit_invalid", "support_phone": "support_phone_required", "from": "effective_too_late", "it_contact": "too_long"} {
		k.api.Answer("POST /api/v1/organisations/kuntala/policy", &portti.Error{Status: 400, Code: code, Field: field, Detail: "RAW WORDS OF THE API", Args: map[string]string{"least": "5", "most": "60"}})
		form.Submit("/organisations/kuntala/policy").Want(400, "*", "policy", field+"-problem").Silent("RAW WORDS", "{least}")
	}
	k.api.Refuse("POST /api/v1/organisations/kuntala/policy", http.StatusConflict, "policy_planned")
	form.Submit("/organisations/kuntala/policy").Want(409, "*", "policy").Says("planned already").Silent("RAW WORDS")

	// Somebody else was first: the next try is over what there is now.
	now := kuntalasPolicy
	now.Version, now.Policy.ITContact = 4, "IT 09 2"
	k.api.Answer("GET /api/v1/organisations/kuntala/policy", now)
	k.api.Refuse("POST /api/v1/organisations/kuntala/policy", http.StatusConflict, "changed_meanwhile")
	page := form.Submit("/organisations/kuntala/policy", "it_contact", "Oma").Want(409, "*", "policy", "meanwhile").Says("IT 09 2")
	if apptest.Attr(page.Element("it_contact"), "value") != "Oma" {
		t.Error("what was typed is lost")
	}
	k.api.Answer("POST /api/v1/organisations/kuntala/policy", portti.PolicyOutcome{State: now})
	k.api.Answer("GET /api/v1/organisations/kuntala/policy/stranded", portti.Affected{})
	page.Submit("/organisations/kuntala/policy").Want(200, "*", "policy-confirm", "nobody")
	var versions []string
	for _, c := range k.api.Calls("POST /api/v1/organisations/kuntala/policy") {
		versions = append(versions, c.Header.Get("If-Match"))
	}
	if versions[len(versions)-2] != `"3"` || versions[len(versions)-1] != `"4"` {
		t.Errorf("versions %v", versions)
	}
}

// A planned change is shown, and withdrawn by a form of ours alone.
func TestAPlannedChangeIsWithdrawn(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	planned := kuntalasPolicy
	planned.Planned = &portti.PlannedPolicy{Policy: portti.Policy{Methods: []portti.Method{portti.Token}}, From: time.Now().AddDate(0, 1, 0)}
	k.api.Answer("GET /api/v1/organisations/kuntala/policy", planned)
	k.api.Answer("DELETE /api/v1/organisations/kuntala/policy/planned", nil)
	b := k.Browser()
	page := b.Get("/organisations/kuntala").Want(200, "*", "planned", "withdraw").Without("change-policy").Says("Software token")
	b.Get("/organisations/kuntala/policy/withdraw").Want(200, "/organisations/kuntala")
	b.Post("/organisations/kuntala/policy/withdraw", nil).Want(403, "*", "error")
	if got := k.api.Changes(); len(got) > 0 {
		t.Fatalf("withdrawn without our form: %v", got)
	}
	k.api.Answer("GET /api/v1/organisations/kuntala/policy", kuntalasPolicy)
	page.Submit("/organisations/kuntala/policy/withdraw").Want(200, "/organisations/kuntala?done=withdrawn", "done", "change-policy")
	k.api.Refuse("DELETE /api/v1/organisations/kuntala/policy/planned", http.StatusNotFound, "policy_not_planned")
	page.Submit("/organisations/kuntala/policy/withdraw").Want(404, "*", "error").Silent("RAW WORDS")
	k.as(auditor)
	k.api.Answer("GET /api/v1/organisations/kuntala/policy", planned)
	b.Get("/organisations/kuntala").Want(200, "*", "planned").Without("withdraw")
}

func TestAnOrganisationIsCreated(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	b := k.Browser()
	form := b.Get(newOrganisationPath).Want(200, newOrganisationPath, "new", "id", "delivery", "card_holder", "methods", "create")
	k.api.Answer("POST /api/v1/organisations", &portti.Error{Status: 409, Code: "organisation_exists", Detail: "RAW WORDS"})
	page := form.Submit(newOrganisationPath, "id", "kuntala", "name", "Kuntala", "card", "yes", "card_names", "Kuntala kommun", "delivery", "sms").Want(409, newOrganisationPath, "new", "id-problem").Says("already").Silent("RAW WORDS")
	if apptest.Attr(page.Element("id"), "value") != "kuntala" || !slices.ContainsFunc(page.Element("card").Attr, isChecked) {
		t.Error("what was typed is lost")
	}
	k.api.Answer("POST /api/v1/organisations", kuntala)
	page.Submit(newOrganisationPath).Want(200, "/organisations/kuntala?done=created", "done")
	calls := k.api.Calls("POST /api/v1/organisations")
	if o := body[portti.Employer](t, calls[len(calls)-1]); o.ID != "kuntala" || o.Name != "Kuntala" || o.Delivery != "sms" || o.Holder != "approve" || o.CardNames != "Kuntala kommun" || !slices.Equal(o.Policy.Methods, []portti.Method{portti.Card}) {
		t.Errorf("created %+v", o)
	}
}

// What operators decide is saved over what was seen; the employer's policy stays.
func TestAnOrganisationIsChanged(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	b := k.Browser()
	form := b.Get("/organisations/kuntala/edit").Want(200, "*", "organisation-edit", "save")
	if apptest.Attr(form.Element("name"), "value") != "Kuntala" {
		t.Error("the name is not in the form")
	}
	now := kuntala
	now.Version, now.Name = 4, "Kuntalan kaupunki"
	k.api.Answer("GET /api/v1/organisations/kuntala", now)
	k.api.Refuse("PUT /api/v1/organisations/kuntala", http.StatusConflict, "changed_meanwhile")
	page := form.Submit("/organisations/kuntala/edit", "card_names", "Kuntala stad").Want(409, "*", "meanwhile").Says("Kuntalan kaupunki")
	k.api.Answer("PUT /api/v1/organisations/kuntala", now)
	page.Submit("/organisations/kuntala/edit").Want(200, "/organisations/kuntala?done=changed", "done")
	page.Submit("/organisations/kuntala/edit", "version", "x").Want(200, "/organisations/kuntala?done=changed")
	var versions []int64
	for _, c := range k.api.Calls("PUT /api/v1/organisations/kuntala") {
		o := body[portti.Employer](t, c)
		versions = append(versions, o.Version)
		if o.CardNames != "Kuntala stad" || o.Name != "Kuntala" || o.Policy.ITContact != "IT 09 1" || len(o.Policy.Methods) != 2 {
			t.Errorf("saved %+v", o)
		}
	}
	if !slices.Equal(versions, []int64{3, 4, -1}) { // -1: what a form says that was tampered with has been seen by nobody
		t.Errorf("saved over %v", versions)
	}
}

// To close an organisation is done by the form that says what it means.
func TestAnOrganisationIsClosedAndOpened(t *testing.T) {
	k := newKit(t)
	withOrganisation(k)
	k.api.Answer("POST /api/v1/organisations/kuntala/disable", nil)
	k.api.Answer("POST /api/v1/organisations/kuntala/enable", nil)
	b := k.Browser()
	page := b.Get("/organisations/kuntala/disable").Want(200, "*", "turn", "do").Says("None of its people can log in", "sessions end at once").Without("own")
	if got := k.api.Changes(); len(got) > 0 {
		t.Fatalf("looking changed %v", got)
	}
	page.Submit("/organisations/kuntala/disable", "reason", "merged", "ticket", "T-1").Want(200, "/organisations/kuntala?done=disabled", "done")
	closed := kuntala
	closed.Disabled = time.Now()
	k.api.Answer("GET /api/v1/organisations/kuntala", closed)
	if links := b.Get("/organisations/kuntala").Says("Closed").Links(); !slices.Contains(links, "/organisations/kuntala/enable") || slices.Contains(links, "/organisations/kuntala/disable") {
		t.Errorf("a closed organisation leads to %v", links)
	}
	b.Get("/organisations/kuntala/enable").Want(200, "*", "turn", "do").Submit("/organisations/kuntala/enable").Want(200, "/organisations/kuntala?done=enabled", "done")
	if got := k.api.Changes(); len(got) != 2 {
		t.Errorf("%v", got)
	}
	if calls := k.api.Calls("POST /api/v1/organisations/kuntala/disable"); calls[0].Body != `{"reason":"merged","ticket":"T-1"}` {
		t.Errorf("why: %s", calls[0].Body)
	}
	k.api.Refuse("POST /api/v1/organisations/kuntala/enable", 400, "required")
	b.Get("/organisations/kuntala/enable").Submit("/organisations/kuntala/enable", "ticket", "T-77").Want(400, "*", "turn", "reason").Silent("RAW WORDS")
	own := kuntala
	own.ID = operator.Organisation.ID
	k.api.Answer("GET /api/v1/organisations/"+own.ID, own)
	b.Get("/organisations/"+own.ID+"/disable").Want(200, "*", "own")
}

func isChecked(a html.Attribute) bool { return a.Key == "checked" }
