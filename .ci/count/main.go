// Command count runs go test with the arguments it is given, shows what failed
// and what was skipped and why, and ends with one line that counts the tests:
//
//	412 passed, 0 failed, 0 skipped
//
// Before it stand the tests that took longest. A test with subtests is counted by its subtests. A package that does not
// build, or dies, counts as one failure at least. Under CI=true a skipped test
// is a failure, and so is a run without tests anywhere.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

func main() {
	os.Exit(run(os.Args[1:], os.Getenv("CI") == "true"))
}

func run(args []string, strict bool) int {
	test := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	test.Stderr = os.Stderr
	events, err := test.StdoutPipe()
	if err == nil {
		err = test.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		return 1
	}
	c := newCount(os.Stdout)
	if err := c.read(events); err != nil {
		fmt.Fprintln(os.Stderr, "count:", err)
		c.failed++
	}
	if err := test.Wait(); err != nil && c.failed == 0 {
		fmt.Fprintln(os.Stderr, "count: go test:", err)
		c.failed++
	}
	return c.end(strict)
}

// event is what go test -json prints (go doc test2json, and "build-output").
type event struct {
	Action     string
	Package    string
	ImportPath string // of build events
	Test       string
	Elapsed    float64 // seconds
	Output     string
}

// The longest tests that are shown, and from how many seconds on.
const (
	longest = 25
	long    = 5
)

// count keeps the score. Output is held back until its test has ended, and
// forgotten when it passed.
type count struct {
	w                       io.Writer
	passed, failed, skipped int
	output                  map[string][]string // by package and test
	parents                 map[string]bool     // tests that have subtests
	guilty                  map[string]bool     // packages, and tests with subtests, in which something failed
	why                     []string            // one line a skipped test
	took                    []event             // tests without subtests that took seconds
}

func newCount(w io.Writer) *count {
	return &count{w: w, output: map[string][]string{}, parents: map[string]bool{}, guilty: map[string]bool{}}
}

func (c *count) read(r io.Reader) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Fprintln(c.w, lines.Text()) // not JSON: the go command speaks
			continue
		}
		c.take(e)
	}
	return lines.Err()
}

func (c *count) take(e event) {
	name := e.Package + " " + e.Test
	switch e.Action {
	case "build-output":
		fmt.Fprint(c.w, e.Output)
	case "run":
		for parent := range above(e) {
			c.parents[parent] = true
		}
	case "output":
		c.output[name] = append(c.output[name], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			c.packageEnds(e)
		} else {
			c.testEnds(name, e)
		}
		delete(c.output, name)
	}
}

func (c *count) testEnds(name string, e event) {
	if !c.parents[name] && e.Elapsed >= long {
		c.took = append(c.took, e)
	}
	switch {
	case e.Action == "fail":
		if !c.guilty[name] { // by itself, not for a subtest that was counted
			c.failed++
		}
		for parent := range above(e) {
			c.guilty[parent] = true
		}
		c.guilty[e.Package] = true
		c.show(name)
	case e.Action == "skip":
		c.skipped++
		c.why = append(c.why, name+": "+strings.Join(strings.Fields(strings.Join(c.said(name), " ")), " "))
	case !c.parents[name]:
		c.passed++
	}
}

func (c *count) packageEnds(e event) {
	if e.Action == "fail" {
		if !c.guilty[e.Package] {
			c.failed++ // it did not build, or died outside a test
		}
		// What a test said that never ended, and the panic or the time-out.
		for _, name := range c.unfinished(e.Package) {
			c.show(name)
		}
	}
	if e.Action != "skip" {
		fmt.Fprintf(c.w, "%-4s %-60s %6.1fs\n", map[string]string{"pass": "ok", "fail": "FAIL"}[e.Action], e.Package, e.Elapsed)
	}
}

// unfinished returns the names of a package's tests that have not ended, and of
// the package itself.
func (c *count) unfinished(pkg string) []string {
	var names []string
	for name := range c.output {
		if strings.HasPrefix(name, pkg+" ") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// show prints what a failed test said. A test that failed for its subtests alone
// says nothing.
func (c *count) show(name string) {
	lines := c.said(name)
	if len(lines) == 0 && (c.guilty[name] || strings.HasSuffix(name, " ")) {
		return
	}
	fmt.Fprintf(c.w, "\nFAILED %s\n", name)
	for _, line := range lines {
		fmt.Fprint(c.w, "    ", line)
	}
}

// said is a test's output without go test's own marks.
func (c *count) said(name string) []string {
	return slices.DeleteFunc(slices.Clone(c.output[name]), func(line string) bool {
		line = strings.TrimSpace(line)
		return slices.ContainsFunc([]string{"=== ", "--- SKIP", "--- FAIL", "FAIL\t", "ok  \t", "exit status "}, func(mark string) bool {
			return strings.HasPrefix(line, mark)
		}) || line == "FAIL" || line == "PASS"
	})
}

// above yields the names of the tests that an event's test is a subtest of.
func above(e event) iter.Seq[string] {
	return func(yield func(string) bool) {
		for t := e.Test; strings.Contains(t, "/"); {
			t = t[:strings.LastIndex(t, "/")]
			if !yield(e.Package + " " + t) {
				return
			}
		}
	}
}

// end prints the score and returns the exit status.
func (c *count) end(strict bool) int {
	slices.SortFunc(c.took, func(a, b event) int { return cmp.Compare(b.Elapsed, a.Elapsed) })
	for _, e := range c.took[:min(len(c.took), longest)] {
		fmt.Fprintf(c.w, "%7.1fs %s %s\n", e.Elapsed, path.Base(e.Package), e.Test)
	}
	for _, line := range c.why {
		pkg, rest, _ := strings.Cut(line, " ")
		fmt.Fprintf(c.w, "skipped: %s %s\n", path.Base(pkg), rest)
	}
	fmt.Fprintf(c.w, "\n%d passed, %d failed, %d skipped\n", c.passed, c.failed, c.skipped)
	if c.failed > 0 || c.passed == 0 || strict && c.skipped > 0 {
		return 1
	}
	return 0
}
