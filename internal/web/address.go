package web

import (
	"net/http"
	"net/netip"
	"strings"
)

const (
	forwardedFor = "X-Forwarded-For"
	forwarded    = "Forwarded"
)

// ClientAddr is the address of the browser, or the zero Addr when it is unknown.
// It is the peer of the connection, unless the peer is one of the site's proxies:
// then the forwarding header is read from its end, where the nearest proxy
// wrote, and the first address that is not a proxy of ours is the browser.
// Whatever stands before that was sent by the browser and means nothing.
//
// Only the one header that the settings name is read: a proxy that maintains
// X-Forwarded-For lets a forged Forwarded through, and the other way round. The
// scheme is never taken from a header; the public URL decides.
func (s *Site) ClientAddr(r *http.Request) netip.Addr {
	peer := clean(r.RemoteAddr)
	if !s.isProxy(peer) {
		return peer
	}
	hops := s.hops(r)
	for i := len(hops) - 1; i >= 0; i-- {
		hop := clean(hops[i])
		if !hop.IsValid() {
			return peer // the last proxy that can be believed
		}
		peer = hop
		if !s.isProxy(hop) {
			break
		}
	}
	return peer
}

func (s *Site) isProxy(a netip.Addr) bool {
	for _, p := range s.settings.Proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// hops returns the entries of the forwarding header, the nearest proxy's last.
func (s *Site) hops(r *http.Request) []string {
	var hops []string
	for _, line := range r.Header.Values(s.settings.Forwarded) {
		for element := range strings.SplitSeq(line, ",") {
			if s.settings.Forwarded == forwarded {
				element = forParameter(element)
			}
			hops = append(hops, element)
		}
	}
	return hops
}

// forParameter finds for= in an element such as for="[2001:db8::1]:443";proto=https
// (RFC 7239 §4); "" when it has none.
func forParameter(element string) string {
	for pair := range strings.SplitSeq(element, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(pair), "=")
		if strings.EqualFold(name, "for") {
			return strings.Trim(value, `"`)
		}
	}
	return ""
}

// clean reads 192.0.2.1, 192.0.2.1:443, 2001:db8::1, [2001:db8::1] and
// [2001:db8::1]:443; anything else gives the zero Addr.
func clean(s string) netip.Addr {
	s = strings.TrimSpace(s)
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	if strings.HasPrefix(s, "[") && strings.HasSuffix(s, "]") {
		s = s[1 : len(s)-1]
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
