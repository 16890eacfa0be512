// Package outgoing calls the servers of relying parties: logout notices, client
// keys, sector documents. Their addresses are registered by operators or by the
// clients themselves, and names can change where they lead: without a guard, a
// call could be turned on the inside of our own network.
package outgoing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Options say whom the guard lets through. The zero value lets nobody private.
type Options struct {
	// AllowHosts are host names, as registered, that may lead to private or
	// loopback addresses.
	AllowHosts []string
	// AllowNetworks are private networks that every host may lead to.
	AllowNetworks []netip.Prefix
	// RootCAs verify the relying parties' certificates. Nil: the system's.
	RootCAs *x509.CertPool
	// Timeout bounds one call. 0: 5 s.
	Timeout time.Duration
}

// ErrForbidden is the cause of every call that the guard stopped.
var ErrForbidden = errors.New("the address is private, and neither host nor network is allowed")

// Client makes the guarded HTTP client: no proxy, no redirects, and no private
// address that the operator has not listed. What is checked is the address that
// is dialled, after the name was resolved, so a name cannot change in between.
func (o Options) Client() *http.Client {
	timeout := o.Timeout
	if timeout == 0 {
		timeout = 5 * time.Second
	}
	return &http.Client{
		Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
		Transport: &http.Transport{
			Proxy:                  nil,
			DialContext:            o.dial,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout:    timeout,
			ResponseHeaderTimeout:  timeout,
			MaxResponseHeaderBytes: 16 << 10,
			MaxIdleConnsPerHost:    2,
			IdleConnTimeout:        30 * time.Second,
			// HTTP/1.1, for few and small calls: a server of this process that is
			// stopping would wait for an HTTP/2 connection that was just made to it.
			ForceAttemptHTTP2: false,
		},
	}
}

// CheckURI holds an address to https, with http for this machine only.
func CheckURI(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return err
	case u.Host == "" || u.User != nil:
		return errors.New("the address must have a host, and no user")
	case u.Scheme != "https" && (u.Scheme != "http" || !Loopback(u.Hostname())):
		return errors.New("the address must be https")
	}
	return nil
}

// Loopback tells whether a host name or IP address is always this machine.
func Loopback(host string) bool {
	if ip, err := netip.ParseAddr(host); err == nil {
		return ip.IsLoopback()
	}
	return localhost(host)
}

func localhost(host string) bool {
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (o Options) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	listed := slices.ContainsFunc(o.AllowHosts, func(h string) bool { return strings.EqualFold(h, host) })
	if localhost(host) {
		// Always this machine (RFC 6761 §6.3), whatever a name server says; not
		// every resolver knows.
		address = net.JoinHostPort("127.0.0.1", port)
	}
	d := net.Dialer{Control: func(_, address string, _ syscall.RawConn) error {
		if listed {
			return nil
		}
		return o.check(address)
	}}
	return d.DialContext(ctx, network, address)
}

func (o Options) check(address string) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("dial %s: %w", address, err)
	}
	ip := ap.Addr().Unmap().WithZone("")
	if slices.ContainsFunc(o.AllowNetworks, func(n netip.Prefix) bool { return n.Contains(ip) }) || public(ip) {
		return nil
	}
	return fmt.Errorf("dial %s: %w", ip, ErrForbidden)
}

// notPublic is what Go's own predicates leave out (IANA special-purpose
// registries): shared, benchmarking, documentation, translation and reserved space.
var notPublic = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("::/96"),
	netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"),
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("2002::/16"),
	netip.MustParsePrefix("fec0::/10"),
}

func public(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() && !ip.IsMulticast() &&
		!slices.ContainsFunc(notPublic, func(n netip.Prefix) bool { return n.Contains(ip) })
}
