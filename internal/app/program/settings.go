package program

import (
	"cmp"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/portti-id/portti/internal/config"
)

// Settings is what the settings file of every app has. What the provider has a
// setting for, too, is called the same here.
//
// The programs keep sessions in their own memory. After a restart people are signed
// in again without noticing, as long as their session at the provider lasts. Of
// several replicas a person must always reach the same one (sticky sessions).
type Settings struct {
	// URL is the address at which browsers find the app, without a path:
	// https://services.example.fi. Required. The provider must know, as addresses
	// of the client: URL/callback (redirect URI), URL/logout/callback (post-logout
	// redirect URI) and URL/backchannel-logout (back-channel logout URI).
	URL config.URL `yaml:"url"`
	// Listen is how browsers, and the provider's logout notices, reach the program.
	Listen Listen `yaml:"listen"`

	// Issuer is the provider, spelled as in its metadata: https://id.example.fi.
	// Required.
	Issuer config.URL `yaml:"issuer"`
	// ClientID is the name under which the provider knows the app. Default:
	// user-services, which is the one that the provider's setting for User Services
	// names; console for the Console.
	ClientID string `yaml:"client_id"`
	// ClientSecretFile holds the client secret that porttictl printed. Required.
	ClientSecretFile config.SecretFile `yaml:"client_secret_file"`
	// CAFile holds certificates (PEM) of CAs to trust for calls to the provider,
	// beside those of the operating system.
	CAFile config.Path `yaml:"ca_file"`
	// ACRPrefix is what the provider's authentication levels begin with, if its
	// settings say otherwise than urn:portti:acr: (the default).
	ACRPrefix string `yaml:"acr_prefix"`

	// Brand is the name in the header of every page. Required, and the same as the
	// provider's.
	Brand string `yaml:"brand"`
	// SupportPhone is the help desk's number, shown on every page.
	SupportPhone string `yaml:"support_phone"`
	// Footer is the addresses of the pages that the law asks for.
	Footer Footer `yaml:"footer"`

	// Log is what is written to standard error. It never holds a secret.
	Log Log `yaml:"log"`
}

// Listen is where the program listens, and who stands before it.
type Listen struct {
	// Address is the address and port to listen on. Default ":8444" of User
	// Services, ":8445" of the Console; without a certificate ":8082", ":8083".
	Address string `yaml:"address"`
	// CertificateFile and KeyFile are PEM files, the certificate with its chain.
	// They are read again when they change. Without them the program speaks plain
	// http, which is for localhost, or behind the proxies named below.
	CertificateFile config.Path       `yaml:"certificate_file"`
	KeyFile         config.SecretFile `yaml:"key_file"`
	// Proxies are the addresses that requests come from when reverse proxies stand
	// before the program ([10.0.0.0/24]). Only their word is taken for the browser's
	// address, which is for the log and, of a client that is registered with
	// forwards_addresses, for the provider's audit trail.
	Proxies []netip.Prefix `yaml:"proxies"`
	// ForwardedHeader is the one header in which the proxies give the browser's
	// address: X-Forwarded-For (default) or Forwarded. They must remove or extend
	// the one that browsers send.
	ForwardedHeader string `yaml:"forwarded_header"`
}

// Footer is links below every page; one that is left out is not shown.
type Footer struct {
	Accessibility config.URL `yaml:"accessibility"` // the accessibility statement
	Privacy       config.URL `yaml:"privacy"`       // how personal data are handled
	Feedback      config.URL `yaml:"feedback"`      // where to give feedback
}

// Log is how much is logged, and in what form.
type Log struct {
	Level  slog.Level `yaml:"level"`  // debug, info (default: one line a request), warn or error
	Format string     `yaml:"format"` // json (default) or text
}

// Complete fills in what the file leaves out, and says what is missing or does not
// fit together. secure and plain are the app's own addresses to listen on, with a
// certificate and without.
func (s *Settings) Complete(p *config.Problems, secure, plain string) {
	s.Log.Format = cmp.Or(s.Log.Format, "json")
	s.Listen.Address = cmp.Or(s.Listen.Address, map[bool]string{true: secure, false: plain}[s.Listen.CertificateFile != ""])
	p.Need("url", !s.URL.IsZero(), "the address at which browsers find the app, such as https://services.example.fi")
	p.Need("issuer", !s.Issuer.IsZero(), "the provider's address, such as https://id.example.fi")
	p.Need("client_secret_file", s.ClientSecretFile.Given(), "the file with the client secret that porttictl client create printed")
	p.Need("brand", s.Brand != "", "the name in the header of every page, the same as the provider's")
	if !s.URL.IsZero() && s.URL.String() != s.URL.Origin() {
		p.Add("url", "it must have no path and no slash at the end: %s", s.URL.Origin())
	}
	if !s.URL.IsZero() && s.URL.Origin() == s.Issuer.Origin() {
		p.Add("url", "the app needs an origin of its own, another than the provider's")
	}
	s.Listen.check(s.URL, p)
	if s.Log.Format != "json" && s.Log.Format != "text" {
		p.Add("log.format", "%q is not one of json, text", s.Log.Format)
	}
}

func (l *Listen) check(url config.URL, p *config.Problems) {
	l.ForwardedHeader = cmp.Or(l.ForwardedHeader, "X-Forwarded-For")
	_, port, err := net.SplitHostPort(l.Address)
	if n, wrong := strconv.Atoi(port); err != nil || wrong != nil || n < 0 || n > 65535 {
		p.Add("listen.address", "%q is not an address and port, such as :8444 or 127.0.0.1:8082", l.Address)
	}
	if !slices.Contains([]string{"x-forwarded-for", "forwarded"}, strings.ToLower(l.ForwardedHeader)) {
		p.Add("listen.forwarded_header", "%q is not one of X-Forwarded-For, Forwarded", l.ForwardedHeader)
	}
	certificate := l.CertificateFile != ""
	switch {
	case certificate && !l.KeyFile.Given():
		p.Add("listen.key_file", "it is missing: certificate_file and key_file go together, give both or neither")
	case !certificate && l.KeyFile.Given():
		p.Add("listen.certificate_file", "it is missing: certificate_file and key_file go together, give both or neither")
	case url.IsZero():
	case certificate && !url.Secure():
		p.Add("listen.certificate_file", "the url begins with http://, so browsers would not come by https; change the url or take the certificate out")
	case !certificate && url.Secure() && len(l.Proxies) == 0:
		p.Add("listen.certificate_file", "it is missing: give certificate_file and key_file; or, when reverse proxies end TLS, name their addresses in listen.proxies")
	}
}
