package api

import (
	"crypto/ed25519"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/pkg/portti"
)

func get[Out any](h *house, as, path string) (out Out, status int) {
	h.t.Helper()
	r := httptest.NewRequestWithContext(h.t.Context(), http.MethodGet, path, nil)
	r.Header.Set("Authorization", "Bearer "+as)
	w := httptest.NewRecorder()
	h.handler.ServeHTTP(w, r)
	if w.Code < 400 {
		h.must(json.Unmarshal(w.Body.Bytes(), &out))
	}
	return out, w.Code
}

// Whoever answers for one organisation sees its events, and neither others' nor
// those of the installation (S65).
func TestTheTrailIsReadByOrganisation(t *testing.T) {
	h := newHouse(t)
	for range 60 {
		h.must(h.db.Record(t.Context(), audit.Event{Type: audit.SignInRefused, Organisation: "west", User: string(h.people["west/employee"]), Actor: "user:x", Reason: "wrong_password", Address: "192.0.2.9"}))
		h.must(h.db.Record(t.Context(), audit.Event{Type: audit.SignInRefused, Organisation: "east", User: string(h.people["east/employee"]), Reason: "wrong_password"}))
	}
	h.must(h.db.Record(t.Context(), audit.Event{Type: audit.KeyMoved, Actor: "system"}))
	seen, after := 0, ""
	for {
		page, status := get[portti.Events](h, "west/responsible", "/api/v1/audit?type=signin.refused"+after)
		if status != 200 || len(page.Events) > 50 {
			t.Fatalf("%d, %d events", status, len(page.Events))
		}
		for _, e := range page.Events {
			if e.Organisation != "west" || e.Type != "signin.refused" {
				t.Errorf("%+v", e)
			}
		}
		seen += len(page.Events)
		if page.Next == 0 {
			break
		}
		after = "&after=" + json.Number(jsonInt(page.Next)).String()
	}
	if seen != 60 {
		t.Errorf("%d events were seen", seen)
	}
	for path, want := range map[string]int{"/api/v1/audit?organisation=east": 404, "/api/v1/audit?organisation=nowhere": 404, "/api/v1/audit?organisation=west": 200, "/api/v1/audit?after=x": 400, "/api/v1/audit?since=yesterday": 400,
		"/api/v1/audit?sinse=2026-01-01": 400, "/api/v1/audit?lang=de": 400, "/api/v1/audit/file?format=exe": 400, "/api/v1/audit/file": 400, "/api/v1/audit/file?format=csv&organisation=east": 404, "/api/v1/audit/file?format=csv&lang=de": 400, "/api/v1/statistics?since=2026-01-02&until=2026-01-01": 400, "/api/v1/statistics?organisation=east": 404} {
		if _, status := get[any](h, "west/responsible", path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if page, _ := get[portti.Events](h, "west/responsible", "/api/v1/audit?type=key.moved"); len(page.Events) != 0 {
		t.Errorf("an organisation sees the installation's events: %+v", page)
	}
	if page, _ := get[portti.Events](h, "east/auditor", "/api/v1/audit?type=key.moved"); len(page.Events) != 1 {
		t.Errorf("an auditor sees %+v", page)
	}
	if page, _ := get[portti.Events](h, "west/responsible", "/api/v1/audit?user="+string(h.people["east/employee"])); len(page.Events) != 0 {
		t.Errorf("a person of another organisation: %+v", page)
	}
}

func jsonInt(n int64) string { b, _ := json.Marshal(n); return string(b) }

// What leaves is an event, and nothing in it is a formula.
func TestExportsAreEvents(t *testing.T) {
	h := newHouse(t)
	h.must(h.db.Record(t.Context(), audit.Event{Type: audit.UserDisabled, Organisation: "west", Client: "=cmd()", Actor: "user:x"}))
	f := h.answer(h.request("west/responsible", "GET", "/api/v1/audit/file?format=csv"))
	if f.Code != 200 || !strings.Contains(f.Body.String(), ",'=cmd(),") || strings.Contains(f.Body.String(), "east") || f.Header().Get("Content-Type") != "text/csv; charset=utf-8" ||
		!strings.HasSuffix(f.Header().Get("Content-Disposition"), `.csv"`) || strings.Contains(f.Body.String(), "audit.exported") {
		t.Errorf("%d %v %s", f.Code, f.Header(), f.Body)
	}
	events, err := h.db.AuditEvents(t.Context(), audit.Query{Types: []audit.Type{audit.TrailExported}})
	h.must(err)
	if len(events) != 1 || events[0].Organisation != "west" || events[0].Actor != "user:"+string(h.people["west/responsible"]) || events[0].Address != "192.0.2.1" || events[0].Details["format"] != "csv" {
		t.Errorf("%+v", events)
	}
	f = h.answer(h.request("west/auditor", "GET", "/api/v1/audit/file?format=jsonl&lang=fi&type=user.disabled&user="+strings.Repeat("x", 999)+"&actor=user:x&until=2026-01-31"))
	events, err = h.db.AuditEvents(t.Context(), audit.Query{Types: []audit.Type{audit.TrailExported}, Limit: 1})
	h.must(err)
	if d := events[0].Details; f.Code != 200 || d["types"] != "user.disabled" || d["by"] != "user:x" || d["until"] != "2026-02-01T00:00:00Z" || len([]rune(d["about"])) != 200 || d["since"] != "" {
		t.Errorf("what was exported: %v", d)
	}
	f = h.answer(h.request("west/auditor", "GET", "/api/v1/audit/file?format=jsonl&lang=fi&type=user.disabled"))
	var e portti.Event
	if h.must(json.Unmarshal(f.Body.Bytes(), &e)); f.Header().Get("Content-Type") != "application/jsonl" || e.Client != "=cmd()" || !strings.Contains(e.Sentence, "sulki käyttäjän") {
		t.Errorf("%v %s", f.Header(), f.Body)
	}
}

// A file has all of it, however long it is, each event once.
func TestALongTrailIsOneFile(t *testing.T) {
	h := newHouse(t)
	const all = 1203
	for range all {
		h.must(h.db.Record(t.Context(), audit.Event{Type: audit.LetterRetried, Actor: "system"}))
	}
	f := h.answer(h.request("west/auditor", "GET", "/api/v1/audit/file?format=jsonl&type=letter.retried"))
	seen := map[int64]bool{}
	for line := range strings.Lines(f.Body.String()) {
		var e portti.Event
		h.must(json.Unmarshal([]byte(line), &e))
		seen[e.ID] = true
	}
	if lines := strings.Count(f.Body.String(), "\n"); len(seen) != all || lines != all {
		t.Errorf("%d events in %d lines", len(seen), lines)
	}
}

// The help desk sees what happened to a person, and not from where.
func TestAPersonsEvents(t *testing.T) {
	h := newHouse(t)
	id := string(h.people["west/employee"])
	h.must(h.db.Record(t.Context(), audit.Event{Type: audit.SignInRefused, User: id, Organisation: "west", Address: "192.0.2.9", Session: "sid", Details: map[string]string{audit.Machine: "admin-3", audit.Login: "root", "ticket": "T-1"}}))
	for as, address := range map[string]string{"east/helpdesk": "", "west/responsible": "192.0.2.9", "east/auditor": "192.0.2.9"} {
		page, status := get[portti.Events](h, as, "/api/v1/people/"+id+"/events")
		if status != 200 || len(page.Events) == 0 || page.Events[0].Address != address || (page.Events[0].Details[audit.Machine] == "") != (address == "") || (page.Events[0].Details[audit.Login] == "") != (address == "") || page.Events[0].Details["ticket"] != "T-1" {
			t.Errorf("%s: %d %+v", as, status, page)
		}
	}
	if _, status := get[any](h, "east/responsible", "/api/v1/people/"+id+"/events"); status != 404 {
		t.Errorf("another organisation: %d", status)
	}
}

// Names come with a page of the trail to those who may see the people.
func TestEventsAreNamed(t *testing.T) {
	h := newHouse(t)
	west, east := string(h.people["west/employee"]), string(h.people["east/helpdesk"])
	h.must(h.db.Record(t.Context(), audit.Event{Type: audit.SessionsEnded, User: west, Organisation: "west", Actor: "user:" + east}))
	for as, want := range map[string][2]bool{"west/auditor": {true, true}, "west/responsible": {true, false}} {
		page, status := get[portti.Events](h, as, "/api/v1/audit?type=desk.sessions_ended")
		if status != 200 || len(page.Events) != 1 || (page.Names[west] != "") != want[0] || (page.Names[east] != "") != want[1] {
			t.Errorf("%s: %d %+v", as, status, page)
		}
	}
	page, _ := get[portti.Events](h, "east/helpdesk", "/api/v1/people/"+west+"/events")
	if page.Names[west] == "" {
		t.Errorf("a person's events: %+v", page)
	}
}

func TestStatisticsAreOfTheDay(t *testing.T) {
	h := newHouse(t)
	for i := range 3 {
		h.must(h.db.Record(t.Context(), audit.Event{Type: audit.SignInSucceeded, Organisation: []string{"west", "east", "west"}[i], Method: "card"}))
	}
	h.must(h.db.Record(t.Context(), audit.Event{Type: audit.SignInRefused, Reason: "unknown_username", Method: "password"}))
	h.must((&audit.Sealer{Chain: h.db, Key: auditKey, Now: time.Now, Log: quiet}).SealAll(t.Context()))
	for as, want := range map[string]int64{"west/responsible": 2, "west/auditor": 3, "east/responsible": 1} {
		s, status := get[portti.Statistics](h, as, "/api/v1/statistics")
		n, refused := int64(0), int64(0)
		for _, c := range s.Counts {
			switch c.Type {
			case "signin.succeeded":
				n += c.Events
			case "signin.refused":
				refused += c.Events
			}
		}
		if status != 200 || n != want || (refused == 1) != (as == "west/auditor") {
			t.Errorf("%s: %d %+v", as, status, s)
		}
	}
	if s, _ := get[portti.TrailState](h, "west/auditor", "/api/v1/audit/state"); s.Sequence < 4 || s.Waiting != 0 || s.Key == "" || s.Checkpoint != s.Sequence {
		t.Errorf("%+v", s)
	}
}

var (
	auditKey = ed25519.NewKeyFromSeed([]byte(strings.Repeat("k", ed25519.SeedSize)))
	quiet    = slog.New(slog.DiscardHandler)
)
