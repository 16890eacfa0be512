package web_test

import (
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

type importFilePage struct {
	web.Page
	Organisation string
	Choose       bool
}

type importCell struct{ Column, Value string }

type importRow struct {
	Line                         int
	Username, Name, Verdict, Why string
	Cells                        []importCell
}

type importPage struct {
	web.Page
	Import         portti.Import
	Path, Why      string
	Tabs           []tab
	Rows           []importRow
	Running, Apply bool
	Pager          pager
}

// importSamples are the Console's pages of people from a file.
func importSamples() []sample {
	of := func(state, w string) *importPage {
		return &importPage{Page: inConsole(), Path: "/imports/I1", Import: portti.Import{ID: "I1", Organisation: portti.OrganisationName{ID: "o1", Name: w + "x"}, State: state, Created: day, Expires: day, Rows: 9, Done: 3, Create: 4, Change: 2, Unchanged: 1, Wrong: 2},
			Tabs: []tab{{Href: "/imports/I1?verdict=wrong", Key: "con.import.verdict.wrong", Count: 2, Here: true}, {Href: "/imports/I1?verdict=create", Key: "con.import.done.create", Count: 4}},
			Rows: []importRow{{3, "liisa" + w, "Lahti " + w, "wrong", w + "x", []importCell{{"email", w + "x"}, {"phone", ""}}}, {4, "b", "C", "create", "", nil}}}
	}
	return []sample{
		{"console/import_file", "", []string{"import-file", "organisation", "file", "check", "problems"}, func(w string) web.Content {
			p := &importFilePage{Page: inConsole(), Organisation: w, Choose: true}
			p.Wrong(fault.New(fault.Invalid, "import_header", "wrong").In("file"))
			return p
		}},
		{"console/import", "", []string{"import", "checked", "passwords", "apply", "views", "next-page"}, func(w string) web.Content {
			p := of("checked", w)
			p.Apply, p.Pager = true, pager{"/imports/I1", "/imports/I1?after=4"}
			return p
		}},
		{"console/import", "applying", []string{"import", "applying", "look"}, func(w string) web.Content {
			p := of("applying", w)
			p.Running = true
			return p
		}},
		{"console/import", "stopped", []string{"import", "stopped", "apply"}, func(w string) web.Content {
			p := of("stopped", w)
			p.Apply, p.Why = true, w+"x"
			return p
		}},
		{"console/import", "done", []string{"import", "done", "passwords", "another"}, func(w string) web.Content {
			p := of("done", w)
			p.Import.Handover = true
			return p
		}},
		{"console/import", "nothing", []string{"import", "nothing", "none"}, func(string) web.Content {
			return &importPage{Page: inConsole(), Path: "/imports/I1", Import: portti.Import{ID: "I1", State: "checked"}}
		}},
	}
}
