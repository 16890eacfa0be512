package apptest

import (
	"bytes"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// Browser keeps cookies and follows redirects within app and provider.
type Browser struct {
	K       *Kit
	Client  *http.Client
	Lang    string   // Accept-Language
	Visited []string // every address of the last navigation
}

// Browser is a new one, of somebody who reads English.
func (k *Kit) Browser() *Browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		k.T.Fatal(err)
	}
	b := &Browser{K: k, Lang: "en"}
	b.Client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		b.Visited = append(b.Visited, r.URL.String())
		if len(via) > 10 {
			k.T.Fatalf("in circles: %v", b.Visited)
		}
		if !strings.HasPrefix(r.URL.String(), k.URL) && !strings.HasPrefix(r.URL.String(), k.OP.URL) || strings.HasPrefix(r.URL.Path, "/signin/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	return b
}

// Page is where a navigation ended.
type Page struct {
	T      testing.TB
	B      *Browser
	Status int
	At     string // path and query, or the whole address outside the app
	Body   string
	Header http.Header
	Doc    *html.Node
}

// Do sends a request as the browser does.
func (b *Browser) Do(r *http.Request) *Page {
	b.K.T.Helper()
	r.Header.Set("Accept-Language", b.Lang)
	r.Header.Set("Accept", "text/html")
	b.Visited = []string{r.URL.String()}
	res, err := b.Client.Do(r)
	if err != nil {
		b.K.T.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		b.K.T.Fatal(err)
	}
	at := b.Visited[len(b.Visited)-1]
	p := &Page{T: b.K.T, B: b, Status: res.StatusCode, At: strings.TrimPrefix(at, b.K.URL), Body: string(body), Header: res.Header}
	if p.Doc, err = html.Parse(bytes.NewReader(body)); err != nil {
		b.K.T.Fatal(err)
	}
	return p
}

// Request is one to a path of the app.
func (k *Kit) Request(method, path string, form url.Values) *http.Request {
	k.T.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(k.T.Context(), method, k.URL+path, body)
	if err != nil {
		k.T.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return r
}

// Get opens a path of the app.
func (b *Browser) Get(path string) *Page {
	b.K.T.Helper()
	return b.Do(b.K.Request("GET", path, nil))
}

// Post sends a form as the browser would from a page of the app.
func (b *Browser) Post(path string, form url.Values) *Page {
	b.K.T.Helper()
	r := b.K.Request("POST", path, form)
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	return b.Do(r)
}

// Submit fills in the page's form that posts to action and sends it: pairs are
// names and values, a value "" takes a tick or a choice away. What stands in the
// form already goes along.
func (p *Page) Submit(action string, pairs ...string) *Page {
	p.T.Helper()
	form, found := url.Values{}, false
	for n := range p.Doc.Descendants() {
		if n.Data == "form" && Attr(n, "action") == action {
			found = true
			for in := range n.Descendants() {
				fill(form, in)
			}
		}
	}
	if !found {
		p.T.Fatalf("no form leads to %s on %s (%d): %s", action, p.At, p.Status, p.Text())
	}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.B.Post(action, form)
}

// fill adds what an input holds to a form, as a browser would send it.
func fill(form url.Values, in *html.Node) {
	name := Attr(in, "name")
	switch {
	case name == "":
	case in.Data == "textarea":
		form.Add(name, strings.TrimPrefix(inner(in), "\n"))
	case in.Data == "select":
		for o := range in.Descendants() {
			if o.Data == "option" && has(o, "selected") {
				form.Add(name, Attr(o, "value"))
			}
		}
		if !form.Has(name) && in.FirstChild != nil {
			for o := range in.Descendants() {
				if o.Data == "option" {
					form.Add(name, Attr(o, "value"))
					break
				}
			}
		}
	case in.Data == "input":
		switch Attr(in, "type") {
		case "checkbox", "radio":
			if has(in, "checked") {
				form.Add(name, Attr(in, "value"))
			}
		case "submit", "button", "file":
		default:
			form.Add(name, Attr(in, "value"))
		}
	}
}

// Want ends the test unless the page is this one; at may be "*".
func (p *Page) Want(status int, at string, ids ...string) *Page {
	p.T.Helper()
	if p.Status != status || at != "*" && p.At != at {
		p.T.Fatalf("%d at %s, want %d at %s: %s", p.Status, p.At, status, at, p.Text())
	}
	for _, id := range ids {
		if p.Element(id) == nil {
			p.T.Errorf("no %s at %s: %s", id, p.At, p.Text())
		}
	}
	return p
}

// Without fails the test if one of the ids is on the page.
func (p *Page) Without(ids ...string) *Page {
	p.T.Helper()
	for _, id := range ids {
		if p.Element(id) != nil {
			p.T.Errorf("%s is at %s", id, p.At)
		}
	}
	return p
}

// Says fails the test unless the page has the words, and never the API's own.
func (p *Page) Says(words ...string) *Page {
	p.T.Helper()
	for _, w := range words {
		if !strings.Contains(p.Text(), w) {
			p.T.Errorf("%s does not say %q: %s", p.At, w, p.Text())
		}
	}
	if strings.Contains(p.Body, "RAW WORDS") {
		p.T.Errorf("%s shows the API's own words", p.At)
	}
	return p
}

// Silent fails the test if the page has one of the words.
func (p *Page) Silent(words ...string) *Page {
	p.T.Helper()
	for _, w := range words {
		if strings.Contains(p.Text(), w) {
			p.T.Errorf("%s says %q", p.At, w)
		}
	}
	return p
}

// Element is the one with an id, or nil.
func (p *Page) Element(id string) *html.Node {
	for n := range p.Doc.Descendants() {
		if n.Type == html.ElementNode && Attr(n, "id") == id {
			return n
		}
	}
	return nil
}

// Links are the addresses that the page leads to.
func (p *Page) Links() []string {
	var all []string
	for n := range p.Doc.Descendants() {
		if n.Data == "a" {
			all = append(all, Attr(n, "href"))
		}
	}
	return all
}

// Text is what the page says.
func (p *Page) Text() string {
	var words []string
	for n := range p.Doc.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "script" && n.Parent.Data != "style" {
			words = append(words, strings.Fields(n.Data)...)
		}
	}
	return strings.Join(words, " ")
}

// CSRF is the token of the page's first form.
func (p *Page) CSRF() string {
	p.T.Helper()
	for n := range p.Doc.Descendants() {
		if n.Data == "input" && Attr(n, "name") == "csrf" {
			return Attr(n, "value")
		}
	}
	p.T.Fatalf("no form at %s: %s", p.At, p.Text())
	return ""
}

// Attr is an attribute of an element, "" when it has none.
func Attr(n *html.Node, name string) string {
	i := slices.IndexFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
	if i < 0 {
		return ""
	}
	return n.Attr[i].Val
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

func inner(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return b.String()
}
