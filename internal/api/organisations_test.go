package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/pkg/portti"
)

// client is the API's typed client in somebody's name: the token is the role.
func (h *house) client() *portti.Client {
	h.t.Helper()
	server := httptest.NewServer(h.handler)
	h.t.Cleanup(server.Close)
	return &portti.Client{Issuer: server.URL, HTTP: server.Client()}
}

// S65: a responsible user sees one organisation, and operators every one.
func TestOrganisationsThatOneSees(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	for as, want := range map[string]int{"west/responsible": 1, "west/operator": 2, "west/helpdesk": 2, "west/auditor": 2} {
		list, err := c.Organisations(ctx, as, "")
		if err != nil || len(list.Organisations) != want || want == 1 && list.Organisations[0].ID != "west" {
			t.Errorf("%s: %+v, %v", as, list, err)
		}
	}
	for i := range 60 {
		o := portti.Employer{ID: "o" + time.Duration(i).String(), Name: "zz" + time.Duration(100+i).String(), Policy: portti.Policy{Methods: []portti.Method{portti.Card}}, Delivery: "handover"}
		made, err := c.CreateOrganisation(ctx, "west/operator", o)
		if err != nil || made.Version != 1 || made.Holder != "approve" {
			t.Fatal(made, err)
		}
	}
	seen := 0
	for after := ""; ; {
		page, err := c.Organisations(ctx, "west/operator", after)
		if err != nil || len(page.Organisations) > 50 {
			t.Fatal(len(page.Organisations), err)
		}
		seen += len(page.Organisations)
		if after = page.Next; after == "" {
			break
		}
	}
	if seen != 62 {
		t.Errorf("%d on all pages", seen)
	}
}

// What the operator decides, and that nobody overwrites what they have not seen.
func TestOperatorsChangeOrganisations(t *testing.T) {
	h := newHouse(t)
	c, ctx := h.client(), t.Context()
	o, err := c.Organisation(ctx, "west/operator", "east")
	h.must(err)
	o.Name, o.Delivery, o.Holder, o.Policy.SessionIdle = "East renamed", "letter", "refuse", 30
	after, err := c.ReplaceOrganisation(ctx, "west/operator", o)
	if err != nil || after.Name != "East renamed" || after.Policy.SessionIdle != 30 || after.Version != o.Version+1 {
		t.Errorf("%+v, %v", after, err)
	}
	if again, err := c.Organisation(ctx, "west/auditor", "east"); err != nil || again.Holder != "refuse" || again.Version != after.Version {
		t.Errorf("%+v, %v", again, err)
	}
	if _, err := c.ReplaceOrganisation(ctx, "west/operator", o); codeOf(err) != "changed_meanwhile" {
		t.Errorf("of an old version: %v", err)
	}
	body, err := json.Marshal(after)
	h.must(err)
	for match, want := range map[string]string{"": "precondition_required", "*": "precondition_required", versioned(o.Version): "changed_meanwhile", `"-1"`: "changed_meanwhile", `"0"`: "changed_meanwhile"} {
		if _, code := h.ask("west/operator", "PUT", "/api/v1/organisations/east", string(body), map[string]string{"If-Match": match}, nil); code != want {
			t.Errorf("If-Match %q: %s, want %s", match, code, want)
		}
	}
	if w := h.answer(h.request("west/operator", "GET", "/api/v1/organisations/east")); w.Header().Get("ETag") != versioned(after.Version) {
		t.Errorf("ETag %s", w.Header().Get("ETag"))
	}
	o.Version, o.Policy.SessionAbsolute = after.Version, 721
	if _, err := c.ReplaceOrganisation(ctx, "west/operator", o); codeOf(err) != "session_limit_invalid" || err.(*portti.Error).Field != "session_absolute" {
		t.Errorf("too long: %v", err)
	}
	h.must(c.DisableOrganisation(ctx, "west/operator", "east", portti.Grounds{Reason: "merged", Ticket: "T-1"}))
	if closed, err := c.Organisation(ctx, "west/operator", "east"); err != nil || closed.Disabled.IsZero() {
		t.Errorf("%+v, %v", closed, err)
	}
	h.must(c.EnableOrganisation(ctx, "west/operator", "east", portti.Grounds{Reason: "split"}))
	if err := c.DisableOrganisation(ctx, "west/operator", "east", portti.Grounds{Reason: " "}); codeOf(err) != "required" {
		t.Errorf("closed without a word: %v", err)
	}
	if e := h.recorded(audit.OrganisationDisabled); len(e) != 1 || e[0].Details["note"] != "merged" || e[0].Details["ticket"] != "T-1" {
		t.Errorf("%+v", e)
	}
}

func codeOf(err error) string {
	if e, ok := err.(*portti.Error); ok {
		return e.Code
	}
	return ""
}

// S5, S8: a responsible user looks what a change would come to, plans it, withdraws
// it, and makes it; the dry run writes nothing and says what then happens.
func TestAPolicyIsRehearsedPlannedAndWithdrawn(t *testing.T) {
	h := newHouse(t)
	c, ctx, as := h.client(), t.Context(), "west/responsible"
	h.link("west/employee", identity.MethodApp)
	h.link("west/helpdesk", identity.MethodToken)
	h.must(h.permit("west", identity.MethodApp, identity.MethodToken))
	state, err := c.OrganisationPolicy(ctx, as, "west")
	h.must(err)
	change := portti.PolicyChange{Policy: state.Policy, Version: state.Version, From: time.Now().Add(48 * time.Hour).Truncate(time.Second).UTC()}
	change.Policy.Methods = []portti.Method{portti.Card, portti.Token}
	out, err := c.ChangePolicy(ctx, as, "west", change, portti.DryRun)
	want := portti.PolicyEffect{People: 5, Stranded: 1, Without: 3}
	if err != nil || out.Effect != want || out.State.Planned == nil || !out.State.Planned.From.Equal(change.From) {
		t.Fatalf("dry run: %+v, %v", out, err)
	}
	if again, err := c.OrganisationPolicy(ctx, as, "west"); err != nil || again.Planned != nil || again.Version != state.Version {
		t.Errorf("the dry run left %+v, %v", again, err)
	}
	list, err := c.PolicyAffected(ctx, as, "west", portti.AffectedQuery{Methods: change.Policy.Methods, From: change.From})
	if err != nil || len(list.People) != 1 || list.People[0].Username != "west-employee" || list.People[0].Authenticator != portti.App || len(list.People[0].MayEnable) != 1 || list.People[0].MayEnable[0] != portti.Card {
		t.Errorf("stranded: %+v, %v", list, err)
	}
	out, err = c.ChangePolicy(ctx, as, "west", change, portti.Apply)
	if err != nil || out.Effect != want || out.State.Planned == nil {
		t.Fatalf("planned: %+v, %v", out, err)
	}
	if o, err := c.Organisation(ctx, as, "west"); err != nil || !o.Planned.Equal(change.From) {
		t.Errorf("shown as %+v, %v", o, err)
	}
	h.must(c.WithdrawPolicy(ctx, as, "west"))
	if err := c.WithdrawPolicy(ctx, as, "west"); codeOf(err) != "policy_not_planned" {
		t.Errorf("withdrawn twice: %v", err)
	}
	if state, err = c.OrganisationPolicy(ctx, as, "west"); err != nil || state.Planned != nil {
		t.Fatal(state, err)
	}
	change.Version, change.From = state.Version, time.Time{}
	out, err = c.ChangePolicy(ctx, "west/operator", "west", change, portti.Apply) // who acts signs in with the app, which ends here
	if err != nil || out.Effect != want || len(out.State.Policy.Methods) != 2 || out.State.Planned != nil {
		t.Fatalf("made: %+v, %v", out, err)
	}
	// S5: a role does not help whose method the employer has just forbidden.
	if _, err := c.OrganisationPolicy(ctx, as, "west"); codeOf(err) != "not_allowed" {
		t.Errorf("with a method that is not permitted: %v", err)
	}
	events, err := h.db.AuditEvents(ctx, store.Trail{Types: []audit.Type{audit.PolicyPlanned, audit.PolicyWithdrawn, audit.PolicyChanged}, Limit: 10})
	if err != nil || len(events) != 4 {
		t.Errorf("the trail says %+v, %v", events, err)
	}
}

func (h *house) permit(id identity.OrganisationID, methods ...identity.Method) error {
	o, err := h.db.Organisation(h.t.Context(), id)
	if err != nil {
		return err
	}
	p := o.Policy()
	p.Methods = identity.MethodsOf(methods...)
	_, err = h.Directory.PlanPolicy(h.t.Context(), identity.System, id, o.Version, p, time.Time{})
	return err
}

func (h *house) link(who string, kind identity.Method) {
	h.t.Helper()
	h.must(h.db.Change(h.t.Context(), func(tx identity.Tx) error {
		return tx.AddAuthenticator(identity.Authenticator{ID: identity.LinkID("a-" + who), User: h.people[who], Kind: kind, SealedKey: "x", Linked: time.Now()})
	}))
}

// What is misspelt is refused, and not taken for something else.
func TestPolicyQueriesAreRead(t *testing.T) {
	h := newHouse(t)
	for query, want := range map[string]int{
		"":                              http.StatusBadRequest, // no methods
		"?methods=card":                 http.StatusOK,
		"?methods=card,pigeon":          http.StatusBadRequest,
		"?methods=card&group=everybody": http.StatusBadRequest,
		"?methods=card&from=tomorrow":   http.StatusBadRequest,
		"?methods=card&form=2027-01-01": http.StatusBadRequest,
		"?methods=card&methods=app":     http.StatusBadRequest,
		"?methods=card&group=without":   http.StatusOK,
		"?methods=card&after=%00%ff":    http.StatusOK,
		"?methods=card&from=" + url.QueryEscape(time.Now().Format(time.RFC3339)): http.StatusOK,
	} {
		r := httptest.NewRequestWithContext(context.Background(), "GET", "/api/v1/organisations/west/policy/stranded"+query, nil)
		r.Header.Set("Authorization", "Bearer west/responsible")
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	body, err := json.Marshal(portti.PolicyChange{Policy: portti.Policy{Methods: []portti.Method{portti.Card}}, Version: 1})
	h.must(err)
	for _, c := range []struct{ query, match, want string }{
		{"?dryrun=true", `"1"`, "query_invalid"}, // misspelt
		{"?dry_run=true", "", "precondition_required"},
		{"?dry_run=true", "*", "precondition_required"},
		{"", `"2"`, "changed_meanwhile"},
	} {
		if _, code := h.ask("west/responsible", "POST", "/api/v1/organisations/west/policy"+c.query, string(body), map[string]string{"If-Match": c.match}, nil); code != c.want {
			t.Errorf("%s with If-Match %q: %s, want %s", c.query, c.match, code, c.want)
		}
	}
	if w := h.answer(h.request("west/responsible", "GET", "/api/v1/organisations/west/policy")); w.Header().Get("ETag") != `"1"` {
		t.Errorf("the ETag is %q", w.Header().Get("ETag"))
	}
	if o, err := h.db.Organisation(t.Context(), "west"); err != nil || o.Methods.String() != "app" {
		t.Errorf("it changed the policy: %+v, %v", o, err)
	}
	if _, err := policy(portti.Policy{Methods: []portti.Method{"pigeon"}}); fault.Code(err) != "method_unknown" {
		t.Errorf("%v", err)
	}
}
