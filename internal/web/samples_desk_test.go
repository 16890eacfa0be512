package web_test

import (
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// standing has what the partial case-state calls.
type standing struct {
	Case     portti.Case
	Password portti.PersonPassword
}

func (s standing) Awaits() bool { return !s.Case.Closed.IsZero() && s.Case.App == nil }
func (s standing) ForGood() bool {
	return s.Case.App != nil && s.Case.App.BlockedUntil.Year() >= 9999
}
func (s standing) ClockKey() string { return "con.desk.clock.slow" }
func (s standing) ClockOff() string { return "60" }

type casePage struct {
	web.Page
	standing
	Methods                                    []string
	Act, Reason, Minutes, Method, Ticket, Note string
}

type workPage struct {
	web.Page
	standing
	Check      portti.Check
	Path, Done string
	Acts       []string
	Colleague  map[string]string
}

type caseActPage struct {
	web.Page
	standing
	Check                                                   portti.Check
	Act, Path, Back, Reason, Ticket, Minutes, First, Second string
	Danger, Sense                                           bool
	Lives                                                   []string
	Colleague                                               string
	Asked                                                   portti.AskedConfirmation
}

type caseIssuedPage struct {
	web.Page
	Case              portti.Case
	Act, Secret, Back string
	Expires           time.Time
}

type approvalsPage struct {
	web.Page
	Approvals []portti.CardApproval
	All       bool
	Done      string
	Pager     pager
}

type approvalPage struct {
	web.Page
	Approval     portti.CardApproval
	Path, Reason string
}

// deskSamples are the pages of the help desk's workbench and of cards that wait.
func deskSamples() []sample {
	at := time.Date(2027, 1, 2, 3, 4, 5, 0, time.UTC)
	linked := func(w string) standing {
		return standing{portti.Case{User: "u2", Username: "liisa" + w, Name: "Liisa" + w, Organisation: portti.OrganisationName{ID: "o1", Name: w}, Phone: "+358401234567" + w, Handover: true,
			Card: &portti.LinkedCard{Holder: w, NotAfter: at, ExpiresSoon: true},
			App:  &portti.CaseAuthenticator{Model: w, Serial: w, Failures: 7, BlockedUntil: at, Authenticator: portti.Authenticator{Kind: portti.Token, Linked: at, Fast: -60}}},
			portti.PersonPassword{State: "temporary", Expires: at}}
	}
	removed := standing{portti.Case{User: "u2", Username: "liisa", Name: "Liisa", Closed: at, Frozen: at, LinkingCode: &portti.OpenLinkingCode{Issued: at, Expires: at},
		Card: &portti.LinkedCard{Holder: "L", NotAfter: at, State: "revoked"}}, portti.PersonPassword{State: "own"}}
	blocked := linked("")
	blocked.Case.App.BlockedUntil = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	closed := standing{portti.Case{User: "u2", Username: "liisa", Name: "Liisa", Disabled: true, Closed: at, May: "higher_account"}, portti.PersonPassword{State: "none"}}
	check := func(w, method string) portti.Check {
		return portti.Check{ID: "C1" + w, Method: method, Ticket: "T-1" + w, Expires: at}
	}
	acts := []string{"unfreeze", "order", "unlock", "resync", "remove", "code", "sessions"}
	lives := []string{"10", "30", "60", "240", "480", "1440"}
	card := func(w, proved string) portti.CardApproval {
		return portti.CardApproval{ID: "a1", User: "u2", Username: "liisa" + w, Name: "Liisa" + w, Organisation: portti.OrganisationName{ID: "o1", Name: w}, Holder: "LIISA" + w, HolderOrg: w,
			Issuer: "CA" + w, Tail: "4711" + w, NotAfter: at, Proved: proved, Asked: at, Expires: at}
	}
	samples := []sample{
		{"console/case", "", []string{"case", "state", "phone", "method", "method-called_back", "ticket", "note", "record"}, func(w string) web.Content {
			return &casePage{Page: inConsole(), standing: linked(w), Methods: portti.CheckMethods, Act: "remove", Reason: w, Minutes: "60" + w, Method: "called_back", Ticket: w, Note: w}
		}},
		{"console/case", "ended", []string{"case", "linking", "frozen", "record"}, func(string) web.Content {
			p := &casePage{Page: inConsole(), standing: removed, Methods: portti.CheckMethods}
			p.Tell(web.Warning, "con.desk.check.ended")
			return p
		}},
		{"console/case", "not to be helped", []string{"case", "may-not"}, func(string) web.Content {
			return &casePage{Page: inConsole(), standing: closed, Methods: portti.CheckMethods}
		}},
		{"console/case_work", "none", []string{"work", "none"}, func(string) web.Content {
			return &workPage{Page: inConsole(), standing: closed, Check: check("", "document_shown"), Path: "/people/u2/case/C1"}
		}},
		{"console/case_act", "no sense", []string{"act", "no-sense", "back"}, func(string) web.Content {
			return &caseActPage{Page: inConsole(), standing: removed, Act: "remove", Back: "/people/u2/case/C1"}
		}},
		{"console/case_issued", "order", []string{"issued", "secret", "until", "say", "back"}, func(w string) web.Content {
			return &caseIssuedPage{Page: inConsole(), Case: linked(w).Case, Act: "order", Secret: "abcd-efgh-jkmn" + w, Back: "/people/u2/case/C1"}
		}},
		{"console/case_issued", "code", []string{"issued", "secret", "until", "say", "back"}, func(w string) web.Content {
			return &caseIssuedPage{Page: inConsole(), Case: linked(w).Case, Act: "code", Secret: "k7wp-3mxd" + w, Expires: at, Back: "/people/u2/case/C1"}
		}},
		{"console/card_approvals", "", []string{"approvals", "done", "next-page"}, func(w string) web.Content {
			return &approvalsPage{Page: inConsole(), Approvals: []portti.CardApproval{card(w, "none"), card("", "app")}, All: true, Done: "approve", Pager: pager{"/card-approvals", "/card-approvals?after=1.a"}}
		}},
		{"console/card_approvals", "none", []string{"approvals", "none", "done"}, func(string) web.Content { return &approvalsPage{Page: inConsole(), Done: "refuse"} }},
		{"console/card_approval", "not to be decided", []string{"approval", "may-not"}, func(string) web.Content {
			a := card("", "card")
			a.May = "own_account"
			return &approvalPage{Page: inConsole(), Approval: a}
		}},
	}
	for _, proved := range []string{"none", "card", "app", "token"} {
		samples = append(samples, sample{"console/card_approval", proved, []string{"approval", "beside", "holder", "name", "approve", "refuse"}, func(w string) web.Content {
			return &approvalPage{Page: inConsole(), Approval: card(w, proved), Path: "/card-approvals/a1", Reason: w}
		}})
	}
	for _, method := range portti.CheckMethods {
		samples = append(samples, sample{"console/case_work", method, []string{"work", "check", "acts", "blocked", "clock"}, func(w string) web.Content {
			return &workPage{Page: inConsole(), standing: blocked, Check: check(w, method), Path: "/people/u2/case/C1", Acts: acts}
		}})
	}
	for _, act := range acts {
		samples = append(samples,
			sample{"console/case_work", "done " + act, []string{"work", "done"}, func(string) web.Content {
				return &workPage{Page: inConsole(), standing: removed, Check: check("", "called_back"), Path: "/people/u2/case/C1", Done: act, Acts: acts}
			}},
			sample{"console/case_act", act, []string{"act", "effects", "reason", "ticket", "do"}, func(w string) web.Content {
				s := linked(w)
				s.Case.LinkingCode = &portti.OpenLinkingCode{Expires: at}
				return &caseActPage{Page: inConsole(), standing: s, Check: check(w, "called_back"), Act: act, Path: "/people/u2/case/C1/" + act, Back: "/people/u2/case/C1", Reason: w, Ticket: w,
					Minutes: "240", First: w, Second: w, Danger: act == "order", Sense: true, Lives: lives}
			}})
	}
	return samples
}
