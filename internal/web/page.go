package web

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
)

// Page is what every page has; a page's struct embeds it and adds its own
// fields. A handler sets Client, Here and Lang where it knows them and calls
// Wrong and Tell; Render fills the rest.
type Page struct {
	Lang      string         // fi, sv or en; "": Site.Language decides
	Client    string         // the name of the service that is being signed in to, "" when unknown
	Here      string         // the path that language links lead to; "": the request's own
	Brand     string         //
	AppName   string         // the app's own name
	Home      string         // a link to start from, "" for none
	Languages []LanguageLink //
	CardTest  string         // where anybody can test a card, "" when nowhere
	Support   string         // the help desk's phone, "" when there is none
	Contacts  Contacts       // of the reader's organisation, when Contact has told
	Footer    Footer         //
	Problems  []Problem      // what is wrong with what was sent
	Notices   []Notice       // what else there is to say
	Reference string         // finds this request in the log, and the trace of its sign-in
	Reasons   []string       // keys of texts: why the page asks what it asks
	Failed    bool           // the page tells of a failure: who can help, and the reference, stand below it; Render sets it where there are Problems, or a status from 400
	Nav       []Entry        // the app's sections that are this reader's
	Idle      int            // seconds after which a session that nobody uses ends, for the warning before; 0 for none

	token func() string
}

// Problem is one thing that is wrong with what was sent.
type Problem struct {
	Field string // id of the input, "" when it is none in particular
	Text  string // filled by Render

	fault *fault.Fault
}

// NoticeKind is the mood of a notice; the page says it in words as well.
type NoticeKind string

const (
	Info    NoticeKind = "info"
	Success NoticeKind = "success"
	Warning NoticeKind = "warning"
)

// Notice is something to tell, above the page.
type Notice struct {
	Kind NoticeKind
	Text string // filled by Render

	key   string
	pairs []string
}

// Wrong adds faults to the page: beside their fields, and in the summary on top.
func (p *Page) Wrong(faults ...*fault.Fault) {
	for _, f := range faults {
		p.Problems = append(p.Problems, Problem{Field: f.Field, fault: f})
	}
}

// Tell adds a notice with the text of key.
func (p *Page) Tell(kind NoticeKind, key string, pairs ...string) {
	p.Notices = append(p.Notices, Notice{Kind: kind, key: key, pairs: pairs})
}

// EndsAfter says when the session of this page's reader ends if it is not used.
func (p *Page) EndsAfter(idle time.Duration) { p.Idle = int(idle.Seconds()) }

// Entry leads to a section of the app.
type Entry struct {
	Href   string
	Key    string // of its name
	Here   bool   // it is this page
	Within bool   // this page is in the section
}

// Navigate says which sections this page's reader has.
func (p *Page) Navigate(entries []Entry) { p.Nav = entries }

// CSRF is the token for a form of this page. The browser gets its binding
// cookie with the first one.
func (p *Page) CSRF() string {
	if p.token == nil {
		return ""
	}
	return p.token()
}

func (p *Page) page() *Page { return p }

// Content is a pointer to a struct that embeds Page.
type Content interface {
	page() *Page
	EndsAfter(idle time.Duration)
	Navigate(entries []Entry)
}

// Render writes the page of that name, e.g. "signin/login", with a status. It is
// made in a buffer first: when it fails, nothing has been sent and the error is
// the caller's to return.
func (s *Site) Render(w http.ResponseWriter, r *http.Request, status int, name string, content Content) error {
	p := content.page()
	if p.Lang == "" {
		p.Lang = s.speak(w, r)
	}
	t, ok := s.pages[p.Lang][name]
	if !ok {
		return fmt.Errorf("page %s in %q: there is none", name, p.Lang)
	}
	s.fill(w, r, p)
	p.Failed = p.Failed || p.failed(status)
	var body bytes.Buffer
	if err := t.Execute(&body, content); err != nil {
		return fmt.Errorf("page %s: %w", name, err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", p.Lang)
	h.Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	_, _ = w.Write(body.Bytes()) // the reader is gone: nobody to tell
	return nil
}

// failed tells whether the page is about a failure. A field that was left empty is
// none.
func (p *Page) failed(status int) bool {
	if len(p.Problems) == 0 {
		return status >= http.StatusBadRequest
	}
	return slices.ContainsFunc(p.Problems, func(x Problem) bool { return x.fault == nil || x.fault.Code != "required" })
}

func (s *Site) fill(w http.ResponseWriter, r *http.Request, p *Page) {
	p.Brand, p.Home, p.CardTest, p.Footer = s.settings.Brand, s.settings.Home, s.settings.CardTest, s.settings.Footer
	p.Support = strings.ReplaceAll(s.settings.SupportPhone, " ", "\u00a0") // a number stays on one line
	if s.settings.App != "" {
		p.AppName = s.texts.Text(p.Lang, s.settings.App)
	}
	p.Languages = languageLinks(r, p.Here, p.Lang)
	for _, problem := range p.Problems {
		if problem.fault != nil {
			refer(r, problem.fault.Reference)
		}
	}
	if x := exchangeOf(r); x != nil {
		p.Reference = x.shown()
		if x.contacts.Any() {
			p.Contacts = x.contacts
		}
	}
	p.token = func() string { return newToken(s.Browser(w, r)) }
	for i, problem := range p.Problems {
		if problem.fault != nil {
			p.Problems[i].Text = s.message(p.Lang, problem.fault)
		}
	}
	for i, n := range p.Notices {
		if n.key != "" {
			p.Notices[i].Text = s.texts.Text(p.Lang, n.key, n.pairs...)
		}
	}
}
