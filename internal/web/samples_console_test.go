package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

// The structs of the Console's pages, each with everything set. A page's own slice
// adds its samples in a function of its own, called from consoleSamples.

type tile struct{ Href, Key, About string }

type consoleHomePage struct {
	web.Page
	Name, Organisation string
	Roles              []string
	Search             bool
	Tiles              []tile
	Due                []tab
}

type pager struct{ First, Next string }

type clientRow struct {
	ID, Name, Address    string
	Disabled, Registered bool
}

type clientsPage struct {
	web.Page
	Filter  string
	Clients []clientRow
	Change  bool
	Pager   pager
}

type clientPage struct {
	web.Page
	ID, Name                          string
	Registered                        portti.Registration
	Created, Disabled, OldSecretUntil time.Time
	Self, Secret, Change, Requests    bool
	Findings                          []portti.Finding
	Keep, Reason, Ticket              string
}

type clientTestPage struct {
	web.Page
	ID, Name, Demand, Scope, Fits, IDToken, Userinfo string
	Registered                                       portti.Registration
	Session                                          *rp.Session
	Good                                             bool
}

type gonePage struct {
	web.Page
	What, Back string
}

type secretPage struct {
	web.Page
	ID, Name, Secret string
	Until            time.Time
	New              bool
}

type formPage struct {
	web.Page
	ID, Name, Version, Document            string
	Reason, Ticket                         string
	Form                                   map[string]string
	AuthMethods, Levels, Types, Algorithms []web.Option
}

type refusalPage struct {
	web.Page
	Asked   string
	Refusal *portti.Refusal
	When    string
	Course  *portti.Course
}

type coursesPage struct {
	web.Page
	ID, Name string
	Courses  []portti.Course
}

func aCourse(w string) portti.Course {
	return portti.Course{References: []string{"K7QM2XEA" + w, "K7QM2XEB"}, At: day, Client: "records", Lines: []portti.CourseLine{
		{At: day, What: "asked" + w, Why: "asked_card", Details: map[string]string{"by": "minimum_acr" + w, "max_age": "300"}}, {At: day, What: "decided", Why: "max_age"}}}
}

func aClient(w string) *clientPage {
	return &clientPage{Page: inConsole(), ID: "records", Name: "Rekisteri" + w, Created: day, OldSecretUntil: day, Self: true, Secret: true, Change: true, Requests: true, Keep: "24" + w, Reason: w, Ticket: w,
		Registered: portti.Registration{HomeURI: w + "x", RedirectURIs: []string{w + "x", "b"}, PostLogoutRedirectURIs: []string{w + "x", "b"}, BackChannelLogoutURI: w + "x", Scope: w, GrantTypes: []string{"a", w + "b"}, AuthMethod: w,
			MinimumACR: w + "x", Methods: []string{"card", "app", "token"}},
		Findings: []portti.Finding{{Symptom: "no_pkce", Weight: "warning", Member: "require_pkce" + w, Value: w + "x"}, {Symptom: "disabled", Weight: "problem", Value: w + "x"}, {Symptom: "rs256", Weight: "note", Member: w + "x"}}}
}

func aForm(w string) *formPage {
	p := &formPage{Page: inConsole(), Form: map[string]string{}, Document: "{}" + w}
	for _, name := range []string{"client_id", "client_name-fi", "client_name-sv", "client_name-en", "client_uri", "redirect_uris", "post_logout_redirect_uris", "backchannel_logout_uri", "scope", "grant_types", "contacts", "access_token_lifetime"} {
		p.Form[name] = w
	}
	p.Form["method-card"], p.Form["require_pkce"], p.Form["minimum_acr"] = "true", "true", "b"
	for _, options := range []*[]web.Option{&p.AuthMethods, &p.Levels, &p.Types, &p.Algorithms} {
		*options = []web.Option{{Value: "a", Label: "A" + w}, {Value: "b", Label: w + "B"}}
	}
	for _, field := range []string{"client_name-fi", "redirect_uris", "minimum_acr", "method-card", ""} {
		p.Wrong(fault.New(fault.Invalid, "number_invalid", "wrong").In(field))
	}
	return p
}

// inConsole is a page of somebody who is signed in to the Console.
func inConsole() web.Page {
	var p web.Page
	p.EndsAfter(15 * time.Minute)
	p.Navigate([]web.Entry{{Href: "/", Key: "con.home"}, {Href: "/clients", Key: "con.clients", Here: true}, {Href: "/clients", Key: "con.clients", Within: true}})
	return p
}

func consoleSamples() []sample {
	return append(append(mailSamples(), traceSamples()...), []sample{
		{"console/home", "", []string{"console", "roles", "logout", "session-warning", "q", "find"}, func(w string) web.Content {
			return &consoleHomePage{Search: true, Page: inConsole(), Name: "Oona" + w, Organisation: w, Roles: []string{"responsible", "helpdesk", "operator", "auditor"},
				Tiles: []tile{{"/clients", "con.clients", "con.clients.about"}}, Due: []tab{{Href: "/people?view=unlinked", Key: "con.people.view.unlinked", Count: 3}, {Href: "/card-approvals", Key: "con.desk.approvals", Count: 50, More: true}}}
		}},
		{"console/no_role", "", []string{"no-role", "logout"}, func(string) web.Content { return &plainPage{} }},
		{"console/signed_out", "", []string{"logged-out"}, func(string) web.Content { return &plainPage{} }},
		{"console/clients", "", []string{"clients", "q", "first-page", "next-page"}, func(w string) web.Content {
			return &clientsPage{Page: inConsole(), Filter: w, Clients: []clientRow{{ID: "demo" + w, Name: "Demo" + w, Address: "https://service.example.test/" + w}, {ID: "b", Name: "B", Disabled: true, Registered: true}}, Change: true, Pager: pager{"/clients", "/clients?after=b"}}
		}},
		{"console/client", "", []string{"client", "client-id", "enabled", "doctor", "requests", "test", "edit", "document", "rotate", "disable"}, func(w string) web.Content { return aClient(w) }},
		{"console/client", "closed", []string{"disabled", "enable"}, func(w string) web.Content {
			return &clientPage{Page: inConsole(), ID: "records", Name: w + "x", Disabled: day, Change: true}
		}},
		{"console/client_doctor", "", []string{"findings"}, func(w string) web.Content { return aClient(w) }},
		{"console/client_doctor", "healthy", []string{"healthy"}, func(w string) web.Content { return &clientPage{Page: inConsole(), ID: "records", Name: w + "x"} }},
		{"console/client_requests", "", []string{"requests", "request-0"}, func(w string) web.Content {
			return &coursesPage{Page: inConsole(), ID: "records", Name: "Rekisteri" + w, Courses: []portti.Course{aCourse(w), {At: day}}}
		}},
		{"console/client_requests", "none", []string{"requests"}, func(w string) web.Content { return &coursesPage{Page: inConsole(), ID: "records", Name: w + "x"} }},
		{"console/refusal", "in order", []string{"refusal", "course", "reference"}, func(w string) web.Content {
			c := aCourse(w)
			return &refusalPage{Page: inConsole(), Asked: w, Course: &c}
		}},
		{"console/client_disable", "", []string{"act", "reason", "ticket", "confirm"}, func(w string) web.Content { return aClient(w) }},
		{"console/client_enable", "", []string{"act", "reason", "ticket", "confirm"}, func(w string) web.Content { return aClient(w) }},
		{"console/client_rotate", "", []string{"act", "keep", "reason", "confirm"}, func(w string) web.Content {
			p := aClient(w)
			p.Wrong(fault.New(fault.Invalid, "keep_invalid", "wrong").In("keep"))
			return p
		}},
		{"console/client_secret", "", []string{"made", "secret", "to-client"}, func(w string) web.Content {
			return &secretPage{Page: inConsole(), ID: "records", Name: w + "x", Secret: "s3cret" + w, Until: day}
		}},
		{"console/client_secret", "new", []string{"made", "secret"}, func(w string) web.Content {
			return &secretPage{Page: inConsole(), ID: "records", Name: w + "x", Secret: "s3cret" + w, New: true}
		}},
		{"console/client_test", "", []string{"try", "begin"}, func(w string) web.Content {
			return &clientTestPage{Page: inConsole(), ID: "records", Name: w + "x", Demand: "urn:portti:acr:card" + w, Scope: "openid" + w, Registered: portti.Registration{Methods: []string{"card", "app"}}, Fits: "con.preview.fits"}
		}},
		{"console/client_test", "seen", []string{"try", "begin", "acr", "amr", "fits", "id-token", "userinfo"}, func(w string) web.Content {
			return &clientTestPage{Page: inConsole(), ID: "records", Name: w + "x", Scope: "openid" + w, Session: &rp.Session{ACR: "urn:portti:acr:card" + w, AMR: []string{"sc", w + "x"}, AuthTime: day},
				Fits: "con.preview.reason.consent_required", Good: true, IDToken: "{" + w + "}", Userinfo: "{" + w + "}"}
		}},
		{"console/client_test", "not enough", []string{"try", "begin", "fits"}, func(w string) web.Content {
			return &clientTestPage{Page: inConsole(), ID: "records", Name: w + "x", Session: &rp.Session{ACR: w, AuthTime: day}, Fits: "con.preview.reason.step_up"}
		}},
		{"console/gone", "", []string{"gone", "back"}, func(w string) web.Content {
			return &gonePage{Page: inConsole(), What: "password", Back: "/people/" + w}
		}},
		{"console/client_form", "new", []string{"form", "client_id", "redirect_uris", "minimum_acr", "save", "problems"}, func(w string) web.Content { return aForm(w) }},
		{"console/client_form", "edit", []string{"form", "redirect_uris", "minimum_acr", "save"}, func(w string) web.Content {
			p := aForm(w)
			p.ID, p.Name, p.Version, p.Reason, p.Ticket = "records", "Rekisteri"+w, "7", w, w
			return p
		}},
		{"console/client_document", "", []string{"whole", "document", "save"}, func(w string) web.Content {
			p := aForm(w)
			p.Problems = nil
			p.ID, p.Name, p.Version, p.Reason, p.Ticket = "records", "Rekisteri"+w, "7", w, w
			return p
		}},
		{"console/refusal", "", []string{"refusal", "reference", "doctor-find"}, func(w string) web.Content { return &refusalPage{Page: inConsole(), Asked: w} }},
		{"console/refusal", "found", []string{"refusal", "doctor-refusal", "doctor-cause"}, func(w string) web.Content {
			return &refusalPage{Page: inConsole(), Asked: w, When: "now", Refusal: &portti.Refusal{Reference: w + "x", Endpoint: "/authorize", Client: w + "x", Code: "invalid_request", Description: w, Parameter: "redirect_uri", Cause: "address_slash", Nearest: w + "x",
				Sent: []portti.SentParameter{{Name: "state", Length: 3}, {Name: w + "x", Value: w + "x"}}, Registered: []portti.RegisteredValue{{Name: "redirect_uris", Values: []string{w, "x"}}, {Name: "scope"}}}}
		}},
		{"console/clients", "none", []string{"clients", "none"}, func(string) web.Content { return &clientsPage{Page: inConsole(), Filter: "x"} }},
	}...)
}
