package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

type tab struct {
	Href, Key string
	Count     int
	Here      bool
	More      bool
}

type peoplePage struct {
	web.Page
	Filter, View, Of string
	Tabs             []tab
	People           []portti.Person
	All, New         bool
	File             string
	Pager            pager
}

type act struct {
	Href, Key string
	Main      bool
}

type personPage struct {
	web.Page
	Person portti.Person
	Self   bool
	Done   string
	Acts   []act
	Traces bool
}

type personForm struct{ GivenName, FamilyName, Email, Phone, Language string }

type newPersonPage struct {
	web.Page
	personForm
	Username, Organisation string
	Choose                 bool
	Spoken                 []web.Option
	Days                   int
}

type issuedPage struct {
	web.Page
	Issued    portti.Issued
	Why, Site string
}

type editPersonPage struct {
	web.Page
	personForm
	ID, Name, Version string
	Spoken            []web.Option
	Now               *portti.Person
}

type actPage struct {
	web.Page
	ID, Name, Username, Reason, Ticket, Act, Path string
	Danger, Ask, Begun                            bool
	Hours, Days                                   int
}

type roleChoice struct {
	Name string
	Has  bool
}

type rolesPage struct {
	web.Page
	ID, Name string
	Roles    []roleChoice
}

// peopleSamples are the Console's pages of people.
func peopleSamples() []sample {
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	full := func(w string) portti.Person {
		return portti.Person{ID: "u2", Version: 3, Username: "liisa" + w, GivenName: "Liisa" + w, FamilyName: w, Email: "liisa@example.test", Phone: "+358401234567", Language: "fi",
			Organisation: portti.OrganisationName{ID: "o1", Name: w}, Roles: []string{"responsible", "helpdesk"}, Created: at, FirstSignIn: at, LastSignIn: at, Usable: true,
			Password:      portti.PersonPassword{State: "temporary", Expires: at},
			Card:          &portti.PersonCard{Holder: w, Organisation: w, Issuer: "CA", Tail: "4711", NotAfter: at, ExpiresSoon: true, Linked: at},
			Authenticator: &portti.PersonAuthenticator{Kind: portti.Token, Model: w, Serial: "1", Linked: at, BlockedUntil: at}}
	}
	bare := func(state string) portti.Person {
		return portti.Person{ID: "u3", Username: "b", GivenName: "B", FamilyName: "C", Language: "sv", Password: portti.PersonPassword{State: state}, Created: at}
	}
	closed, frozen, expired := bare("own"), bare("none"), bare("expired")
	closed.Disabled, frozen.Frozen = at, at
	expired.Card = &portti.PersonCard{Holder: "B", Issuer: "CA", NotAfter: at, State: "revoked", Permitted: true}
	languages := []web.Option{{Value: "fi", Label: "suomi"}, {Value: "sv", Label: "svenska"}}
	samples := []sample{
		{"console/people", "", []string{"people", "organisation", "q", "views", "new-person", "file", "next-page"}, func(w string) web.Content {
			return &peoplePage{Page: inConsole(), Filter: w, View: "unlinked", Of: w, Tabs: []tab{{Href: "/people", Key: "con.people.view.all", Count: 3}, {Href: "/people?view=unlinked", Key: "con.people.view.unlinked", Count: 1, Here: true}},
				People: []portti.Person{full(w), closed, frozen, expired}, All: true, New: true, File: "/people.csv", Pager: pager{"/people", "/people?after=b"}}
		}},
		{"console/people", "none", []string{"people", "none"}, func(string) web.Content { return &peoplePage{Page: inConsole()} }},
		{"console/person", "", []string{"person", "account", "links", "acts", "done", "events", "traces"}, func(w string) web.Content {
			return &personPage{Page: inConsole(), Person: full(w), Done: "changed", Traces: true,
				Acts: []act{{"/people/u2/case", "con.desk.open", true}, {"/people/u2/disable", "con.people.disable", false}}}
		}},
		{"console/person", "bare", []string{"person", "no-links", "no-acts"}, func(string) web.Content {
			return &personPage{Page: inConsole(), Person: bare("none"), Self: true}
		}},
		{"console/person_new", "", []string{"new", "organisation", "username", "given-name", "create"}, func(w string) web.Content {
			return &newPersonPage{Page: inConsole(), personForm: personForm{w, w, w, "", "sv"}, Username: w, Organisation: w, Choose: true, Spoken: languages, Days: 14}
		}},
		{"console/person_edit", "", []string{"edit", "meanwhile", "save"}, func(w string) web.Content {
			now := full(w)
			return &editPersonPage{Page: inConsole(), personForm: personForm{w, w, w, w, "fi"}, ID: "u2", Name: w, Version: "3", Spoken: languages, Now: &now}
		}},
		{"console/person_roles", "", []string{"roles", "role-operator", "save"}, func(w string) web.Content {
			return &rolesPage{Page: inConsole(), ID: "u2", Name: w, Roles: []roleChoice{{"responsible", true}, {"helpdesk", false}, {"operator", false}, {"auditor", false}}}
		}},
		{"console/person_act", "begun", []string{"act", "begun"}, func(w string) web.Content {
			return &actPage{Page: inConsole(), ID: "u2", Name: w, Username: w, Act: "first_password", Danger: true, Begun: true, Hours: 24, Days: 14}
		}},
		{"console/person_issued", "enabled", []string{"issued", "sheet", "to-person"}, func(w string) web.Content {
			return &issuedPage{Page: inConsole(), Issued: portti.Issued{Person: full(w), Password: "abcd-efgh", Expires: at}, Why: "enabled"}
		}},
		{"console/person_issued", "first", []string{"issued", "sheet", "password"}, func(w string) web.Content {
			return &issuedPage{Page: inConsole(), Issued: portti.Issued{Person: full(w), Password: "abcd-efgh", Expires: at}, Why: "first", Site: "https://id.example.test"}
		}},
		{"console/person_issued", "", []string{"issued", "sheet", "password"}, func(w string) web.Content {
			return &issuedPage{Page: inConsole(), Issued: portti.Issued{Person: full(w), Password: "abcd-efgh", Expires: at}, Why: "created", Site: "https://id.example.test"}
		}},
	}
	for _, name := range []string{"disable", "enable", "first_password"} {
		samples = append(samples, sample{"console/person_act", name, []string{"act", "do"}, func(w string) web.Content {
			return &actPage{Page: inConsole(), ID: "u2", Name: w, Username: w, Reason: w, Ticket: w, Act: name, Path: "/people/u2/" + name, Danger: name != "enable", Ask: name != "first_password", Hours: 24, Days: 14}
		}})
	}
	return samples
}
