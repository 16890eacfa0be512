package web_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/templates"
)

type eventRow struct {
	At, Sentence, Type, Reason, Actor, User, Organisation, Client, Method, Address, Details, ActorName, UserName, ActorID, Sequence string
	Nobody, Doubtful                                                                                                                bool
}

type trailState struct {
	Sequence, Checkpoint, Removed, Waiting, Doubtful string
	Sealed, Checked, Key                             string
	Late                                             bool
}

type auditPage struct {
	web.Page
	User, Organisation, Type, Actor, Since, Until string
	Types                                         []web.Option
	OneOrganisation                               bool
	Events                                        []eventRow
	Pager                                         pager
	CSV, JSONL                                    string
	State                                         *trailState
	Person                                        string
}

type chartRow struct {
	Label  string
	Values []int
}

type rect struct {
	X, Y, Width, Height string
	Series              int
}

// barChart is drawn by package console.
type barChart struct {
	ID, Title, Of string
	Series        []string
	Rows          []chartRow
}

func (c barChart) Stacked() bool  { return len(c.Series) > 1 }
func (barChart) Number(i int) int { return i + 1 }
func (barChart) Most() int        { return 3 }
func (barChart) Sum(int) int      { return 3 }
func (c barChart) First() string  { return c.Rows[0].Label }
func (c barChart) Last() string   { return c.Rows[len(c.Rows)-1].Label }
func (barChart) Bar(chartRow) []rect {
	return []rect{{"0", "0", "50", "100", 1}, {"50", "0", "50", "100", 2}}
}
func (barChart) Columns() []rect { return []rect{{"5", "50", "40", "50", 1}} }

type statisticsPage struct {
	web.Page
	Since, Until, Organisation string
	OneOrganisation            bool
	SignIns, Refusals, Changes barChart
	Any                        bool
}

func auditSamples() []sample {
	return []sample{
		{"console/audit", "", []string{"audit", "type", "user", "actor", "organisation", "since", "until", "csv", "jsonl", "chain", "next-page"}, func(w string) web.Content {
			return &auditPage{Page: inConsole(), User: w, Types: []web.Option{{Value: "", Label: w}, {Value: "signin.refused", Label: w}}, CSV: "/audit/file?format=csv", JSONL: "/audit/file?format=jsonl",
				Events: []eventRow{{At: "2026-11-23 05:00:00", Sentence: w, Type: w, Reason: w, Actor: "user:1" + w, User: w, Organisation: w, Client: w, Method: w, Address: "192.0.2.1", Details: w, ActorName: w, ActorID: "u1", UserName: w, Sequence: "7", Doubtful: true}, {Nobody: true}, {}},
				Pager:  pager{"/audit", "/audit?after=7"}, State: &trailState{"7", "5", "1", "2", "1", "2026-11-23 05:00:00", "2026-11-23 05:00:00", "0011223344556677", true}}
		}},
		{"console/audit", "person", []string{"audit", "none"}, func(w string) web.Content { return &auditPage{Page: inConsole(), Person: "u1", OneOrganisation: true} }},
		{"console/statistics", "", []string{"statistics", "sign-ins", "refusals", "changes"}, func(w string) web.Content {
			draw := func(id string) barChart {
				return barChart{id, w + id, w, []string{"A" + w, "B"}, []chartRow{{"2026-11-22" + w, []int{1, 2}}, {"2026-11-23", []int{0, 0}}}}
			}
			return &statisticsPage{Page: inConsole(), Since: "2026-10-25", Until: "2026-11-23", SignIns: draw("sign-ins"), Refusals: draw("refusals"), Changes: draw("changes"), Any: true}
		}},
		{"console/statistics", "none", []string{"statistics", "none"}, func(string) web.Content { return &statisticsPage{Page: inConsole(), OneOrganisation: true} }},
	}
}

// Every reason of the trail has a text, and no text has lost its reason.
func TestReasonsHaveTexts(t *testing.T) {
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	for code := range audit.Reasons {
		if !texts.Has("con.reason." + code) {
			t.Errorf("%q has no text: con.reason.%s in templates/texts/*/audit.yaml", code, code)
		}
	}
	for _, key := range texts.Keys() {
		code, ok := strings.CutPrefix(key, "con.reason.")
		if _, known := audit.Reasons[code]; ok && !known && code != "hint" {
			t.Errorf("%s is the text of no reason", key)
		}
	}
}

// Every event of the trail has a name that people can read.
func TestEventsHaveNames(t *testing.T) {
	texts, err := templates.Load()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "../audit/audit.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(file, func(node ast.Node) bool {
		spec, ok := node.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok && lit.Kind == token.STRING {
			word, err := strconv.Unquote(lit.Value)
			if n++; err != nil || !texts.Has("con.event."+word) {
				t.Errorf("audit.%s has no name: con.event.%s in templates/texts/*/audit.yaml", spec.Names[0], word)
			}
		}
		return true
	})
	if n < 40 {
		t.Errorf("only %d events were found", n)
	}
}
