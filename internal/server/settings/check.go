package settings

import (
	"cmp"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/config"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/totp"
)

// Load reads the settings file, fills in what it leaves out, and says all that
// is wrong with it at once.
func Load(path string) (*Settings, error) {
	s := &Settings{}
	if err := config.Load(path, s); err != nil {
		return nil, err
	}
	return s, nil
}

// Check is called by config.Load.
func (s *Settings) Check(p *config.Problems) {
	s.defaults()
	p.Need("issuer", !s.Issuer.IsZero(), "the address of this provider, such as https://id.example.fi")
	if !s.Issuer.IsZero() && s.Issuer.Origin() != s.Issuer.String() {
		p.Add("issuer", "%q must be scheme and host only, without a path and without a slash at the end", s.Issuer)
	}
	p.Need("brand", s.Brand != "", "the name of the installation, as people know it")
	p.Need("master_key_file", s.MasterKeyFile.Given(), "the file with the keys that encrypt secrets; portti keygen makes a key")
	s.Listen.check(s.Issuer, p)
	s.Database.check(p)
	if s.Card != nil {
		s.Card.check(s.Issuer, p)
	}
	if s.MTLS != nil {
		s.MTLS.check(s.Issuer, p)
	}
	if s.Metrics != nil {
		address("metrics.address", s.Metrics.Address, p)
	}
	if s.Redis != nil {
		s.Redis.check(p)
	}
	if s.SMTP != nil {
		s.SMTP.Carrier().Check(p)
	}
	if s.SMS != nil {
		s.SMS.Gateway().Check(p)
	}
	s.people(p)
	s.Keys.check(p)
	if d := *s.Audit.RetentionDays; d != 0 && d < shortestRetention || d > longestRetention {
		p.Add("audit.retention_days", "it must be between %d and %d; or 0, when nothing is ever removed", shortestRetention, longestRetention)
	}
	if _, ok := selfRegistrations[s.DynamicRegistration]; !ok {
		p.Add("dynamic_registration", "%q is not one of off, token, open", s.DynamicRegistration)
	}
	if s.Log.Format != "json" && s.Log.Format != "text" {
		p.Add("log.format", "%q is not one of json, text", s.Log.Format)
	}
}

var selfRegistrations = map[string]openid.SelfRegistration{
	"off": openid.NoSelfRegistration, "token": openid.SelfRegistrationByToken, "open": openid.OpenSelfRegistration,
}

// SelfRegistration is DynamicRegistration as package openid takes it.
func (s *Settings) SelfRegistration() openid.SelfRegistration {
	return selfRegistrations[s.DynamicRegistration]
}

func (s *Settings) defaults() {
	s.DynamicRegistration = cmp.Or(s.DynamicRegistration, "off")
	s.Listen.Address = cmp.Or(s.Listen.Address, map[bool]string{true: ":8443", false: ":8080"}[s.Listen.CertificateFile != ""])
	s.Listen.ForwardedHeader = cmp.Or(s.Listen.ForwardedHeader, "X-Forwarded-For")
	s.Database.Driver = cmp.Or(s.Database.Driver, "sqlite")
	s.UserServices.ClientID = cmp.Or(s.UserServices.ClientID, "user-services")
	s.ACR.Prefix = cmp.Or(s.ACR.Prefix, "urn:portti:acr:")
	s.Log.Format = cmp.Or(s.Log.Format, "json")
	s.Keys.defaults()
	if s.Audit.RetentionDays == nil {
		s.Audit.RetentionDays = new(5*365 + 1)
	}
	if s.Card != nil {
		s.Card.Address = cmp.Or(s.Card.Address, ":9443")
		s.Card.MaxTLS = cmp.Or(s.Card.MaxTLS, "1.3")
		s.Card.Revocation.Mode = cmp.Or(s.Card.Revocation.Mode, "require")
	}
	if s.MTLS != nil {
		s.MTLS.Address = cmp.Or(s.MTLS.Address, ":8444")
	}
	if s.Metrics != nil {
		s.Metrics.Address = cmp.Or(s.Metrics.Address, "127.0.0.1:9464")
	}
	if s.Redis != nil {
		s.Redis.Prefix = cmp.Or(s.Redis.Prefix, "portti:")
	}
	if s.SMTP != nil {
		s.SMTP.TLS = cmp.Or(s.SMTP.TLS, mail.StartTLS)
	}
}

func (l Listen) check(issuer config.URL, p *config.Problems) {
	address("listen.address", l.Address, p)
	together("listen.key_file", l.CertificateFile, l.KeyFile, p)
	if !slices.Contains([]string{"x-forwarded-for", "forwarded"}, strings.ToLower(l.ForwardedHeader)) {
		p.Add("listen.forwarded_header", "%q is not one of X-Forwarded-For, Forwarded", l.ForwardedHeader)
	}
	switch {
	case issuer.IsZero():
	case l.CertificateFile != "" && !issuer.Secure():
		p.Add("listen.certificate_file", "the issuer begins with http://, so browsers would not come by https; change the issuer or take the certificate out")
	case l.CertificateFile == "" && issuer.Secure() && len(l.Proxies) == 0:
		p.Add("listen.certificate_file", "it is missing: give certificate_file and key_file; or, when reverse proxies end TLS, name their addresses in listen.proxies")
	}
}

func (c *Card) check(issuer config.URL, p *config.Problems) {
	address("card.address", c.Address, p)
	p.Need("card.url", c.URL.String() != "https://", "where browsers reach the card host, such as https://*.card.example.fi")
	if !issuer.IsZero() && c.URL.Matches(issuer.URL().Hostname()) {
		p.Add("card.url", "the card host needs names of its own: %s is the issuer's", issuer.URL().Hostname())
	}
	if c.PlainHTTP() {
		if c.CertificateFile != "" {
			p.Add("card.certificate_file", "it is of no use: with card.proxy.secret_file the card host speaks plain http; give card.proxy.client_ca_file or take the certificate out")
		}
	} else {
		p.Need("card.certificate_file", c.CertificateFile != "", "the card host's server certificate, for the names of card.url")
	}
	together("card.key_file", c.CertificateFile, c.KeyFile, p)
	for i, prefix := range c.ProxyProtocol {
		somebody(fmt.Sprintf("card.proxy_protocol[%d]", i), prefix, p)
	}
	if c.Proxy != nil {
		c.Proxy.check(p)
		if c.ProxyProtocol != nil {
			p.Add("card.proxy_protocol", "it is for balancers that pass TLS through, but card.proxy ends it: leave one of them out")
		}
		if c.MaxTLS != "1.3" {
			p.Add("card.max_tls", "behind card.proxy the proxy decides that")
		}
	}
	c.checkModes(issuer, p)
	if c.MaxTLS != "1.2" && c.MaxTLS != "1.3" {
		p.Add("card.max_tls", "%q is not one of 1.2, 1.3", c.MaxTLS)
	}
	p.Need("card.trust.folder", c.Trust.Folder != "", "the folder with trust.yaml and the CA certificates")
	if m := c.Revocation.Mode; m != RevocationOff && !slices.Contains(revocation.Modes, revocation.Mode(m)) {
		p.Add("card.revocation.mode", "%q is not one of require, crl_only, soft, off", m)
	}
}

// PlainHTTP tells whether the card host speaks no TLS itself.
func (c *Card) PlainHTTP() bool { return c.Proxy != nil && c.Proxy.ClientCAFile == "" }

func (c *CardProxy) check(p *config.Problems) {
	if c.Format == "" {
		p.Need("card.proxy.format", false, "how the proxy writes certificates: one of rfc9440, nginx, haproxy, traefik, envoy, apache")
	} else if err := c.Format.Check(c.Header); err != nil {
		p.Add("card.proxy.format", "%v", err)
	}
	p.Need("card.proxy.addresses", len(c.Addresses) > 0, "where the proxy connects from, such as [10.0.0.7/32]")
	for i, prefix := range c.Addresses {
		somebody(fmt.Sprintf("card.proxy.addresses[%d]", i), prefix, p)
	}
	p.Need("card.proxy.client_ca_file", c.ClientCAFile != "" || c.SecretFile.Given(), "the CA of the proxy's client certificate; or give secret_file")
	if c.SecretFile.Given() {
		if _, err := c.Secrets(); err != nil {
			p.Add("card.proxy.secret_file", "%v", err)
		}
	}
}

// Secrets reads SecretFile: one or more, in its order; none when there is no file.
func (c *CardProxy) Secrets() ([]string, error) {
	if !c.SecretFile.Given() {
		return nil, nil
	}
	text, err := c.SecretFile.Read()
	if err != nil {
		return nil, err
	}
	secrets := strings.Fields(text)
	for i, s := range secrets {
		if err := proxied.CheckSecret(s); err != nil {
			return nil, fmt.Errorf("secret %d: %w", i+1, err)
		}
	}
	return secrets, nil
}

// somebody notes a list of addresses that is everybody's.
func somebody(setting string, prefix netip.Prefix, p *config.Problems) {
	if !prefix.IsValid() || prefix.Bits() == 0 {
		p.Add(setting, "%s is everybody's address: name the proxies' own", prefix)
	}
}

// checkModes looks at the names beside a fixed one: the name alone tells the card
// host how to ask.
func (c *Card) checkModes(issuer config.URL, p *config.Problems) {
	taken := map[string]string{c.URL.Name(): "card.url"}
	if !issuer.IsZero() {
		taken[issuer.URL().Hostname()] = "issuer"
	}
	for _, m := range []struct {
		setting string
		host    card.Host
	}{{"card.tls12_url", c.TLS12URL}, {"card.any_url", c.AnyURL}} {
		switch other, same := taken[m.host.Name()]; {
		case m.host.IsZero():
		case c.URL.Wildcard():
			p.Add(m.setting, "card.url has a star, and this is under it already; take it out")
		case m.host.Wildcard():
			p.Add(m.setting, "it must be one name, as card.url is")
		case same:
			p.Add(m.setting, "it needs a name of its own: %s is that of %s", m.host.Name(), other)
		default:
			taken[m.host.Name()] = m.setting
		}
	}
	if c.NoTLS12 && !c.TLS12URL.IsZero() {
		p.Add("card.no_tls12", "it takes TLS 1.2 away, but card.tls12_url is given")
	}
	if c.NoTLS12 && c.MaxTLS == "1.2" {
		p.Add("card.no_tls12", "it takes TLS 1.2 away, but card.max_tls is 1.2")
	}
}

func (m *MTLS) check(issuer config.URL, p *config.Problems) {
	address("mtls.address", m.Address, p)
	p.Need("mtls.url", !m.URL.IsZero(), "where services reach this listener, such as https://mtls.id.example.fi")
	switch {
	case m.URL.IsZero():
	case m.URL.Origin() != m.URL.String() || !m.URL.Secure():
		p.Add("mtls.url", "%q must be https, scheme and host only, without a slash at the end", m.URL)
	case m.URL.String() == issuer.String():
		p.Add("mtls.url", "this listener needs a name or port of its own: %s is the issuer's", m.URL)
	}
	p.Need("mtls.certificate_file", m.CertificateFile != "", "its server certificate, for the name in mtls.url")
	together("mtls.key_file", m.CertificateFile, m.KeyFile, p)
}

func (d Database) check(p *config.Problems) {
	switch d.Driver {
	case "sqlite":
		p.Need("database.path", d.Path != "", "the file of the SQLite database; or set database.driver to postgres")
		if d.DSN != "" || d.PasswordFile.Given() {
			p.Add("database.driver", "dsn and password_file are for postgres, but the driver is sqlite")
		}
	case "postgres":
		p.Need("database.dsn", d.DSN != "", "where PostgreSQL is: postgres://portti@db.example.fi:5432/portti?sslmode=verify-full")
		if holdsPassword(d.DSN) {
			p.Add("database.dsn", "it holds a password; put that into a file and name it in database.password_file")
		}
		if d.Path != "" {
			p.Add("database.path", "it is for sqlite, but the driver is postgres")
		}
	default:
		p.Add("database.driver", "%q is not one of sqlite, postgres", d.Driver)
	}
	if d.MaxConns < 0 {
		p.Add("database.max_conns", "it must not be negative")
	}
}

// holdsPassword looks into both forms of a connection string.
func holdsPassword(dsn string) bool {
	if u, err := url.Parse(dsn); err == nil && u.Scheme != "" {
		_, there := u.User.Password()
		return there || u.Query().Has("password")
	}
	return strings.Contains(strings.ToLower(dsn), "password")
}

func (r *Redis) check(p *config.Problems) {
	p.Need("redis.addresses", len(r.Addresses) > 0, "host:port of the server, of the nodes or of the Sentinels")
	for i, a := range r.Addresses {
		address(fmt.Sprintf("redis.addresses[%d]", i), a, p)
	}
	switch {
	case r.Cluster && r.SentinelMaster != "":
		p.Add("redis.cluster", "a Cluster and sentinel_master exclude each other")
	case r.Cluster && r.Database != 0:
		p.Add("redis.database", "a Cluster has database 0 only")
	case r.SentinelMaster == "" && (r.SentinelUsername != "" || r.SentinelPasswordFile.Given()):
		p.Add("redis.sentinel_master", "it is missing: the name that the Sentinels watch the master by")
	}
	if r.CAFile != "" && !r.TLS {
		p.Add("redis.ca_file", "it is of no use without redis.tls: true")
	}
}

// people checks what pages, letters and tokens say, and the passwords.
func (s *Settings) people(p *config.Problems) {
	if !s.UserServices.URL.IsZero() && s.UserServices.URL.Origin() != s.UserServices.URL.String() {
		p.Add("user_services.url", "%q must be scheme and host only", s.UserServices.URL)
	}
	if s.Brand != "" {
		if _, err := totp.NewNames(s.Brand, s.Authenticator.Account, s.Authenticator.ShowUsername); err != nil {
			p.Add("authenticator.account", "%v", err)
		}
	}
	if _, err := password.NewHasher(s.Passwords.Params()); err != nil {
		p.Add("passwords", "%v", err)
	}
	if n := s.Passwords.MinLength; n != 0 && (n < password.FloorMin || n > password.Max/2) {
		p.Add("passwords.min_length", "it must be between %d and %d", password.FloorMin, password.Max/2)
	}
	for _, alias := range slices.Sorted(maps.Keys(s.ACR.Aliases)) {
		if level := s.ACR.Aliases[alias]; level != "card" && level != "pwd-otp" {
			p.Add("acr.aliases."+alias, "%q is not one of card, pwd-otp", level)
		}
	}
}

func (k *Keys) defaults() {
	if k.SignDays == nil {
		k.SignDays = new(90)
	}
	k.PublishAhead = cmp.Or(k.PublishAhead, 24*time.Hour)
	k.KeepRetired = cmp.Or(k.KeepRetired, 7*24*time.Hour)
	if t := k.PKCS11; t != nil {
		if t.Kinds == nil {
			t.Kinds = []keys.Kind{keys.RSA2048, keys.P256}
		}
		t.Sessions = cmp.Or(t.Sessions, 16)
	}
}

// Limits of the life of signing keys. Services may keep the JWK set for 5 minutes
// by its Cache-Control, and many keep it longer; no token that is signed lives
// longer than an hour, and an ID token is a hint at logout for longer than that.
const (
	ShortestPublishAhead = time.Hour
	shortestKeepRetired  = 24 * time.Hour
	longestSignDays      = 3650
)

// Limits of how long the trail is kept.
const (
	shortestRetention = 365
	longestRetention  = 36500
)

func (k Keys) check(p *config.Problems) {
	if *k.SignDays < 0 || *k.SignDays > longestSignDays {
		p.Add("keys.sign_days", "it must be between 1 and %d; or 0, when keys are rotated by hand alone", longestSignDays)
	}
	if k.PublishAhead < ShortestPublishAhead {
		p.Add("keys.publish_ahead", "%s is too short for every service to fetch a new key: at least %s", k.PublishAhead, ShortestPublishAhead)
	}
	if *k.SignDays > 0 && time.Duration(*k.SignDays)*24*time.Hour < k.PublishAhead {
		p.Add("keys.publish_ahead", "%s is longer than a key signs (sign_days)", k.PublishAhead)
	}
	if k.KeepRetired < shortestKeepRetired {
		p.Add("keys.keep_retired", "%s is too short: at least %s", k.KeepRetired, shortestKeepRetired)
	}
	if t := k.PKCS11; t != nil {
		p.Need("keys.pkcs11.module", t.Module != "", "the library of the token's maker, such as /usr/lib/softhsm/libsofthsm2.so")
		p.Need("keys.pkcs11.token", t.Token != "", "the token's label")
		p.Need("keys.pkcs11.pin_file", t.PINFile.Given(), "the file with the token's user PIN")
		p.Need("keys.pkcs11.kinds", len(t.Kinds) > 0, "the kinds of keys that are made in the token; or leave it out")
		for i, kind := range t.Kinds {
			if kind != keys.RSA2048 && kind != keys.P256 {
				p.Add(fmt.Sprintf("keys.pkcs11.kinds[%d]", i), "%q is not one of RSA-2048, P-256; Ed25519 keys are in the database always", kind)
			}
		}
		if t.Sessions < 1 || t.Sessions > 1000 {
			p.Add("keys.pkcs11.sessions", "it must be between 1 and 1000")
		}
	}
}

// together notes a certificate without a key, or a key without a certificate.
func together(setting string, certificate config.Path, key config.SecretFile, p *config.Problems) {
	if (certificate == "") == key.Given() {
		p.Add(setting, "certificate_file and key_file go together: give both or neither")
	}
}

// address notes what is not host:port.
func address(setting, s string, p *config.Problems) {
	_, port, err := net.SplitHostPort(s)
	if n, wrong := strconv.Atoi(port); err != nil || wrong != nil || n < 0 || n > 65535 {
		p.Add(setting, "%q is not an address and port, such as :8443 or 10.0.0.5:8443", s)
	}
}
