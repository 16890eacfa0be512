package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// withTraces has the house keep what is refused, and a sign-in of the west's employee
// that failed and then went well.
func withTraces(t *testing.T) *house {
	t.Helper()
	h := newHouse(t)
	h.Traces = &trace.Book{Store: h.db, Throttle: h.Directory.Throttle, Now: time.Now}
	h.Reference = web.Reference
	mux := http.NewServeMux()
	h.Routes(mux) // once more: with the book
	h.handler = mux
	at := time.Now().UTC().Truncate(time.Microsecond).Add(-time.Minute)
	user := string(h.people["west/employee"])
	h.must(h.db.AddTraces(t.Context(), []trace.Leg{
		{Trace: "T", Reference: "AAAAAAA2", At: at, Expires: at.Add(time.Hour), User: user, Client: "console", Network: "192.0.2.0/24", Entries: []trace.Entry{
			{At: at, What: trace.Asked, Code: "any"}, {At: at.Add(1), What: trace.Refused, Code: "temp_expired"}, {At: at.Add(2), What: trace.Shown, Code: "wrong_credentials"}}},
		{Trace: "U", Reference: "AAAAAAA3", At: at, Expires: at.Add(time.Hour), User: user, Proved: true, Client: "console", Entries: []trace.Entry{
			{At: at, What: trace.Had, Code: "full", Details: map[string]string{"method": "app"}}, {At: at.Add(time.Microsecond), What: trace.Issued}}},
		{Trace: "V", Reference: "AAAAAAA4", At: at, Expires: at.Add(time.Hour), User: string(h.people["east/employee"]), Proved: true, Client: "console", Entries: []trace.Entry{{At: at, What: trace.Started, Code: "full"}}},
	}))
	return h
}

// raw is what an address answers, as it is.
func (h *house) raw(as, path string) (int, string) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), "GET", path, nil)
	r.Header.Set("Authorization", "Bearer "+as)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

// Help desk and operators read a sign-in by its reference as it is read out, with what
// went wrong and who can help; each look is in the trail with the ticket. Nobody else
// reads it: not a responsible user, an auditor, a colleague or the person by this way.
func TestWhoReadsATraceByItsReference(t *testing.T) {
	h := withTraces(t)
	for _, role := range everyRole {
		as := "west/" + roleName(role)
		var got portti.Trace
		status, code := h.ask(as, "GET", "/api/v1/traces/aaaaaaa2?ticket=T-9", "", nil, &got)
		may := identity.Roles(role).Reach(identity.TraceSee) != identity.Nobody
		switch {
		case !may && (status != http.StatusForbidden || code != "not_allowed"):
			t.Errorf("%s: %d %s", as, status, code)
		case may && (status != http.StatusOK || got.Trouble == nil || got.Trouble.Code != "temp_expired" || got.Trouble.Owner != "responsible" || got.Person == nil || got.Person.Username != "west-employee" ||
			got.Proved || got.Network != "192.0.2.0/24" || !slices.Equal(got.References, []string{"AAAAAAA2"})):
			t.Errorf("%s: %d %s %+v", as, status, code, got)
		}
		if status, _ := h.ask(as, "GET", "/api/v1/people/"+string(h.people["west/employee"])+"/traces", "", nil, nil); may != (status == http.StatusOK) {
			t.Errorf("%s lists: %d", as, status)
		}
	}
	looked := 0
	events, err := h.db.AuditEvents(t.Context(), store.Trail{User: string(h.people["west/employee"]), Limit: 100})
	h.must(err)
	for _, e := range events {
		if e.Type == "trace.seen" && e.Details["reference"] == "AAAAAAA2" && e.Details["ticket"] == "T-9" {
			looked++
		}
	}
	if looked != 2 {
		t.Errorf("%d looks are in the trail", looked)
	}
	for _, path := range []string{"/api/v1/traces/AAAAAAA9", "/api/v1/traces/x", "/api/v1/traces/%27%20or%201=1"} {
		if status, code := h.ask("west/helpdesk", "GET", path, "", nil, nil); status != http.StatusNotFound || code != "trace_not_found" {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
	for _, path := range []string{"/api/v1/traces/AAAAAAA2?tikcet=1", "/api/v1/people/x/traces?after=yesterday"} {
		if status, code := h.ask("west/helpdesk", "GET", path, "", nil, nil); status != http.StatusBadRequest || code != "query_invalid" {
			t.Errorf("%s: %d %s", path, status, code)
		}
	}
}

// One's own list is one's own, takes a full sign-in, and is of a person's words alone:
// without anybody's name, and without what others did.
func TestOnesOwnTraces(t *testing.T) {
	h := withTraces(t)
	own := h.grants["west/employee"]
	own.Scopes = []string{"openid", "us"}
	h.grants["own"] = own
	enrolled := own
	enrolled.Level, enrolled.Scopes = "enrol", []string{"openid", "us.enrol"}
	h.grants["enrolled"] = enrolled
	var all []portti.Trace
	if status, code := h.ask("own", "GET", "/api/v1/me/traces", "", nil, &all); status != http.StatusOK || len(all) != 2 {
		t.Fatalf("%d %s %+v", status, code, all)
	}
	_, text := h.raw("own", "/api/v1/me/traces")
	for _, not := range []string{"east", "west-employee", `"person":`, "AAAAAAA4"} {
		if strings.Contains(text, not) {
			t.Errorf("%s is in %s", not, text)
		}
	}
	if status, code := h.ask("enrolled", "GET", "/api/v1/me/traces", "", nil, nil); status != http.StatusForbidden || code != "full_signin_required" {
		t.Errorf("after a password alone: %d %s", status, code)
	}
}

// The reference of a refused call, which the app's page shows, opens it at the help
// desk: what was to be done, by whom, and why it was not, with nothing that was typed.
// It is no sign-in: the person's list does not have it, nor what the service's makers see.
func TestTheReferenceOfARefusedCallOpensIt(t *testing.T) {
	h := withTraces(t)
	own := h.grants["west/employee"]
	own.Scopes = []string{"openid", "us"}
	h.grants["own"] = own
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/api/v1/me/password", strings.NewReader(`{"current":"typed-secret-one","new":"typed-secret-two"}`))
	r.Header.Set("Authorization", "Bearer own")
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	var refused portti.Error
	h.must(json.Unmarshal(w.Body.Bytes(), &refused))
	if w.Code < 400 || len(refused.Reference) != 8 {
		t.Fatalf("%d %+v", w.Code, refused)
	}
	var got portti.Trace
	if status, code := h.ask("west/helpdesk", "GET", "/api/v1/traces/"+strings.ToLower(refused.Reference), "", nil, &got); status != http.StatusOK {
		t.Fatalf("%d %s", status, code)
	}
	if len(got.Entries) < 2 || got.Entries[0].What != "called" || got.Entries[0].Code != "me_password" || got.Trouble == nil || got.Client != "console" || got.Person == nil || got.Person.Username != "west-employee" || !got.Proved {
		t.Errorf("%+v", got)
	}
	if last := got.Entries[len(got.Entries)-1]; last.What != "shown" || last.Code != refused.Code {
		t.Errorf("%+v, and the app was told %s", last, refused.Code)
	}
	if text, err := json.Marshal(got); err != nil || strings.Contains(string(text), "typed-secret") {
		t.Errorf("%s %v", text, err)
	}
	for _, as := range []string{"west/employee", "west/responsible"} {
		if status, code := h.ask(as, "GET", "/api/v1/traces/"+refused.Reference, "", nil, nil); status != http.StatusForbidden {
			t.Errorf("%s: %d %s", as, status, code)
		}
	}
	var all []portti.Trace
	if h.ask("own", "GET", "/api/v1/me/traces", "", nil, &all); len(all) != 2 {
		t.Errorf("it stands among the sign-ins: %+v", all)
	}
	if legs, err := h.db.TracesFor(t.Context(), "console", time.Now(), 50); err != nil || len(legs) != 3 {
		t.Errorf("it stands among the service's: %+v %v", legs, err)
	}
	// A stranger's call, and one that went well, leave nothing.
	for _, as := range []string{"nobody", "own"} {
		status, body := h.raw(as, "/api/v1/me/traces")
		var e portti.Error
		_ = json.Unmarshal([]byte(body), &e)
		if status >= 400 {
			if status, _ := h.ask("west/helpdesk", "GET", "/api/v1/traces/"+e.Reference, "", nil, nil); status != http.StatusNotFound {
				t.Errorf("a stranger's call is kept: %d", status)
			}
		}
	}
}

// Every operation has a code that a trace takes as it is.
func TestEveryOperationHasItsCode(t *testing.T) {
	seen := map[string]bool{}
	for _, o := range newHouse(t).operations() {
		code := operationCode(method(o))
		b := &trace.Book{Now: time.Now}
		ctx, _ := b.Begin(t.Context())
		trace.Note(ctx, trace.Called, code)
		if e := trace.All(ctx, nil)[0]; e.Code != code || code == "" {
			t.Errorf("%s: %q became %q", o.pattern, code, e.Code)
		}
		seen[code] = true
	}
	for _, code := range []string{"me_card_link", "me_order", "people_roles", "traces"} {
		if !seen[code] {
			t.Errorf("no operation is %s: %v", code, seen)
		}
	}
}

func method(o operation) (method, path string) {
	method, path, _ = strings.Cut(o.pattern, " ")
	return method, path
}

// Whatever a person does on her own account, the help desk reads a sentence of its own
// when it was refused; and no sentence is of nothing.
func TestEveryOwnOperationHasItsSentence(t *testing.T) {
	h := newHouse(t)
	const family = "trace.says.called."
	own := map[string]bool{family + "other": true}
	for _, o := range h.operations() {
		if verb, path := method(o); path == "/api/v1/me" || strings.HasPrefix(path, "/api/v1/me/") {
			own[family+operationCode(verb, path)] = true
		}
	}
	if len(own) < 16 {
		t.Errorf("only %v", own)
	}
	for key := range own {
		if !h.Texts.Has(key) {
			t.Errorf("there is no %s", key)
		}
	}
	for _, key := range h.Texts.Keys() {
		if strings.HasPrefix(key, family) && !own[key] {
			t.Errorf("%s is of no operation", key)
		}
	}
}
