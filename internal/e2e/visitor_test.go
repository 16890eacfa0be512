package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/cardtest"
)

// Visitor is a browser without a screen: a jar of cookies, an address, and a card
// in the reader or none. It follows redirects, fills forms by the ids that are a
// contract and presses buttons. It says, as browsers do, where a request comes from.
type Visitor struct {
	W       *World
	Address string      // as the provider sees it
	Trace   []string    // "GET https://…": what was asked for, redirects included
	Header  http.Header // more of every request
	Stop    string      // a redirect to an address that begins so is not followed: it is the page's Next; "" follows all

	jar  *countingJar
	http *http.Client
	card atomic.Pointer[cardtest.Card]
}

// Visitor opens a browser with nothing in it.
func (w *World) Visitor() *Visitor {
	w.T.Helper()
	n := w.visitors.Add(1)
	v := &Visitor{W: w, Address: fmt.Sprintf("198.18.%d.%d", n/250, n%250+1), jar: &countingJar{Jar: must(cookiejar.New(nil))(w.T)}}
	transport := w.transport(v.card.Load)
	w.T.Cleanup(transport.CloseIdleConnections)
	v.http = &http.Client{Jar: v.jar, Transport: roundTripper(func(r *http.Request) (*http.Response, error) {
		r.Header.Set("X-Forwarded-For", v.Address)
		maps.Copy(r.Header, v.Header)
		v.Trace = append(v.Trace, r.Method+" "+r.URL.String())
		if strings.HasSuffix(r.URL.Hostname(), ".card.localhost") {
			r.Close = true
		}
		return transport.RoundTrip(r)
	}), CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if v.Stop != "" && strings.HasPrefix(r.URL.String(), v.Stop) {
			return http.ErrUseLastResponse
		}
		if len(via) > 20 {
			return errors.New("the redirects go in circles")
		}
		return nil
	}}
	return v
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// countingJar notes every cookie that was ever set, for the canary.
type countingJar struct {
	*cookiejar.Jar
	seen []string
}

func (j *countingJar) SetCookies(u *url.URL, cookies []*http.Cookie) {
	for _, c := range cookies {
		j.seen = append(j.seen, c.Value)
	}
	j.Jar.SetCookies(u, cookies)
}

// Insert puts a card into the reader; nil takes it out.
func (v *Visitor) Insert(c *cardtest.Card) { v.card.Store(c) }

// Cookie is the value of a cookie for a host, "" without one.
func (v *Visitor) Cookie(origin, name string) string {
	u, _ := url.Parse(origin)
	for _, c := range v.jar.Cookies(u) {
		if strings.TrimPrefix(c.Name, "__Host-") == name {
			return c.Value
		}
	}
	return ""
}

// Twin is another window of the same browser, which may be used beside it: it has
// the cookies of now.
func (v *Visitor) Twin() *Visitor {
	v.W.T.Helper()
	twin := v.W.Visitor()
	twin.Address = v.Address
	twin.Insert(v.card.Load())
	for _, host := range allHosts {
		u := must(url.Parse(v.W.Origin(host)))(v.W.T)
		var cookies []*http.Cookie
		for _, c := range v.jar.Cookies(u) {
			cookies = append(cookies, &http.Cookie{Name: c.Name, Value: c.Value, Path: "/", Secure: true})
		}
		twin.jar.SetCookies(u, cookies)
	}
	return twin
}

// Forget clears every cookie.
func (v *Visitor) Forget() { v.jar.Jar = must(cookiejar.New(nil))(v.W.T) }

// Open goes to an address that was typed.
func (v *Visitor) Open(address string) *Page {
	v.W.T.Helper()
	return v.send(must(http.NewRequest(http.MethodGet, address, nil))(v.W.T), "none")
}

// Post sends a form from no page of ours. site is Sec-Fetch-Site: "cross-site" for
// another site's page.
func (v *Visitor) Post(address, site string, form url.Values) *Page {
	v.W.T.Helper()
	r := must(http.NewRequest(http.MethodPost, address, strings.NewReader(form.Encode())))(v.W.T)
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return v.send(r, site)
}

func (v *Visitor) send(r *http.Request, site string) *Page {
	v.W.T.Helper()
	if site != "" {
		r.Header.Set("Sec-Fetch-Site", site)
	}
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	r.Header.Set("Accept-Language", "en")
	page, err := v.try(r)
	if err != nil {
		v.W.T.Fatalf("%s %s: %v", r.Method, r.URL, err)
	}
	return page
}

// try is send for tests that go on without an answer, and for other goroutines.
func (v *Visitor) try(r *http.Request) (*Page, error) {
	answer, err := v.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	p := &Page{v: v, URL: answer.Request.URL, Status: answer.StatusCode, Header: answer.Header, Body: string(body)}
	if next, err := answer.Location(); err == nil {
		p.Next = next.String()
	}
	p.doc, err = html.Parse(bytes.NewReader(body))
	return p, err
}

// Page is an answer.
type Page struct {
	URL    *url.URL
	Status int
	Header http.Header
	Body   string
	Next   string // where it redirects, when the visitor stopped there

	v   *Visitor
	doc *html.Node
}

// find is the first element that ok accepts, or nil.
func (p *Page) find(ok func(n *html.Node) bool) *html.Node {
	for n := range p.doc.Descendants() {
		if n.Type == html.ElementNode && ok(n) {
			return n
		}
	}
	return nil
}

func (p *Page) byID(id string) *html.Node {
	return p.find(func(n *html.Node) bool { return attr(n, "id") == id })
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

// Has tells whether the page has an element with this id.
func (p *Page) Has(id string) bool { return p.byID(id) != nil }

// Text is the text of an element, with blanks made one; "" without it.
func (p *Page) Text(id string) string {
	n := p.byID(id)
	if n == nil {
		return ""
	}
	return text(n)
}

func text(n *html.Node) string {
	var b strings.Builder
	for c := range n.Descendants() {
		if c.Type == html.TextNode {
			b.WriteString(c.Data)
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// Title is the first heading.
func (p *Page) Title() string {
	if n := p.find(func(n *html.Node) bool { return n.Data == "h1" }); n != nil {
		return text(n)
	}
	return ""
}

// Attr is an attribute of an element.
func (p *Page) Attr(id, name string) string {
	if n := p.byID(id); n != nil {
		return attr(n, name)
	}
	return ""
}

// String says what the page is, for messages.
func (p *Page) String() string {
	problems := ""
	if p.Has("problems") {
		problems = " — " + p.Text("problems")
	}
	for _, id := range []string{"error-code", "oauth-error"} {
		if p.Has(id) {
			problems += " — " + p.Text(id)
		}
	}
	return fmt.Sprintf("%d %s %q%s", p.Status, p.URL, p.Title(), problems)
}

// Must ends the test unless the page has every one of these ids.
func (p *Page) Must(ids ...string) *Page {
	p.v.W.T.Helper()
	for _, id := range ids {
		if !p.Has(id) {
			p.v.W.T.Fatalf("no #%s on %s", id, p)
		}
	}
	return p
}

// MustStatus ends the test unless the page came with this status.
func (p *Page) MustStatus(status int) *Page {
	p.v.W.T.Helper()
	if p.Status != status {
		p.v.W.T.Fatalf("status %d is wanted, not that of %s", status, p)
	}
	return p
}

// Follow goes where a link leads.
func (p *Page) Follow(id string) *Page {
	p.v.W.T.Helper()
	p.Must(id)
	to := must(p.URL.Parse(p.Attr(id, "href")))(p.v.W.T)
	r := must(http.NewRequest(http.MethodGet, to.String(), nil))(p.v.W.T)
	return p.v.send(r, "same-origin")
}

// Press presses a button after the fields, by name and value in turn, were
// filled; "yes" ticks a box.
func (p *Page) Press(button string, fields ...string) *Page {
	p.v.W.T.Helper()
	return p.v.send(p.Form(button, fields...), "same-origin")
}

// Form is the request that pressing a button would send.
func (p *Page) Form(button string, fields ...string) *http.Request {
	t := p.v.W.T
	t.Helper()
	r, err := p.form(button, fields...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (p *Page) form(button string, fields ...string) (*http.Request, error) {
	n := p.formWith(button)
	if n == nil {
		return nil, fmt.Errorf("no form with the button #%s on %s", button, p)
	}
	values := controls(n)
	for c := range elements(n) {
		if attr(c, "id") == button && attr(c, "name") != "" {
			values.Set(attr(c, "name"), attr(c, "value"))
		}
	}
	for i := 0; i+1 < len(fields); i += 2 {
		if !slices.ContainsFunc(slices.Collect(elements(n)), func(c *html.Node) bool { return attr(c, "name") == fields[i] }) {
			return nil, fmt.Errorf("the form of #%s has no field %q on %s", button, fields[i], p)
		}
		values.Set(fields[i], fields[i+1])
	}
	to, err := p.URL.Parse(attr(n, "action"))
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(attr(n, "method"), "post") {
		to.RawQuery = values.Encode()
		return http.NewRequest(http.MethodGet, to.String(), nil)
	}
	r, err := http.NewRequest(http.MethodPost, to.String(), strings.NewReader(values.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", p.URL.Scheme+"://"+p.URL.Host)
	return r, nil
}

// formWith is the form that a button is in, or nil.
func (p *Page) formWith(button string) *html.Node {
	n := p.byID(button)
	for n != nil && n.Data != "form" {
		n = n.Parent
	}
	return n
}

func elements(n *html.Node) func(yield func(*html.Node) bool) {
	return func(yield func(*html.Node) bool) {
		for c := range n.Descendants() {
			if c.Type == html.ElementNode && !yield(c) {
				return
			}
		}
	}
}

// controls are the values a form would send untouched.
func controls(form *html.Node) url.Values {
	values := url.Values{}
	for c := range elements(form) {
		name := attr(c, "name")
		if c.Data != "input" || name == "" {
			continue
		}
		if kind := attr(c, "type"); (kind == "checkbox" || kind == "radio") && !has(c, "checked") {
			continue
		}
		values.Add(name, attr(c, "value"))
	}
	return values
}

// SignIn goes through the provider's pages with password and code, from the first
// one to where they lead.
func (e *Employee) SignIn(p *Page) *Page {
	e.w.T.Helper()
	return e.TypePassword(p).Must("code-submit").Press("code-submit", "code", e.Code())
}

// TypePassword goes through the first page.
func (e *Employee) TypePassword(p *Page) *Page {
	e.w.T.Helper()
	pw := e.Password
	if pw == "" {
		pw = e.Temporary
	}
	return p.Must("login-submit").Press("login-submit", "username", e.Username, "password", pw)
}

// SignInWithCard puts her card into the reader and takes the card's way. Every
// page on it is a redirect (S2).
func (e *Employee) SignInWithCard(p *Page) *Page {
	e.w.T.Helper()
	p.v.Insert(e.Card)
	return p.Must("card-start").Press("card-start")
}

// FirstDay takes her from the first page of the provider to User Services: the
// temporary password is changed.
func (e *Employee) FirstDay(p *Page) *Page {
	e.w.T.Helper()
	p = e.TypePassword(p).Must("change-submit").Press("change-submit", "new", ownSecret, "repeat", ownSecret)
	e.Password = ownSecret
	return p
}

// LinkApp links an authenticator from the page of User Services that offers it, and
// ends where that leads.
func (e *Employee) LinkApp(p *Page) *Page {
	e.w.T.Helper()
	p = p.Follow("link-authenticator").Must("authenticator-start")
	fields := []string{"kind", "app", "own_device", "yes"}
	for _, id := range []string{"work_phone", "personal_phone"} {
		if p.Has(id) && id == "work_phone" {
			fields = append(fields, id, "yes")
		}
	}
	p = p.Press("authenticator-start", fields...).Must("key", "qr")
	e.Scan(p.Text("key"))
	return p.Press("code-submit", "code", e.Code())
}

// LinkCard links her card from the page of User Services that offers it, and ends
// where that leads.
func (e *Employee) LinkCard(p *Page) *Page {
	e.w.T.Helper()
	p = p.Follow("link-card").Must("card-start")
	p.v.Insert(e.Card)
	p = p.Press("card-start").Must("card-confirm")
	return p.Press("card-confirm")
}
