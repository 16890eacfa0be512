// Package userservices is the self-service app: a person links a card or an
// authenticator, tries the authenticator, changes the password.
//
// It is a relying party like any other. It signs people in through the provider
// (pkg/rp), calls the provider's JSON API in their name (pkg/portti), and knows
// no database. What a person may do the API decides; the pages only show it.
//
//	userservices.go    Config, New, every route
//	visit.go           who is asking; what becomes of the API's refusals
//	home.go            one's own links, or the first day's choice
//	authenticator.go   linking an app or a token      try.go   trying its code
//	card.go            linking a card
//	password.go        changing the password      order.go   ordering one, for a card that was replaced
//	consents.go        services of third parties that may use one's data
//	leave.go           signed out; a sign-in that failed
//	language.go        the person's registered language as a fallback
//
// The first day (S18–S20):
//
//	Service ─▶ provider: password, nothing linked ─▶ here, with an enrol session
//	  choose ─▶ link ─▶ provider: /signin/resume asks the new method ─▶ Service
package userservices

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
	"github.com/portti-id/portti/templates"
)

// Addresses that the provider must know of this client, below Config.URL.
const (
	CallbackPath          = "/callback"           // redirect URI
	LogoutCallbackPath    = "/logout/callback"    // post-logout redirect URI
	BackChannelLogoutPath = "/backchannel-logout" // back-channel logout URI
)

const (
	homePath       = "/"
	continuePath   = "/continue"    // to the first use of a new link
	cardReturnPath = "/card/return" // where the card host sends the browser back to
	signedOutPath  = "/signed-out"

	defaultClientID = "user-services"
	defaultACRs     = "urn:portti:acr:" // what the provider's levels begin with
	appName         = "us.title"        // key of our own name
	apiTimeout      = 10 * time.Second  // of one call to the provider
)

// idle ends an unused session here. It is the limit of shared workstations (S72)
// for everybody: where the provider's session lasts longer, nobody notices, since
// it signs them in again by itself.
const idle = 15 * time.Minute

// Scopes are what the client asks for: the account for a full sign-in, and
// linking alone for a password (S19).
var Scopes = []string{"openid", "us", "us.enrol"}

// Config says where the app stands and who its provider is. URL, Issuer and
// Brand are required; the zero value of everything else works.
type Config struct {
	URL          string           // https://services.example.fi, as browsers see it
	Issuer       string           // https://id.example.fi
	ClientID     string           // "": user-services
	ClientSecret string           // "" for a public client
	CardHost     string           // the provider's card host, star included: https://*.card.example.fi:8443; "" where no cards are used
	ACRPrefix    string           // the provider's; "": urn:portti:acr:
	Brand        string           // shown in the header of every page
	Account      string           // what the account in the authenticator app is called; "": BRAND-1 TOTP-2FA, as with the provider
	SupportPhone string           // the help desk's
	Footer       web.Footer       //
	Proxies      []netip.Prefix   // peers whose forwarding header is believed
	Forwarded    string           // that header; "": X-Forwarded-For
	Texts        *templates.Texts // nil: the embedded ones
	Sessions     rp.Store         // nil: this process's memory, which serves one replica
	HTTPClient   *http.Client     // to reach the provider; nil: one with a time-out of 10 seconds
	Log          *slog.Logger     // nil: slog.Default()
	Now          func() time.Time
}

// Pages serves the app.
type Pages struct {
	config   Config
	site     *web.Site
	rp       *rp.RP
	api      *portti.Client
	issuer   string   // the provider's origin
	cardHost cardHost //
	card     string   // the acr of a card sign-in
	code     string   // the acr of password and code
}

// cardTest is the provider's public card test, where it has a card host.
func cardTest(c Config) string {
	if c.CardHost == "" {
		return ""
	}
	return c.Issuer + "/card-test"
}

// New makes the app. A provider that does not answer yet is no error.
func New(ctx context.Context, c Config) (*Pages, error) {
	c.URL, c.Issuer = strings.TrimSuffix(c.URL, "/"), strings.TrimSuffix(c.Issuer, "/")
	c.ClientID, c.ACRPrefix = cmp.Or(c.ClientID, defaultClientID), cmp.Or(c.ACRPrefix, defaultACRs)
	c.Account, c.Log = cmp.Or(c.Account, c.Brand+"-1 TOTP-2FA"), cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	p := &Pages{config: c, card: c.ACRPrefix + "card", code: c.ACRPrefix + "pwd-otp"}
	var err error
	if p.issuer, err = originOf(c.Issuer); err != nil {
		return nil, fmt.Errorf("user services: issuer: %w", err)
	}
	if p.cardHost, err = parseCardHost(c.CardHost); err != nil {
		return nil, fmt.Errorf("user services: card host: %w", err)
	}
	p.site, err = web.New(web.Settings{Brand: c.Brand, App: appName, Pages: []string{"userservices"}, PublicURL: c.URL, SupportPhone: c.SupportPhone, CardTest: cardTest(c), Home: homePath,
		Footer: c.Footer, Proxies: c.Proxies, Forwarded: c.Forwarded, Texts: c.Texts, Log: c.Log})
	if err != nil {
		return nil, err
	}
	client := outgoing(c.HTTPClient)
	p.api = &portti.Client{Issuer: c.Issuer, HTTP: client}
	p.rp, err = rp.New(ctx, rp.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Scopes: Scopes,
		RedirectURL: c.URL + CallbackPath, PostLogoutRedirectURL: c.URL + LogoutCallbackPath, Home: homePath, SignedOut: signedOutPath,
		// No DefaultACR: an enrol session must pass, and for the provider a demanded level rules one out.
		Satisfies: map[string][]string{p.card: {p.code}},
		// The API tells what the pages show.
		NoUserInfo: true,
		UILocales:  p.chosenLanguage, SessionIdle: idle,
		OnError: p.signInFailed, Store: c.Sessions, HTTPClient: client, Now: c.Now, Log: c.Log,
	})
	if err != nil {
		return nil, fmt.Errorf("user services: %w", err)
	}
	return p, nil
}

// Handler serves everything: pages, static files and the probe.
func (p *Pages) Handler() http.Handler {
	mux := http.NewServeMux()
	p.Routes(mux)
	mux.Handle("GET /static/", p.site.Static())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"process":true}`)) // the prober is gone: nobody to tell
	})
	return p.site.Wrap(mux)
}

// Routes adds the pages. What answers a POST is there by GET at the same path,
// so that a language link or a new sign-in can lead back to it.
func (p *Pages) Routes(mux *http.ServeMux) {
	for pattern, h := range map[string]func(w http.ResponseWriter, r *http.Request, v *visit) error{
		"GET /{$}":                    p.home,
		"GET " + continuePath:         p.proceed,
		"GET /authenticator":          p.authenticator,
		"POST /authenticator":         p.beginAuthenticator,
		"GET /authenticator/confirm":  p.authenticatorCode,
		"POST /authenticator/confirm": p.confirmAuthenticator,
		"GET /authenticator/linked":   p.authenticatorLinked,
		"GET /authenticator/try":      p.try,
		"POST /authenticator/try":     p.tryCode,
		"GET /card":                   p.linkCard,
		"POST /card":                  p.beginCard,
		"GET " + cardReturnPath:       p.cardSeen,
		"GET " + cardFailedPath:       p.cardFailed,
		"POST " + cardFailedPath:      p.saidFailed,
		"GET /card/confirm":           p.cardAgain,
		"POST /card/confirm":          p.confirmCard,
		"GET /card/linked":            p.cardLinked,
		"GET " + cardWaitsPath:        p.cardWaits,
		"GET " + orderPath:            p.order,
		"POST " + orderPath:           p.placeOrder,
		"GET /session":                p.stay,
		"GET /password":               p.password,
		"POST /password":              p.changePassword,
		"GET /password/changed":       p.passwordChanged,
		"GET /consents":               p.consents,
		"POST /consents":              p.withdraw,
	} {
		mux.Handle(pattern, p.signedIn(h))
	}
	mux.Handle("GET "+cardStatePath, p.site.HandleJSON(p.cardState))
	mux.Handle("GET /login", p.site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		p.rp.Login(w, r, rp.LoginOptions{ReturnTo: homePath})
		return nil
	}))
	mux.Handle("POST /logout", p.site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		p.rp.Logout(w, r)
		return nil
	}))
	mux.Handle("GET "+signedOutPath, p.site.Handle(p.signedOut))
	mux.HandleFunc("GET "+CallbackPath, p.rp.Callback)
	mux.HandleFunc("GET "+LogoutCallbackPath, p.rp.LogoutCallback)
	mux.HandleFunc("POST "+BackChannelLogoutPath, p.rp.BackChannelLogout)
}

// outgoing is the client for all calls to the provider. It follows no redirect:
// the API has none, and what stands behind one is not the API's answer.
func outgoing(given *http.Client) *http.Client {
	c := &http.Client{Timeout: apiTimeout}
	if given != nil {
		*c = *given
	}
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return errors.New("the provider answered with a redirect") }
	return c
}

// originOf is scheme, host and port of an address.
func originOf(address string) (string, error) {
	u, err := url.Parse(address)
	if err != nil {
		return "", err
	}
	if u.Scheme == "" || u.Host == "" {
		return "", fmt.Errorf("%q is not an address such as https://id.example.fi", address)
	}
	return u.Scheme + "://" + u.Host, nil
}
