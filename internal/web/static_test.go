package web_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/web/webtest"
	"github.com/portti-id/portti/templates"
)

var staticURL = regexp.MustCompile(`/static/[a-z./-]+\.[0-9a-f]{16}\.[a-z0-9]+`)

func TestStaticFiles(t *testing.T) {
	site := webtest.NewSite(t)
	mux := http.NewServeMux()
	mux.Handle("GET /static/", site.Static())
	h := site.Wrap(mux)
	page := show(t, site, "/", "userservices/signed_out", &plainPage{}).Body.String()
	urls := staticURL.FindAllString(page, -1)
	if len(urls) < 3 {
		t.Fatalf("a page leads to %v", urls)
	}
	kinds := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	for _, u := range urls {
		w := serve(h, get(u))
		ext := u[strings.LastIndex(u, ".")+1:]
		if w.Code != 200 || w.Body.Len() == 0 || w.Header().Get("Content-Type") != kinds[ext] || w.Header().Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s: status %d, headers %v", u, w.Code, w.Header())
		}
		r := get(u)
		r.Header.Set("If-None-Match", w.Header().Get("Etag"))
		if w := serve(h, r); w.Code != http.StatusNotModified {
			t.Errorf("%s again: status %d", u, w.Code)
		}
	}
	old := strings.Replace(urls[0], ".", ".0", 1)
	for _, u := range []string{old, "/static/style.css", "/static/", "/static/../web.go", "/static/%2e%2e/texts/fi.yaml", "/static/texts/fi.yaml"} {
		w := serve(h, get(u))
		if w.Code == 200 {
			t.Errorf("%s: status 200", u)
		}
		if w.Code == 404 && w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: a missing file is kept: %v", u, w.Header())
		}
	}
}

// What the Content-Security-Policy would stop, or what would call another host.
func TestStaticFilesCallNobody(t *testing.T) {
	err := fs.WalkDir(templates.Static(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := fs.ReadFile(templates.Static(), name)
		content = bytes.ReplaceAll(content, []byte("http://www.w3.org/2000/svg"), nil)
		for _, bad := range []string{"http:", "https:", "@import", "url(", "eval(", "innerHTML", "localStorage"} {
			if bytes.Contains(content, []byte(bad)) {
				t.Errorf("%s has %s", name, bad)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
