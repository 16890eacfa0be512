package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/revocation"
	"github.com/portti-id/portti/internal/keys/pkcs11"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
	"github.com/portti-id/portti/internal/server/settings"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/web"
)

// serverConfig is what the settings are to the provider.
func serverConfig(s *settings.Settings, f *files) server.Config {
	c := server.Config{
		Issuer: s.Issuer.String(), Brand: s.Brand, SupportPhone: s.SupportPhone,
		Account: s.Authenticator.Account, AccountUser: s.Authenticator.ShowUsername,
		Footer:       web.Footer{Accessibility: s.Footer.Accessibility.String(), Privacy: s.Footer.Privacy.String(), Feedback: s.Footer.Feedback.String()},
		UserServices: server.UserServices{URL: s.UserServices.URL.String(), ClientID: s.UserServices.ClientID},
		ACRPrefix:    s.ACR.Prefix, ACRAliases: s.ACR.Names().Aliases, RequirePAR: s.RequirePushed, SelfRegistration: s.SelfRegistration(),
		Proxies: s.Listen.Proxies, Forwarded: s.Listen.ForwardedHeader,
		Passwords: s.Passwords.Params(), MinPassword: s.Passwords.MinLength, Blocklists: s.Passwords.Lists(),
		AccessTokens: s.Tokens.Access, DPoPNonces: s.Tokens.DPoPNonces, Keys: s.Keys.Options(),
		AuditFile: string(s.Audit.CheckpointFile), AuditRetention: s.Audit.Retention(),
		Outgoing: openid.Outgoing{AllowHosts: s.Notices.AllowHosts, AllowNetworks: s.Notices.AllowNetworks, RootCAs: f.noticeCAs, Timeout: s.Notices.Timeout},
	}
	if s.MTLS != nil {
		c.MTLS = openid.MTLS{URL: s.MTLS.URL.String(), ClientCAs: f.clientCAs}
	}
	if s.Card != nil {
		c.CardHost, c.CardOldTLSHost, c.CardAnyCAHost, c.CardNoOldTLS = &s.Card.URL, s.Card.TLS12URL, s.Card.AnyURL, s.Card.NoTLS12
		if c.RevocationWaived = s.Card.Revocation.Mode == settings.RevocationOff; !c.RevocationWaived {
			c.Revocation = revocation.Mode(s.Card.Revocation.Mode)
		}
		c.CardMaxTLS = map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}[s.Card.MaxTLS]
	}
	return c
}

// tokenConfig is the PKCS #11 token that the settings name.
func tokenConfig(t *settings.PKCS11, log *slog.Logger) pkcs11.Config {
	return pkcs11.Config{Module: string(t.Module), Token: t.Token, PIN: t.PINFile.Read, Sessions: t.Sessions, Log: log}
}

func storeConfig(s *settings.Settings) store.Config {
	d := s.Database
	return store.Config{Driver: d.Driver, Path: string(d.Path), DSN: d.DSN, MaxConns: d.MaxConns, NoMigrations: d.NoMigrations}
}

func newLog(c settings.Log, to io.Writer) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.Level}
	if c.Format == "text" {
		return slog.New(slog.NewTextHandler(to, options))
	}
	return slog.New(slog.NewJSONHandler(to, options))
}

// revocationWarnings are what is given up, and which cards nobody can answer for
// whatever their holders do.
func revocationWarnings(mode string, trust *card.Trust) []string {
	if mode == settings.RevocationOff {
		return []string{"card.revocation.mode: NOBODY IS ASKED whether a card was revoked: a lost or stolen card goes on signing in until it expires or its link is removed"}
	}
	var all []string
	if mode == string(revocation.Soft) {
		all = append(all, "card.revocation.mode: CARDS ARE LET IN WHEN NOBODY ANSWERS whether they were revoked: whoever can silence responders and lists lets lost and stolen cards in")
	}
	without := revocation.Unanswered(trust, revocation.Mode(mode))
	consequence := "IS REFUSED"
	if mode == string(revocation.Soft) {
		consequence = "IS LET IN UNASKED"
	}
	accepted := slices.DeleteFunc(trust.Sources(), func(s card.Source) bool { return s.Kind == "" || s.Kind == card.CitizenCard })
	switch { // of single CAs the bundle itself warns, as far as it knows without the mode
	case len(without) == 0:
	case len(without) == len(accepted):
		all = append(all, "card.trust: EVERY CARD "+consequence+" until lists are imported: trust.yaml names nobody who answers for the cards or for the CAs that issue them")
	case mode == string(revocation.CRLOnly):
		all = append(all, fmt.Sprintf("card.trust: every card of %s %s until a list is imported: trust.yaml has no crl for its CA or for one above", strings.Join(without, ", "), consequence))
	}
	return all
}

// warnings are what an operator should know about settings that are not wrong,
// and about the trust bundle. They are logged at every start.
func warnings(s *settings.Settings, f *files, now time.Time) []string {
	var all []string
	when := func(is bool, text string) {
		if is {
			all = append(all, text)
		}
	}
	when(!s.Issuer.Secure(), "issuer: it begins with http://, so only browsers of this machine can use the provider")
	if c := s.Card; c == nil {
		all = append(all, "card: there is no such section: nobody can sign in with a card")
	} else {
		all = append(all, revocationWarnings(c.Revocation.Mode, f.trust.Trust())...)
		when(c.Trust.AcceptTestCAs, "card.trust.accept_test_cas: cards of test CAs are accepted, which anybody may get")
		when(!c.URL.Wildcard(), "card.url: the name has no star: a person whose first try fails may have to restart the browser")
		when(!c.URL.Wildcard() && c.TLS12URL.IsZero() && !c.NoTLS12 && c.MaxTLS != "1.2", "card.tls12_url: it is missing: people whose card software cannot do TLS 1.3 have no other way; no_tls12 says that this is meant")
		when(c.Proxy != nil, "card.proxy: certificates come by a proxy's word: whoever can speak for it signs in with any card; nobody can say why a handshake broke")
		when(c.PlainHTTP(), "card.proxy.secret_file: the card host speaks plain http: secret and certificates cross the network to the proxy in clear")
		when(c.MaxTLS == "1.2", "card.max_tls: with TLS 1.2 certificates of cards cross the network in clear")
	}
	if f.trust != nil {
		for _, w := range f.trust.Trust().Warnings(now) {
			all = append(all, "card.trust: "+w.String())
		}
	}
	when(s.Redis == nil && s.Database.Driver == store.Postgres, "redis: there is no such section, so sign-ins and sessions live in this process: "+
		"run ONE replica only; with several, people are signed out at random and used codes could be used again")
	when(s.Redis == nil && s.Database.Driver == store.SQLite, "redis: there is no such section: a restart signs everybody out")
	when(s.SMTP == nil, "smtp: there is no such section: letters wait in the outbox")
	when(s.UserServices.URL.IsZero(), "user_services.url: it is missing: people cannot link a card or an authenticator")
	when(s.SupportPhone == "", "support_phone: it is missing: pages cannot tell people whom to call")
	return all
}
