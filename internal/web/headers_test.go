package web_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

// directives takes a Content-Security-Policy apart.
func directives(csp string) map[string]string {
	all := map[string]string{}
	for part := range strings.SplitSeq(csp, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), " ")
		if _, twice := all[name]; twice {
			all[name] = "twice" // browsers take the first: a mistake
			continue
		}
		all[name] = value
	}
	return all
}

func TestEveryAnswerCarriesTheHeaders(t *testing.T) { // ASVS 3.4.1, 3.4.3–3.4.6, 3.4.8
	for name, edit := range map[string][]func(*web.Settings){"https": nil, "local": {local}} {
		site := webtest.NewSite(t, edit...)
		mux := http.NewServeMux()
		mux.Handle("GET /page", site.Handle(func(w http.ResponseWriter, r *http.Request) error {
			return site.Render(w, r, 200, "userservices/signed_out", &plainPage{})
		}))
		mux.Handle("GET /json", site.HandleJSON(failing(nil)))
		mux.Handle("GET /plain", http.NotFoundHandler())
		mux.Handle("GET /static/", site.Static())
		h := site.Wrap(mux)
		for _, path := range []string{"/page", "/json", "/plain", "/nowhere", "/static/nothing.css"} {
			header := serve(h, get(path)).Header()
			for key, want := range map[string]string{
				"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
				"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin", "Cache-Control": "no-store",
			} {
				if header.Get(key) != want {
					t.Errorf("%s %s: %s is %q, want %q", name, path, key, header.Get(key), want)
				}
			}
			csp := directives(header.Get("Content-Security-Policy"))
			for key, want := range map[string]string{
				"default-src": "'none'", "base-uri": "'none'", "object-src": "'none'", "frame-ancestors": "'none'", "form-action": "'self'",
				"script-src": "'self'", "style-src": "'self'",
			} {
				if csp[key] != want {
					t.Errorf("%s %s: %s is %q, want %q", name, path, key, csp[key], want)
				}
			}
			hsts := header.Get("Strict-Transport-Security")
			if name == "https" != strings.Contains(hsts, "max-age=63072000; includeSubDomains") {
				t.Errorf("%s %s: HSTS %q", name, path, hsts)
			}
		}
	}
}

// Every page's policy, with the origins that its forms lead to and no others.
func TestFormActionPerPage(t *testing.T) {
	site := webtest.NewSite(t)
	page := func(origins ...string) string {
		w := serve(site.Handle(func(w http.ResponseWriter, r *http.Request) error {
			web.AllowFormAction(w, origins...)
			return nil
		}), get("/"))
		csp := directives(w.Header().Get("Content-Security-Policy"))
		if csp["default-src"] != "'none'" || csp["frame-ancestors"] != "'none'" || csp["base-uri"] != "'none'" || len(csp) != 10 {
			t.Errorf("%q breaks the policy: %v", origins, csp)
		}
		return csp["form-action"]
	}
	for _, c := range []struct {
		origins []string
		want    string
	}{
		{nil, "'self'"},
		{[]string{"https://service.example.fi"}, "'self' https://service.example.fi"},
		{[]string{"https://a.example.fi", "https://*.card.example.fi:8443"}, "'self' https://*.card.example.fi:8443 https://a.example.fi"},
		{[]string{"http://service.localhost:8080"}, "'self' http://service.localhost:8080"},
		{[]string{"com.example.app:"}, "'self' com.example.app:"},
		{[]string{"http://127.0.0.1:49152"}, "'self' http://127.0.0.1:49152"},
	} {
		if got := page(c.origins...); got != c.want {
			t.Errorf("%q: %q, want %q", c.origins, got, c.want)
		}
	}
	for _, bad := range []string{
		"", "*", "https://*", "https:", "http:", "https://", "'unsafe-inline'", "https://a.example.fi; script-src *", "https://a.example.fi 'unsafe-eval'", "https://a.example.fi\r\nSet-Cookie: x=y",
		"https://a.example.fi/path", "javascript:", "data:", "blob:", "https://*.", "https://.fi", "https://a.example.fi:port", "https://a,b", "*.example.fi", "HTTPS://a",
	} {
		if got := page(bad); got != "'self'" {
			t.Errorf("%q gives %q", bad, got)
		}
	}
	// Without Wrap there is no policy to widen.
	w := httptest.NewRecorder()
	web.AllowFormAction(w, "https://a.example.fi")
	if got := w.Header().Get("Content-Security-Policy"); got != "" {
		t.Errorf("a policy of %q", got)
	}
}

// Frames and pictures of other origins: those that are named, on that page alone.
func TestFramesAndImagesPerPage(t *testing.T) {
	site := webtest.NewSite(t)
	page := func(frames, images []string) map[string]string {
		return directives(serve(site.Handle(func(w http.ResponseWriter, r *http.Request) error {
			for _, o := range frames {
				web.AllowFrames(w, o)
			}
			web.AllowImages(w, images...)
			return nil
		}), get("/")).Header().Get("Content-Security-Policy"))
	}
	plain := page(nil, nil)
	if _, framed := plain["frame-src"]; framed || plain["default-src"] != "'none'" || plain["img-src"] != "'self' data:" {
		t.Errorf("%v", plain)
	}
	both := page([]string{"https://a.example.fi", "https://b.example.fi:8443"}, []string{"https://logo.example.fi"})
	if both["frame-src"] != "https://b.example.fi:8443 https://a.example.fi" || both["img-src"] != "https://logo.example.fi 'self' data:" && both["img-src"] != "'self' data: https://logo.example.fi" || both["form-action"] != "'self'" || both["frame-ancestors"] != "'none'" {
		t.Errorf("%v", both)
	}
	for _, bad := range []string{"", "*", "https:", "https://*", "com.example.app:", "data:", "javascript:", "https://a.example.fi; script-src *", "https://a.example.fi/path"} {
		if got := page([]string{bad}, []string{bad}); got["frame-src"] != "" || got["img-src"] != "'self' data:" {
			t.Errorf("%q gives %v", bad, got)
		}
	}
	w := httptest.NewRecorder() // without Wrap
	web.AllowFrames(w, "https://a.example.fi")
	web.AllowImages(w, "https://a.example.fi")
	if got := w.Header().Get("Content-Security-Policy"); got != "" {
		t.Errorf("a policy of %q", got)
	}
}

// A page of one answer does not widen the next one's policy.
func TestFormActionIsForOneAnswer(t *testing.T) {
	site := webtest.NewSite(t)
	first := true
	h := site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		if first {
			web.AllowFormAction(w, "https://service.example.fi")
		}
		first = false
		return nil
	})
	serve(h, get("/"))
	if csp := serve(h, get("/")).Header().Get("Content-Security-Policy"); strings.Contains(csp, "service") {
		t.Errorf("%q", csp)
	}
}
