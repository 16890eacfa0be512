package console

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/app/apptest"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// records is a service with more in its registration than the form has.
func records() portti.Registered {
	no := false
	return portti.Registered{Version: 7, Created: time.Now().AddDate(-1, 0, 0), Client: portti.Registration{
		ID: "records", Name: "Records", NameFi: "Rekisteri", NameEn: "Records", ApplicationType: "web", RedirectURIs: []string{"https://records.example/cb"}, GrantTypes: []string{"authorization_code"},
		Scope: "openid profile", AuthMethod: "client_secret_basic", Algorithm: "ES256", HomeURI: "https://records.example/", LogoURI: "https://records.example/logo.png", RequirePKCE: &no,
		MinimumACR: rp.ACRCard, Methods: []string{"card"}, Resources: []string{"https://api.example/?a=1&b=2"}, BackChannelSession: &no}}
}

func withRecords(t *testing.T, staff portti.Staff) (*kit, *apptest.Browser) {
	k := newKit(t)
	k.as(staff)
	k.api.Answer("GET /api/v1/clients/records", records())
	return k, k.Browser()
}

// sent is the registration of the last call.
func (k *kit) sent(operation string) (portti.Registration, apptest.Call) {
	k.T.Helper()
	calls := k.api.Calls(operation)
	if len(calls) == 0 {
		k.T.Fatalf("no %s: %v", operation, k.api.Changes())
	}
	var r portti.Registration
	if err := json.Unmarshal([]byte(calls[len(calls)-1].Body), &r); err != nil {
		k.T.Fatal(err)
	}
	return r, calls[len(calls)-1]
}

// The list has a filter and pages.
func TestTheListOfServices(t *testing.T) {
	k := newKit(t)
	var all portti.Registrations
	for i := range 120 {
		all.Clients = append(all.Clients, portti.Registered{Client: portti.Registration{ID: fmt.Sprintf("c%03d", i), NameEn: fmt.Sprintf("Service %d", i), RedirectURIs: []string{fmt.Sprintf("https://h%d.example/cb", i)}}})
	}
	all.Clients[3].Disabled, all.Clients[4].SelfRegistered = time.Now(), true
	k.api.Answer("GET /api/v1/clients", all)
	b := k.Browser()
	first := b.Get("/clients").Want(200, "/clients", "clients", "next-page", "new").Without("first-page").Says("Service 0", "Service 49", "Closed", "Registered itself").Silent("Service 50")
	next := apptest.Attr(first.Element("next-page"), "href")
	b.Get(next).Want(200, next, "first-page", "next-page").Says("Service 50", "Service 99").Silent("Service 100")
	b.Get("/clients?after=c099").Says("Service 119").Without("next-page")
	b.Get("/clients?q=H77.example").Says("Service 77").Silent("Service 78").Without("next-page")
	b.Get("/clients?q=c01").Says("Service 10", "Service 19").Silent("Service 20")
	b.Get("/clients?q=nothing").Want(200, "/clients?q=nothing", "none")
	k.as(auditor)
	b.Get("/clients").Want(200, "/clients", "clients").Without("new")
}

// Auditors see a service and can do nothing to it.
func TestAuditorsChangeNoService(t *testing.T) {
	k, b := withRecords(t, auditor)
	k.api.Answer("GET /api/v1/clients/records/doctor", portti.Findings{})
	page := b.Get("/clients/records").Want(200, "/clients/records", "client", "doctor").Without("edit", "document", "rotate", "disable").Says("Records", "https://records.example/cb", "Certificate card")
	b.Get("/clients/records/doctor").Want(200, "/clients/records/doctor", "healthy")
	for _, path := range []string{"/registration", "/clients/records/edit", "/clients/records/document", "/clients/records/secret", "/clients/records/disable", "/clients/records/enable", "/refusals"} {
		b.Get(path).Want(403, path, "error")
	}
	// The API refuses as well, which is what counts.
	k.api.Refuse("POST /api/v1/clients/records/disable", 403, "not_allowed")
	b.Post("/clients/records/disable", map[string][]string{"csrf": {page.CSRF()}}).Want(403, "/clients/records/disable", "error")
	k.api.Refuse("POST /api/v1/clients", 403, "not_allowed")
	b.Post("/registration", map[string][]string{"csrf": {page.CSRF()}, "client_id": {"x"}}).Want(403, "/registration", "problems")
}

// What the form does not show stays as it is; what it shows is replaced, if nobody
// came between.
func TestTheFormKeepsTheRest(t *testing.T) {
	k, b := withRecords(t, operator)
	k.api.Answer("PUT /api/v1/clients/records", records())
	page := b.Get("/clients/records/edit").Want(200, "/clients/records/edit", "form", "redirect_uris")
	page.Submit("/clients/records/edit", "client_name-sv", " Registret ", "redirect_uris", "https://records.example/cb\r\nhttps://records.example/cb2", "method-app", "yes", "contacts", "it@records.example").
		Want(200, "/clients/records?done=changed", "client").Says("is saved")
	got, call := k.sent("PUT /api/v1/clients/records")
	want := records().Client
	want.Name, want.NameSv, want.RedirectURIs, want.Methods, want.Contacts = "", "Registret", []string{"https://records.example/cb", "https://records.example/cb2"}, []string{"card", "app"}, []string{"it@records.example"}
	if a, b := marshal(t, got), marshal(t, want); a != b {
		t.Errorf("sent %s\nwant %s", a, b)
	}
	if call.Header.Get("If-Match") != `"7"` || call.Operation != "PUT /api/v1/clients/records" {
		t.Errorf("%s with If-Match %q", call.Operation, call.Header.Get("If-Match"))
	}

	k.api.Answer("GET /api/v1/clients/records", func() portti.Registered { c := records(); c.Version = 8; return c }())
	before := len(k.api.Changes())
	page.Submit("/clients/records/edit", "client_name-sv", "TYPED").Want(412, "/clients/records/edit", "problems").Says("Somebody else has changed")
	if got := k.api.Changes()[before:]; len(got) > 0 {
		t.Errorf("a registration that nobody saw was replaced: %v", got)
	}
}

func marshal(t *testing.T, r portti.Registration) string {
	t.Helper()
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// What is wrong stands beside its input, and nothing that was typed is lost.
func TestWhatIsWrongWithARegistration(t *testing.T) {
	k := newKit(t)
	b := k.Browser()
	k.api.Answer("POST /api/v1/clients", &portti.Error{Status: 400, Code: "client_invalid", Detail: "redirect_uris: http is for localhost only.", Field: "redirect_uris"})
	form := b.Get("/registration").Want(200, "/registration", "client_id")
	page := form.Submit("/registration", "client_id", "mine", "client_name-fi", "Oma", "redirect_uris", "http://a.example/cb\nhttp://b.example/cb", "minimum_acr", rp.ACRCard, "require_pkce", "").
		Want(400, "/registration", "problems", "redirect_uris-problem").Says("http is for localhost only")
	for _, typed := range []string{`value="mine"`, `value="Oma"`, "http://a.example/cb\nhttp://b.example/cb", `value="` + rp.ACRCard + `" selected`} {
		if !strings.Contains(page.Body, typed) {
			t.Errorf("%s is lost", typed)
		}
	}
	if apptest.Attr(page.Element("require_pkce"), "checked") != "" || strings.Contains(page.Body, `value="yes" checked`) {
		t.Error("the tick is back")
	}
	for field, at := range map[string]string{"client_name#sv": "client_name-sv-problem", "methods": "method-card-problem", "jwks": "problems", "token_endpoint_auth_method": "token_endpoint_auth_method-problem"} {
		k.api.Answer("POST /api/v1/clients", &portti.Error{Status: 400, Code: "client_invalid", Detail: "It is wrong.", Field: field})
		page.Submit("/registration").Want(400, "/registration", at)
	}
	k.api.Answer("POST /api/v1/clients", &portti.Error{Status: 409, Code: "client_exists", Field: "client_id"})
	page.Submit("/registration").Want(409, "/registration", "client_id-problem").Says("A service has this identifier already")
	before := len(k.api.Changes())
	page.Submit("/registration", "access_token_lifetime", "long").Want(400, "/registration", "access_token_lifetime-problem")
	page.Submit("/registration", "client_id", "").Want(400, "/registration", "client_id-problem")
	if got := k.api.Changes()[before:]; len(got) > 0 {
		t.Errorf("the API was asked: %v", got)
	}
}

// A secret is shown once, and the page cannot be kept.
func TestSecretsAreShownOnce(t *testing.T) {
	k, b := withRecords(t, operator)
	made := records()
	made.Secret = "CANARY-SECRET"
	k.api.Answer("POST /api/v1/clients", made)
	page := b.Get("/registration").Submit("/registration", "client_id", "records").Want(200, "*", "made", "secret").Says("never again")
	k.onlyOnce(page, "CANARY-SECRET", "/clients/records")
	if got, _ := k.sent("POST /api/v1/clients"); got.ID != "records" || got.RequirePKCE == nil || !*got.RequirePKCE || got.AuthMethod != "client_secret_basic" {
		t.Errorf("proposed is %+v", got)
	}
	made.OldSecretUntil = time.Now().Add(time.Hour)
	k.api.Answer("POST /api/v1/clients/records/secret", made)
	form := b.Get("/clients/records/secret").Want(200, "/clients/records/secret", "keep", "confirm")
	form.Submit("/clients/records/secret", "keep", "2").Want(200, "*", "secret").Says("CANARY-SECRET", "works until")
	if calls := k.api.Calls("POST /api/v1/clients/records/secret"); len(calls) != 1 || calls[0].Body != `{"keep":7200}` {
		t.Errorf("%+v", calls)
	}
	for _, wrong := range []string{"", "-1", "721", "soon", "99999999999999999999"} {
		form.Submit("/clients/records/secret", "keep", wrong).Want(400, "/clients/records/secret", "keep-problem")
	}
	if calls := k.api.Calls("POST /api/v1/clients/records/secret"); len(calls) != 1 {
		t.Errorf("%d secrets were made", len(calls))
	}
	b.Get("/clients/records").Silent("CANARY")
}

// The page before says what will happen; one that was done already is no error.
func TestStopAndStart(t *testing.T) {
	k, b := withRecords(t, operator)
	k.api.Answer("POST /api/v1/clients/records/disable", records())
	b.Get("/clients/records/disable").Want(200, "/clients/records/disable", "act", "reason", "confirm").Says("Nobody logs in").Submit("/clients/records/disable", "reason", "a leak & more", "ticket", "T-5").Want(200, "/clients/records?done=disabled", "client").Says("The service is closed")
	k.api.Refuse("POST /api/v1/clients/records/disable", 409, "client_disabled")
	b.Get("/clients/records/disable").Submit("/clients/records/disable").Want(200, "/clients/records?done=disabled", "client")
	closed := records()
	closed.Disabled = time.Now()
	k.api.Answer("GET /api/v1/clients/records", closed)
	b.Get("/clients/records").Want(200, "/clients/records", "disabled", "enable").Without("disable")
	k.api.Answer("POST /api/v1/clients/records/enable", records())
	b.Get("/clients/records/enable").Submit("/clients/records/enable").Want(200, "/clients/records?done=enabled")
	if said := k.api.Calls("POST /api/v1/clients/records/disable")[0].Header; said.Get(portti.ReasonHeader) != "a%20leak%20&%20more" || said.Get(portti.TicketHeader) != "T-5" {
		t.Errorf("said %v", said)
	}
	if got := k.api.Changes(); !slices.Equal(got, []string{"POST /api/v1/clients/records/disable", "POST /api/v1/clients/records/disable", "POST /api/v1/clients/records/enable"}) {
		t.Errorf("%v", got)
	}
	k.api.Refuse("POST /api/v1/clients/records/enable", 400, "too_long")
	b.Get("/clients/records/enable").Submit("/clients/records/enable", "reason", strings.Repeat("x", 501)).Want(400, "/clients/records/enable", "act", "reason").Silent("RAW WORDS")
	k.api.Refuse("GET /api/v1/clients/nobody", 404, "client_not_found")
	b.Get("/clients/nobody").Want(404, "/clients/nobody", "error").Says("There is no such service")
}

// The document goes round: unchanged it is what was read, member by member.
func TestTheDocumentGoesRound(t *testing.T) {
	k, b := withRecords(t, operator)
	k.api.Answer("PUT /api/v1/clients/records", records())
	page := b.Get("/clients/records/document").Want(200, "/clients/records/document", "document")
	page.Submit("/clients/records/document").Want(200, "/clients/records?done=changed", "client")
	got, call := k.sent("PUT /api/v1/clients/records")
	if a, b := marshal(t, got), marshal(t, records().Client); a != b || call.Header.Get("If-Match") != `"7"` {
		t.Errorf("sent %s\nwant %s (If-Match %s)", a, b, call.Header.Get("If-Match"))
	}
	for _, wrong := range []string{"", "[]", `{"redirect_uri": []}`, `{"scope": 7}`, `{} {}`, `{"scope": "</textarea><script>"`} {
		before := len(k.api.Changes())
		shown := page.Submit("/clients/records/document", "document", wrong).Want(400, "/clients/records/document", "document-problem")
		if len(k.api.Changes()) != before || strings.Contains(shown.Body, "<script>") {
			t.Errorf("%s was sent or came back as markup", wrong)
		}
	}
	k.api.Answer("PUT /api/v1/clients/records", &portti.Error{Status: 412, Code: "precondition_failed"})
	page.Submit("/clients/records/document", "document", `{"scope": "openid TYPED"}`).Want(412, "/clients/records/document", "document-problem").Says("Somebody else has changed", "TYPED")
}

// The doctor's findings read in the reader's language; a refused request is looked
// up by its reference.
func TestTheDoctor(t *testing.T) {
	k, b := withRecords(t, operator)
	k.api.Answer("GET /api/v1/clients/records/doctor", portti.Findings{Findings: []portti.Finding{{Symptom: "logout_unreachable", Weight: "problem", Member: "backchannel_logout_uri", Value: "https://records.example/out", Explanation: "RAW WORDS OF THE API"}}})
	b.Get("/clients/records/doctor").Want(200, "/clients/records/doctor", "findings").Says("Problem", "Nothing answers at the address", "https://records.example/out")
	b.Get("/refusals").Want(200, "/refusals", "reference").Without("doctor-refusal")
	k.api.Answer("GET /api/v1/doctor/ABCD1234", portti.Refusal{Reference: "ABCD1234", Cause: "address_slash", Code: "invalid_request", At: time.Now(), Nearest: "https://records.example/cb", Explanation: "RAW WORDS OF THE API"})
	b.Get("/refusals?reference=+abcd1234").Want(200, "/refusals?reference=+abcd1234", "doctor-refusal").Says("by a slash at its end", "https://records.example/cb")
	k.api.Refuse("GET /api/v1/doctor/NONE", 404, "refusal_unknown")
	k.api.Refuse("GET /api/v1/requests/NONE", 404, "refusal_unknown")
	b.Get("/refusals?reference=none").Want(404, "/refusals?reference=none", "reference-problem").Says("Nothing is kept")
}

// provedBy makes the provider say how people signed in.
func provedBy(acr string, amr ...string) func(s *rptest.Script) {
	return func(s *rptest.Script) {
		s.ACR, s.Token = acr, func(_, claims map[string]any) { claims["amr"] = amr }
	}
}

// The test signs in anew at the service's level, and shows what the service would be
// told.
func TestTryingALevel(t *testing.T) {
	k, b := withRecords(t, operator)
	k.api.Answer("GET /api/v1/clients/records/preview", portti.ClientPreview{Demand: rp.ACRCard, Scope: "openid profile", IDToken: json.RawMessage(`{"sub":"u1","acr":"x"}`), Userinfo: json.RawMessage(`{"name":"Oona & Co"}`)})
	b.Get("/").Want(200, "/")
	k.OP.Set(provedBy(rp.ACRCard, "sc", "pin", "hwk", "mfa"))
	b.Get("/clients/records/test").Want(200, "/clients/records/test", "begin").Without("acr", "id-token").Submit("/clients/records/test").
		Want(200, "/clients/records/test?seen=yes", "acr", "fits", "id-token", "userinfo").Says("sc pin", "would accept", `"sub": "u1"`, `"name": "Oona`, "openid profile")
	if q := k.OP.LastAuthorize(); q.Get("acr_values") != rp.ACRCard || q.Get("prompt") != "login" || q.Get("client_id") != k.OP.ClientID {
		t.Errorf("the provider was asked for %v", q)
	}
	for reason, says := range map[string]string{"step_up": "not at the level", "method_not_permitted_by_employer": "your employer does not permit", "consent_required": "after you have allowed", "client_disabled": "is closed",
		"no_logins": "Nobody logs in", "of_the_future": "log in again"} {
		k, b := withRecords(t, auditor)
		k.api.Answer("GET /api/v1/clients/records/preview", portti.ClientPreview{Reason: reason})
		b.Get("/clients/records/test?seen=yes").Want(200, "/clients/records/test?seen=yes", "fits").Says(says).Without("id-token", "userinfo")
	}
	k.api.Answer("GET /api/v1/clients/records/preview", portti.ClientPreview{})
	b.Get("/clients/records/test").Submit("/clients/records/test")
	if q := k.OP.LastAuthorize(); q.Get("acr_values") != rp.ACRPasswordOTP {
		t.Errorf("any level: the provider was asked for %v", q)
	}
}
