package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

func local(s *web.Settings) { s.PublicURL = "http://id.localhost:8080" }

func TestCookies(t *testing.T) { // ASVS 3.3.1–3.3.4
	for name, c := range map[string]struct {
		edit []func(*web.Settings)
		want string
	}{
		"https": {nil, "__Host-sid=v; Path=/; Max-Age=60; HttpOnly; Secure; SameSite=Lax"},
		"local": {[]func(*web.Settings){local}, "sid=v; Path=/; Max-Age=60; HttpOnly; SameSite=Lax"},
	} {
		site := webtest.NewSite(t, c.edit...)
		w := httptest.NewRecorder()
		site.SetCookie(w, "sid", "v", time.Minute)
		site.ClearCookie(w, "sid")
		got := w.Header()["Set-Cookie"]
		cleared := strings.Replace(strings.Replace(c.want, "=v;", "=;", 1), "Max-Age=60", "Max-Age=0", 1)
		if len(got) != 2 || got[0] != c.want || got[1] != cleared {
			t.Errorf("%s: %q, want %q and %q", name, got, c.want, cleared)
		}
		set, err := http.ParseSetCookie(got[0])
		if err != nil {
			t.Fatal(err)
		}
		r := get("/")
		r.AddCookie(set)
		if v := site.ReadCookie(r, "sid"); v != "v" {
			t.Errorf("%s: read %q", name, v)
		}
		r.AddCookie(&http.Cookie{Name: set.Name, Value: "planted"})
		if v := site.ReadCookie(r, "sid"); v != "" {
			t.Errorf("%s: two cookies of one name give %q", name, v)
		}
	}
	w := httptest.NewRecorder()
	webtest.NewSite(t).SetCookie(w, "sid", "v", 0)
	if strings.Contains(w.Header().Get("Set-Cookie"), "Max-Age") {
		t.Error("a cookie until the browser closes has an age")
	}
}

func TestACookieCannotInjectAHeader(t *testing.T) {
	w := httptest.NewRecorder()
	webtest.NewSite(t).SetCookie(w, "sid", "a\r\nSet-Cookie: evil=1; Domain=x", 0)
	for _, line := range w.Header()["Set-Cookie"] {
		if strings.ContainsAny(line, "\r\n") || strings.Contains(line, "Domain=") && strings.Count(line, ";") > 4 {
			t.Errorf("%q", line)
		}
	}
}

func TestTheBrowsersSecret(t *testing.T) {
	site := webtest.NewSite(t)
	w, r := httptest.NewRecorder(), get("/")
	first := site.Browser(w, r)
	if len(first) != 43 {
		t.Errorf("%q is not 256 bits", first)
	}
	if again := site.Browser(w, r); again != first || len(w.Header()["Set-Cookie"]) != 1 {
		t.Errorf("asked twice in one request: %q and %q, cookies %q", first, again, w.Header()["Set-Cookie"])
	}
	r = get("/")
	r.AddCookie(w.Result().Cookies()[0])
	w = httptest.NewRecorder()
	if back := site.Browser(w, r); back != first || len(w.Header()["Set-Cookie"]) != 0 {
		t.Error("a browser that has a secret keeps it")
	}
	if site.Browser(httptest.NewRecorder(), get("/")) == first {
		t.Error("two browsers have one secret")
	}
	for _, bad := range []string{"", "short", strings.Repeat("a", 42), strings.Repeat("a", 44), strings.Repeat("=", 43), first[:42] + "\x00"} {
		r := get("/")
		r.Header.Set("Cookie", "__Host-browser="+bad)
		w := httptest.NewRecorder()
		if got := site.Browser(w, r); got == bad || len(w.Header()["Set-Cookie"]) != 1 {
			t.Errorf("the cookie %q is taken", bad)
		}
	}
}

func TestPublicURL(t *testing.T) {
	for _, c := range []struct {
		url        string
		ok, secure bool
	}{
		{"https://id.example.fi", true, true}, {"https://id.example.fi/", true, true}, {"https://id.example.fi:8443", true, true},
		{"http://localhost:8080", true, false}, {"http://id.localhost:8080", true, false}, {"http://127.0.0.1:1", true, false}, {"http://[::1]:1", true, false}, {"HTTP://ID.LOCALHOST", true, false},
		{"http://id.example.fi", false, false}, {"http://localhost.example.fi", false, false}, {"http://notlocalhost", false, false}, {"http://10.0.0.1", false, false},
		{"", false, false}, {"id.example.fi", false, false}, {"ftp://id.example.fi", false, false}, {"https://", false, false},
		{"https://id.example.fi/path", false, false}, {"https://id.example.fi?x=1", false, false}, {"https://id.example.fi#x", false, false}, {"https://u:p@id.example.fi", false, false}, {"https://id example", false, false},
	} {
		site, err := web.New(web.Settings{Brand: "x", PublicURL: c.url})
		if (err == nil) != c.ok {
			t.Errorf("%q: error %v", c.url, err)
		}
		if err == nil && site.Secure() != c.secure {
			t.Errorf("%q: secure %v", c.url, site.Secure())
		}
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	for name, s := range map[string]web.Settings{
		"no brand":         {PublicURL: "https://id.example.fi"},
		"a strange header": {Brand: "x", PublicURL: "https://id.example.fi", Forwarded: "X-Real-IP"},
		"no such app":      {Brand: "x", PublicURL: "https://id.example.fi", App: "no.such"},
		"no such pages":    {Brand: "x", PublicURL: "https://id.example.fi", Pages: []string{"nowhere"}},
	} {
		if _, err := web.New(s); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}
