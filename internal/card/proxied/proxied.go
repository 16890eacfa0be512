// Package proxied takes the certificate of a card from a reverse proxy that ends
// TLS in front of the card host and hands the certificate on in a header.
//
//	proxied.go   Gate: who may hand certificates on, and what came with a request
//	format.go    Format: the header that each proxy writes, read strictly
//	header.go    the headers that mean something here, and nothing anywhere else
//
// A header is only as good as who wrote it. So the peer of the connection must
// come from a listed address, and prove itself by a certificate or by a secret;
// and there must be exactly one header, of the one format that is expected. What
// else it says of the certificate, that it has verified it for example, is not
// read: package card judges the certificate as if it came by itself. One thing
// cannot be had back: that the browser possesses the key is the proxy's word.
package proxied

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"

	"github.com/portti-id/portti/internal/tlsconfig"
)

// SecretHeader is where a proxy shows the shared secret.
const SecretHeader = "Portti-Proxy-Secret"

// Config says who hands certificates on, and how.
type Config struct {
	Format Format

	// Header is the name of the header, where the format leaves it open; "" for the
	// format's own (Format.Header).
	Header string

	// Addresses are where the proxies connect from.
	Addresses []netip.Prefix

	// Secrets are what the proxies may show in SecretHeader; any one of them. See
	// CheckSecret.
	Secrets []string

	// Proxies are the CAs of the proxies' own certificates, or those certificates
	// themselves. With both Secrets and Proxies a proxy must show both.
	Proxies *x509.CertPool
}

// Gate lets certificates in that a proxy hands on.
type Gate struct {
	format    Format
	header    string // canonical
	addresses []netip.Prefix
	secrets   [][sha256.Size]byte
	proxies   *x509.CertPool
}

// New refuses what would leave the gate open.
func New(c Config) (*Gate, error) {
	if err := c.Format.Check(c.Header); err != nil {
		return nil, err
	}
	if len(c.Addresses) == 0 {
		return nil, errors.New("no address is listed that proxies connect from")
	}
	for _, a := range c.Addresses {
		if !a.IsValid() || a.Bits() == 0 {
			return nil, fmt.Errorf("address %s: name the proxies' own addresses, not everybody's", a)
		}
	}
	if len(c.Secrets) == 0 && c.Proxies == nil {
		return nil, errors.New("neither a secret nor a certificate proves who the proxy is")
	}
	g := &Gate{format: c.Format, header: c.Format.header(c.Header), addresses: c.Addresses, proxies: c.Proxies}
	for _, s := range c.Secrets {
		if err := CheckSecret(s); err != nil {
			return nil, err
		}
		g.secrets = append(g.secrets, sha256.Sum256([]byte(s)))
	}
	return g, nil
}

// Shortest secret: 128 bits in hexadecimal. What a person makes up has fewer
// different characters than a random one of this length.
const (
	shortestSecret = 32
	longestSecret  = 256
	fewestKinds    = 8
)

// CheckSecret says what is wrong with a secret, without a word of it.
func CheckSecret(s string) error {
	kinds := map[rune]bool{}
	for _, c := range s {
		if c <= ' ' || c > '~' {
			return errors.New("it may hold only visible ASCII characters, without blanks")
		}
		kinds[c] = true
	}
	if len(s) < shortestSecret || len(s) > longestSecret || len(kinds) < fewestKinds {
		return fmt.Errorf("it must be %d to %d random characters, such as openssl rand -hex 32 prints", shortestSecret, longestSecret)
	}
	return nil
}

// Refusal says why nothing is believed of a request: Status is 403 when the peer
// has not proved that it is a proxy, 400 when what it hands on cannot be read.
// Reason is for the log and holds nothing of the request.
type Refusal struct {
	Status int
	Reason string
}

func (r *Refusal) Error() string { return r.Reason }

// Certificates returns the certificate of the browser that the proxy speaks for,
// and what the browser sent with it; none when it sent none. The error is a
// *Refusal.
func (g *Gate) Certificates(r *http.Request) ([]*x509.Certificate, error) {
	if why := g.unproved(r); why != "" {
		return nil, &Refusal{http.StatusForbidden, why}
	}
	if why := g.strange(r.Header); why != "" {
		return nil, &Refusal{http.StatusBadRequest, why}
	}
	certs, err := g.format.read(r.Header, g.header)
	if err != nil {
		return nil, &Refusal{http.StatusBadRequest, g.header + ": " + err.Error()}
	}
	return certs, nil
}

// unproved says what is missing to believe the peer; "" when it is a proxy.
func (g *Gate) unproved(r *http.Request) string {
	if !g.listed(r.RemoteAddr) {
		return "the peer's address is not listed"
	}
	if g.proxies != nil && (r.TLS == nil || len(r.TLS.VerifiedChains) == 0) {
		return "the peer has shown no certificate of a proxy"
	}
	if len(g.secrets) == 0 {
		return ""
	}
	shown := r.Header[http.CanonicalHeaderKey(SecretHeader)]
	if len(shown) != 1 {
		return fmt.Sprintf("%s stands %d times in the request, not once", SecretHeader, len(shown))
	}
	// Hashes are compared, and all of them, so that time tells neither how much of
	// a guess was right nor which secret it was near.
	hash, same := sha256.Sum256([]byte(shown[0])), 0
	for _, s := range g.secrets {
		same |= subtle.ConstantTimeCompare(hash[:], s[:])
	}
	if same != 1 {
		return SecretHeader + " is wrong"
	}
	return ""
}

func (g *Gate) listed(remote string) bool {
	peer, err := netip.ParseAddrPort(remote)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap().WithZone("")
	return slices.ContainsFunc(g.addresses, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// strange finds another proxy's header: somebody in the chain does not do what
// the operator believes, or lets through what the browser wrote.
func (g *Gate) strange(h http.Header) string {
	for name := range h {
		if g.format == RFC9440 && name == chainHeader {
			continue
		}
		if name != g.header && (carries[plain(name)] || plain(name) == plain(g.header)) {
			return "another header with a certificate came as well"
		}
	}
	return ""
}

// TLSConfig is for a listener that proxies reach by TLS; nil where they come by
// plain http and show a secret. With proxies' certificates it lets nobody in who
// shows none.
func (g *Gate) TLSConfig(certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error)) *tls.Config {
	if g.proxies == nil {
		return nil
	}
	c := tlsconfig.Server(certificate)
	c.NextProtos = []string{"http/1.1"}
	c.ClientAuth = tls.RequireAndVerifyClientCert
	c.ClientCAs = g.proxies
	c.SessionTicketsDisabled = true // who lost the certificate's trust must not come back with a ticket
	return c
}
