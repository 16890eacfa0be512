package dpop

import (
	"encoding/hex"
	"net/netip"
	"strings"
)

// canonical returns an absolute http or https URL without query and fragment, in
// the form in which equal URLs are equal strings (RFC 9449 §4.3; RFC 3986 §6.2.2,
// §6.2.3): scheme and host in lower case, no default or empty port, percent signs
// only where they are needed, no dot segments, at least "/".
//
// It does not use net/url, which decodes the path and so makes "/a%2Fb" and "/a/b"
// the same one.
func canonical(raw string) (string, bool) {
	for _, c := range []byte(raw) {
		if c <= ' ' || c >= 0x7f {
			return "", false
		}
	}
	raw, _, _ = strings.Cut(raw, "#")
	raw, _, _ = strings.Cut(raw, "?")
	scheme, rest, ok := strings.Cut(raw, "://")
	scheme = strings.ToLower(scheme)
	if !ok || scheme != "https" && scheme != "http" {
		return "", false
	}
	authority, path, _ := strings.Cut(rest, "/")
	host, ok := canonicalHost(scheme, authority)
	if !ok {
		return "", false
	}
	path, ok = canonicalPath(path)
	if !ok {
		return "", false
	}
	return scheme + "://" + host + "/" + path, true
}

var defaultPort = map[string]string{"http": "80", "https": "443"}

// canonicalHost refuses user information and what no host name has.
func canonicalHost(scheme, authority string) (string, bool) {
	host, port := authority, ""
	if i := strings.LastIndexByte(authority, ':'); i >= 0 && !strings.HasSuffix(authority, "]") {
		host, port = authority[:i], authority[i+1:]
	}
	if strings.Trim(port, "0123456789") != "" {
		return "", false
	}
	host = strings.ToLower(host)
	if literal, ok := strings.CutPrefix(host, "["); ok {
		address, err := netip.ParseAddr(strings.TrimSuffix(literal, "]"))
		if err != nil || !address.Is6() || address.Zone() != "" || !strings.HasSuffix(host, "]") {
			return "", false
		}
		host = "[" + address.String() + "]"
	} else if host == "" || strings.Trim(host, "abcdefghijklmnopqrstuvwxyz0123456789-._") != "" {
		return "", false
	}
	if port == "" || port == defaultPort[scheme] {
		return host, true
	}
	return host + ":" + port, true
}

// canonicalPath takes a path without its first slash.
func canonicalPath(path string) (string, bool) {
	var plain strings.Builder
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			plain.WriteByte(path[i])
			continue
		}
		if i+2 >= len(path) {
			return "", false
		}
		octet, err := hex.DecodeString(path[i+1 : i+3])
		if err != nil {
			return "", false
		}
		if unreserved(octet[0]) {
			plain.WriteByte(octet[0])
		} else {
			plain.WriteString(strings.ToUpper(path[i : i+3]))
		}
		i += 2
	}
	// After the percent signs, as "%2e%2e" is "..".
	var kept []string
	segments := strings.Split(plain.String(), "/")
	for i, s := range segments {
		if s != "." && s != ".." {
			kept = append(kept, s)
			continue
		}
		if s == ".." && len(kept) > 0 {
			kept = kept[:len(kept)-1]
		}
		if i == len(segments)-1 { // "/a/." is "/a/" (RFC 3986 §5.2.4)
			kept = append(kept, "")
		}
	}
	return strings.Join(kept, "/"), true
}

// unreserved are the characters of RFC 3986 §2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}
