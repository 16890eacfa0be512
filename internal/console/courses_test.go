package console

import (
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
)

var course = portti.Course{References: []string{"K7QM2XEA", "K7QM2XEB"}, At: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Client: "records", Lines: []portti.CourseLine{
	{What: "asked", Why: "asked_card", Details: map[string]string{"by": "minimum_acr", "max_age": "300"}, Explanation: "RAW WORDS OF THE API"},
	{What: "had", Why: "session_full", Details: map[string]string{"acr": "urn:portti:acr:pwd-otp", "age": "412"}, Explanation: "RAW WORDS OF THE API"},
	{What: "decided", Why: "minimum_acr", Details: map[string]string{"verdict": "step_up"}, Explanation: "RAW WORDS OF THE API"}}}

// ADR 0143: operators read how a service's requests went, to tell its makers: in a list
// of the service, and by a reference that was in order as well as by one that was not.
func TestHowRequestsWent(t *testing.T) {
	k, b := withRecords(t, operator)
	k.api.Answer("GET /api/v1/clients/records/requests", portti.Courses{Requests: []portti.Course{course}})
	k.api.Refuse("GET /api/v1/doctor/K7QM2XEA", 404, "refusal_unknown")
	k.api.Answer("GET /api/v1/requests/K7QM2XEA", course)
	b.Get("/clients/records").Want(200, "/clients/records", "requests")
	for _, path := range []string{"/clients/records/requests", "/refusals?reference=K7QM2XEA"} {
		b.Get(path).Want(200, path).Says("K7QM2XEA", "K7QM2XEB", "minimum_acr", "max_age=300", "age=412", "verdict=step_up", "the registration demands of every login")
	}
	k.api.Answer("GET /api/v1/clients/records/requests", portti.Courses{})
	b.Get("/clients/records/requests").Want(200, "/clients/records/requests").Says("Nothing is kept")

	k.as(auditor) // sees registrations, and not what their people do
	b.Get("/clients/records").Want(200, "/clients/records").Without("requests")
	b.Get("/clients/records/requests").Want(403, "/clients/records/requests")
	if n := len(k.api.Calls("GET /api/v1/clients/records/requests")); n != 2 {
		t.Errorf("the API was asked %d times", n)
	}
}

// The reference of the provider is what a failing page of ours shows: user support can
// look it up there, and not in our log.
func TestAFailingPageShowsTheProvidersReference(t *testing.T) {
	k, b := withRecords(t, operator)
	for status, code := range map[int]string{404: "trace_not_found", 403: "not_allowed_here", 500: "internal", 503: "store_unavailable", 429: "throttled"} {
		k.api.Answer("GET /api/v1/traces/AAAAAAAA", &portti.Error{Status: status, Code: code, Detail: "RAW WORDS OF THE API", Reference: "PROVIDER"})
		page := b.Get("/traces?reference=AAAAAAAA").Says("this reference: PROVIDER")
		if page.Status != status {
			t.Errorf("%s: %d", code, page.Status)
		}
	}
	if log := k.Log.String(); strings.Count(log, `"elsewhere":"PROVIDER"`) != 5 {
		t.Errorf("the log does not join the two: %s", log)
	}
	// What does not look like one is not shown.
	k.api.Answer("GET /api/v1/traces/AAAAAAAA", &portti.Error{Status: 500, Code: "internal", Reference: "<b>call 0700 123"})
	if page := b.Get("/traces?reference=AAAAAAAA"); strings.Contains(page.Body, "0700") {
		t.Error(page.Body)
	}
}

func traceOf(entries ...portti.TraceEntry) portti.Trace {
	return portti.Trace{References: []string{"K7QM2XEA"}, At: course.At, Until: course.At, Client: "records", ClientNames: map[string]string{"en": "Records"}, Network: "192.0.2.0/24", Proved: true, Entries: entries,
		Person: &portti.TracePerson{ID: "u9", Username: "matti", Name: "Matti Meikäläinen", Organisation: portti.OrganisationName{ID: "o1", Name: "Esimerkkivirasto"}}}
}

// The help desk reads what was wrong, what to do and who can help, by the reference
// that the caller reads out, and with the ticket; nobody without the right does.
func TestTheHelpDeskReadsATrace(t *testing.T) {
	k, b := withRecords(t, helpDesk)
	bad := portti.TraceEntry{At: course.At, What: "refused", Code: "temp_expired", Owner: "responsible"}
	seen := traceOf(portti.TraceEntry{At: course.At, What: "asked", Code: "any"}, bad, portti.TraceEntry{At: course.At, What: "shown", Code: "wrong_credentials"})
	seen.Trouble = &bad
	k.api.Answer("GET /api/v1/traces/k7qm%202xea", seen)
	b.Get("/traces").Want(200, "/traces", "reference", "ticket")
	page := b.Get("/traces?reference=k7qm+2xea&ticket=T-7").Want(200, "/traces?reference=k7qm+2xea&ticket=T-7", "trouble", "owner").
		Says("Matti Meikäläinen", "Records", "temp_expired", "it has expired", "responsible user", "192.0.2.0/24", "K7QM2XEA").Without("doctor")
	if calls := k.api.Calls("GET /api/v1/traces/k7qm%202xea"); len(calls) != 1 || !strings.HasSuffix(calls[0].Operation, "?ticket=T-7") {
		t.Errorf("%v", calls)
	}
	if strings.Contains(page.Body, "RAW WORDS") {
		t.Error(page.Body)
	}
	k.api.Refuse("GET /api/v1/traces/none", 404, "trace_not_found")
	b.Get("/traces?reference=none").Want(404, "/traces?reference=none", "reference-problem").Says("Nothing is kept under this reference")

	k.api.Answer("GET /api/v1/people/u9/traces", []portti.Trace{seen, traceOf(portti.TraceEntry{At: course.At, What: "started", Code: "full", Details: map[string]string{"method": "app"}})})
	b.Get("/people/u9/traces").Want(200, "/people/u9/traces", "traces").Says("temp_expired", "It ended well", "Logged in")

	k.as(operator) // who also reads what the service's makers do
	b.Get("/traces?reference=k7qm+2xea").Want(200, "/traces?reference=k7qm+2xea", "doctor")
	before := len(k.api.Calls("GET /api/v1/people/u9/traces"))
	for _, who := range []portti.Staff{auditor, responsible} {
		k.as(who)
		b.Get("/traces").Want(403, "/traces").Without("reference")
		b.Get("/traces?reference=k7qm+2xea").Want(403, "/traces?reference=k7qm+2xea").Without("trouble")
		b.Get("/people/u9/traces").Want(403, "/people/u9/traces")
	}
	if len(k.api.Calls("GET /api/v1/people/u9/traces")) != before {
		t.Error("the API was asked without the right")
	}
	b.Get("/people/u9/traces?after=yesterday").Want(403, "/people/u9/traces?after=yesterday")
	k.as(helpDesk)
	b.Get("/people/u9/traces?after=yesterday").Want(404, "/people/u9/traces?after=yesterday")
}
