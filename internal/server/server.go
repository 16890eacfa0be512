// Package server assembles the provider from its rooms and does its background
// work. It is wiring by name: what decides lies in the rooms.
//
//	server.go    Config, Deps, New
//	routes.go    every route on one screen
//	health.go    /healthz and /readyz
//	cards.go     lists of revoked certificates, and linked cards that turn up on them
//	metrics.go   what monitoring reads
//	run.go       letters, logout notices, keys, sweeping: what happens without a request
package server

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/portti-id/portti/internal/api"
	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/signin"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
)

// Config is what an operator decides, as cmd/portti and cmd/demo read it.
// Issuer and Brand are required; the zero value of the rest works.
type Config struct {
	Issuer       string       // https://id.example.fi; also where the pages are
	Brand        string       // shown on pages, and what the account in the authenticator app begins with
	Account      string       // that account's name; "": BRAND-1 TOTP-2FA (S39)
	AccountUser  bool         // show the username there as well
	SupportPhone string       // the help desk's phone
	Footer       web.Footer   // addresses of pages that the law asks for
	UserServices UserServices //
	ACRPrefix    string       // "": urn:portti:acr:
	ACRAliases   map[string]string
	// SelfRegistration says who may register clients without an operator; see openid.Config.
	SelfRegistration openid.SelfRegistration
	RequirePAR       bool            // authorization requests must be pushed; see openid.Config
	Proxies          []netip.Prefix  // peers whose forwarding header is believed
	Forwarded        string          // that header, X-Forwarded-For (default) or Forwarded
	Passwords        password.Params // cost of a hash
	MinPassword      int             // 0: 15
	Blocklists       []string        // files of common passwords, one a line
	AccessTokens     time.Duration   // 0: 5 min
	Outgoing         openid.Outgoing // calls to relying parties
	CardHost         *card.Host      // nil: no card sign-in
	CardOldTLSHost   card.Host       // where cards are tried with TLS 1.2, beside a fixed CardHost; the zero value: nowhere
	CardAnyCAHost    card.Host       // where every certificate may be shown, for the card test, beside a fixed CardHost; the zero value: nowhere
	CardNoOldTLS     bool            // cards are never tried with TLS 1.2
	CardMaxTLS       uint16          // 0: TLS 1.3
	Revocation       revocation.Mode // how it is found out whether a card was revoked; "": revocation.Require
	RevocationWaived bool            // cards are let in although nobody has asked whether they were revoked; see card.Checker
	MTLS             openid.MTLS     // where services show certificates; the zero value: nowhere
	DPoPNonces       bool            // ask for a nonce in every DPoP proof
	Keys             keys.Options    // signing keys and their rotation; the zero value: all kinds, rotated by hand
	LettersEvery     time.Duration   // how often the outbox looks for letters; 0: 10 s
	NoticesEvery     time.Duration   // how often logout notices are looked for that another replica has queued; 0: 15 s
	AuditFile        string          // where checkpoints of the trail are appended; "": to the log alone
	AuditRetention   time.Duration   // how long events are kept; 0: for ever
}

// UserServices is the app that a password alone opens (S19).
type UserServices struct {
	URL      string // its origin, "" when there is none
	ClientID string // "": user-services
}

// Store is everything that the provider keeps in SQL: package store.
type Store interface {
	IndexPeople(ctx context.Context, n int) (int, error)
	identity.Store
	openid.Store
	mail.Store
	audit.Chain
	card.Strangers
	trace.Store
	Shelf() crl.Shelf
	signin.CardTests
	api.Letters
	api.Strangers
	Ping(ctx context.Context) error
}

// Deps are the opened parts. Trust may be nil where there is no card host.
type Deps struct {
	Store     Store
	Keys      keys.Store
	Ephemeral ephemeral.Store
	Master    *keys.Master
	Carrier   mail.Carrier       // nil: letters wait in the outbox
	Gateway   mail.Carrier       // of text messages; nil: they wait there too
	Trust     func() *card.Trust // whose cards are accepted now
	// TrustState tells of the bundle behind Trust, for metrics; nil: there is none.
	TrustState func() card.BundleState
	Lists      revocation.Lists // of revoked certificates; nil: those of Server.Cards
	Log        *slog.Logger
	Now        func() time.Time
}

// Server is one replica of the provider.
type Server struct {
	Directory *identity.Directory
	Provider  *openid.Provider
	Site      *web.Site
	Door      *card.Door // nil without a card host; set its Certificate before serving

	// Revocation asks whether cards were revoked; nil without a card host. Nobody
	// asks it when that is waived.
	Revocation *revocation.Checker

	// Cards are the lists of revoked certificates; nil without a card host, or where
	// nobody asks whether cards were revoked.
	Cards *Cards

	config  Config
	deps    Deps
	ring    *keys.Ring
	outbox  *mail.Outbox
	sealer  *audit.Sealer
	traces  *trace.Book
	handler http.Handler
	metrics *prometheus.Registry
}

// New assembles a replica. It makes the signing keys that are missing.
func New(ctx context.Context, c Config, d Deps) (*Server, error) {
	if d.Store == nil || d.Keys == nil || d.Ephemeral == nil || d.Master == nil {
		return nil, errors.New("server: store, keys, ephemeral and master are needed")
	}
	d.Log = cmp.Or(d.Log, slog.Default())
	if d.Now == nil {
		d.Now = time.Now
	}
	c.Issuer = strings.TrimSuffix(c.Issuer, "/")
	c.ACRPrefix = cmp.Or(c.ACRPrefix, "urn:portti:acr:")
	c.UserServices.ClientID = cmp.Or(c.UserServices.ClientID, "user-services")
	s := &Server{config: c, deps: d}
	var err error
	cardTest := ""
	if c.CardHost != nil {
		cardTest = c.Issuer + signin.CardTestPath
	}
	s.Site, err = web.New(web.Settings{Brand: c.Brand, Pages: []string{"signin"}, PublicURL: c.Issuer, SupportPhone: c.SupportPhone, CardTest: cardTest, Home: c.UserServices.URL, Footer: c.Footer,
		Proxies: c.Proxies, Forwarded: c.Forwarded, Log: d.Log})
	if err != nil {
		return nil, err
	}
	if err := s.directory(); err != nil {
		return nil, err
	}
	s.traces = &trace.Book{Store: d.Store, Throttle: s.Directory.Throttle, Now: d.Now, Log: d.Log}
	c.Keys.Now, c.Keys.Log = d.Now, d.Log
	s.ring, err = keys.OpenRing(ctx, d.Keys, d.Master, c.Keys)
	if err != nil {
		return nil, fmt.Errorf("signing keys: %w", err)
	}
	pairwise, err := keys.OpenSecret(ctx, d.Keys, d.Master, openid.PairwiseSecretName)
	if err != nil {
		return nil, err
	}
	seed, err := keys.OpenSecret(ctx, d.Keys, d.Master, audit.KeyName)
	if err != nil {
		return nil, err
	}
	s.sealer = &audit.Sealer{Chain: d.Store, Key: ed25519.NewKeyFromSeed(seed), File: c.AuditFile, Retention: c.AuditRetention, Now: d.Now, Log: d.Log}
	sessions := &session.Sessions{Store: d.Ephemeral, Now: d.Now}
	signIn, err := s.signIn(ctx, sessions)
	if err != nil {
		return nil, err
	}
	pages := &signin.Pages{Site: s.Site, Login: signIn, Traces: s.traces, CardTests: d.Store, Unrevoked: c.RevocationWaived, Sessions: sessions, Account: s.Directory.Names.Issuer, UserServices: c.UserServices.URL, Log: d.Log}
	if s.Door != nil {
		pages.CardHosts = []string{c.CardHost.String()}
		if !c.CardHost.Wildcard() && !c.CardOldTLSHost.IsZero() {
			pages.CardHosts = append(pages.CardHosts, c.CardOldTLSHost.String())
		}
	}
	browser := signin.Browser{Site: s.Site}
	acr := openid.NewACRs(c.ACRPrefix)
	acr.Aliases = c.ACRAliases
	s.Provider, err = openid.New(openid.Config{
		Issuer: c.Issuer, SignIn: func(id string) string { return c.Issuer + "/signin/" + url.PathEscape(id) }, ACR: acr,
		EnrolClient: c.UserServices.ClientID, AccessTokenTTL: c.AccessTokens, NoticesEvery: c.NoticesEvery, Locales: []string{"fi", "sv", "en"}, House: map[string]string{"en": c.Brand}, Outgoing: c.Outgoing,
		RequirePAR: c.RequirePAR, SelfRegistration: c.SelfRegistration, MTLS: c.MTLS, DPoPNonces: c.DPoPNonces,
	}, openid.Deps{
		Store: d.Store, Ephemeral: d.Ephemeral, Throttle: s.Directory.Throttle, Keys: s.ring, Sessions: sessions, People: identity.Accounts{Directory: s.Directory}, Audit: d.Store, Traces: s.traces, Sealer: d.Master, Now: d.Now, Log: d.Log, PairwiseSecret: pairwise,
		Binding: browser.Binding, SessionSecret: browser.Session, ClientAddr: browser.Address, Reference: web.Reference, ErrorPage: pages.OAuthError, Continue: pages.Continue,
	})
	if err != nil {
		return nil, err
	}
	pages.Provider, s.Directory.Ended = s.Provider, s.Provider.Kick
	resources := &api.API{Directory: s.Directory, Login: signIn, Sessions: sessions, Tokens: s.Provider, Requests: s.Provider, Consents: s.Provider, Issuer: c.Issuer,
		Clients: &openid.Clients{Store: d.Store, ACR: acr, Now: d.Now}, Registered: d.Store, Refusals: s.Provider, Checkups: s.Provider, Previews: s.Provider, Address: browser.Address,
		Origins: origins(c.UserServices.URL), MinPassword: s.Directory.Rules.Min(), Support: c.SupportPhone, Now: d.Now, Handle: s.Site.HandleJSON, HandleLarge: s.Site.HandleLargeJSON}
	resources.Letters, resources.Keys, resources.Texts = d.Store, s.ring, s.Site.Texts()
	resources.Traces, resources.Reference = s.traces, web.Reference
	resources.CardTrust = api.CardTrust{Trust: d.Trust, State: d.TrustState, Lists: d.Store.Shelf().Shelved, Strangers: d.Store}
	s.metrics = s.newMetrics()
	if d.Carrier != nil || d.Gateway != nil {
		s.outbox = s.letters()
	}
	s.handler = s.routes(pages, resources)
	return s, nil
}

// Handler serves the main host.
func (s *Server) Handler() http.Handler { return s.handler }

// MTLSHandler serves the listener at which services show certificates, and nil
// where there is none.
func (s *Server) MTLSHandler() http.Handler {
	if s.config.MTLS.URL == "" {
		return nil
	}
	return tellWhen(proxied.Strip(s.Site.Wrap(s.Provider.MTLSHandler()), s.deps.Log))
}

func (s *Server) directory() error {
	hasher, err := password.NewHasher(s.config.Passwords)
	if err != nil {
		return err
	}
	rules, err := password.NewRules(s.config.MinPassword, s.config.Blocklists...)
	if err != nil {
		return err
	}
	names, err := totp.NewNames(s.config.Brand, s.config.Account, s.config.AccountUser)
	if err != nil {
		return err
	}
	s.Directory = &identity.Directory{Store: s.deps.Store, Hasher: hasher, Rules: rules, Sealer: s.deps.Master, Ephemeral: s.deps.Ephemeral,
		Throttle: &throttle.Throttle{Store: s.deps.Ephemeral}, Audit: s.deps.Store, Traces: s.deps.Store, Now: s.deps.Now, Names: names,
		Support: s.config.SupportPhone, Links: s.config.Issuer + identity.LinkPath, Services: []string{s.config.Brand}}
	return nil
}

// signIn makes the sign-in, and with it the card host's door where there is one.
func (s *Server) signIn(ctx context.Context, sessions *session.Sessions) (*login.Service, error) {
	signIn := &login.Service{Directory: s.Directory, Sessions: sessions, Ephemeral: s.deps.Ephemeral, Throttle: s.Directory.Throttle, Audit: s.deps.Store,
		Now: s.deps.Now, CardBack: func(tx string) string { return s.config.Issuer + "/signin/" + url.PathEscape(tx) + "/card" }}
	if s.config.CardHost == nil {
		return signIn, nil
	}
	if s.deps.Trust == nil {
		return nil, errors.New("server: a card host needs the CAs whose cards it accepts")
	}
	lists := s.deps.Lists
	if !s.config.RevocationWaived {
		s.Cards = s.cards(ctx)
		if lists == nil {
			lists = s.Cards.Lists
		}
	}
	s.Revocation = &revocation.Checker{Trust: s.deps.Trust, Cache: s.deps.Ephemeral, Lists: lists, Mode: s.config.Revocation, Log: s.deps.Log}
	if s.Cards != nil && s.config.Revocation != revocation.CRLOnly {
		s.Cards.responders = s.Revocation
	}
	checker := &card.Checker{Trust: s.deps.Trust, Revocation: s.Revocation, Waived: s.config.RevocationWaived, Strangers: s.deps.Store, Log: s.deps.Log}
	s.Door = &card.Door{Checker: checker, Attempts: login.Attempts{Service: signIn}, Host: *s.config.CardHost, Fallback: s.config.Issuer + "/signin/card/restart",
		OldTLSHost: s.config.CardOldTLSHost, AnyCAHost: s.config.CardAnyCAHost, NoOldTLS: s.config.CardNoOldTLS,
		MaxVersion: s.config.CardMaxTLS, Log: s.deps.Log, Now: s.deps.Now}
	signIn.CardPlace = s.Door.Place
	return signIn, nil
}

func origins(app string) []string {
	u, err := url.Parse(app)
	if err != nil || u.Host == "" {
		return nil
	}
	return []string{u.Scheme + "://" + u.Host}
}
