// Package userservices is the self-service app: a person links a card or an
// authenticator, tries the authenticator, changes the password.
//
// It is a relying party like any other. It signs people in through the provider
// (pkg/rp), calls the provider's JSON API in their name (pkg/portti), and knows
// no database. What a person may do the API decides; the pages only show it.
//
//	userservices.go    Config, New, every route
//	visit.go           who is asking
//	home.go            one's own links, or the first day's choice
//	authenticator.go   linking an app or a token      try.go   trying its code
//	card.go            linking a card
//	password.go        changing the password      order.go   ordering one, for a card that was replaced
//	freeze.go          a new password that somebody else wanted
//	signins.go         how one's own sign-ins went
//	consents.go        services of third parties that may use one's data
//
// What it shares with the Console, package app has.
//
// The first day (S18–S20):
//
//	Service ─▶ provider: password, nothing linked ─▶ here, with an enrol session
//	  choose ─▶ link ─▶ provider: /signin/resume asks the new method ─▶ Service
package userservices

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

// Addresses that the provider must know of this client, below Config.URL.
const (
	CallbackPath          = app.CallbackPath
	LogoutCallbackPath    = app.LogoutCallbackPath
	BackChannelLogoutPath = app.BackChannelLogoutPath
)

const (
	homePath       = app.HomePath
	continuePath   = "/continue"    // to the first use of a new link
	cardReturnPath = "/card/return" // where the card host sends the browser back to

	defaultClientID = "user-services"
	appName         = "us.title" // key of our own name
)

// Scopes are what the client asks for: the account for a full sign-in, and
// linking alone for a password (S19).
var Scopes = []string{"openid", "us", "us.enrol"}

// Config says where the app stands and who its provider is. URL, Issuer and
// Brand are required; the zero value of everything else works.
type Config struct {
	URL          string         // https://services.example.fi, as browsers see it
	Issuer       string         // https://id.example.fi
	ClientID     string         // "": user-services
	ClientSecret string         // "" for a public client
	CardHost     string         // the provider's card host, star included: https://*.card.example.fi:8443; "" where no cards are used
	ACRPrefix    string         // the provider's; "": urn:portti:acr:
	Brand        string         // shown in the header of every page
	Account      string         // what the account in the authenticator app is called; "": BRAND-1 TOTP-2FA, as with the provider
	SupportPhone string         // the help desk's
	Footer       web.Footer     //
	Proxies      []netip.Prefix // peers whose forwarding header is believed
	Forwarded    string         // that header; "": X-Forwarded-For
	Sessions     rp.Store       // nil: this process's memory, which serves one replica
	HTTPClient   *http.Client   // to reach the provider; nil: one with a time-out of 10 seconds
	Log          *slog.Logger   // nil: slog.Default()
	Now          func() time.Time
}

// Pages serves the app.
type Pages struct {
	config   Config
	app      *app.App
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
	return strings.TrimSuffix(c.Issuer, "/") + "/card-test"
}

// New makes the app. A provider that does not answer yet is no error.
func New(ctx context.Context, c Config) (*Pages, error) {
	c.Account = cmp.Or(c.Account, c.Brand+"-1 TOTP-2FA")
	cards, err := parseCardHost(c.CardHost)
	if err != nil {
		return nil, fmt.Errorf("user services: card host: %w", err)
	}
	a, err := app.New(ctx, app.Config{
		Name: appName, Folder: "userservices", URL: c.URL, Issuer: c.Issuer, ClientID: cmp.Or(c.ClientID, defaultClientID), ClientSecret: c.ClientSecret, Scopes: Scopes,
		// Not Demand: an enrol session must pass, and for the provider a demanded level rules one out.
		CardTest: cardTest(c), ACRPrefix: c.ACRPrefix, Brand: c.Brand, SupportPhone: c.SupportPhone, Footer: c.Footer, Proxies: c.Proxies, Forwarded: c.Forwarded,
		Sessions: c.Sessions, Forget: []string{statementCookie}, HTTPClient: c.HTTPClient, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("user services: %w", err)
	}
	c.URL, c.Log, c.Now = a.URL, a.Log, a.Now
	return &Pages{config: c, app: a, site: a.Site, rp: a.RP, api: a.API, issuer: a.Origin, cardHost: cards, card: a.Card, code: a.Code}, nil
}

// Handler serves everything: pages, static files and the probe.
func (p *Pages) Handler() http.Handler { return p.app.Handler(p.Routes) }

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
		"GET /order/cancel":           p.toHome,
		"POST /order/cancel":          p.cancelAsk,
		"GET /freeze":                 p.freeze,
		"POST /freeze":                p.placeFreeze,
		"GET /session":                p.stay,
		"GET /password":               p.password,
		"POST /password":              p.changePassword,
		"GET /password/changed":       p.passwordChanged,
		"GET /consents":               p.consents,
		"GET " + signInsPath:          p.signIns,
		"POST /consents":              p.withdraw,
	} {
		mux.Handle(pattern, p.signedIn(h))
	}
	mux.Handle("GET "+cardStatePath, p.site.HandleJSON(p.cardState))
}
