package card

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const longestAddress = 1000

// addresses looks at where to ask about what a CA issued.
func (l *loader) addresses(field string, a Authority) {
	for _, list := range []struct {
		name string
		all  []string
	}{{"ocsp", a.OCSP}, {"crl", a.CRL}} {
		for i, address := range list.all {
			err := checkAddress(address)
			if err == nil && slices.Contains(list.all[:i], address) {
				err = fmt.Errorf("%s is there twice", address)
			}
			if err != nil {
				l.fail(fmt.Sprintf("%s.%s[%d]", field, list.name, i), a.File, err)
			}
		}
	}
}

// checkAddress: http or https, with a host. The answers that come from there are
// signed, so http is as good as https and is what CAs use.
func checkAddress(s string) error {
	u, err := url.Parse(s)
	if err != nil || len(s) > longestAddress || s != strings.TrimSpace(s) {
		return fmt.Errorf("%.100q is not a URL", s)
	}
	switch {
	case u.Scheme == "ldap" || u.Scheme == "ldaps":
		return fmt.Errorf("%q: LDAP is not spoken; give the CA's http address", s)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("%q: must begin with http:// or https://", s)
	case u.User != nil:
		return errors.New("must have no user or password in it") // which is not repeated here
	case u.Fragment != "":
		return fmt.Errorf("%q: must have no fragment (#)", s)
	case !isHostName(strings.ToLower(u.Hostname())) || !isPort(u.Port(), true):
		return fmt.Errorf("%q: has no host that can be asked", s)
	}
	return nil
}

// hosts reads revocation_hosts.
func (l *loader) hosts(all []string) []string {
	var hosts []string
	for i, s := range all {
		host, err := revocationHost(s)
		if err == nil && slices.Contains(hosts, host) {
			err = fmt.Errorf("%s is there twice", host)
		}
		if err != nil {
			l.errs = append(l.errs, fmt.Errorf("revocation_hosts[%d]: %w", i, err))
			continue
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// revocationHost is a name or an address, in small letters, perhaps with a port.
func revocationHost(s string) (string, error) {
	host := strings.ToLower(s)
	if isHostName(host) {
		return host, nil
	}
	if name, port, err := net.SplitHostPort(host); err == nil && isHostName(name) && isPort(port, false) {
		return host, nil
	}
	return "", fmt.Errorf("%.100q: must be a host name, or name:port; no scheme, no path, no star", s)
}

func isHostName(s string) bool {
	if a, err := netip.ParseAddr(s); err == nil {
		return a.Zone() == ""
	}
	return isDNSName(s)
}

func isPort(s string, orNone bool) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return s == "" && orNone || err == nil && n > 0
}

// allowed tells whether an address in a certificate may be asked, as
// RevocationHosts says.
func (t *Trust) allowed(address string) bool {
	u, err := url.Parse(address)
	if err != nil || checkAddress(address) != nil {
		return false
	}
	name, standard := strings.ToLower(u.Hostname()), map[string]string{"http": "80", "https": "443"}[u.Scheme]
	port := cmp.Or(u.Port(), standard)
	return slices.Contains(t.hosts, net.JoinHostPort(name, port)) || port == standard && slices.Contains(t.hosts, name)
}
