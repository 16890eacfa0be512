package web_test

import (
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/internal/web/webtest"
)

func TestClientAddr(t *testing.T) {
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:f::/48")}
	for _, c := range []struct {
		what    string
		header  string // the one that the settings name
		peer    string
		headers []string
		want    string
	}{
		{"no proxy", "", "192.0.2.7:5000", nil, "192.0.2.7"},
		{"a stranger who forges", "", "192.0.2.7:5000", []string{"X-Forwarded-For", "203.0.113.1"}, "192.0.2.7"},
		{"a stranger who names our proxy", "", "192.0.2.7:5000", []string{"X-Forwarded-For", "203.0.113.1, 10.0.0.1"}, "192.0.2.7"},
		{"one proxy", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "203.0.113.1"}, "203.0.113.1"},
		{"one proxy, the browser forges", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "198.51.100.9, 203.0.113.1"}, "203.0.113.1"},
		{"two proxies", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "198.51.100.9, 203.0.113.1, 10.0.0.2"}, "203.0.113.1"},
		{"two proxies, two headers", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "198.51.100.9", "X-Forwarded-For", "203.0.113.1, 10.0.0.2"}, "203.0.113.1"},
		{"the browser pretends to be a proxy of ours", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "10.9.9.9, 203.0.113.1"}, "203.0.113.1"},
		{"nothing but proxies", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"no header", "", "10.0.0.1:5000", nil, "10.0.0.1"},
		{"an empty header", "", "10.0.0.1:5000", []string{"X-Forwarded-For", ""}, "10.0.0.1"},
		{"nonsense at the end", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "203.0.113.1, unknown"}, "10.0.0.1"},
		{"nonsense before it", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "<script>, 203.0.113.1"}, "203.0.113.1"},
		{"nonsense behind a proxy", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "203.0.113.1, x, 10.0.0.2"}, "10.0.0.2"},
		{"with a port", "", "10.0.0.1:5000", []string{"X-Forwarded-For", "203.0.113.1:4711"}, "203.0.113.1"},
		{"IPv6", "", "[2001:db8:f::1]:5000", []string{"X-Forwarded-For", "2001:db8::9"}, "2001:db8::9"},
		{"IPv6 in brackets with a port", "", "[2001:db8:f::1]:5000", []string{"X-Forwarded-For", "[2001:db8::9]:443"}, "2001:db8::9"},
		{"IPv4 in IPv6", "", "[::ffff:10.0.0.1]:5000", []string{"X-Forwarded-For", "::ffff:203.0.113.1"}, "203.0.113.1"},
		{"a zone", "", "[fe80::1%eth0]:5000", nil, "fe80::1"},
		{"the header that we do not read", "", "10.0.0.1:5000", []string{"Forwarded", "for=203.0.113.1"}, "10.0.0.1"},
		{"another that we do not read", "", "10.0.0.1:5000", []string{"X-Real-Ip", "203.0.113.1"}, "10.0.0.1"},
		{"Forwarded", "Forwarded", "10.0.0.1:5000", []string{"Forwarded", `for=198.51.100.9, for="[2001:db8::9]:443";proto=https;by=10.0.0.1`}, "2001:db8::9"},
		{"Forwarded in other letters", "forwarded", "10.0.0.1:5000", []string{"Forwarded", `proto=http; For=203.0.113.1`}, "203.0.113.1"},
		{"Forwarded that hides", "Forwarded", "10.0.0.1:5000", []string{"Forwarded", `for=203.0.113.1, for=_hidden`}, "10.0.0.1"},
		{"Forwarded without for", "Forwarded", "10.0.0.1:5000", []string{"Forwarded", `proto=https`}, "10.0.0.1"},
		{"Forwarded set, the other forged", "Forwarded", "10.0.0.1:5000", []string{"X-Forwarded-For", "203.0.113.1"}, "10.0.0.1"},
		{"a socket", "", "@", nil, "invalid IP"},
	} {
		site := webtest.NewSite(t, func(s *web.Settings) { s.Proxies, s.Forwarded, s.Pages = proxies, c.header, []string{} })
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.peer
		for i := 0; i < len(c.headers); i += 2 {
			r.Header.Add(c.headers[i], c.headers[i+1])
		}
		if got := site.ClientAddr(r).String(); got != c.want {
			t.Errorf("%s: %s, want %s", c.what, got, c.want)
		}
	}
}

// The scheme is the public URL's: no header makes cookies insecure.
func TestNoHeaderChangesTheScheme(t *testing.T) {
	site := webtest.NewSite(t, func(s *web.Settings) { s.Proxies = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} })
	r := get("http://id.example.test/")
	r.Header.Set("X-Forwarded-Proto", "http")
	r.Header.Set("Forwarded", "proto=http")
	w := httptest.NewRecorder()
	site.Browser(w, r)
	if c := w.Result().Cookies()[0]; !c.Secure || c.Name != "__Host-browser" {
		t.Errorf("%v", c)
	}
}
