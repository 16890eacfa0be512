package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

type signInsPage struct {
	web.Page
	SignIns []signIn
	Older   string
}

type signIn struct {
	At                       time.Time
	Service, Method, Network string
	References               []string
	Proved                   bool
	Entries                  []portti.TraceEntry
}

type traceFindPage struct {
	web.Page
	Asked, Ticket string
}

type tracePage struct {
	web.Page
	Trace           traceView
	Doctor, Account string
	Person          *portti.TracePerson
}

type tracesPage struct {
	web.Page
	Account string
	Traces  []traceView
	Pager   pager
}

type traceView struct {
	portti.Trace
	Service, Remedy, Signed string
}

func traceSamples() []sample {
	entries := func(w string) []portti.TraceEntry {
		return []portti.TraceEntry{
			{At: day, What: "asked", Code: "card", Details: map[string]string{"from": "client"}},
			{At: day, What: "stepped", Code: "password_proved", Details: map[string]string{"linked": "card,app" + w}},
			{At: day, What: "refused", Code: "otp_clock", Details: map[string]string{"minutes": "5"}},
			{At: day, What: "card", Code: "revoked"}, {At: day, What: "shown", Code: "wrong_credentials"}, {At: day, What: "of_later", Code: "unheard_of"},
		}
	}
	view := func(w string) traceView {
		return traceView{Trace: portti.Trace{References: []string{"K7QM2XEA" + w, "K7QM2XEB"}, At: day, Until: day, Client: "service" + w, Network: "192.0.2.0/24" + w, Entries: entries(w)}, Service: "Testipalvelu" + w}
	}
	bad := func(w string) traceView {
		v := view(w)
		v.Trouble, v.Remedy = &portti.TraceEntry{At: day, What: "refused", Code: "temp_expired", Owner: "responsible"}, "con.trace.do.temp_expired"
		return v
	}
	return []sample{
		{"userservices/signins", "some", []string{"logins", "login-0", "older"}, func(w string) web.Content {
			return &signInsPage{Older: "/logins?after=x", SignIns: []signIn{{At: day, Service: "Testipalvelu" + w, Method: "app", Network: "192.0.2.0/24" + w, References: []string{"K7QM2XEA" + w}, Proved: true, Entries: entries(w)},
				{At: day, Method: "card"}, {At: day, Method: "token"}, {At: day, Method: "password"}}}
		}},
		{"userservices/signins", "none", []string{"logins"}, func(string) web.Content { return &signInsPage{} }},
		{"console/trace_find", "", []string{"trace-find", "reference", "ticket"}, func(w string) web.Content { return &traceFindPage{Page: inConsole(), Asked: w, Ticket: w} }},
		{"console/trace", "bad", []string{"trace", "trouble", "owner", "doctor"}, func(w string) web.Content {
			return &tracePage{Page: inConsole(), Trace: bad(w), Doctor: "https://id.example.test/doctor/K7QM2XEA" + w, Account: "/people/u" + w,
				Person: &portti.TracePerson{ID: "u" + w, Username: "matti" + w, Name: "Matti" + w, Organisation: portti.OrganisationName{Name: "Virasto" + w}}}
		}},
		{"console/trace", "well", []string{"trace", "well"}, func(w string) web.Content { return &tracePage{Page: inConsole(), Trace: view(w)} }},
		{"console/traces", "", []string{"traces", "next-page"}, func(w string) web.Content {
			return &tracesPage{Page: inConsole(), Account: "/people/u" + w, Traces: []traceView{bad(w), view(w)}, Pager: pager{"/people/u/traces", "/people/u/traces?after=b"}}
		}},
		{"console/traces", "none", []string{"traces", "none"}, func(w string) web.Content { return &tracesPage{Page: inConsole(), Account: "/people/u" + w} }},
	}
}
