package web_test

import (
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

func TestLanguage(t *testing.T) {
	site := webtest.NewSite(t)
	for _, c := range []struct {
		query, locales, cookie, accept, want string
	}{
		{"", "", "", "", "fi"},
		{"", "", "", "sv", "sv"},
		{"", "", "", "sv-FI,sv;q=0.9,fi;q=0.8", "sv"},
		{"", "", "", "en-US,en;q=0.9", "en"},
		{"", "", "", "fi;q=0.1,en;q=0.9", "en"},
		{"", "", "", "de,sv;q=0.5", "sv"},
		{"", "", "", "de-DE,de;q=0.9", "fi"},
		{"", "", "", "se-FI", "fi"},
		{"", "", "", "*", "fi"},
		{"", "", "", "nb,da", "fi"},
		{"", "", "", "%%%%", "fi"},
		{"", "", "", strings.Repeat("sv-x-a,", 5000), "fi"},
		{"", "", "en", "sv", "en"},
		{"", "", "de", "sv", "sv"},
		{"", "", "../../x", "sv", "sv"},
		{"sv", "", "en", "fi", "sv"},
		{"xx", "", "en", "fi", "en"},
		{"SV", "", "", "en", "en"},
		// What the service asked for comes before what the browser remembers.
		{"", "sv.0123456789abcdef", "en", "fi", "sv"},
		{"en", "sv.0123456789abcdef", "fi", "fi", "en"},
		{"", "xx.0123456789abcdef", "en", "fi", "en"},
	} {
		r := get("/?lang=" + c.query)
		r.Header.Set("Accept-Language", c.accept)
		if c.locales != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-locales", Value: c.locales})
		}
		if c.cookie != "" {
			r.AddCookie(&http.Cookie{Name: "__Host-lang", Value: c.cookie})
		}
		if got := site.Language(r); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}

// visit goes through pages of a sign-in as a browser would, keeping cookies.
type visit struct {
	t    *testing.T
	site *web.Site
	jar  map[string]string
}

var langOfPage = regexp.MustCompile(`<html lang="(..)">`)

func (v *visit) open(target, tx string, locales ...string) string {
	r := get(target)
	r.Header.Set("Accept-Language", "fi")
	for name, value := range v.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := serve(v.site.Wrap(v.site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if tx != "" {
			v.site.UseLocales(w, r, tx, locales)
		}
		return v.site.Render(w, r, 200, "userservices/signed_out", &plainPage{})
	})), r)
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(v.jar, c.Name)
		} else {
			v.jar[c.Name] = c.Value
		}
	}
	m := langOfPage.FindStringSubmatch(w.Body.String())
	if m == nil || w.Header().Get("Content-Language") != m[1] {
		v.t.Fatalf("no language on the page, or another in the header: %v", w.Header())
	}
	return m[1]
}

func TestTheServicesLocalesHoldUntilThePersonChooses(t *testing.T) {
	v := &visit{t, webtest.NewSite(t), map[string]string{}}
	for _, step := range []struct {
		what, target, tx string
		locales          []string
		want             string
	}{
		{"a first visit", "/", "", nil, "fi"},
		{"the service asks for Swedish", "/signin/1", "1", []string{"de", "sv-FI", "en"}, "sv"},
		{"and so on the next page", "/signin/1", "1", []string{"de", "sv-FI", "en"}, "sv"},
		{"and on pages that do not know the service", "/help", "", nil, "sv"},
		{"the person chooses English", "/signin/1?lang=en", "1", []string{"sv"}, "en"},
		{"and keeps it", "/signin/1", "1", []string{"sv"}, "en"},
		{"another sign-in asks for Swedish", "/signin/2", "2", []string{"sv"}, "sv"},
		{"the first one's tab still asks for Swedish", "/signin/1", "1", []string{"sv"}, "sv"},
		{"a sign-in that asks for nothing: the person's own choice", "/signin/3", "3", nil, "en"},
		{"and on the next page", "/signin/3", "3", nil, "en"},
		{"a sign-in in a language that we do not speak", "/signin/4", "4", []string{"de", "not a tag!", ""}, "en"},
		{"a choice on the first page of a sign-in", "/signin/5?lang=fi", "5", []string{"sv"}, "fi"},
		{"holds there", "/signin/5", "5", []string{"sv"}, "fi"},
	} {
		if got := v.open(step.target, step.tx, step.locales...); got != step.want {
			t.Errorf("%s: %s, want %s", step.what, got, step.want)
		}
	}
}

func TestLanguageLinksKeepThePage(t *testing.T) {
	site := webtest.NewSite(t)
	links := func(method, target, here string) string {
		w := serve(site.HandleCrossSite(func(w http.ResponseWriter, r *http.Request) error {
			return site.Render(w, r, 200, "userservices/signed_out", &plainPage{Page: web.Page{Here: here}})
		}), httptest.NewRequest(method, target, nil))
		all := regexp.MustCompile(`<a href="([^"]*)" lang="sv"`).FindStringSubmatch(w.Body.String())
		if all == nil {
			t.Fatal("no link to Swedish")
		}
		return strings.ReplaceAll(all[1], "&amp;", "&")
	}
	for _, c := range []struct{ method, target, here, want string }{
		{"GET", "/signin/TX", "", "/signin/TX?lang=sv"},
		{"GET", "/signin/TX?refused=expired&lang=fi", "", "/signin/TX?lang=sv&refused=expired"},
		{"POST", "/signin/TX/password?x=1", "", "/signin/TX/password?lang=sv"},
		{"POST", "/signin/TX/password", "/signin/TX", "/signin/TX?lang=sv"},
		{"GET", "//evil.example/path", "", "/evil.example/path?lang=sv"},
		{"GET", `/\evil.example`, "", "/evil.example?lang=sv"},
		{"GET", "/a%22onmouseover=x", "", "/a%22onmouseover=x?lang=sv"},
	} {
		if got := links(c.method, c.target, c.here); got != c.want {
			t.Errorf("%s %s: %s, want %s", c.method, c.target, got, c.want)
		}
	}
}
