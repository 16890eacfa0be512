// Package app is what our apps share, User Services and the Console: both are
// relying parties that sign people in through the provider (pkg/rp), call its JSON
// API in their name (pkg/portti) and know no database.
//
//	app.go        Config, App, the routes of every app
//	visit.go      who is asking; back to the provider when the API wants a proof
//	refusal.go    the API's refusals as faults of ours
//	leave.go      signed out; a sign-in that failed
//	language.go   the person's registered language as a fallback
//	program/      settings and the life of the program
//
// Which pages there are, and for whom, is the app's own.
package app

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
)

// Addresses that the provider must know of the client, below Config.URL.
const (
	CallbackPath          = "/callback"           // redirect URI
	LogoutCallbackPath    = "/logout/callback"    // post-logout redirect URI
	BackChannelLogoutPath = "/backchannel-logout" // back-channel logout URI
)

// Every app's own addresses.
const (
	HomePath      = "/"
	SignedOutPath = "/signed-out"
)

const (
	defaultACRs = "urn:portti:acr:" // what the provider's levels begin with
	apiTimeout  = 10 * time.Second  // of one call to the provider
)

// Idle ends an unused session. It is the limit of shared workstations (S72) for
// everybody: where the provider's session lasts longer, nobody notices, since it
// signs them in again by itself.
const Idle = 15 * time.Minute

// Config says where an app stands and who its provider is. URL, Issuer, ClientID,
// Brand, Name and Folder are required; the zero value of everything else works.
type Config struct {
	Name         string         // key of the app's own name in the texts
	Folder       string         // of its pages, below templates/
	URL          string         // https://services.example.fi, as browsers see it
	Issuer       string         // https://id.example.fi
	ClientID     string         //
	ClientSecret string         // "" for a public client
	Scopes       []string       // what the client asks for
	Demand       bool           // every sign-in is with a card, or with password and code
	CardTest     string         // address of the provider's public card test, "" for none
	ACRPrefix    string         // the provider's; "": urn:portti:acr:
	Brand        string         // shown in the header of every page
	SupportPhone string         // the help desk's
	Footer       web.Footer     //
	Proxies      []netip.Prefix // peers whose forwarding header is believed
	Forwarded    string         // that header; "": X-Forwarded-For
	Sessions     rp.Store       // nil: this process's memory, which serves one replica
	Forget       []string       // cookies that a logout takes away
	HTTPClient   *http.Client   // to reach the provider; nil: one with a time-out of 10 seconds
	Log          *slog.Logger   // nil: slog.Default()
	Now          func() time.Time
}

// App is the relying party, its pages and its way to the API.
type App struct {
	Config
	Site   *web.Site
	RP     *rp.RP
	API    *portti.Client
	Origin string // the provider's
	Card   string // the acr of a card sign-in
	Code   string // the acr of password and code
}

// New makes the app. A provider that does not answer yet is no error.
func New(ctx context.Context, c Config) (*App, error) {
	c.URL, c.Issuer = strings.TrimSuffix(c.URL, "/"), strings.TrimSuffix(c.Issuer, "/")
	c.ACRPrefix, c.Log = cmp.Or(c.ACRPrefix, defaultACRs), cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	a := &App{Config: c, Card: c.ACRPrefix + "card", Code: c.ACRPrefix + "pwd-otp"}
	var err error
	if a.Origin, err = originOf(c.Issuer); err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	a.Site, err = web.New(web.Settings{Brand: c.Brand, App: c.Name, Pages: []string{c.Folder}, PublicURL: c.URL, SupportPhone: c.SupportPhone, CardTest: c.CardTest, Home: HomePath,
		Footer: c.Footer, Proxies: c.Proxies, Forwarded: c.Forwarded, Log: c.Log})
	if err != nil {
		return nil, err
	}
	client := outgoing(c.HTTPClient)
	a.API = &portti.Client{Issuer: c.Issuer, HTTP: client}
	demanded := ""
	if c.Demand {
		demanded = a.Code
	}
	a.RP, err = rp.New(ctx, rp.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, ClientSecret: c.ClientSecret, Scopes: c.Scopes,
		RedirectURL: c.URL + CallbackPath, PostLogoutRedirectURL: c.URL + LogoutCallbackPath, Home: HomePath, SignedOut: SignedOutPath,
		DefaultACR: demanded, Satisfies: map[string][]string{a.Card: {a.Code}},
		// The API tells what the pages show.
		NoUserInfo: true,
		UILocales:  a.chosenLanguage, SessionIdle: Idle,
		OnError: a.signInFailed, Store: c.Sessions, HTTPClient: client, Now: c.Now, Log: c.Log,
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Handler serves everything: the app's own routes and pages, static files and the
// probe.
func (a *App) Handler(routes func(mux *http.ServeMux)) http.Handler {
	mux := http.NewServeMux()
	routes(mux)
	mux.Handle("GET /login", a.Site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		a.RP.Login(w, r, rp.LoginOptions{ReturnTo: HomePath})
		return nil
	}))
	mux.Handle("POST /logout", a.Site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		a.RP.Logout(w, r)
		return nil
	}))
	mux.Handle("GET "+SignedOutPath, a.Site.Handle(a.signedOut))
	mux.HandleFunc("GET "+CallbackPath, a.RP.Callback)
	mux.HandleFunc("GET "+LogoutCallbackPath, a.RP.LogoutCallback)
	mux.HandleFunc("POST "+BackChannelLogoutPath, a.RP.BackChannelLogout)
	mux.Handle("GET /static/", a.Site.Static())
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"process":true}`)) // the prober is gone: nobody to tell
	})
	pages := a.Site.Wrap(mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The trail is to show from where a person has acted, not where the app stands.
		pages.ServeHTTP(w, r.WithContext(portti.WithVisitor(r.Context(), a.Site.ClientAddr(r))))
	})
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
