package main

import (
	"net/netip"

	"github.com/portti-id/portti/internal/config"
)

// Config is the settings file. What stands beside a field is its manual;
// deploy/userservices.example.yaml shows them all.
//
// The program keeps sessions in its own memory. After a restart people are signed
// in again without noticing, as long as their session at the provider lasts. Of
// several replicas a person must always reach the same one (sticky sessions).
type Config struct {
	// Listen is where the program listens, such as :443, or 127.0.0.1:8082 behind a
	// proxy on the same machine. Required.
	Listen string `yaml:"listen"`
	// TLS is the certificate for https. Without it the program speaks plain http,
	// for a proxy that speaks https to the browsers.
	TLS *TLS `yaml:"tls"`
	// URL is the address at which browsers find User Services, without a path:
	// https://services.example.fi. Required. The provider must know, as addresses
	// of the client: URL/callback (redirect URI), URL/logout/callback (post-logout
	// redirect URI) and URL/backchannel-logout (back-channel logout URI).
	URL config.URL `yaml:"url"`
	// Proxies are the networks of proxies in front of the program. Only their
	// forwarding header is believed, for the browser's address in the log.
	Proxies []netip.Prefix `yaml:"proxies"`
	// ForwardedHeader is the header that those proxies write: X-Forwarded-For (the
	// default) or Forwarded.
	ForwardedHeader string `yaml:"forwarded_header"`

	// Issuer is the provider, spelled as in its metadata: https://id.example.fi.
	// Required.
	Issuer config.URL `yaml:"issuer"`
	// ClientID is the name under which the provider knows User Services, the one
	// that its setting for User Services names. Default: user-services.
	ClientID string `yaml:"client_id"`
	// ClientSecretFile holds the client secret that porttictl printed. Required.
	ClientSecretFile config.SecretFile `yaml:"client_secret_file"`
	// CAFile holds certificates (PEM) of CAs to trust for calls to the provider,
	// beside those of the operating system.
	CAFile config.Path `yaml:"ca_file"`
	// CardHost is the provider's card host, spelled as in its settings, star
	// included: https://*.card.example.fi. Without it no cards can be linked.
	CardHost string `yaml:"card_host"`
	// ACRPrefix is what the provider's authentication levels begin with, if its
	// settings say otherwise than urn:portti:acr: (the default).
	ACRPrefix string `yaml:"acr_prefix"`

	// Brand is the name in the header of every page. Required, and the same as the
	// provider's.
	Brand string `yaml:"brand"`
	// Account is the name of the account in the authenticator app, if the
	// provider's settings say otherwise than BRAND-1 TOTP-2FA (the default).
	Account string `yaml:"account"`
	// SupportPhone is the help desk's number, shown on every page.
	SupportPhone string `yaml:"support_phone"`
	// Footer is the addresses of the pages that the law asks for.
	Footer Footer `yaml:"footer"`

	// Log is how much is logged: debug, info (the default), warn or error. The log
	// is JSON on standard error, one line a request.
	Log string `yaml:"log"`
}

// TLS is a certificate with its key. Both files are read again when they change.
type TLS struct {
	Certificate config.Path `yaml:"certificate"` // PEM: the certificate, then its intermediates
	Key         config.Path `yaml:"key"`         // PEM
}

// Footer is links below every page; one that is left out is not shown.
type Footer struct {
	Accessibility config.URL `yaml:"accessibility"` // the accessibility statement
	Privacy       config.URL `yaml:"privacy"`       // how personal data are handled
	Feedback      config.URL `yaml:"feedback"`      // where to give feedback
}

// Check says what is missing or does not fit together.
func (c *Config) Check(p *config.Problems) {
	p.Need("listen", c.Listen != "", "where to listen, such as 127.0.0.1:8082 or :443")
	p.Need("url", !c.URL.IsZero(), "the address at which browsers find User Services, such as https://services.example.fi")
	p.Need("issuer", !c.Issuer.IsZero(), "the provider's address, such as https://id.example.fi")
	p.Need("client_secret_file", c.ClientSecretFile.Given(), "the file with the client secret that porttictl client create printed")
	p.Need("brand", c.Brand != "", "the name in the header of every page, the same as the provider's")
	if c.TLS != nil {
		p.Need("tls.certificate", c.TLS.Certificate != "", "the certificate file (PEM)")
		p.Need("tls.key", c.TLS.Key != "", "the key file (PEM)")
		if !c.URL.IsZero() && !c.URL.Secure() {
			p.Add("url", "it must begin with https://, since there is a certificate under tls")
		}
	}
	if !c.URL.IsZero() && c.URL.String() != c.URL.Origin() {
		p.Add("url", "it must have no path and no slash at the end: %s", c.URL.Origin())
	}
	if !c.URL.IsZero() && c.URL.Origin() == c.Issuer.Origin() {
		p.Add("url", "User Services needs an origin of its own, another than the provider's")
	}
	if _, err := level(c.Log); err != nil {
		p.Add("log", "%v", err)
	}
}
