// Package rp signs people in to a web application with OpenID Connect: with
// Portti, or with any provider that speaks the protocol. It is the whole relying
// party: login, callback, sessions, step-up, logout, back-channel logout.
//
//	browser                application (this package)              provider
//	   │  GET /records/7         │                                     │
//	   │────────────────────────▶│ Require: nobody signed in           │
//	   │◀── 303 ─────────────────│ Login: state, nonce, PKCE           │
//	   │──────────── /authorize?… ────────────────────────────────────▶│ signs in
//	   │◀─────────── 303 /callback?code&state&iss ─────────────────────│
//	   │────────────────────────▶│ Callback ── code, verifier ────────▶│
//	   │                         │◀──────────── tokens ────────────────│
//	   │◀── 303 /records/7 ──────│ checks everything, new session      │
//
// The browser holds a random secret in a cookie and nothing else. Claims and
// tokens stay in a [Store], encrypted under a key that only the cookie yields.
//
// It refuses what it cannot prove: another browser's callback, another
// provider's answer (RFC 9207), an ID token with the wrong algorithm, audience,
// nonce or access token, a sign-in weaker than was asked for. What a person may
// do once signed in is the application's business.
//
// An API that is called with access tokens checks them with [Resource].
//
// It imports the standard library, go-oidc and oauth2 only.
package rp

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Authentication levels of Portti, the values of the acr claim.
const (
	ACRCard        = "urn:portti:acr:card"    // certificate card and PIN
	ACRPasswordOTP = "urn:portti:acr:pwd-otp" // username, password and one-time code
	ACREnrol       = "urn:portti:acr:enrol"   // a password alone; only User Services ever see it
)

// Config says who the application is and what it demands. Issuer, ClientID and
// RedirectURL are required; the zero value of everything else works.
type Config struct {
	// Issuer is the provider's identifier, exactly as its metadata spells it.
	Issuer string
	// ClientID and ClientSecret are what the provider's operator registered. An
	// empty secret makes a public client.
	ClientID     string
	ClientSecret string
	// ClientSecretPost sends the secret in the form (client_secret_post) instead
	// of the Authorization header (client_secret_basic).
	ClientSecretPost bool
	// RedirectURL is the registered address of Callback. It must be https, except
	// on localhost names and loopback addresses; the scheme decides whether
	// cookies are Secure with the __Host- prefix.
	RedirectURL string
	// PostLogoutRedirectURL is the registered address of LogoutCallback. Without
	// it the provider shows its own page after a logout.
	PostLogoutRedirectURL string
	// Scopes to ask for; "openid" is always asked for.
	Scopes []string
	// DefaultACR is asked for, and demanded, at every sign-in that names no level.
	DefaultACR string
	// Satisfies lists, for a level, the demands that it meets besides its own.
	// Nil means Portti's: a card also meets a demand for password and code.
	Satisfies map[string][]string
	// Algorithms are the JWS algorithms an ID token may be signed with, best set
	// to the one that is registered for the client. Empty means every asymmetric
	// algorithm of the provider's metadata. "none" and HMAC are never accepted.
	Algorithms []string
	// Audiences are accepted in aud beside ClientID; any other is refused.
	Audiences []string
	// Resource is the API that access tokens are to be for (RFC 8707), if it is not
	// the provider's own. Userinfo is left alone then: a token is for one of them.
	Resource string
	// Claims are asked for in the ID token by name, such as "name"
	// (OpenID Connect Core §5.5).
	Claims []string
	// NoUserInfo leaves the userinfo endpoint alone, for applications to which the
	// claims of the ID token are enough.
	NoUserInfo bool

	// Home is the local path where people land when there is no better place: "/".
	Home string
	// SignedOut is the local path shown after a logout; empty means Home.
	SignedOut string

	// SessionTTL ends a session however much it is used: 12 hours. SessionIdle
	// ends an unused one: 60 minutes; negative for no limit.
	SessionTTL  time.Duration
	SessionIdle time.Duration
	// CookieName is the base name of the cookies; empty derives it from ClientID.
	CookieName string
	// Store keeps sessions and pending sign-ins. Nil means this process's memory,
	// which serves one replica and forgets at a restart.
	Store Store

	// UILocales tells the provider the languages of the person's choice, best
	// first (ui_locales), when LoginOptions name none.
	UILocales func(*http.Request) []string
	// OnError answers when a sign-in or logout could not be finished. Nil shows a
	// plain text.
	OnError func(http.ResponseWriter, *http.Request, *Error)

	HTTPClient *http.Client     // to reach the provider; nil: one with a time-out of 10 seconds
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger     // nil: slog.Default
}

// RP is a relying party, ready to serve. Its handlers may be mounted as they are:
//
//	mux.HandleFunc("GET /callback", p.Callback)
//	mux.HandleFunc("POST /logout", p.Logout)
//	mux.HandleFunc("GET /logout/callback", p.LogoutCallback)
//	mux.HandleFunc("POST /logout/backchannel", p.BackChannelLogout)
//	mux.Handle("/records/", p.Require("", records))
type RP struct {
	config  Config
	scope   string // keeps the records of one client apart from another's in a shared store
	secure  bool
	csrf    *http.CrossOriginProtection
	client  *http.Client
	session string // cookie name
	browser string // cookie name
	claims  string // the claims parameter, "" for none

	found discovery[provider]
}

// New checks the configuration and asks the provider for its metadata. A provider
// that does not answer is no error: an application must be able to start before
// it. Discovery is then tried again when somebody wants to sign in.
func New(ctx context.Context, c Config) (*RP, error) {
	redirect, err := checked("RedirectURL", c.RedirectURL)
	if err != nil {
		return nil, err
	}
	if _, err := checked("Issuer", c.Issuer); err != nil {
		return nil, err
	}
	if c.PostLogoutRedirectURL != "" {
		if _, err := checked("PostLogoutRedirectURL", c.PostLogoutRedirectURL); err != nil {
			return nil, err
		}
	}
	if c.ClientID == "" {
		return nil, errors.New("rp: Config.ClientID is empty")
	}
	c.Home = cmp.Or(c.Home, "/")
	if !local(c.Home) {
		return nil, fmt.Errorf("rp: Config.Home %q is not a path of this application", c.Home)
	}
	c.SignedOut = cmp.Or(c.SignedOut, c.Home)
	if !local(c.SignedOut) {
		return nil, fmt.Errorf("rp: Config.SignedOut %q is not a path of this application", c.SignedOut)
	}
	if err := checkAlgorithms(c.Algorithms); err != nil {
		return nil, err
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Store == nil {
		c.Store = &MemoryStore{Now: c.Now}
	}
	if c.Satisfies == nil {
		c.Satisfies = satisfies
	}
	if c.SessionTTL <= 0 {
		c.SessionTTL = 12 * time.Hour
	}
	if c.SessionIdle == 0 {
		c.SessionIdle = time.Hour
	}
	if c.CookieName == "" {
		c.CookieName = "rp-" + cookieSafe(c.ClientID)
	}
	if c.OnError == nil {
		c.OnError = plainError
	}
	c.Scopes = slices.Clone(c.Scopes)
	if !slices.Contains(c.Scopes, "openid") {
		c.Scopes = append([]string{"openid"}, c.Scopes...)
	}

	sum := sha256.Sum256([]byte(c.Issuer + "\x00" + c.ClientID))
	p := &RP{
		config:  c,
		scope:   hex.EncodeToString(sum[:]),
		secure:  redirect.Scheme == "https",
		csrf:    http.NewCrossOriginProtection(),
		client:  outgoing(c.HTTPClient),
		session: c.CookieName,
		browser: c.CookieName + "-browser",
	}
	if len(c.Claims) > 0 {
		asked := map[string]any{}
		for _, name := range c.Claims {
			asked[name] = nil
		}
		encoded, err := json.Marshal(map[string]any{"id_token": asked})
		if err != nil {
			return nil, fmt.Errorf("rp: Config.Claims: %w", err)
		}
		p.claims = string(encoded)
	}
	if p.secure {
		p.session, p.browser = "__Host-"+p.session, "__Host-"+p.browser
	}
	// A proxy that rewrites Host must not make our own forms look foreign.
	if err := p.csrf.AddTrustedOrigin(redirect.Scheme + "://" + redirect.Host); err != nil {
		return nil, fmt.Errorf("rp: Config.RedirectURL: %w", err)
	}
	if _, err := p.provider(ctx); err != nil {
		c.Log.WarnContext(ctx, "provider not found yet, sign-in will try again", "issuer", c.Issuer, "error", err)
	}
	return p, nil
}

// satisfies is Portti's: which demands a level meets besides its own.
var satisfies = map[string][]string{ACRCard: {ACRPasswordOTP}}

// Satisfies tells whether a sign-in at level got meets the demand want. An empty
// demand is met by everything.
func (p *RP) Satisfies(got, want string) bool {
	return meets(p.config.Satisfies, got, want)
}

func meets(satisfies map[string][]string, got, want string) bool {
	return want == "" || got == want || slices.Contains(satisfies[got], want)
}

func checkAlgorithms(given []string) error {
	for _, alg := range given {
		if !slices.Contains(asymmetric, alg) {
			return fmt.Errorf("rp: Config.Algorithms: %q is not an asymmetric JWS algorithm", alg)
		}
	}
	return nil
}

// checked parses an address of the configuration: https, or http on a name that
// never leaves the machine (RFC 6761 §6.3).
func checked(name, raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("rp: Config.%s: %w", name, err)
	}
	switch {
	case u.Host == "" || u.Fragment != "" || u.User != nil:
		return nil, fmt.Errorf("rp: Config.%s %q is not an absolute http(s) address", name, raw)
	case u.Scheme == "https":
	case u.Scheme == "http" && loopback(u.Hostname()):
	default:
		return nil, fmt.Errorf("rp: Config.%s %q must be https (http is for localhost names)", name, raw)
	}
	return u, nil
}

func loopback(host string) bool {
	host = strings.ToLower(host)
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// cookieSafe makes a client ID fit for a cookie name (RFC 6265 §4.1.1).
func cookieSafe(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, id)
}
