package openid

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/clientjwt"
)

// MTLS is the listener at which clients show certificates (RFC 8705). It is not the
// main one, where a browser would ask the person for a certificate.
type MTLS struct {
	// URL is its origin, such as https://mtls.id.example.fi. "": there is none.
	URL string
	// ClientCAs issue the certificates of clients with tls_client_auth. Nil: no
	// client may use it.
	ClientCAs *x509.CertPool
}

// mtlsPaths are the endpoints that clients call themselves, which are served there
// as well (RFC 8705 §5).
var mtlsPaths = map[string]string{
	"token_endpoint":                        TokenPath,
	"pushed_authorization_request_endpoint": PARPath,
	"introspection_endpoint":                IntrospectPath,
	"revocation_endpoint":                   RevokePath,
	"device_authorization_endpoint":         DevicePath,
	"userinfo_endpoint":                     UserinfoPath,
}

// maxChain bounds what a stranger makes us parse and verify.
const maxChain = 10

// handshake is what a client has shown at the listener for certificates. Requests
// of the main listener have none in their context, whatever their headers say.
type handshake struct{ chain []*x509.Certificate } // the client's own first; possession is proved

type handshakeKey struct{}

func handshakeOf(ctx context.Context) (handshake, bool) {
	h, ok := ctx.Value(handshakeKey{}).(handshake)
	return h, ok
}

// certificateOf is the certificate that the client has shown, or nil.
func certificateOf(ctx context.Context) *x509.Certificate {
	if h, _ := handshakeOf(ctx); len(h.chain) > 0 {
		return h.chain[0]
	}
	return nil
}

// MTLSHandler serves the listener for certificates: the endpoints that clients
// call themselves, and no page. Its TLS asks for a certificate and judges none.
func (p *Provider) MTLSHandler() http.Handler {
	served := http.NewServeMux()
	p.Register(served)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, is := p.aliasOf(r.URL.Path); !is {
			http.NotFound(w, r)
			return
		}
		var h handshake
		if r.TLS != nil && len(r.TLS.PeerCertificates) <= maxChain {
			h.chain = r.TLS.PeerCertificates
		}
		// Who stands around us sees by it that the address is served, whatever the
		// answer, and has it for the log.
		_, r.Pattern = served.Handler(r)
		served.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), handshakeKey{}, h)))
	})
}

// aliasOf returns the address that a path has at the listener for certificates.
func (p *Provider) aliasOf(path string) (alias string, is bool) {
	for _, served := range mtlsPaths {
		if path == p.base+served {
			return p.MTLS.URL + path, p.MTLS.URL != ""
		}
	}
	if path == p.base+DoctorPath { // of ours alone: no metadata names it
		return p.MTLS.URL + path, p.MTLS.URL != ""
	}
	return "", false
}

// aliases is mtls_endpoint_aliases: those of the endpoints that there are.
func (p *Provider) aliases() map[string]string {
	mux := http.NewServeMux()
	p.Register(mux)
	found := map[string]string{}
	for name, path := range mtlsPaths {
		alias, is := p.aliasOf(p.base + path)
		if _, route := mux.Handler(&http.Request{Method: http.MethodPost, URL: &url.URL{Path: p.base + path}}); is && route != "" {
			found[name] = alias
		}
	}
	return found
}

// checkMTLS holds the settings to what metadata can say.
func (c Config) checkMTLS() error {
	if c.MTLS.URL == "" {
		return nil
	}
	u, err := checkIssuer(c.MTLS.URL)
	switch {
	case err != nil || u.Path != "":
		return fmt.Errorf("openid: mtls: %q must be https, with a host and nothing behind it", c.MTLS.URL)
	case strings.HasPrefix(c.Issuer+"/", c.MTLS.URL+"/"):
		return errors.New("openid: mtls: the address must not be the issuer's")
	}
	return nil
}

// thumbprint is the binding to a certificate (RFC 8705 §3.1).
func thumbprint(c *x509.Certificate) Binding {
	sum := sha256.Sum256(c.Raw)
	return Binding(boundToCertificate + base64.RawURLEncoding.EncodeToString(sum[:]))
}

// checkCertificate tells why the certificate that came along does not prove a
// client of the methods tls_client_auth and self_signed_tls_client_auth.
func (p *Provider) checkCertificate(ctx context.Context, c Client) error {
	h, _ := handshakeOf(ctx)
	if len(h.chain) == 0 {
		return errors.New("no certificate came along")
	}
	leaf := h.chain[0]
	if leaf.KeyUsage != 0 && leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 {
		return errors.New("the certificate is not for signatures")
	}
	if c.AuthMethod == AuthSelfSignedTLS {
		return p.checkSelfSigned(ctx, c, leaf)
	}
	if p.MTLS.ClientCAs == nil { // for the library, no roots are all of the system's
		return errors.New("no CA of clients is set")
	}
	others := x509.NewCertPool()
	for _, o := range h.chain[1:] {
		others.AddCert(o)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: p.MTLS.ClientCAs, Intermediates: others, CurrentTime: p.Now(),
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return err
	}
	if !c.isSubject(leaf) {
		return errors.New("the certificate is somebody else's")
	}
	return nil
}

// isSubject compares a certificate with the one value that is registered (RFC 8705
// §2.1.2): letter by letter, as what looks alike may be another's.
func (c Client) isSubject(leaf *x509.Certificate) bool {
	registered := 0
	for _, value := range []string{c.TLSSubjectDN, c.TLSSANDNS, c.TLSSANURI, c.TLSSANIP, c.TLSSANEmail} {
		if value != "" {
			registered++
		}
	}
	switch {
	case registered != 1:
		return false
	case c.TLSSubjectDN != "":
		return sameName(c.TLSSubjectDN, leaf.RawSubject)
	case c.TLSSANDNS != "":
		return slices.Contains(leaf.DNSNames, c.TLSSANDNS)
	case c.TLSSANURI != "":
		return slices.ContainsFunc(leaf.URIs, func(u *url.URL) bool { return u.String() == c.TLSSANURI })
	case c.TLSSANEmail != "":
		return slices.Contains(leaf.EmailAddresses, c.TLSSANEmail)
	}
	want, err := netip.ParseAddr(c.TLSSANIP)
	if err != nil || want.Zone() != "" {
		return false
	}
	for _, ip := range leaf.IPAddresses {
		if have, ok := netip.AddrFromSlice(ip); ok && have.Unmap() == want.Unmap() {
			return true
		}
	}
	return false
}

// checkSelfSigned compares the certificate's key with those that the client
// registered (RFC 8705 §2.2). Who signed the certificate means nothing; its dates
// are the client's own word, and are kept.
func (p *Provider) checkSelfSigned(ctx context.Context, c Client, leaf *x509.Certificate) error {
	now := p.Now()
	if now.Before(leaf.NotBefore) || now.After(leaf.NotAfter) {
		return errors.New("the certificate has expired or is not valid yet")
	}
	source, err := p.keysOf(c)
	if err != nil {
		return err
	}
	known, err := source.Keys(ctx, nil)
	if err != nil || known.Holds(leaf.PublicKey) {
		return err
	}
	newer, err := source.Keys(ctx, known) // the client may have changed its keys since
	if err != nil || newer != known && newer.Holds(leaf.PublicKey) {
		return err
	}
	return &clientjwt.Error{Reason: "certificate", Description: "The key of the certificate is none of the client's."}
}
