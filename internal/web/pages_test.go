package web_test

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
	"github.com/portti-id/portti/templates"
)

// show renders a page as a browser would get it.
func show(t testing.TB, site *web.Site, target, name string, content web.Content) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return site.Render(w, r, http.StatusOK, name, content)
	}).ServeHTTP(w, httptest.NewRequest("GET", target, nil))
	if w.Code != http.StatusOK {
		t.Fatalf("page %s: status %d: %s", name, w.Code, w.Body)
	}
	return w
}

// Every page keeps what it promises, in every language (S69, WCAG 2.2 AA,
// conformance.md 1).
func TestEveryPageInEveryLanguage(t *testing.T) {
	site := webtest.NewSite(t, func(s *web.Settings) {
		s.App, s.Home = "us.title", "/"
		s.Footer = web.Footer{Accessibility: "https://example.test/a11y", Privacy: "https://example.test/privacy", Feedback: "https://example.test/feedback"}
	})
	shown := map[string]bool{}
	for _, s := range samples() {
		shown[s.name] = true
		for _, lang := range templates.Languages {
			t.Run(s.name+"/"+s.label+"/"+lang, func(t *testing.T) {
				w := show(t, site, "/signin/TX?lang="+lang, s.name, s.content(""))
				webtest.Check(t, w.Body.Bytes(), lang, s.ids...)
			})
		}
	}
	for _, name := range site.PageNames() {
		if !shown[name] {
			t.Errorf("page %s has no sample in samples_test.go", name)
		}
	}
}

func TestTemplatesFitTheirStructs(t *testing.T) {
	pages := map[string]web.Content{}
	for _, s := range samples() {
		pages[s.name] = s.content("")
	}
	webtest.TypeCheck(t, webtest.NewSite(t), pages)
}

// Whatever a person, a client or a card says is text and nothing else.
func TestNothingTypedBecomesMarkup(t *testing.T) {
	site := webtest.NewSite(t)
	for _, hostile := range []string{
		`"><script>alert(1)</script>`,
		`' onfocus=alert(1) autofocus x='`,
		`javascript:alert(1)//`,
		"</title></textarea><img src=x onerror=alert(1)>",
		"{{.CSRF}}{n}{service}",
	} {
		for _, s := range samples() {
			clean := shape(t, show(t, site, "/signin/TX?lang=en", s.name, s.content("")))
			dirty := shape(t, show(t, site, "/signin/TX?lang=en", s.name, s.content(hostile)))
			// A value may open a part that was left out for lack of it; no element
			// may appear that the template does not hold.
			for tag := range dirty {
				if !clean[tag] && !strings.HasPrefix(tag, "p ") && !optional[tag] {
					t.Errorf("page %s %s: %q makes a <%s>", s.name, s.label, hostile, tag)
				}
			}
		}
	}
}

// optional are elements that some sample has only with words in it.
var optional = map[string]bool{"dt": true, "dd": true, "details open": true, "a href": true, "input id name type value": true}

// shape is every element of a page with the names of its attributes, and every
// scheme that a link or a form leads to.
func shape(t *testing.T, w *httptest.ResponseRecorder) map[string]bool {
	t.Helper()
	doc, err := html.Parse(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		var names []string
		for _, a := range n.Attr {
			names = append(names, a.Key)
			if a.Key == "href" || a.Key == "action" || a.Key == "src" {
				scheme, _, ok := strings.Cut(a.Val, ":")
				if ok && !slices.Contains([]string{"https", "tel", "data"}, scheme) && !strings.HasPrefix(a.Val, "/") {
					t.Errorf("a link leads to %q", a.Val)
				}
			}
		}
		slices.Sort(names)
		all[strings.TrimSpace(n.Data+" "+strings.Join(names, " "))] = true
	}
	return all
}

func TestAPageThatFailsSendsNothing(t *testing.T) {
	site := webtest.NewSite(t)
	w := httptest.NewRecorder()
	site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		// No text of this verdict: the template fails half-way.
		return site.Render(w, r, http.StatusOK, "signin/card_failed", &cardFailedPage{Verdict: "no_such_verdict"})
	}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "card-failed") {
		t.Errorf("status %d, body %s", w.Code, w.Body)
	}
	webtest.Check(t, w.Body.Bytes(), "fi", "error")
}

func TestTypeCheckFindsAMissingField(t *testing.T) {
	found := &finding{TB: t}
	webtest.TypeCheck(found, webtest.NewSite(t), map[string]web.Content{"signin/login": &plainPage{}, "no/such": &plainPage{}})
	if found.errors != 2 {
		t.Errorf("%d findings, want 2", found.errors)
	}
	type shadow struct {
		web.Page
		Brand string
	}
	found = &finding{TB: t}
	webtest.TypeCheck(found, webtest.NewSite(t), map[string]web.Content{"userservices/signed_out": &shadow{}})
	if found.errors != 1 {
		t.Errorf("%d findings, want 1: Brand hides web.Page's", found.errors)
	}
}

func TestCheckFindsWhatIsWrong(t *testing.T) {
	const good = `<!DOCTYPE html><html lang="en"><title>T</title><h1>H</h1>%</html>`
	for _, bad := range []string{
		`<h1>Two</h1>`, `<h3>Gap</h3>`, `<input id="a">`, `<p id="a"></p><p id="a"></p>`, `<p style="color:red">x</p>`, `<button></button>`, `<a href="#nowhere">x</a>`,
		`<form method="post" action="/x"></form>`, `<img src="x">`, `<script>1</script>`, `<p aria-describedby="nowhere">x</p>`, `<p>⟦login.title⟧</p>`, `<p autofocus></p><p autofocus></p>`,
	} {
		found := &finding{TB: t}
		webtest.Check(found, []byte(strings.Replace(good, "%", bad, 1)), "en")
		if found.errors == 0 {
			t.Errorf("%s passes", bad)
		}
	}
	found := &finding{TB: t}
	webtest.Check(found, []byte(strings.Replace(good, "%", "", 1)), "sv", "missing")
	if found.errors != 2 {
		t.Errorf("%d findings, want 2: language and id", found.errors)
	}
}

// finding counts errors instead of failing.
type finding struct {
	testing.TB
	errors int
}

func (f *finding) Errorf(string, ...any) { f.errors++ }
func (f *finding) Error(...any)          { f.errors++ }
