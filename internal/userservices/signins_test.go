package userservices

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp/rptest"
)

// People read how their sign-ins went, and why what was asked, in plain words: without
// codes, and marked where it was perhaps somebody else. It takes a full sign-in.
func TestOnesOwnSignIns(t *testing.T) {
	k := newKit(t)
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	mine := portti.Trace{References: []string{"K7QM2XEA"}, At: at, Until: at, Proved: true, Client: "records", ClientNames: map[string]string{"en": "Records"}, Network: "192.0.2.0/24", Entries: []portti.TraceEntry{
		{What: "asked", Code: "any"}, {What: "had", Code: "ended"}, {What: "decided", Code: "sign_in_again", Details: map[string]string{"by": "max_age"}},
		{What: "stepped", Code: "password_proved", Details: map[string]string{"linked": "card,app"}}, {What: "stepped", Code: "start_over"}, {What: "started", Code: "full", Details: map[string]string{"method": "app"}}, {What: "of_later", Code: "<b>of"}}}
	others := portti.Trace{References: []string{"K7QM2XEB"}, At: at, Until: at.Add(-time.Hour), Client: "records", Entries: []portti.TraceEntry{{What: "refused", Code: "wrong_password"}}}
	k.api.locked(func() { k.api.traces = []portti.Trace{mine, others} })
	b := k.browser()
	page := b.get("/logins").want(200, "/logins", "logins", "login-0", "login-1").without("older").
		says("Records", "192.0.2.0/24", "K7QM2XEA", "something about the account has changed", "The login began again", "a code was asked", "did not get past the password", "The password was wrong")
	for _, not := range []string{"card,app", "max_age", "sign_in_again", "password_proved", "<b>of"} {
		if strings.Contains(page.body, not) {
			t.Errorf("the page says %s", not)
		}
	}
	k.api.locked(func() {
		k.api.traces = nil
		for i := range signInsAtOnce {
			one := mine
			one.Until = at.Add(-time.Duration(i) * time.Minute)
			k.api.traces = append(k.api.traces, one)
		}
	})
	older := b.get("/logins").want(200, "/logins", "older").element("older")
	last := url.Values{"after": {at.Add(-(signInsAtOnce - 1) * time.Minute).Format(time.RFC3339Nano)}}.Encode()
	if href := attr(older, "href"); href != "/logins?"+last {
		t.Errorf("older ones at %s", href)
	}
	b.get("/logins?after=yesterday").want(404, "/logins?after=yesterday")
	k.api.locked(func() { k.api.traces = nil })
	b.get("/logins").want(200, "/logins").says("nothing to show")

	k.enrol() // a password alone tells nobody where somebody works and when
	k.browser().get("/logins").without("login-0", "older").says("log in with your card")
}

// A sign-in that comes back with an error shows the reference that the provider gave:
// user support finds the sign-in's trace under it. One that the browser could have made
// up is not shown.
func TestAFailedSignInShowsTheProvidersReference(t *testing.T) {
	k := newKit(t)
	for uri, want := range map[string]string{"%s/doctor/K7QM2XEA": "K7QM2XEA", "%s/doctor/k7": "", "https://evil.example/doctor/K7QM2XEA?%s": "", "": ""} {
		if uri != "" {
			uri = fmt.Sprintf(uri, k.op.URL)
		}
		for _, code := range []string{"access_denied", "server_error", "unmet_authentication_requirements"} {
			k.op.Set(func(s *rptest.Script) {
				s.Refuse = code
				s.Response = func(v url.Values) { v.Set("error_uri", uri) }
			})
			page := k.browser().get("/")
			if page.status < 400 || page.element("support-reference") == nil {
				t.Fatalf("%s: %d %s", code, page.status, page.text())
			}
			if shown := strings.Contains(page.text(), "K7QM2XEA"); shown != (want != "") {
				t.Errorf("%s with %q: %s", code, uri, page.text())
			}
		}
	}
}

// A refusal of the API is shown with the provider's reference, on a page that can be
// put right as well as on one that cannot.
func TestARefusalShowsTheProvidersReference(t *testing.T) {
	k := newKit(t)
	b := k.browser()
	page := b.get("/password").want(200, "/password")
	for status, code := range map[int]string{400: "current_password_wrong", 500: "internal", 503: "store_unavailable"} {
		k.api.refuses("POST /password", status, code, func(e *portti.Error) { e.Reference = "K7QM2XEA" })
		page.submit("/password", "current", "x", "new", "a long enough new one", "repeat", "a long enough new one").want(status, "/password", "support-reference").says("this reference: K7QM2XEA")
	}
}
