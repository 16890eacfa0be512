package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
)

// Violation is a fault that axe-core found.
type Violation struct {
	ID     string   // rule, e.g. "color-contrast"
	Impact string   // minor, moderate, serious or critical
	Help   string   // what is right
	Nodes  []string // the HTML of each place, and why it is wrong
}

// axeRun covers WCAG 2.2 A and AA, with all of 2.0 and 2.1, and good practice.
const axeRun = `axe.run({include: [document], exclude: %s}, {
	runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
	resultTypes: ["violations"],
}).then(r => r.violations.map(v => ({
	ID: v.id, Impact: v.impact, Help: v.help, Nodes: v.nodes.map(n => n.html + "  " + n.failureSummary),
})))`

// Axe looks for accessibility faults in the open page, as it is shown: size,
// colours and unfolded parts count; not in the elements that selectors leave out. It goes in over DevTools, so that the
// Content-Security-Policy does not stop it.
func (t *Tab) Axe(without ...string) (found []Violation) {
	t.tb.Helper()
	file := os.Getenv("PORTTI_TEST_AXE")
	if file == "" {
		missing(t.tb, "accessibility tests need axe-core: npm pack axe-core, and PORTTI_TEST_AXE=path of axe.min.js")
	}
	source, err := os.ReadFile(file)
	if err != nil {
		missing(t.tb, "PORTTI_TEST_AXE: %v", err)
	}
	t.must("look for accessibility faults", func(ctx context.Context) error {
		if t.noScript { // axe needs timers
			if err := setScript(true)(ctx); err != nil {
				return err
			}
			defer func() { _ = setScript(false)(ctx) }() // a dead tab fails the next action
		}
		if err := eval(ctx, string(source)+"\n;null", nil); err != nil {
			return err
		}
		left, err := json.Marshal(append([]string{}, without...))
		if err != nil {
			return err
		}
		return eval(ctx, fmt.Sprintf(axeRun, left), &found)
	})
	return found
}

// MustBeAccessible reports each fault that Axe finds as an error of the test.
func (t *Tab) MustBeAccessible(without ...string) {
	t.tb.Helper()
	for _, v := range t.Axe(without...) {
		t.tb.Errorf("%s: %s (%s, %s)\n\t%s", t.URL(), v.Help, v.ID, v.Impact, strings.Join(v.Nodes, "\n\t"))
	}
}
