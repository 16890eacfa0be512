package openid_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/openid"
)

// FuzzAuthorize: whatever the query says, the answer is a page, the sign-in, or
// the registered address with an error; a code never, since nobody is signed in.
func FuzzAuthorize(f *testing.F) {
	k := newKit(f)
	k.client("rp", func(c *openid.Client) {
		c.ResponseModes = []string{"query", "fragment", "form_post", "jwt", "form_post.jwt"}
		c.Resources = []string{"https://api.example"}
	})
	served := k.p.Handler()
	for _, q := range []url.Values{
		request(), request("prompt", "none"), request("response_mode", "form_post", "prompt", "none login"), request("response_mode", "jwt", "max_age", "x"),
		request("claims", acrClaim(true, cardACR)), request("resource", "https://api.example"), request("redirect_uri", "https://evil.example/"),
		request("request", "e30.e30.e30"), request("request_uri", "urn:ietf:params:oauth:request_uri:x"), request("id_token_hint", "e30.e30.e30"), {},
	} {
		f.Add(q.Encode())
	}
	f.Add("client_id=rp&client_id=rp;&%zz")
	f.Add("client_id=rp&redirect_uri=https%3A%2F%2Frp.example%2Fcb&redirect_uri=x&%zz=;")
	f.Add(request("state", "\r\n").Encode())
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, openid.AuthorizePath, nil)
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		to := w.Header().Get("Location")
		switch {
		case w.Code >= 500:
			t.Fatalf("%q: %d", query, w.Code)
		case to == "" && (w.Code < 400 && !strings.Contains(w.Body.String(), `action="`+callback+`"`)):
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		case to != "" && !strings.HasPrefix(to, callback+"?") && !strings.HasPrefix(to, callback+"#") && !strings.HasPrefix(to, "/signin/"):
			t.Fatalf("%q: sent to %q", query, to)
		case strings.ContainsAny(to, "\r\n"):
			t.Fatalf("%q: %q", query, to)
		}
		if u, err := url.Parse(to); err != nil || u.Query().Has("code") || strings.Contains(u.Fragment, "code=") && !strings.Contains(u.Fragment, "error=") {
			t.Fatalf("%q: %v %q", query, err, to)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%q: may be cached", query)
		}
	})
}

// FuzzRedirectURI: an address is taken if it is registered, or a registered
// loopback address of a native app but for its port.
func FuzzRedirectURI(f *testing.F) {
	k := newKit(f)
	registered := []string{"http://127.0.0.1/cb", "http://[::1]/cb?x=1", "https://rp.example/cb"}
	k.client("native", public, func(c *openid.Client) { c.Native, c.RedirectURIs = true, registered })
	served := k.p.Handler()
	for _, seed := range append(slices.Clone(registered), "http://127.0.0.1:1/cb", "http://[::1]:65535/cb?x=1", "http://127.0.0.1:1@evil.example/cb", "http://127.0.0.1:/cb",
		"http://127.0.0.1:1/cb#", "https://rp.example:443/cb", "http://127.0.0.1:1/\\evil.example", "http://127.0.0.1:1/c%62", "http://127.0.0.1.evil.example:1/cb", "javascript:1") {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, uri string) {
		q := request("client_id", "native", "redirect_uri", uri, "prompt", "none")
		w := httptest.NewRecorder()
		served.ServeHTTP(w, newGet(openid.AuthorizePath+"?"+q.Encode()))
		to := w.Header().Get("Location")
		if to == "" || slices.Contains(registered, uri) {
			return
		}
		u, err := url.Parse(to)
		if err != nil || u.Scheme != "http" || u.User != nil || u.Hostname() != "127.0.0.1" && u.Hostname() != "::1" || u.EscapedPath() != "/cb" || u.Fragment != "" || !strings.HasPrefix(to, uri) {
			t.Fatalf("%q: sent to %q", uri, to)
		}
	})
}

// FuzzPAR: whatever the form says, the answer is JSON: a request_uri for a good
// request, or an error in the grammar's characters.
func FuzzPAR(f *testing.F) {
	k := newKit(f)
	k.client("rp")
	served := k.p.Handler()
	for _, q := range []url.Values{request(), request("request_uri", "x"), request("request", "e30.e30.e30"), request("claims", "{"), request("client_secret", "x"), request("client_assertion", "e30.e30.e30"), {}} {
		f.Add(q.Encode())
	}
	f.Add("a=%zz&a;b")
	f.Fuzz(func(t *testing.T, form string) {
		r := newPost(openid.PARPath, form)
		r.SetBasicAuth("rp", k.secrets["rp"])
		w := httptest.NewRecorder()
		served.ServeHTTP(w, r)
		got := parse(w)
		switch {
		case got.status == http.StatusCreated && strings.HasPrefix(got.text("request_uri"), "urn:ietf:params:oauth:request_uri:"):
		case got.status < 400 || got.status >= 500 || got.text("error") == "" || !grammar(got.text("error_description")):
			t.Fatalf("%q: %d %s", form, got.status, got.raw)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%q: may be cached", form)
		}
	})
}
