// Package settings is the settings file of the provider, which cmd/portti and
// cmd/porttictl both read. A field's comment is its manual;
// deploy/portti.example.yaml shows the file.
//
//	settings.go   Settings and its parts
//	check.go      what must fit together
//
// Secrets never stand in the file: a setting that ends in _file names a file
// which holds one secret, and which not every user of the machine may read.
// Paths are relative to the folder of the settings file.
package settings

import (
	"log/slog"
	"net/netip"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/config"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
)

// Default is where the settings are looked for when nothing else is said.
const Default = "/etc/portti/portti.yaml"

// Settings is the whole file. Required are issuer, brand, master_key_file and
// database.
type Settings struct {
	// Issuer is the address of this provider as browsers and services see it,
	// scheme and host only: https://id.example.fi. It stands in every token, so
	// every service must be told when it changes.
	Issuer config.URL `yaml:"issuer"`

	// Brand is the name of the installation: on every page, and what the account in
	// people's authenticator app begins with.
	Brand string `yaml:"brand"`

	// SupportPhone is the help desk's number, on every page and in every letter.
	SupportPhone string `yaml:"support_phone"`

	// MasterKeyFile holds the keys that encrypt secrets in the database, one a
	// line: the first seals, all open. portti keygen makes a line. Without it what
	// the database holds cannot be read: keep a copy, apart from the database's.
	MasterKeyFile config.SecretFile `yaml:"master_key_file"`

	Listen        Listen        `yaml:"listen"`
	Card          *Card         `yaml:"card"`    // absent: nobody signs in with a card
	MTLS          *MTLS         `yaml:"mtls"`    // absent: no service shows a certificate
	Metrics       *Metrics      `yaml:"metrics"` // absent: nothing tells how it goes
	Database      Database      `yaml:"database"`
	Redis         *Redis        `yaml:"redis"` // absent: memory, which is for one replica
	SMTP          *SMTP         `yaml:"smtp"`  // absent: letters wait in the outbox until there is one
	SMS           *SMS          `yaml:"sms"`   // absent: text messages wait in the outbox until there is one
	UserServices  UserServices  `yaml:"user_services"`
	Authenticator Authenticator `yaml:"authenticator"`
	Passwords     Passwords     `yaml:"passwords"`
	ACR           ACR           `yaml:"acr"`
	Tokens        Tokens        `yaml:"tokens"`
	Keys          Keys          `yaml:"keys"`
	Notices       LogoutNotices `yaml:"logout_notices"`

	// RequirePushed refuses authorization requests that the service has not pushed
	// to the provider before (RFC 9126), User Services' own excepted. A service can
	// be registered so by itself.
	RequirePushed bool `yaml:"require_pushed_authorization_requests"`

	// DynamicRegistration says who may register services at the provider's
	// registration endpoint (RFC 7591) without you: off (default) nobody, token
	// software with a token of porttictl registration-token create, open anybody on
	// the network. Services that come so are third parties, for the standard claims
	// of people who consent, and nothing else.
	DynamicRegistration string `yaml:"dynamic_registration"`

	Audit  Audit  `yaml:"audit"`
	Footer Footer `yaml:"footer"`
	Log    Log    `yaml:"log"`
}

// Listen is how browsers and services reach the main host.
type Listen struct {
	// Address is the address and port to listen on. Default ":8443", or ":8080"
	// without a certificate.
	Address string `yaml:"address"`

	// CertificateFile and KeyFile are PEM files, the certificate with its chain.
	// They are read again when they change. Without them the provider speaks plain
	// http, which is for localhost, or behind the proxies named below.
	CertificateFile config.Path       `yaml:"certificate_file"`
	KeyFile         config.SecretFile `yaml:"key_file"`

	// Proxies are the addresses that requests come from when reverse proxies stand
	// before the provider ([10.0.0.0/24]). Only their word is taken for the
	// browser's address.
	Proxies []netip.Prefix `yaml:"proxies"`

	// ForwardedHeader is the one header in which the proxies give the browser's
	// address: X-Forwarded-For (default) or Forwarded. They must remove or extend
	// the one that browsers send.
	ForwardedHeader string `yaml:"forwarded_header"`
}

// Card is sign-in with certificate cards. The card host has names, a listener
// and a certificate of its own. A proxy before it that ends TLS must be named in
// Proxy.
type Card struct {
	// URL is where browsers reach the card host: https://*.card.example.fi. With
	// the star every attempt gets a name that the browser has not seen, so that it
	// asks for the card again; this takes a wildcard DNS record and a wildcard
	// certificate. Without a star a person whose first try failed may have to
	// restart the browser.
	URL card.Host `yaml:"url"`

	// TLS12URL and AnyURL go with a url that has no star, and need names of their own
	// beside it: with a star they are under it. At TLS12URL people whose card software
	// cannot do TLS 1.3 try again with TLS 1.2; at AnyURL the card test asks for every
	// certificate, also of unknown CAs. Absent: that is not offered.
	TLS12URL card.Host `yaml:"tls12_url"`
	AnyURL   card.Host `yaml:"any_url"`

	// NoTLS12 takes away that people whose card could not sign with TLS 1.3 may try
	// TLS 1.2. With TLS 1.2 the certificate, which is personal data, crosses the
	// network in clear; without it older card software signs nobody in.
	NoTLS12 bool `yaml:"no_tls12"`

	// Address is the address and port to listen on. Default ":9443".
	Address string `yaml:"address"`

	// CertificateFile and KeyFile are the card host's own server certificate and
	// key, PEM, read again when they change.
	CertificateFile config.Path       `yaml:"certificate_file"`
	KeyFile         config.SecretFile `yaml:"key_file"`

	// MaxTLS is "1.3" (default) or "1.2". With 1.2 old card software works at once
	// that cannot do RSA-PSS; but then everybody's certificates, which are personal
	// data, cross the network in clear.
	MaxTLS string `yaml:"max_tls"`

	// MaxConnections and MaxConnectionsPerAddress bound the connections at a time;
	// a whole office may stand behind one address. 0: 2000 and 200.
	MaxConnections           int `yaml:"max_connections"`
	MaxConnectionsPerAddress int `yaml:"max_connections_per_address"`

	// ProxyProtocol are the addresses of balancers that pass TLS through and begin
	// each connection with a PROXY header (version 1 or 2), so that limits and logs
	// know the browser's address: [10.0.0.0/24]. Every connection must then come from
	// one of them, and bring the header.
	ProxyProtocol []netip.Prefix `yaml:"proxy_protocol"`

	Proxy      *CardProxy `yaml:"proxy"` // absent: TLS ends here, and who brings a certificate in a header is refused
	Trust      Trust      `yaml:"trust"`
	Revocation Revocation `yaml:"revocation"`
}

// CardProxy is a reverse proxy that ends the card host's TLS and hands
// certificates on in a header. Whoever can speak for it can speak for any card:
// it must come from a listed address and prove itself. Better is a proxy that
// passes TLS through: behind this one nobody can say why a handshake broke
// (docs/operating.md).
type CardProxy struct {
	// Format is how it writes a certificate: rfc9440, nginx, haproxy, traefik, envoy
	// or apache; docs/operating.md has the proxies' own settings.
	Format proxied.Format `yaml:"format"`

	// Header is where, with the formats nginx and apache (default X-SSL-Client-Cert)
	// and haproxy (Client-Cert). The others have one name each.
	Header string `yaml:"header"`

	// Addresses are where it connects from: [10.0.0.7/32].
	Addresses []netip.Prefix `yaml:"addresses"`

	// SecretFile holds the secret that it shows in the header Portti-Proxy-Secret, at
	// least 32 random characters (openssl rand -hex 32); several, one a line, while
	// they are changed. The card host then speaks plain http, unless there are client
	// CAs as well, and certificate_file must be absent.
	SecretFile config.SecretFile `yaml:"secret_file"`

	// ClientCAFile are the CAs of its client certificate, or that certificate itself
	// (PEM), read at start. The card host then speaks TLS and lets in who shows one.
	// Take a CA that issues to your proxies alone. With both this and secret_file both
	// are asked for.
	ClientCAFile config.Path `yaml:"client_ca_file"`
}

// Metrics is a listener of its own for monitoring, in the text format of Prometheus,
// without TLS and without a password: on an address that only monitoring reaches.
type Metrics struct {
	// Address is where it listens: 127.0.0.1:9464
	Address string `yaml:"address"`
}

// MTLS is where services show certificates (RFC 8705): those that prove themselves
// with one, and those whose tokens are bound to one. It has a listener and a name
// of its own, because browsers on the main host must not be asked. No proxy before
// it may end TLS.
type MTLS struct {
	// URL is where services reach it, scheme and host only:
	// https://mtls.id.example.fi. The metadata names it (mtls_endpoint_aliases).
	URL config.URL `yaml:"url"`

	// Address is the address and port to listen on. Default ":8444".
	Address string `yaml:"address"`

	// CertificateFile and KeyFile are its server certificate and key for the name in
	// url, PEM, read again when they change.
	CertificateFile config.Path       `yaml:"certificate_file"`
	KeyFile         config.SecretFile `yaml:"key_file"`

	// ClientCAFiles are the CAs that issue certificates of services with
	// tls_client_auth (PEM, any number a file), read at start. None: such services
	// are refused; those with self_signed_tls_client_auth need no CA. Whoever gets a
	// certificate of these CAs can be any service whose registered name it holds.
	ClientCAFiles []config.Path `yaml:"client_ca_files"`
}

// Trust says whose cards are accepted. Nothing is built in.
type Trust struct {
	// Folder is the trust bundle: CA certificates (PEM, one certificate a file) and
	// trust.yaml, which names them and says what their cards are for. It is read
	// again when it changes; porttictl trust verify says beforehand whether it is in
	// order.
	Folder config.Path `yaml:"folder"`

	// AcceptTestCAs permits CAs with the word "test" in their name. Anybody may get
	// a card of a test CA: never in production.
	AcceptTestCAs bool `yaml:"accept_test_cas"`
}

// Revocation says how it is found out whether a card was revoked.
type Revocation struct {
	// Mode is one of
	//	require (default)  the CA's responder (OCSP) is asked, and its list (CRL) is
	//	                   looked at; without an answer the card is refused
	//	crl_only           the list alone: for networks without a responder
	//	soft               as require, but without an answer the card is let in: whoever
	//	                   can silence responder and list lets revoked cards in
	//	off                nobody is asked: a lost, stolen or withdrawn card goes on
	//	                   signing in until it expires or its link is removed
	// Where responders and lists are stands in trust.yaml.
	Mode string `yaml:"mode"`
}

// RevocationOff is the mode of Revocation in which nobody is asked.
const RevocationOff = "off"

// Database is where everything is kept that must last.
type Database struct {
	// Driver is sqlite (default: one file, one replica) or postgres.
	Driver string `yaml:"driver"`

	// Path is the file of the SQLite database; its folder must be ours to write.
	Path config.Path `yaml:"path"`

	// DSN is where PostgreSQL is, without a password:
	// postgres://portti@db.example.fi:5432/portti?sslmode=verify-full
	DSN string `yaml:"dsn"`

	// PasswordFile holds PostgreSQL's password.
	PasswordFile config.SecretFile `yaml:"password_file"`

	// MaxConns is how many connections a replica keeps open to PostgreSQL (0: 16),
	// or for reading from SQLite (0: 4).
	MaxConns int `yaml:"max_conns"`

	// NoMigrations leaves the schema as it is at start; portti migrate then brings
	// it up to date, maybe with a role of more rights.
	NoMigrations bool `yaml:"no_migrations"`
}

// Redis keeps what expires (sign-ins, sessions, codes, counters) for any number
// of replicas: version 6.2 or newer, maxmemory-policy noeviction.
type Redis struct {
	// Addresses are host:port: of one server, of the nodes of a Cluster, or of the
	// Sentinels.
	Addresses []string `yaml:"addresses"`

	// Cluster says that the addresses are nodes of a Redis Cluster.
	Cluster bool `yaml:"cluster"`

	// SentinelMaster is the name that the Sentinels watch the master by;
	// SentinelUsername and SentinelPasswordFile are for the Sentinels themselves.
	SentinelMaster       string            `yaml:"sentinel_master"`
	SentinelUsername     string            `yaml:"sentinel_username"`
	SentinelPasswordFile config.SecretFile `yaml:"sentinel_password_file"`

	// Username and PasswordFile are for Redis.
	Username     string            `yaml:"username"`
	PasswordFile config.SecretFile `yaml:"password_file"`

	// Database is the number of the database, 0 with a Cluster.
	Database int `yaml:"database"`

	// TLS encrypts the way to Redis; CAFile holds who may vouch for it (PEM),
	// absent: whom this machine trusts.
	TLS    bool        `yaml:"tls"`
	CAFile config.Path `yaml:"ca_file"`

	// Prefix is put before every key. Default "portti:". Replicas of one
	// installation share it; installations on one Redis must not.
	Prefix string `yaml:"prefix"`

	// PoolSize is how many connections a replica keeps, 0: ten a core.
	PoolSize int `yaml:"pool_size"`
}

// SMTP is the mail server that letters leave by.
type SMTP struct {
	// Host is its name, Port its port: 587, 465 or 25 by TLS.
	Host string `yaml:"host"`
	Port int    `yaml:"port"`

	// TLS is starttls (default), implicit, or none for a server on this machine.
	TLS mail.TLS `yaml:"tls"`

	// CAFile holds who may vouch for the server (PEM), absent: whom this machine
	// trusts.
	CAFile config.Path `yaml:"ca_file"`

	// Username and PasswordFile sign in to the server; both or neither.
	Username     string            `yaml:"username"`
	PasswordFile config.SecretFile `yaml:"password_file"`

	// From is whom letters are from: Portti <no-reply@id.example.fi>
	From string `yaml:"from"`

	// Hello is how the server is greeted; default: the domain of from.
	Hello string `yaml:"hello"`
}

// Carrier is the server as package mail takes it, without the CAs.
func (s SMTP) Carrier() *mail.SMTP {
	return &mail.SMTP{Host: s.Host, Port: s.Port, TLS: s.TLS, Username: s.Username, Password: s.PasswordFile, From: s.From, Hello: s.Hello}
}

// SMS is the gateway that text messages leave by, for organisations with delivery
// sms: a temporary password goes to the person's phone, and to whom has no e-mail
// address everything else, too. A text message is never a way to sign in. One POST a
// message; docs/operating.md shows it.
type SMS struct {
	// URL is where it takes messages: https://gateway.example.fi/messages
	URL config.URL `yaml:"url"`

	// SecretFile holds the secret that it knows us by. It is read at every message.
	SecretFile config.SecretFile `yaml:"secret_file"`

	// Proof is how the secret is shown: bearer (default), basic (with Username),
	// header (in the header that Header names), or hmac: it is not sent, but signs.
	Proof    mail.Proof `yaml:"proof"`
	Username string     `yaml:"username"`
	Header   string     `yaml:"header"`

	// Form is how the message is written: json (default), or form as browsers do.
	Form mail.Form `yaml:"form"`

	// To, Text and ID are what its members are called: to, text and id; "-" leaves the
	// ID out. Constants are other members, the same in every message: {from: Portti}
	To        string            `yaml:"to"`
	Text      string            `yaml:"text"`
	ID        string            `yaml:"id"`
	Constants map[string]string `yaml:"constants"`

	// CAFile holds who may vouch for the gateway (PEM), absent: whom this machine
	// trusts.
	CAFile config.Path `yaml:"ca_file"`

	// Private are networks of your own in which the gateway may be ([10.0.0.0/24]);
	// otherwise its address must be a public one.
	Private []netip.Prefix `yaml:"private"`
}

// Gateway is the gateway as package mail takes it, without the CAs.
func (s SMS) Gateway() *mail.Gateway {
	return &mail.Gateway{URL: s.URL, Secret: s.SecretFile, Proof: s.Proof, Username: s.Username, Header: s.Header, Form: s.Form, To: s.To, Text: s.Text, ID: s.ID, Constants: s.Constants, Private: s.Private}
}

// UserServices is the app in which people link cards and authenticators.
type UserServices struct {
	// URL is its origin: https://services.example.fi
	URL config.URL `yaml:"url"`

	// ClientID is the client that it is registered as, default user-services. It
	// alone may be signed in to with a password only.
	ClientID string `yaml:"client_id"`
}

// Authenticator is what the authenticator app shows.
type Authenticator struct {
	// Account is the account's name; it begins with the brand. Default: BRAND-1
	// TOTP-2FA.
	Account string `yaml:"account"`

	// ShowUsername puts the username below it.
	ShowUsername bool `yaml:"show_username"`
}

// Passwords are their rules and the cost of their hashes (Argon2id).
type Passwords struct {
	// MinLength is in characters: 15 unless set, never below 8.
	MinLength int `yaml:"min_length"`

	// Blocklists are files of common and breached passwords, one a line.
	Blocklists []config.Path `yaml:"blocklists"`

	// MemoryKiB and Passes are the cost of one hash: 47104 and 2. Stored hashes
	// keep the cost they were made with until their owner next signs in.
	MemoryKiB uint32 `yaml:"memory_kib"`
	Passes    uint32 `yaml:"passes"`

	// Parallel is how many hashes are computed at once, 0: one a core. Each takes
	// MemoryKiB.
	Parallel int `yaml:"parallel"`
}

// Params is the cost as package password takes it.
func (p Passwords) Params() password.Params {
	return password.Params{Time: p.Passes, MemoryKiB: p.MemoryKiB, Parallel: p.Parallel}
}

// Lists are the names of the blocklists.
func (p Passwords) Lists() []string {
	names := make([]string, len(p.Blocklists))
	for i, path := range p.Blocklists {
		names[i] = string(path)
	}
	return names
}

// ACR is what the levels of a sign-in are called in tokens.
type ACR struct {
	// Prefix stands before card, pwd-otp and enrol. Default "urn:portti:acr:".
	Prefix string `yaml:"prefix"`

	// Aliases are other names that services may ask for: {phrh: card} for example.
	// Values are card or pwd-otp.
	Aliases map[string]string `yaml:"aliases"`
}

// Names are the levels as package openid takes them.
func (a ACR) Names() openid.ACRs {
	names := openid.NewACRs(a.Prefix)
	if len(a.Aliases) == 0 {
		return names
	}
	names.Aliases = make(map[string]string, len(a.Aliases))
	for alias, level := range a.Aliases {
		names.Aliases[alias] = a.Prefix + level
	}
	return names
}

// Tokens are how long they live.
type Tokens struct {
	// Access is the life of access tokens of clients that have no own: 5m.
	Access time.Duration `yaml:"access"`

	// DPoPNonces asks for a nonce of ours in every DPoP proof, so that none can be
	// made in advance. It costs a service a refused request now and then.
	DPoPNonces bool `yaml:"dpop_nonces"`
}

// Keys are the keys that sign tokens.
type Keys struct {
	// SignDays is for how many days a key signs until the provider puts a new one in
	// its place, by itself: 90. With 0 keys are rotated by hand alone (porttictl key).
	SignDays *int `yaml:"sign_days"`

	// PublishAhead is how long a new key is published before it signs, so that every
	// service has fetched it: 24h, at least 1h.
	PublishAhead time.Duration `yaml:"publish_ahead"`

	// KeepRetired is how long a key that signs no longer stays published, so that
	// what it signed still verifies: 168h, at least 24h.
	KeepRetired time.Duration `yaml:"keep_retired"`

	// PKCS11 makes keys in an HSM, which they never leave. Absent: they are in the
	// database, encrypted by the master key. portti must be built for it
	// (docs/operating.md).
	PKCS11 *PKCS11 `yaml:"pkcs11"`
}

// Options are the keys as package keys takes them, without the token.
func (k Keys) Options() keys.Options {
	o := keys.Options{PublishFor: k.PublishAhead, KeepRetired: k.KeepRetired}
	if k.SignDays != nil {
		o.SignFor = time.Duration(*k.SignDays) * 24 * time.Hour
	}
	if k.PKCS11 != nil {
		o.TokenKinds = k.PKCS11.Kinds
	}
	return o
}

// PKCS11 is a token of a PKCS #11 module. All replicas need one with the same
// keys in it.
type PKCS11 struct {
	// Module is the maker's library: /usr/lib/softhsm/libsofthsm2.so
	Module config.Path `yaml:"module"`

	// Token is the token's label.
	Token string `yaml:"token"`

	// PINFile holds the user PIN.
	PINFile config.SecretFile `yaml:"pin_file"`

	// Kinds are the kinds of keys that are made in it: RSA-2048 and P-256, or one of
	// them. Ed25519 keys are in the database always.
	Kinds []keys.Kind `yaml:"kinds"`

	// Sessions is how many signatures may be made at a time: 16.
	Sessions int `yaml:"sessions"`
}

// LogoutNotices are the calls to services when a session ends. They go to public
// addresses only, unless one is allowed here.
type LogoutNotices struct {
	// AllowHosts are host names that may lead to private addresses.
	AllowHosts []string `yaml:"allow_hosts"`

	// AllowNetworks are private networks that every service may be in.
	AllowNetworks []netip.Prefix `yaml:"allow_networks"`

	// CAFile holds who may vouch for the services (PEM), absent: whom this machine
	// trusts.
	CAFile config.Path `yaml:"ca_file"`

	// Timeout bounds one call: 5s.
	Timeout time.Duration `yaml:"timeout"`
}

// Audit is how the trail of events is kept. It is in the database, and nobody
// changes it there without being found out (docs/operating.md).
type Audit struct {
	// CheckpointFile is where signed checkpoints of the trail are appended, one JSON
	// object a line. The log has them, too. Ship one of them to where nobody can reach
	// who reaches the database: porttictl audit verify compares.
	CheckpointFile config.Path `yaml:"checkpoint_file"`

	// RetentionDays is for how many days events are kept: 1826, which are five years,
	// as the law on strong electronic identification asks of what it is about (617/2009,
	// 24 §); at least 365. With 0 nothing is ever removed.
	RetentionDays *int `yaml:"retention_days"`
}

// Retention is RetentionDays as a length of time.
func (a Audit) Retention() time.Duration { return time.Duration(*a.RetentionDays) * 24 * time.Hour }

// Footer are addresses of pages that the law asks for; absent ones are not shown.
type Footer struct {
	// Accessibility is the accessibility statement, Privacy the privacy statement,
	// Feedback a page to write to us.
	Accessibility config.URL `yaml:"accessibility"`
	Privacy       config.URL `yaml:"privacy"`
	Feedback      config.URL `yaml:"feedback"`
}

// Log is what is written to standard error. It never holds a secret.
type Log struct {
	// Level is debug, info (default: one line a request), warn or error.
	Level slog.Level `yaml:"level"`

	// Format is json (default) or text.
	Format string `yaml:"format"`
}
