package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

type waits struct {
	portti.WaitingConfirmation
	Act string
}

type confirmationsPage struct {
	web.Page
	Waiting []waits
	Done    string
	Pager   pager
}

type confirmationPage struct {
	web.Page
	Confirmation portti.WaitingConfirmation
	Act          string
	Own          bool
	Path, Reason string
}

// secondSamples are the pages of acts that a second person confirms.
func secondSamples() []sample {
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	stands := standing{portti.Case{User: "u2", Username: "liisa", Name: "Liisa"}, portti.PersonPassword{State: "own"}}
	asked := func(w string) portti.AskedConfirmation {
		return portti.AskedConfirmation{ID: "f1", Act: "password.order", Reason: w, Asked: at, Confirmed: at, Refused: at, Refusal: w, Refuser: w}
	}
	waiting := func(w string) portti.WaitingConfirmation {
		return portti.WaitingConfirmation{AskedConfirmation: asked(w), User: "u2", Username: "liisa" + w, Name: "Liisa" + w, Organisation: portti.OrganisationName{ID: "o1", Name: w},
			Check: portti.Check{ID: "C1", Method: "video_identified", Ticket: w, Note: w, Expires: at}, Asker: "Heikki" + w}
	}
	act := func(colleague string) func(w string) web.Content {
		return func(w string) web.Content {
			return &caseActPage{Page: inConsole(), standing: stands, Act: "order", Path: "/people/u2/case/C1/order", Back: "/people/u2/case/C1", Sense: true, Colleague: colleague, Asked: asked(w), Reason: w, Ticket: w}
		}
	}
	return []sample{
		{"console/case_work", "second person", []string{"work", "acts"}, func(w string) web.Content {
			return &workPage{Page: inConsole(), standing: stands, Check: portti.Check{ID: "C1", Method: "called_back", Ticket: w, Expires: at}, Path: "/people/u2/case/C1",
				Acts: []string{"unfreeze", "order", "remove", "code"}, Colleague: map[string]string{"unfreeze": "ask", "order": "waits", "remove": "confirmed", "code": "refused"}}
		}},
		{"console/case_act", "to be asked for", []string{"act", "needed", "reason", "ask"}, act("ask")},
		{"console/case_act", "waits", []string{"act", "waits", "reload", "withdraw"}, act("waits")},
		{"console/case_act", "refused", []string{"act", "refused", "needed", "reason", "ask"}, act("refused")},
		{"console/case_act", "confirmed", []string{"act", "confirmed", "ticket", "do"}, act("confirmed")},
		{"console/confirmations", "", []string{"confirmations", "done"}, func(w string) web.Content {
			return &confirmationsPage{Page: inConsole(), Waiting: []waits{{waiting(w), "order"}, {waiting(""), "unfreeze"}}, Done: "refuse", Pager: pager{"/confirmations", "/confirmations?after=1.f1"}}
		}},
		{"console/confirmations", "none", []string{"confirmations", "none"}, func(string) web.Content { return &confirmationsPage{Page: inConsole()} }},
		{"console/confirmation", "", []string{"confirmation", "what", "why", "asker", "method", "effects", "confirm", "reason", "refuse"}, func(w string) web.Content {
			return &confirmationPage{Page: inConsole(), Confirmation: waiting(w), Act: "order", Path: "/confirmations/f1", Reason: w}
		}},
		{"console/confirmation", "one's own", []string{"confirmation", "may-not", "reason", "withdraw"}, func(w string) web.Content {
			c := waiting("")
			c.May = "second_is_first"
			return &confirmationPage{Page: inConsole(), Confirmation: c, Act: "code", Own: true, Path: "/confirmations/f1", Reason: w}
		}},
		{"console/confirmation", "of a colleague", []string{"confirmation", "may-not"}, func(string) web.Content {
			c := waiting("")
			c.May = "higher_account"
			return &confirmationPage{Page: inConsole(), Confirmation: c, Act: "code", Path: "/confirmations/f1"}
		}},
	}
}
