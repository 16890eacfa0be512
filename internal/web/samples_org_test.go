package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// The Console's pages on organisations and their policies.

type organisationsPage struct {
	web.Page
	Organisations []organisationRow
	New           string
	Pager         pager
}

type organisationRow struct {
	Href, ID, Name string
	Methods        []portti.Method
	Disabled       bool
	Planned        time.Time
}

type organisationPage struct {
	web.Page
	ID, Name                       string
	Disabled                       bool
	Delivery, Holder, CardNames    string
	SecondPerson                   bool
	Policy                         portti.Policy
	Planned                        *portti.PlannedPolicy
	Change, Withdrawal, Edit, Turn string
	Done                           string
	Lists                          []tile
}

type organisationForm struct {
	Name, Delivery, Holder, CardNames string
	SecondPerson                      bool
}

type organisationChoices struct{ Deliveries, Holders []web.Option }

type newOrganisationPage struct {
	web.Page
	organisationForm
	organisationChoices
	ID                               string
	Card, App, Token, PersonalPhones bool
}

type editOrganisationPage struct {
	web.Page
	organisationForm
	organisationChoices
	Title, Action, Back, Version string
	Now                          *portti.Employer
}

type turnPage struct {
	web.Page
	Name, Act    string
	Reason       string
	Ticket       string
	Own          bool
	Action, Back string
}

type policyForm struct {
	Card, App, Token, PersonalPhones, SharedWorkstations                                     bool
	SessionIdle, SessionAbsolute, ITContact, ResponsibleContact, Phone, Hours, From, Version string
}

type policyPage struct {
	web.Page
	Name, Action, Back string
	Now                *portti.Policy
	policyForm
}

type policyConfirmPage struct {
	web.Page
	Name, Action, Back string
	policyForm
	Policy                portti.Policy
	Day                   time.Time
	Effect                portti.PolicyEffect
	People                []affectedRow
	More, Without, Narrow string
}

type affectedRow struct {
	Username, Name string
	Card           *portti.LinkedCard
	Authenticator  portti.Method
	MayEnable      []portti.Method
}

type affectedPage struct {
	web.Page
	Group, Back string
	People      []affectedRow
	Pager       pager
}

func organisationSamples() []sample {
	at := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC)
	all := []portti.Method{portti.Card, portti.App, portti.Token}
	decided := func(w string) portti.Policy {
		return portti.Policy{Methods: all, PersonalPhones: true, SharedWorkstations: true, SessionIdle: 15, SessionAbsolute: 480,
			ITContact: "IT" + w, ResponsibleContact: "Viivi" + w, SupportPhone: "09 123 45", SupportHours: "8–16" + w}
	}
	form := func(w string) organisationForm {
		return organisationForm{"Kuntala" + w, "handover", "approve", "Kuntala kommun" + w, true}
	}
	chosen := organisationChoices{[]web.Option{{Value: "letter", Label: "By e-mail"}, {Value: "handover", Label: "Handed over"}}, []web.Option{{Value: "approve", Label: "Waits"}}}
	typed := func(w string) policyForm {
		return policyForm{true, true, true, true, true, "15", "480", "IT" + w, "Viivi" + w, "09 123 45", "8–16" + w, "2027-02-01", "7"}
	}
	people := func(w string) []affectedRow {
		return []affectedRow{
			{Username: "liisa" + w, Name: "Liisa" + w, Card: &portti.LinkedCard{Tail: "1234" + w, NotAfter: at, Expired: true}, Authenticator: portti.App},
			{Username: "matti", Name: "Matti", Authenticator: portti.Token, MayEnable: []portti.Method{portti.Card}},
			{Username: "noora", Name: "Noora", MayEnable: all},
		}
	}
	list := []sample{
		{"console/organisations", "", []string{"organisations", "new-organisation", "next-page"}, func(w string) web.Content {
			return &organisationsPage{Page: inConsole(), New: "/organisations/_new", Pager: pager{"/organisations", "/organisations?after=b"},
				Organisations: []organisationRow{{"/organisations/a", "a" + w, "A" + w, all, false, at}, {"/organisations/b", "b", "B", all[:1], true, time.Time{}}}}
		}},
		{"console/organisations", "none", []string{"organisations", "none"}, func(string) web.Content { return &organisationsPage{Page: inConsole()} }},
		{"console/organisation", "", []string{"organisation", "planned", "withdraw", "edit", "turn", "lists"}, func(w string) web.Content {
			return &organisationPage{Page: inConsole(), ID: "a" + w, Name: "A" + w, Disabled: true, Delivery: "letter", Holder: "refuse", CardNames: "AA" + w, SecondPerson: true, Policy: decided(w),
				Planned: &portti.PlannedPolicy{Policy: decided(w), From: at}, Withdrawal: "/organisations/a/policy/withdraw", Edit: "/organisations/a/edit", Turn: "/organisations/a/enable", Done: "planned",
				Lists: []tile{{Href: "/people?organisation=a", Key: "con.people"}}}
		}},
		{"console/organisation", "plain", []string{"organisation", "change-policy"}, func(string) web.Content {
			return &organisationPage{Page: inConsole(), ID: "a", Name: "A", Delivery: "sms", Holder: "accept", Policy: portti.Policy{Methods: all[:1]}, Change: "/organisations/a/policy"}
		}},
		{"console/organisation_new", "", []string{"new", "id", "name", "delivery", "card_holder", "methods", "create"}, func(w string) web.Content {
			return &newOrganisationPage{Page: inConsole(), organisationForm: form(w), organisationChoices: chosen, ID: "kuntala" + w, Card: true}
		}},
		{"console/organisation_edit", "", []string{"organisation-edit", "meanwhile", "name", "save"}, func(w string) web.Content {
			return &editOrganisationPage{Page: inConsole(), organisationForm: form(w), organisationChoices: chosen, Title: "Kuntala" + w, Action: "/organisations/a/edit", Back: "/organisations/a", Version: "3",
				Now: &portti.Employer{ID: "a", Name: "Uusi" + w, Delivery: "letter", Holder: "approve", CardNames: "U" + w}}
		}},
		{"console/organisation_turn", "disable", []string{"turn", "own", "do"}, func(w string) web.Content {
			return &turnPage{Page: inConsole(), Name: "A" + w, Act: "disable", Own: true, Action: "/organisations/a/disable", Back: "/organisations/a"}
		}},
		{"console/organisation_turn", "enable", []string{"turn", "do"}, func(w string) web.Content {
			return &turnPage{Page: inConsole(), Name: "A" + w, Act: "enable", Action: "/organisations/a/enable", Back: "/organisations/a"}
		}},
		{"console/policy", "", []string{"policy", "meanwhile", "methods", "session_idle", "from", "look"}, func(w string) web.Content {
			now := decided(w)
			return &policyPage{Page: inConsole(), Name: "A" + w, Action: "/organisations/a/policy", Back: "/organisations/a", Now: &now, policyForm: typed(w)}
		}},
		{"console/policy_confirm", "", []string{"policy-confirm", "stranded", "more", "confirm", "again"}, func(w string) web.Content {
			return &policyConfirmPage{Page: inConsole(), Name: "A" + w, Action: "/organisations/a/policy", Back: "/organisations/a", policyForm: typed(w), Policy: decided(w), Day: at,
				Effect: portti.PolicyEffect{People: 400, Stranded: 60, Without: 2, Narrowed: 3}, People: people(w), More: "/a?group=stranded", Without: "/a?group=without", Narrow: "/a?group=narrowed"}
		}},
		{"console/policy_confirm", "nobody", []string{"policy-confirm", "nobody", "confirm"}, func(string) web.Content {
			return &policyConfirmPage{Page: inConsole(), Name: "A", Action: "/organisations/a/policy", Back: "/organisations/a", Policy: portti.Policy{Methods: all}}
		}},
		{"console/affected", "nobody", []string{"affected", "nobody"}, func(string) web.Content { return &affectedPage{Page: inConsole(), Group: "without", Back: "/a"} }},
	}
	list = append(list, sample{"userservices/password_changed", "contacts", []string{"contacts"}, func(w string) web.Content {
		return &plainPage{Page: web.Page{Contacts: web.Contacts{IT: "IT" + w, Responsible: "Viivi" + w, Phone: "09 123 45" + w, Hours: "8–16" + w}}}
	}})
	for _, group := range []string{"stranded", "without", "narrowed"} {
		list = append(list, sample{"console/affected", group, []string{"affected", "next-page"}, func(w string) web.Content {
			return &affectedPage{Page: inConsole(), Group: group, Back: "/a", People: people(w), Pager: pager{"/a", "/a?after=x"}}
		}})
	}
	return list
}
