package web

import (
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // TZ means the same where the machine has no time zones: in the image

	"github.com/portti-id/portti/templates"
)

// pages holds the templates of one language by name, e.g. "signin/login". Each
// is the layout with one page's parts in it.
type pages map[string]*template.Template

const layout = "layout"

// words are what the templates' functions take from: the same for every site.
type words struct {
	texts  *templates.Texts
	assets map[string]string
}

// embedded are the pages of the embedded templates and texts, by folders: programs
// that stand together in a process, as in the demo, share them.
var embedded struct {
	sync.Mutex
	pages map[string]map[string]pages
}

// parse reads every page in every language.
func (s *Site) parse(tree fs.FS) (err error) {
	folders := s.settings.Pages
	if folders == nil {
		folders = []string{"signin", "userservices", "console"}
	}
	w := words{s.texts, s.assets}
	embedded.Lock()
	defer embedded.Unlock()
	key := strings.Join(folders, " ")
	if s.pages = embedded.pages[key]; s.pages != nil {
		return nil
	}
	if s.pages, err = w.parse(tree, folders); err != nil {
		return err
	}
	if embedded.pages == nil {
		embedded.pages = map[string]map[string]pages{}
	}
	embedded.pages[key] = s.pages
	return nil
}

// parse binds what a template calls to its language, so that a page says
// {{t "login.title"}} and no more.
func (w words) parse(tree fs.FS, folders []string) (map[string]pages, error) {
	read := make([]pages, len(templates.Languages))
	errs := make([]error, len(templates.Languages))
	var all sync.WaitGroup
	for i, lang := range templates.Languages {
		all.Go(func() { read[i], errs[i] = w.parseIn(lang, tree, folders) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("web: templates: %w", err)
	}
	parsed := make(map[string]pages, len(templates.Languages))
	for i, lang := range templates.Languages {
		parsed[lang] = read[i]
	}
	return parsed, nil
}

func (w words) parseIn(lang string, tree fs.FS, folders []string) (pages, error) {
	frame, err := w.frame(lang, tree)
	if err != nil {
		return nil, err
	}
	names := []string{"error.html"}
	for _, folder := range folders {
		found, err := fs.Glob(tree, folder+"/*.html")
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("there are no pages in %q", folder)
		}
		names = append(names, found...)
	}
	parsed := make(pages, len(names))
	for _, name := range names {
		page, err := frame.Clone()
		if err != nil {
			return nil, err
		}
		if _, err := page.ParseFS(tree, name); err != nil {
			return nil, err
		}
		parsed[strings.TrimSuffix(name, ".html")] = page.Lookup(layout)
	}
	return parsed, nil
}

// frame is what stands around every page.
func (w words) frame(lang string, tree fs.FS) (*template.Template, error) {
	return template.New(layout).Funcs(w.functions(lang)).ParseFS(tree, "layout.html", "partials.html", "partials_console.html", "partials_console_org.html")
}

// Template is a page's template in the first language as it was parsed, for type
// checks: html/template rewrites those that have been executed.
func (s *Site) Template(name string) (*template.Template, error) {
	page, err := (words{s.texts, s.assets}).frame(templates.Languages[0], templates.Pages())
	if err != nil {
		return nil, err
	}
	if _, err := page.ParseFS(templates.Pages(), name+".html"); err != nil {
		return nil, err
	}
	return page.Lookup(layout), nil
}

// PageNames lists every page.
func (s *Site) PageNames() []string {
	return slices.Sorted(maps.Keys(s.pages[templates.Languages[0]]))
}

// functions is what templates may call:
//
//	t KEY NAME VALUE…      the text of KEY with its placeholders
//	lines KEY NAME VALUE…  the same, cut into its lines
//	field PAGE NAME VALUE… a Field with what PAGE has to say about it
//	asset NAME             the URL of a static file
//	date TIME              a day, as the language writes it
//	moment TIME            a day and the time of day, in the zone of the machine or of TZ, which it names
//	groups STRING          in groups of four
//	tel PHONE              a number as tel: links take it
//	scope NAME             what an OAuth scope gives a service
//	claim NAME             what a claim tells a service
//	happened WHAT CODE SERVICE DETAILS   an entry of a trace, in plain words
//	clock TIME             a time of day with its day, in UTC
func (w words) functions(lang string) template.FuncMap {
	text := func(key string, pairs ...any) (string, error) {
		said := make([]string, len(pairs))
		for i, p := range pairs {
			said[i] = fmt.Sprint(p)
		}
		return w.texts.Lookup(lang, key, said...)
	}
	return template.FuncMap{
		"t": text,
		"lines": func(key string, pairs ...any) ([]string, error) {
			all, err := text(key, pairs...)
			return strings.Split(all, "\n"), err
		},
		"field": newField,
		"asset": func(name string) (string, error) {
			url, ok := w.assets[name]
			if !ok {
				return "", fmt.Errorf("static file %s: there is none", name)
			}
			return url, nil
		},
		"date": func(t time.Time) string { return Day(lang, t.Local()) },
		"moment": func(t time.Time) string {
			if lang == "en" {
				return t.Local().Format("2 January 2006 15:04 MST")
			}
			return t.Local().Format("2.1.2006 15.04 MST")
		},
		"groups": groups,
		"scope":  func(name string) (string, error) { return w.learns(lang, "scope."+name, "consent.scope", name) },
		"claim":  func(name string) (string, error) { return w.learns(lang, "claim."+name, "consent.claim", name) },
		"happened": func(what, code, service string, details map[string]string) (string, error) {
			return w.happened(lang, what, code, service, details)
		},
		"clock": func(t time.Time) string {
			if lang == "en" {
				return t.UTC().Format("2 January 2006, 15:04:05")
			}
			return t.UTC().Format("2.1.2006 15.04.05")
		},
		"tel": func(phone string) string {
			return strings.Map(func(r rune) rune {
				if r >= '0' && r <= '9' || r == '+' {
					return r
				}
				return -1
			}, phone)
		},
	}
}

// Day is the day of t, in its own time zone, as the language writes it.
func Day(lang string, t time.Time) string {
	if lang == "en" {
		return t.Format("2 January 2006")
	}
	return t.Format("2.1.2006")
}

// learns is the catalogue's word for a scope or a claim; one that is of the
// installation's own making goes by its name.
func (w words) learns(lang, key, other, name string) (string, error) {
	if w.texts.Has(key) {
		return w.texts.Lookup(lang, key)
	}
	return w.texts.Lookup(lang, other, "name", name)
}

// happened says what an entry of a trace means (package trace). Cards and pages have
// their words already.
func (w words) happened(lang, what, code, service string, details map[string]string) (string, error) {
	pairs := []string{"code", code, "service", service}
	for name, value := range details {
		pairs = append(pairs, name, value)
	}
	keys := []string{"trace.says." + what + "." + code}
	switch what {
	case "card":
		keys = append(keys, "verdict."+code+".title")
	case "shown":
		keys = append(keys, "trace.says."+code, "verdict."+code+".title", "fault."+code)
	}
	for _, key := range append(keys, "trace.says."+what+".other") {
		if text, err := w.texts.Lookup(lang, key, pairs...); err == nil {
			return text, nil
		}
	}
	return code, nil // of a newer provider than this program
}

// groups makes "ABCD EFGH" of "ABCDEFGH", or of "AB CDEF GH".
func groups(s string) string {
	s = strings.ReplaceAll(s, " ", "")
	var b strings.Builder
	for i, r := range []rune(s) {
		if i > 0 && i%4 == 0 {
			b.WriteByte(' ')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// Option is one of the values that a choice offers.
type Option struct{ Value, Label string }

// Field is one input with its words, for the partials "field", "tick", "area" and
// "choice".
type Field struct {
	ID           string // also the name that is posted
	Label        string
	Hint         string
	Type         string // text, password, search, date, number, file
	Value        string
	Autocomplete string
	InputMode    string
	Problem      string // what is wrong with it
	Autofocus    bool   // unless the page has problems: then those are read first
	Code         bool   // wide, spaced digits
	Checked      bool   // of a tick
	Rows         string // of an area
	Options      []Option
}

// newField reads name/value pairs; a name it does not know is a mistake in the
// template.
func newField(p Page, pairs ...any) (Field, error) {
	f := Field{Type: "text"}
	if len(pairs)%2 != 0 {
		return f, fmt.Errorf("field: values come in pairs of name and value, not %d", len(pairs))
	}
	for i := 0; i < len(pairs); i += 2 {
		if options, ok := pairs[i+1].([]Option); ok && pairs[i] == "options" {
			f.Options = options
			continue
		}
		value := fmt.Sprint(pairs[i+1])
		switch name := fmt.Sprint(pairs[i]); name {
		case "id":
			f.ID = value
		case "label":
			f.Label = value
		case "hint":
			f.Hint = value
		case "type":
			f.Type = value
		case "value":
			f.Value = value
		case "autocomplete":
			f.Autocomplete = value
		case "inputmode":
			f.InputMode = value
		case "autofocus":
			f.Autofocus = len(p.Problems) == 0
		case "code":
			f.Code = true
		case "checked":
			f.Checked = value == "true"
		case "rows":
			f.Rows = value
		default:
			return f, fmt.Errorf("field: %q is not known", name)
		}
	}
	if f.ID == "" || f.Label == "" {
		return f, fmt.Errorf("field %q: give it an id and a label", f.ID)
	}
	for _, problem := range p.Problems {
		if problem.Field == f.ID {
			f.Problem = problem.Text
			break
		}
	}
	return f, nil
}

// Described is the ids of what explains the input, for aria-describedby.
func (f Field) Described() string {
	var ids []string
	if f.Problem != "" {
		ids = append(ids, f.ID+"-problem")
	}
	if f.Hint != "" {
		ids = append(ids, f.ID+"-hint")
	}
	return strings.Join(ids, " ")
}
