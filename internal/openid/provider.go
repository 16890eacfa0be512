package openid

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/outgoing"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// Paths of the endpoints, under the issuer. EndSessionPath is served by package
// signin, which has the pages; see ParseLogout.
const (
	AuthorizePath  = "/authorize"
	TokenPath      = "/token"
	UserinfoPath   = "/userinfo"
	JWKSPath       = "/jwks"
	EndSessionPath = "/end_session"
	PARPath        = "/par"                  // RFC 9126
	IntrospectPath = "/introspect"           // RFC 7662
	RevokePath     = "/revoke"               // RFC 7009
	DevicePath     = "/device_authorization" // RFC 8628 §3.1
	VerifyPath     = "/device"               // its page (§3.3), served by package signin
	RegisterPath   = "/register"             // RFC 7591
	DoctorPath     = "/doctor"               // why a request went as it did: by POST for its client, otherwise the operators' page, served by package signin
	ConfigPath     = "/.well-known/openid-configuration"
	ServerPath     = "/.well-known/oauth-authorization-server" // RFC 8414 §3.1: before the issuer's path
)

// Config is what an operator decides. Issuer, SignIn and ACR are required.
type Config struct {
	// Issuer is the provider's identifier and the address that the endpoints
	// lie under: https, or http on localhost names. It is never read from a
	// request, so that a Host header cannot change iss.
	Issuer string
	// SignIn is the address of the sign-in page of a waiting request.
	SignIn func(id string) string
	ACR    ACRs

	// EnrolClient is User Services, the one client that a password alone opens,
	// for EnrolScope and nothing else (S19). "" when there is none.
	EnrolClient string
	EnrolScope  string // "us.enrol"

	CodeTTL        time.Duration     // 60 s, and never more (FAPI 2.0 §5.3.2.1)
	AccessTokenTTL time.Duration     // 5 min; a client may have its own
	IDTokenTTL     time.Duration     // 5 min
	RequestTTL     time.Duration     // 75 min: an employee's first day takes up to an hour (S20)
	OfflineTTL     time.Duration     // 30 days: absolute end of refresh tokens that outlive the session
	NoticesEvery   time.Duration     // 15 s: how often to look for logout notices without a Kick
	Locales        []string          // of the pages, best first
	RequirePAR     bool              // of every client but EnrolClient (RFC 9126 §5)
	House          map[string]string // what sign-in pages call the provider itself, by language; for SignInFor

	Outgoing Outgoing // calls to relying parties

	SelfRegistration SelfRegistration // who may register clients at RegisterPath; "": nobody

	// DPoPNonces asks for a nonce of ours in every DPoP proof (RFC 9449 §8): a
	// proof that was made in advance is then worth nothing. It costs each client a
	// refused request from time to time.
	DPoPNonces bool
	MTLS       MTLS // where clients show certificates
}

// Outgoing says whom calls to relying parties may reach.
type Outgoing = outgoing.Options

// Deps are the parts that the provider works with. Only Log, ErrorPage and
// Continue may be left out.
type Deps struct {
	Store     Store
	Ephemeral ephemeral.Store
	Throttle  *throttle.Throttle // of what strangers make us keep and call
	Keys      Keys
	Sessions  *session.Sessions
	People    People
	Audit     audit.Recorder
	Traces    *trace.Book // nil: nothing is kept of why
	Sealer    dpop.Sealer // of nonces; the same key on every replica: keys.Master
	Now       func() time.Time
	Log       *slog.Logger

	// PairwiseSecret is what pairwise subjects are made with, 32 bytes that never
	// change: keys.OpenSecret of PairwiseSecretName.
	PairwiseSecret []byte

	// Of package web and of the pages:
	// Binding returns the secret of this browser's cookie, and sets one where
	// there is none (web.Site.Browser).
	Binding func(w http.ResponseWriter, r *http.Request) string
	// SessionSecret returns what the session cookie holds, "" without one.
	SessionSecret func(r *http.Request) string
	// ClientAddr is the browser's address, for the audit trail (web.Site.ClientAddr).
	ClientAddr func(r *http.Request) netip.Addr
	// ErrorPage shows a problem that no client may be told of. Nil: plain HTML.
	ErrorPage func(w http.ResponseWriter, r *http.Request, p Problem)
	// Reference is the request's reference as error pages show it (web.Reference).
	// Nil: a random one.
	Reference func(r *http.Request) string
	// Continue is the reader's language and the word on the button of pages
	// that submit themselves. Nil: English.
	Continue func(r *http.Request) (lang, label string)
}

// PairwiseSecretName is the secret of Deps.PairwiseSecret.
const PairwiseSecretName = "pairwise-subjects"

// Keys signs and publishes: package keys' Ring.
type Keys interface {
	// Sign makes a compact JWS with the header's typ.
	Sign(alg keys.Algorithm, typ string, payload []byte) (string, error)
	// JWKS is the published set as JSON, with its ETag.
	JWKS() (body []byte, etag string)
	// Verify returns the payload of a token that one of our keys signed with an
	// allowed algorithm, under a header of this typ.
	Verify(token, typ string, allowed ...keys.Algorithm) (payload []byte, kid string, err error)
	// Algorithms is what Sign knows, RS256 first.
	Algorithms() []keys.Algorithm
}

// People knows who stands behind a session, and where they hear of things:
// identity.Directory.
type People interface {
	// Standing returns the person, or fault.Unauthenticated when account or
	// organisation are closed or the session is of a dead epoch.
	Standing(ctx context.Context, id identity.UserID, epoch int64, sid string) (identity.Person, error)
	// Letter makes a letter to a person, for the store to send; false for somebody
	// without a contact.
	Letter(p identity.Person, t mail.Template, args ...string) (mail.Letter, bool)
}

// Problem is an error that only the person in front of the browser can be told:
// the client is unknown, or the address to answer to is not proved to be its own.
type Problem struct {
	Status      int
	Code        string // as an OAuth error code, e.g. "invalid_request"
	Description string // ASCII, English, for the client's makers
	Parameter   string // the one that is to blame, "" when none is
	Client      *Client
	RetryAfter  time.Duration // of 429: when another attempt makes sense
}

func (e Problem) Error() string { return e.Code + ": " + e.Description }

// because is a page for an error that the client would hear if it were proved;
// what is not an Error stays as it is.
func (e Problem) because(err error) error {
	var told Error
	if !errors.As(err, &told) {
		return err
	}
	e.Code, e.Description, e.Parameter = told.Code, told.Description, blamed(err)
	return e
}

// Provider is the OpenID Provider. Make it with New.
type Provider struct {
	Config
	Deps
	clients     *clientCache
	clientKeys  *clientKeys
	requests    *requestFetcher
	dpop        *dpop.Verifier
	subjects    *subjects
	engine      http.Handler // the library's token endpoint
	discovery   document
	base        string       // path of the issuer, "" mostly
	calls       *http.Client // to clients' servers; guarded
	backchannel *backchannel
}

// New checks the settings and makes a provider.
func New(c Config, d Deps) (*Provider, error) {
	c = c.withDefaults()
	issuer, err := checkIssuer(c.Issuer)
	if err != nil {
		return nil, err
	}
	switch {
	case c.SignIn == nil:
		return nil, errors.New("openid: no address of the sign-in page")
	case c.ACR.Card == "" || c.ACR.PasswordCode == "" || c.ACR.Enrol == "":
		return nil, errors.New("openid: acr: all three levels need a name")
	case c.CodeTTL > time.Minute:
		return nil, fmt.Errorf("openid: codes may live 60 s at most, not %s", c.CodeTTL)
	case d.Store == nil || d.Ephemeral == nil || d.Throttle == nil || d.Keys == nil || d.Sessions == nil || d.People == nil || d.Audit == nil || d.Sealer == nil || d.Now == nil ||
		d.Binding == nil || d.SessionSecret == nil || d.ClientAddr == nil:
		return nil, errors.New("openid: a part is missing")
	}
	if !slices.Contains(selfRegistrations, c.SelfRegistration) {
		return nil, fmt.Errorf("openid: dynamic registration is one of %v, not %q", selfRegistrations, c.SelfRegistration)
	}
	if err := c.checkMTLS(); err != nil {
		return nil, err
	}
	for alias, name := range c.ACR.Aliases {
		if name != c.ACR.Card && name != c.ACR.PasswordCode {
			return nil, fmt.Errorf("openid: acr alias %q: %q is not %q or %q", alias, name, c.ACR.Card, c.ACR.PasswordCode)
		}
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	p := &Provider{Config: c, Deps: d, base: strings.TrimSuffix(issuer.Path, "/")}
	p.calls = c.Outgoing.Client()
	p.clients = &clientCache{store: d.Store, now: d.Now}
	p.clientKeys = &clientKeys{fetcher: clientjwt.NewFetcher(c.Outgoing, d.Log, d.Now)}
	p.requests = &requestFetcher{calls: p.calls, address: p.mayAskForFetch, client: p.mayFetch, now: d.Now}
	p.dpop = &dpop.Verifier{Replay: d.Ephemeral, Sealer: d.Sealer, Now: d.Now, RequireNonce: c.DPoPNonces}
	if p.subjects, err = newSubjects(d.PairwiseSecret); err != nil {
		return nil, err
	}
	p.discovery = p.describe()
	if p.engine, err = newEngine(p); err != nil {
		return nil, err
	}
	p.backchannel = newBackchannel(p, c.Outgoing)
	return p, nil
}

func (c Config) withDefaults() Config {
	or := func(d *time.Duration, standard time.Duration) {
		if *d == 0 {
			*d = standard
		}
	}
	or(&c.CodeTTL, time.Minute)
	or(&c.AccessTokenTTL, 5*time.Minute)
	or(&c.IDTokenTTL, 5*time.Minute)
	or(&c.RequestTTL, 75*time.Minute)
	or(&c.OfflineTTL, 30*24*time.Hour)
	or(&c.NoticesEvery, 15*time.Second)
	if c.EnrolScope == "" {
		c.EnrolScope = "us.enrol"
	}
	return c
}

// checkIssuer refuses what OpenID Connect Discovery §3 does: query, fragment,
// and http anywhere but on this machine.
func checkIssuer(issuer string) (*url.URL, error) {
	u, err := url.Parse(issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.ForceQuery:
		return nil, fmt.Errorf("openid: issuer %q must be an address without query or fragment", issuer)
	case u.Scheme != "https" && (u.Scheme != "http" || !local(u.Hostname())):
		return nil, fmt.Errorf("openid: issuer %q must be https", issuer)
	}
	return u, nil
}

// Register mounts every endpoint but the logout pages.
func (p *Provider) Register(mux *http.ServeMux) {
	mux.HandleFunc(p.base+AuthorizePath, p.authorize)
	mux.HandleFunc(p.base+PARPath, p.par)
	mux.HandleFunc(p.base+TokenPath, p.token)
	mux.HandleFunc(p.base+UserinfoPath, p.userinfo)
	mux.HandleFunc(p.base+IntrospectPath, p.introspect)
	mux.HandleFunc(p.base+RevokePath, p.revoke)
	mux.HandleFunc(p.base+DevicePath, p.authorizeDevice)
	mux.HandleFunc("POST "+p.base+DoctorPath, p.explain)
	if p.SelfRegistration != NoSelfRegistration {
		mux.HandleFunc(p.base+RegisterPath, p.register)
		mux.HandleFunc(p.base+RegisterPath+"/{client}", p.manage)
	}
	mux.HandleFunc(p.base+JWKSPath, p.jwks)
	mux.HandleFunc(p.base+ConfigPath, p.metadata)
	mux.HandleFunc(ServerPath+p.base, p.metadata)
}

// Handler serves what Register mounts.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	p.Register(mux)
	return mux
}

// url is the absolute address of an endpoint.
func (p *Provider) url(path string) string {
	return strings.TrimSuffix(p.Issuer, "/") + path
}

// problem shows an error page. It never redirects.
func (p *Provider) problem(w http.ResponseWriter, r *http.Request, e Problem) {
	p.Log.InfoContext(r.Context(), "request refused", "path", r.URL.Path, "code", e.Code, "description", e.Description, "parameter", e.Parameter)
	p.remember(r, e.Client, Error{e.Code, e.Description}, e.Parameter)
	private(w)
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)))
	}
	if p.ErrorPage != nil {
		p.ErrorPage(w, r, e)
		return
	}
	plainProblem(w, e)
}

// private keeps a response out of caches and its address out of Referer.
func private(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Pragma", "no-cache")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
}

// local tells whether a host is this machine by its name (RFC 6761 §6.3) or address.
func local(host string) bool { return outgoing.Loopback(host) }

// newSecret returns 256 random bits in base64url, 43 characters.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

// digest is how generated secrets are stored: SHA-256, hex. They are random, so
// nothing slower is needed.
func digest(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// unavailable tells whether a failure is a backend's that may come back.
func unavailable(err error) bool { return fault.Is(err, fault.Unavailable) }
