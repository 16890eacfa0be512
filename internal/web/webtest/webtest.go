// Package webtest checks pages in tests: templates against their structs, and
// rendered HTML against what every page promises its readers.
package webtest

import (
	"bytes"
	"io"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jba/templatecheck"
	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/portti-id/portti/internal/web"
)

// NewSite makes a site as https://id.example.test with every page; edit may change
// its settings first. It logs nowhere unless edit says so.
func NewSite(t testing.TB, edit ...func(s *web.Settings)) *web.Site {
	t.Helper()
	settings := web.Settings{Brand: "Portti", PublicURL: "https://id.example.test", SupportPhone: "020 343 433", Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for _, f := range edit {
		f(&settings)
	}
	site, err := web.New(settings)
	if err != nil {
		t.Fatal(err)
	}
	return site
}

// TypeCheck holds templates to the structs that are rendered with them: pages
// maps a page's name, such as "signin/login", to a pointer to its struct. A
// field that a template uses and the struct lacks fails the test, also on paths
// that no request has taken yet.
func TypeCheck(t testing.TB, site *web.Site, pages map[string]web.Content) {
	t.Helper()
	for name, content := range pages {
		tmpl, err := site.Template(name)
		if err != nil {
			t.Errorf("page %s: %v", name, err)
			continue
		}
		for _, f := range shadowed(content) {
			t.Errorf("page %s: its field %s hides web.Page's, which the layout shows", name, f)
		}
		if err := templatecheck.CheckHTML(tmpl, content); err != nil {
			t.Errorf("page %s: %v", name, err)
		}
	}
}

// shadowed lists the fields of a page's struct that web.Page has too.
func shadowed(content web.Content) []string {
	var names []string
	s := reflect.TypeOf(content).Elem()
	for i := range s.NumField() {
		if _, ok := reflect.TypeFor[web.Page]().FieldByName(s.Field(i).Name); ok {
			names = append(names, s.Field(i).Name)
		}
	}
	return names
}

// Check holds a rendered page to what every page promises (WCAG 2.2 AA, as far
// as the HTML tells): its language, a title, one h1, headings without gaps, a
// label for every input, a name for every button and link, a text for every
// picture, unique ids, references that lead somewhere, a token in every form
// that posts, one element at most that wants the focus, and nothing that the Content-Security-Policy would stop. ids must
// all be on the page.
func Check(t testing.TB, body []byte, lang string, ids ...string) {
	t.Helper()
	doc, err := html.Parse(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	c := &checker{TB: t, ids: map[string]*html.Node{}, labels: map[string]bool{}}
	c.walk(doc, c.collect)
	c.walk(doc, c.check)
	for _, id := range ids {
		if c.ids[id] == nil {
			t.Errorf("no element has the id %s", id)
		}
	}
	if c.lang != lang {
		t.Errorf("the page says it is in %q, want %q", c.lang, lang)
	}
	if c.h1 != 1 {
		t.Errorf("%d h1 elements, want 1", c.h1)
	}
	if c.focus > 1 {
		t.Errorf("%d elements want the focus", c.focus)
	}
	if c.title == "" {
		t.Error("the page has no title")
	}
	for _, mark := range []string{"⟦", "ZgotmplZ", "%!", "<no value>"} {
		if bytes.Contains(body, []byte(mark)) {
			t.Errorf("%q is on the page: a text, a URL or a value is missing", mark)
		}
	}
}

type checker struct {
	testing.TB
	ids    map[string]*html.Node
	labels map[string]bool // ids that a label is for
	lang   string
	title  string
	h1     int
	focus  int // elements that want it
	level  int // of the last heading
}

func (c *checker) walk(n *html.Node, visit func(n *html.Node)) {
	if n.Type == html.ElementNode {
		visit(n)
	}
	for child := range n.ChildNodes() {
		c.walk(child, visit)
	}
}

func (c *checker) collect(n *html.Node) {
	if id, ok := get(n, "id"); ok {
		if id == "" || strings.ContainsAny(id, " \t\n") {
			c.Errorf("<%s> has the id %q", n.Data, id)
		}
		if c.ids[id] != nil {
			c.Errorf("the id %s is on two elements", id)
		}
		c.ids[id] = n
	}
	if id, ok := get(n, "for"); ok && n.DataAtom == atom.Label && Text(n) != "" {
		c.labels[id] = true
	}
}

func (c *checker) check(n *html.Node) {
	for _, name := range []string{"aria-describedby", "aria-labelledby", "aria-controls", "for"} {
		value, ok := get(n, name)
		if !ok {
			continue
		}
		for id := range strings.FieldsSeq(value) {
			if c.ids[id] == nil {
				c.Errorf("<%s %s=%q>: nothing has that id", n.Data, name, value)
			}
		}
	}
	if _, ok := get(n, "autofocus"); ok {
		c.focus++
	}
	for _, a := range n.Attr {
		if a.Key == "style" || strings.HasPrefix(a.Key, "on") {
			c.Errorf("<%s %s>: the Content-Security-Policy stops it", n.Data, a.Key)
		}
	}
	switch n.DataAtom {
	case atom.Html:
		c.lang, _ = get(n, "lang")
	case atom.Title:
		c.title = Text(n)
	case atom.H1, atom.H2, atom.H3:
		level := int(n.Data[1] - '0')
		if level == 1 {
			c.h1++
		}
		if level > c.level+1 && !(c.level == 0 && inside(n, "problems")) {
			c.Errorf("<%s> %q comes after level %d", n.Data, Text(n), c.level)
		}
		if !inside(n, "problems") {
			c.level = level
		}
		if Text(n) == "" {
			c.Errorf("<%s> is empty", n.Data)
		}
	case atom.Input:
		kind, _ := get(n, "type")
		id, _ := get(n, "id")
		if kind != "hidden" && !c.labels[id] {
			c.Errorf("<input id=%q> has no label", id)
		}
	case atom.Button, atom.A:
		if Text(n) == "" {
			c.Errorf("<%s> has no text", n.Data)
		}
		if href, ok := get(n, "href"); n.DataAtom == atom.A && ok && strings.HasPrefix(href, "#") && c.ids[href[1:]] == nil {
			c.Errorf("the link to %s leads nowhere", href)
		}
	case atom.Img:
		if alt, _ := get(n, "alt"); alt == "" {
			c.Error("<img> has no text")
		}
	case atom.Svg:
		role, _ := get(n, "role")
		label, _ := get(n, "aria-label")
		if hidden, _ := get(n, "aria-hidden"); hidden != "true" && (role != "img" || label == "") {
			c.Error("<svg> is not hidden from readers, and has no text")
		}
	case atom.Style:
		c.Error("<style>: the Content-Security-Policy stops it")
	case atom.Script:
		if src, _ := get(n, "src"); !strings.HasPrefix(src, "/static/") {
			c.Error("<script> is not a static file: the Content-Security-Policy stops it")
		}
	case atom.Form:
		c.form(n)
	}
}

func (c *checker) form(n *html.Node) {
	method, _ := get(n, "method")
	action, _ := get(n, "action")
	if action == "" {
		c.Error("<form> has no action")
	}
	if !strings.EqualFold(method, "post") {
		return
	}
	token := false
	c.walk(n, func(n *html.Node) {
		name, _ := get(n, "name")
		value, _ := get(n, "value")
		token = token || name == "csrf" && value != ""
	})
	if !token {
		c.Errorf("the form to %s has no token", action)
	}
}

// Text is what an element says, without surrounding space.
func Text(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return strings.TrimSpace(b.String())
}

func get(n *html.Node, name string) (string, bool) {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Namespace == "" && a.Key == name })
	if i < 0 {
		return "", false
	}
	return n.Attr[i].Val, true
}

func inside(n *html.Node, id string) bool {
	for a := range n.Ancestors() {
		if got, _ := get(a, "id"); got == id {
			return true
		}
	}
	return false
}
