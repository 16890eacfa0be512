package web_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

var tokenInForm = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// open renders a page with a form, and returns its token and the browser's cookie.
func open(t *testing.T, site *web.Site, cookies ...*http.Cookie) (string, *http.Cookie) {
	t.Helper()
	r := get("/")
	for _, c := range cookies {
		r.AddCookie(c)
	}
	w := serve(site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		return site.Render(w, r, 200, "userservices/card", &linkCardPage{cardForm: cardForm{CardStart: "/card"}})
	}), r)
	m := tokenInForm.FindStringSubmatch(w.Body.String())
	if m == nil {
		t.Fatal("the form has no token")
	}
	set := w.Result().Cookies()
	if len(cookies) > 0 {
		return m[1], cookies[0]
	}
	if len(set) != 1 {
		t.Fatalf("cookies %v, want the browser's one", set)
	}
	return m[1], set[0]
}

func post(token string, cookie *http.Cookie, headers ...string) *http.Request {
	r := httptest.NewRequest("POST", "https://id.example.test/", strings.NewReader(url.Values{"csrf": {token}}.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if cookie != nil {
		r.AddCookie(cookie)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestOnlyOurFormInTheSameBrowserChangesAnything(t *testing.T) {
	site := webtest.NewSite(t)
	done := 0
	h := site.Handle(func(http.ResponseWriter, *http.Request) error { done++; return nil })
	token, cookie := open(t, site)
	other, otherCookie := open(t, site)

	for name, r := range map[string]*http.Request{
		"own form":                post(token, cookie),
		"own form, modern":        post(token, cookie, "Sec-Fetch-Site", "same-origin"),
		"own form, older browser": post(token, cookie, "Origin", "https://id.example.test"),
	} {
		if w := serve(h, r); w.Code != 200 {
			t.Errorf("%s: status %d", name, w.Code)
		}
	}
	if done != 3 {
		t.Fatalf("%d forms taken, want 3", done)
	}

	flipped := []byte(token)
	flipped[70] ^= 1
	planted := post(token, cookie)
	planted.AddCookie(otherCookie) // a second cookie of the name: somebody planted one
	twice := httptest.NewRequest("POST", "/?csrf="+token, nil)
	twice.AddCookie(cookie)
	for name, r := range map[string]*http.Request{
		"no token":                    post("", cookie),
		"no cookie":                   post(token, nil),
		"neither":                     post("", nil),
		"another browser's token":     post(other, cookie),
		"another browser's cookie":    post(token, otherCookie),
		"a changed token":             post(string(flipped), cookie),
		"half a token":                post(token[:43], cookie),
		"a long token":                post(token+token, cookie),
		"the cookie as token":         post(cookie.Value, cookie),
		"a cookie that is no secret":  post(token, &http.Cookie{Name: cookie.Name, Value: "x"}),
		"an empty cookie":             post(token, &http.Cookie{Name: cookie.Name}),
		"a cookie without its prefix": post(token, &http.Cookie{Name: "browser", Value: cookie.Value}),
		"two cookies":                 planted,
		"another site, modern":        post(token, cookie, "Sec-Fetch-Site", "cross-site"),
		"a neighbouring host":         post(token, cookie, "Sec-Fetch-Site", "same-site"),
		"another site, older browser": post(token, cookie, "Origin", "https://evil.example"),
		"a sandbox":                   post(token, cookie, "Origin", "null"),
		"the token in the query":      twice,
	} {
		if w := serve(h, r); w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", name, w.Code)
		}
	}
	for _, method := range []string{"PUT", "PATCH", "DELETE", "PROPFIND"} {
		r := httptest.NewRequest(method, "/", nil)
		r.AddCookie(cookie)
		if w := serve(h, r); w.Code != http.StatusForbidden {
			t.Errorf("%s: status %d, want 403", method, w.Code)
		}
	}
	if done != 3 {
		t.Errorf("%d forms taken, want 3", done)
	}
}

// S68: cookies that were cleared lead to a clean restart, not to a riddle.
func TestAFormWithoutTheBrowsersCookieSaysHowToGoOn(t *testing.T) {
	site := webtest.NewSite(t)
	token, _ := open(t, site)
	r := post(token, nil)
	r.Header.Set("Accept-Language", "en")
	body := serve(site.Handle(failing(nil)), r).Body.String()
	for _, want := range []string{"Start again", "cookies", "Return to the service and log in again."} {
		if !strings.Contains(body, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
}

func TestEveryFormHasAnotherToken(t *testing.T) {
	site := webtest.NewSite(t)
	first, cookie := open(t, site)
	second, _ := open(t, site, cookie)
	if first == second {
		t.Error("two forms have one token: compression would tell it")
	}
	if strings.Contains(first, cookie.Value) {
		t.Error("the token shows the browser's secret")
	}
	for _, token := range []string{first, second} {
		if w := serve(site.Handle(failing(nil)), post(token, cookie)); w.Code != 200 {
			t.Errorf("status %d: both forms are good", w.Code)
		}
	}
}

func TestCrossSiteHandlersTakeOtherSitesForms(t *testing.T) {
	site := webtest.NewSite(t)
	if w := serve(site.HandleCrossSite(failing(nil)), post("", nil, "Sec-Fetch-Site", "cross-site", "Origin", "https://service.example.test")); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}

func TestProtectGoesAroundAnyHandler(t *testing.T) {
	site := webtest.NewSite(t)
	h := site.Protect(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { t.Error("it ran") }))
	if w := serve(h, post("x", nil)); w.Code != http.StatusForbidden {
		t.Errorf("status %d", w.Code)
	}
}
