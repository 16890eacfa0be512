// Package console is the administration app: responsible users, the help desk,
// operators and auditors work in it (issue "Organisations, people and the help
// desk"; behaviour.md S60–S65).
//
// It is a relying party like any other, and demands a card, or a password and a
// code. It calls the provider's JSON API in the signed-in person's name and knows
// no database: what a person may do the API decides, and the pages hide what the
// role does not allow. What it shares with User Services, package app has.
//
//	console.go     Config, New, every route, every section of the navigation
//	visit.go       who is asking, and what their role allows
//	home.go        what there is for this person
//	list.go        pages of long lists       why.go     reason and ticket of an act
//	once.go        what is shown once
//	chart.go       charts without script
//	people.go      lists of people      person.go   one of them, and what is done to them
//	import.go      people from a file
//	organisations.go   employers and their policies      organisation_edit.go   what operators change of them
//	case.go        the help desk's workbench      approvals.go   cards that wait      confirmations.go   acts that do
//	audit.go       the audit trail, statistics
//	letters.go     letters that were given up      trust.go    whose cards are accepted      keys.go    signing keys
//	clients.go     relying parties: the list
//	client.go      one of them: doctor, secret, stop and start, test; refused requests
//	clientform.go  its registration, as a form and as a document
//	traces.go      how sign-ins went, by the reference that a caller reads out
//
// A list is asked for by GET with its filter in the query, and pages by "after". A
// dangerous act has a page of its own: GET says what will happen, POST does it.
package console

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
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
	homePath        = app.HomePath
	defaultClientID = "console"
	appName         = "con.title" // key of our own name
)

// Scopes are what the client asks for: registrations of relying parties, and
// everything else that people do for others, by the rights of their roles.
var Scopes = []string{"openid", "clients", "manage"}

// Config says where the app stands and who its provider is. URL, Issuer and
// Brand are required; the zero value of everything else works.
type Config struct {
	URL          string         // https://console.example.fi, as browsers see it
	Issuer       string         // https://id.example.fi
	ClientID     string         // "": console
	ClientSecret string         // "" for a public client
	ACRPrefix    string         // the provider's; "": urn:portti:acr:
	Brand        string         // shown in the header of every page
	SupportPhone string         // whom to ask
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
	app    *app.App
	site   *web.Site
	rp     *rp.RP
	api    *portti.Client
	issuer string // the provider's origin
	now    func() time.Time
}

// New makes the app. A provider that does not answer yet is no error.
func New(ctx context.Context, c Config) (*Pages, error) {
	a, err := app.New(ctx, app.Config{
		Name: appName, Folder: "console", URL: c.URL, Issuer: c.Issuer, ClientID: cmp.Or(c.ClientID, defaultClientID), ClientSecret: c.ClientSecret, Scopes: Scopes, Demand: true,
		ACRPrefix: c.ACRPrefix, Brand: c.Brand, SupportPhone: c.SupportPhone, Footer: c.Footer, Proxies: c.Proxies, Forwarded: c.Forwarded,
		Sessions: c.Sessions, HTTPClient: c.HTTPClient, Log: c.Log, Now: c.Now,
	})
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	return &Pages{app: a, site: a.Site, rp: a.RP, api: a.API, issuer: a.Origin, now: a.Now}, nil
}

// Handler serves everything: pages, static files and the probe.
func (p *Pages) Handler() http.Handler { return p.app.Handler(p.Routes) }

// section is a part of the Console: an entry of the navigation and a tile of the
// home page, for those who have the right.
type section struct {
	path  string // and all below it
	right string // "" for everybody
	name  string // key of what it is called
	about string // key of what one does there
}

// sections in the order in which they are shown.
var sections = []section{
	{homePath, "", "con.home", ""},
	{peoplePath, "people.see", "con.people", "con.people.about"},
	{organisationsPath, "organisations.see", "con.org", "con.org.about"},
	{approvalsPath, "card.approve", "con.desk.approvals", "con.desk.approvals.about"},
	{confirmationsPath, "identity.confirm", "con.second", "con.second.about"},
	{tracesPath, "trace.see", "con.trace.find", "con.trace.find.lead"},
	{clientsPath, "clients.see", "con.clients", "con.clients.about"},
	{refusalsPath, "refusals.see", "con.refusals", "con.refusals.about"},
	{statisticsPath, "statistics.see", "con.statistics", "con.statistics.about"},
	{auditPath, "audit.see", "con.audit", "con.audit.about"},
	{lettersPath, "letters.see", "con.letters", "con.letters.about"},
	{trustPath, "trust.see", "con.trust", "con.trust.about"},
	{keysPath, "keys.see", "con.keys", "con.keys.about"},
}

// Routes adds the pages. What answers a POST is there by GET at the same path,
// so that a language link or a new sign-in can lead back to it.
func (p *Pages) Routes(mux *http.ServeMux) {
	for pattern, h := range map[string]page{
		"GET /{$}":     p.home,
		"GET /session": p.stay,

		"GET /people":                        p.people,
		"GET /people.csv":                    p.peopleFile,
		"GET /people/new":                    p.newPerson,
		"POST /people/new":                   p.createPerson,
		"GET " + importFilePath:              p.importFile,
		"GET /imports/{import}":              p.showImport,
		"POST /imports/{import}":             p.applyImport,
		"GET /people/{user}":                 p.person,
		"GET /people/{user}/edit":            p.editPerson,
		"POST /people/{user}/edit":           p.changePerson,
		"GET /people/{user}/disable":         p.beforeAct("disable"),
		"POST /people/{user}/disable":        p.doAct("disable"),
		"GET /people/{user}/enable":          p.beforeAct("enable"),
		"POST /people/{user}/enable":         p.doAct("enable"),
		"GET /people/{user}/first-password":  p.beforeAct("first-password"),
		"POST /people/{user}/first-password": p.doAct("first-password"),
		"GET /people/{user}/roles":           p.personRoles,
		"POST /people/{user}/roles":          p.changeRoles,
		"GET /people/{user}/once/{ticket}":   p.issuedOnce,

		"GET /organisations":                                 p.organisations,
		"GET " + newOrganisationPath:                         p.newOrganisation,
		"POST " + newOrganisationPath:                        p.createOrganisation,
		"GET /organisations/{organisation}":                  p.organisation,
		"GET /organisations/{organisation}/edit":             p.editOrganisation,
		"POST /organisations/{organisation}/edit":            p.changeOrganisation,
		"GET /organisations/{organisation}/disable":          p.beforeTurn("disable"),
		"POST /organisations/{organisation}/disable":         p.turn("disable"),
		"GET /organisations/{organisation}/enable":           p.beforeTurn("enable"),
		"POST /organisations/{organisation}/enable":          p.turn("enable"),
		"GET /organisations/{organisation}/policy":           p.policy,
		"POST /organisations/{organisation}/policy":          p.changePolicy,
		"GET /organisations/{organisation}/policy/affected":  p.affected,
		"GET /organisations/{organisation}/policy/withdraw":  p.toOrganisation,
		"POST /organisations/{organisation}/policy/withdraw": p.withdrawPolicy,

		"GET /people/{user}/case":                       p.caseOf,
		"POST /people/{user}/case":                      p.recordCheck,
		"GET /people/{user}/case/{check}":               p.work,
		"GET /people/{user}/case/{check}/{act}":         p.beforeCaseAct,
		"POST /people/{user}/case/{check}/{act}":        p.doCaseAct,
		"GET /people/{user}/case/{check}/once/{ticket}": p.caseIssuedOnce,

		"GET /confirmations":                 p.confirmations,
		"GET /confirmations/{confirmation}":  p.confirmation,
		"POST /confirmations/{confirmation}": p.decideSecond,

		"GET /card-approvals":             p.approvals,
		"GET /card-approvals/{approval}":  p.approval,
		"POST /card-approvals/{approval}": p.decide,

		"GET /statistics":           p.statistics,
		"GET /audit":                p.audit,
		"GET /audit/file":           p.auditFile,
		"GET /people/{user}/events": p.events,
		"GET /letters":              p.letters,
		"POST /letters":             p.decideLetter,
		"GET /letters/discard":      p.discard,
		"POST /letters/discard":     p.discarded,
		"GET /trust":                p.trust,
		"POST /trust":               p.forgetIssuer,
		"GET /keys":                 p.keys,
		"GET /keys/change":          p.keyChange,
		"POST /keys/change":         p.keyChanged,

		"GET " + clientsPath:          p.clients,
		"GET " + newClientPath:        p.newClient,
		"POST " + newClientPath:       p.createClient,
		"GET /clients/{id}":           p.about("client"),
		"GET /clients/{id}/doctor":    p.examine,
		"GET /clients/{id}/requests":  p.courses,
		"GET /clients/{id}/edit":      p.editClient,
		"POST /clients/{id}/edit":     p.changeClient,
		"GET /clients/{id}/document":  p.document,
		"POST /clients/{id}/document": p.changeDocument,
		"GET /clients/{id}/secret":    p.askRotation,
		"POST /clients/{id}/secret":   p.rotate,
		"GET /clients/{id}/disable":   p.act("client_disable"),
		"POST /clients/{id}/disable":  p.disable,
		"GET /clients/{id}/enable":    p.act("client_enable"),
		"POST /clients/{id}/enable":   p.enable,
		"GET /clients/{id}/test":      p.try,
		"POST /clients/{id}/test":     p.beginTest,
		"GET " + refusalsPath:         p.refusal,
		"GET " + tracesPath:           p.traces,
		"GET /people/{user}/traces":   p.personTraces,

		"GET /clients/{id}/once/{ticket}": p.secretOnce,
	} {
		mux.Handle(pattern, p.signedIn(h))
	}
	mux.Handle("POST "+importFilePath, p.site.HandleUpload(mostUpload, p.met(p.checkImport)))
}
