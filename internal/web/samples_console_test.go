package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
)

// The structs of the Console's pages, each with everything set. A page's own slice
// adds its samples in a function of its own, called from consoleSamples.

type tile struct{ Href, Key, About string }

type consoleHomePage struct {
	web.Page
	Name, Organisation string
	Roles              []string
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
	Pager   pager
}

// inConsole is a page of somebody who is signed in to the Console.
func inConsole() web.Page {
	var p web.Page
	p.EndsAfter(15 * time.Minute)
	p.Navigate([]web.Entry{{Href: "/", Key: "con.home"}, {Href: "/clients", Key: "con.clients", Here: true}, {Href: "/clients", Key: "con.clients", Within: true}})
	return p
}

func consoleSamples() []sample {
	return append(mailSamples(), []sample{
		{"console/home", "", []string{"console", "roles", "logout", "session-warning"}, func(w string) web.Content {
			return &consoleHomePage{Page: inConsole(), Name: "Oona" + w, Organisation: w, Roles: []string{"responsible", "helpdesk", "operator", "auditor"},
				Tiles: []tile{{"/clients", "con.clients", "con.clients.about"}}, Due: []tab{{"/people?view=unlinked", "con.people.view.unlinked", 3, false}}}
		}},
		{"console/no_role", "", []string{"no-role", "logout"}, func(string) web.Content { return &plainPage{} }},
		{"console/signed_out", "", []string{"logged-out"}, func(string) web.Content { return &plainPage{} }},
		{"console/clients", "", []string{"clients", "q", "first-page", "next-page"}, func(w string) web.Content {
			return &clientsPage{Page: inConsole(), Filter: w, Clients: []clientRow{{ID: "demo" + w, Name: w, Address: "https://service.example.test/" + w}, {ID: "b", Disabled: true, Registered: true}}, Pager: pager{"/clients", "/clients?after=b"}}
		}},
		{"console/clients", "none", []string{"clients", "none"}, func(string) web.Content { return &clientsPage{Page: inConsole(), Filter: "x"} }},
	}...)
}
