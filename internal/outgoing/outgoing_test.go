package outgoing

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestOnlyPublicAddressesArePublic(t *testing.T) {
	for address, want := range map[string]bool{
		"8.8.8.8": true, "2001:4860:4860::8888": true, "193.166.0.1": true,
		"127.0.0.1": false, "127.9.9.9": false, "0.0.0.0": false, "0.1.2.3": false, "10.1.2.3": false, "172.16.0.1": false, "172.31.255.255": false,
		"192.168.1.1": false, "169.254.169.254": false, "100.64.0.1": false, "192.0.0.1": false, "192.0.2.1": false, "198.18.0.1": false, "198.51.100.1": false,
		"203.0.113.1": false, "224.0.0.1": false, "240.0.0.1": false, "255.255.255.255": false,
		"::": false, "::1": false, "::ffff:127.0.0.1": false, "::127.0.0.1": false, "::ffff:10.0.0.1": false, "fe80::1": false, "fc00::1": false, "fd12::1": false,
		"ff02::1": false, "64:ff9b::7f00:1": false, "64:ff9b:1::1": false, "2001:db8::1": false, "2002:7f00:1::": false, "2001::1": false, "fec0::1": false, "100::1": false,
	} {
		if got := public(netip.MustParseAddr(address).Unmap()); got != want {
			t.Errorf("%s: %v", address, got)
		}
	}
}

func TestGuardedClient(t *testing.T) {
	var hits int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hits++
		if r.URL.Path == "/redirect" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	}))
	defer server.Close()
	u, _ := url.Parse(server.URL)
	port := u.Port()
	t.Setenv("HTTP_PROXY", server.URL) // no proxy may be asked on our behalf
	for _, c := range []struct {
		what string
		o    Options
		url  string
		ok   bool
	}{
		{"loopback", Options{}, "http://127.0.0.1:" + port, false},
		{"IPv4 in IPv6", Options{}, "http://[::ffff:127.0.0.1]:" + port, false},
		{"localhost", Options{}, "http://localhost:" + port, false},
		{"below localhost", Options{}, "http://rp.localhost:" + port, false},
		{"host listed", Options{AllowHosts: []string{"RP.localhost"}}, "http://rp.localhost:" + port, true},
		{"another host listed", Options{AllowHosts: []string{"rp.localhost"}}, "http://other.localhost:" + port, false},
		{"network listed", Options{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}, "http://127.0.0.1:" + port, true},
		{"another network listed", Options{AllowNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}, "http://127.0.0.1:" + port, false},
	} {
		before := hits
		r, err := c.o.Client().Get(c.url)
		if r != nil {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
		}
		if c.ok != (err == nil) || !c.ok && (!errors.Is(err, ErrForbidden) || hits != before) {
			t.Errorf("%s: %v, %d requests arrived", c.what, err, hits-before)
		}
	}
	before := hits
	r, err := Options{AllowHosts: []string{"127.0.0.1"}}.Client().Post(server.URL+"/redirect", "text/plain", strings.NewReader(""))
	if err != nil || r.StatusCode != http.StatusFound || hits != before+1 {
		t.Errorf("redirect was followed: %v %v", r, err)
	}
	_ = r.Body.Close()
}
