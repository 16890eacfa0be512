package card

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// Host is where browsers reach the card host: an https origin whose first label
// may be "*", as in https://*.card.example.fi:8443.
//
// With a star every attempt gets a name of its own. Browsers remember the choice
// of a certificate, or of none, for host and port until they are closed; under
// a new name they ask again (S34). It takes a wildcard DNS record and a wildcard
// server certificate. Without a star the name is fixed, and a person whose first
// try failed may have to restart the browser.
type Host struct {
	name string // lower case; "*.rest" for a pattern
	port string // "" for 443
}

// ParseHost reads the origin. Names in other alphabets are given in their
// ASCII form (xn--…).
func ParseHost(s string) (Host, error) {
	u, err := url.Parse(s)
	if err != nil {
		return Host{}, fmt.Errorf("%q is not a URL", s)
	}
	name, port := strings.ToLower(u.Hostname()), u.Port()
	fixed, star := strings.CutPrefix(name, "*.")
	switch {
	case u.Scheme != "https":
		return Host{}, fmt.Errorf("%q: must begin with https://", s)
	case u.User != nil || (u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return Host{}, fmt.Errorf("%q: must be a host and a port only", s)
	case !isDNSName(fixed):
		return Host{}, fmt.Errorf("%q: the host must be a DNS name; a star may only be its whole first label", s)
	case star && len(fixed) > 253-longestLabel-1:
		return Host{}, fmt.Errorf("%q: the host name is too long for a random label before it", s)
	}
	if port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return Host{}, fmt.Errorf("%q: the port must be between 1 and 65535", s)
		}
	}
	if port == "443" {
		port = ""
	}
	return Host{name: name, port: port}, nil
}

// UnmarshalText lets Host stand in settings.
func (h *Host) UnmarshalText(text []byte) error {
	parsed, err := ParseHost(string(text))
	if err != nil {
		return err
	}
	*h = parsed
	return nil
}

// MarshalText is the inverse of UnmarshalText.
func (h Host) MarshalText() ([]byte, error) {
	if h.name == "" {
		return nil, errors.New("the card host is not set")
	}
	return []byte(h.String()), nil
}

// String is the origin as it was given, star included, which is also a source
// for a Content-Security-Policy.
func (h Host) String() string { return h.origin(h.name) }

// Wildcard tells whether every attempt gets a name of its own.
func (h Host) Wildcard() bool { return strings.HasPrefix(h.name, "*.") }

// IsZero tells whether no host was given.
func (h Host) IsZero() bool { return h.name == "" }

// Name is the DNS name, lower case, with the star where there is one.
func (h Host) Name() string { return h.name }

// Matches tells whether the DNS name is one of ours. The star stands for
// exactly one label.
func (h Host) Matches(name string) bool {
	name = strings.ToLower(name)
	if !h.Wildcard() {
		return h.name != "" && name == h.name
	}
	first, rest, found := strings.Cut(name, ".")
	return found && rest == h.name[len("*."):] && isLabel(first)
}

// Place is where one attempt goes.
type Place struct {
	Origin string // of the card host: https://NAME:PORT
	Name   string // its DNS name, lower case

	// Own tells that no other attempt goes there, and that the card host sees the
	// handshakes for it: each is a Sign of this attempt.
	Own bool
}

// URL is where to send the browser with this ticket.
func (p Place) URL(ticket string) string {
	return p.Origin + attemptPath + url.PathEscape(ticket)
}

// place is one that no browser has seen yet, as far as the pattern allows.
func (h Host) place(m Mode) Place {
	name := h.name
	if h.Wildcard() {
		name = prefixes[m] + label() + h.name[len("*"):]
	}
	return Place{Origin: h.origin(name), Name: name, Own: h.Wildcard()}
}

// prefixes are those of the labels that stand for the star: one DNS record and one
// certificate serve every mode.
var prefixes = map[Mode]string{Strict: "", OldTLS: "t12-", AnyCA: "any-"}

// isPlace tells whether place could have made the name in this mode.
func (h Host) isPlace(name string, m Mode) bool {
	if !h.Matches(name) {
		return false
	}
	if !h.Wildcard() {
		return true
	}
	first, _, _ := strings.Cut(strings.ToLower(name), ".")
	random, found := strings.CutPrefix(first, prefixes[m])
	return found && len(random) == labelLength && strings.Trim(random, "abcdefghijklmnopqrstuvwxyz234567") == ""
}

func (h Host) origin(name string) string {
	if h.port == "" {
		return "https://" + name
	}
	return "https://" + net.JoinHostPort(name, h.port)
}

// local tells whether the host is this machine by definition (RFC 6761 §6.3).
func (h Host) local() bool {
	return h.name == "localhost" || strings.HasSuffix(h.name, ".localhost")
}

const (
	labelLength  = 26              // of rand.Text
	longestLabel = labelLength + 4 // and a prefix
)

// label is a random DNS label: 26 letters and digits (RFC 4648 base32), 130 bits.
func label() string { return strings.ToLower(rand.Text()) }

func isDNSName(name string) bool {
	if _, err := netip.ParseAddr(name); err == nil || name == "" || len(name) > 253 {
		return false
	}
	for part := range strings.SplitSeq(name, ".") {
		if !isLabel(part) {
			return false
		}
	}
	return true
}

func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return true
}
