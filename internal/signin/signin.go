// Package signin is the provider's pages: it shows the steps of package login,
// takes what people type, and hands finished sign-ins to package openid.
//
//	signin.go       Pages, Routes; waiting: the request that a page is for
//	step.go         which page comes next; what was wrong with what was sent
//	finish.go       the session's start, and where it leads: service, User Services, step-up
//	password.go     the first page: card, or username and password
//	code.go         the confirmation code
//	change.go       the forced change of a temporary password
//	card.go         to the card host and back; the page of a refused card
//	cardtest.go     the public card test
//	leave.go        another method, cancel
//	device.go       letting a device in
//	consent.go      what a third party's service may learn
//	resume.go       on with the request that waited while somebody enrolled (S20)
//	restart.go      a sign-in that cannot go on (S68)
//	order.go        asking for a new password; what a letter's link does (S50–S53)
//	asked.go        who signs in is told of an ask, and may cancel it (S59)
//	start.go        the issuer's own address
//	doctor.go       for operators: why a service's request was refused
//	logout.go       RP-initiated logout          oauth.go    what openid shows of itself
//	browser.go      the cookies
//	trace.go        what is kept of how it went; "why was I asked"
//
// No page knows the next one: every form ends in a redirect to /signin/{tx},
// which asks login where the sign-in stands.
//
//	/authorize ─303▶ /signin/TX ◀─303── POST /signin/TX/password, code, change, over
//	                    │  └─303▶ card host ─303▶ /signin/TX/card?code=…
//	                    ▼
//	              /signin/TX/finish ─303▶ the service, or User Services
package signin

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/templates"
)

// Pages serves the sign-in. Site, Login, Provider, Sessions and Account are
// required, and CardTests where there is a card host.
type Pages struct {
	Site      *web.Site
	Login     *login.Service
	Provider  Provider
	Sessions  *session.Sessions
	CardTests CardTests
	Traces    *trace.Book // nil: nothing is kept of why
	Unrevoked bool        // nobody is asked whether cards were revoked

	Account      string   // what the authenticator app calls the account; begins with the brand (S39)
	UserServices string   // where people link a way of signing in; "" when there is no such app
	CardHosts    []string // origins of the card host, a star in the first label included; none when there is no card host

	Log *slog.Logger // nil: slog.Default()
}

// Provider is what the pages see of the protocol: openid.Provider.
type Provider interface {
	// Request returns a request that waits in the browser of this binding secret.
	Request(ctx context.Context, id, browser string) (openid.Request, error)
	// Peek tells whom a waiting request is for, in any browser.
	Peek(ctx context.Context, id string) (openid.Request, error)
	// Complete answers the request with a session, or says why it is not enough.
	Complete(w http.ResponseWriter, r *http.Request, id string, s session.Session) error
	// Asks is what the person has to allow before Complete; Allow is their yes.
	Asks(w http.ResponseWriter, r *http.Request, id string, s session.Session) (*openid.Asks, error)
	Allow(w http.ResponseWriter, r *http.Request, id string, s session.Session, token string) error
	// Refuse answers the request with an error.
	Refuse(w http.ResponseWriter, r *http.Request, id string, e openid.Error) error
	// SignInFor leads to the sign-in that a page of ours takes, and back to it.
	SignInFor(w http.ResponseWriter, r *http.Request, in openid.Inside) error
	// VisitDevice, Device, AllowDevice and DenyDevice let a device in, or not.
	VisitDevice(w http.ResponseWriter, r *http.Request, typed string) (string, error)
	Device(w http.ResponseWriter, r *http.Request, id string, s *session.Session) (openid.Device, error)
	AllowDevice(w http.ResponseWriter, r *http.Request, id string, s session.Session, token string) error
	DenyDevice(w http.ResponseWriter, r *http.Request, id string, s *session.Session) error
	// EndSession ends a session by its public ID, with everything that stands on it.
	EndSession(ctx context.Context, sid, reason string) error
	// Operator tells whether the browser's session is an operator's; Refusal finds a
	// refused request.
	Operator(r *http.Request) error
	Refusal(ctx context.Context, reference string) (openid.Refusal, error)
	// Course tells how a request went.
	Course(ctx context.Context, reference string) (openid.Course, error)
	// ParseLogout and FinishLogout are RP-initiated logout.
	ParseLogout(r *http.Request) (openid.Logout, error)
	FinishLogout(ctx context.Context, l openid.Logout, s *session.Session) (openid.Farewell, error)
}

// Routes adds every page to the mux.
func (p *Pages) Routes(mux *http.ServeMux) { p.routes(mux) }

func (p *Pages) routes(mux interface{ Handle(string, http.Handler) }) {
	get := func(path string, f web.HandlerFunc) { mux.Handle("GET "+path, p.Site.Handle(f)) }
	post := func(path string, f func(w http.ResponseWriter, r *http.Request, in *waiting) error) {
		mux.Handle("POST "+path, p.needCookies(p.during(f)))
	}
	get("/{$}", p.start)
	get("/order", p.order)
	get("/order/{done}", p.orderDone)
	get(identity.LinkPath+"{secret}", p.traced(p.orderLink))
	get(identity.LinkPath+"{secret}/{form}", p.orderLinkBack)
	mux.Handle("POST /order", p.needCookies(p.ask))
	mux.Handle("POST /order/link/{secret}/confirm", p.needCookies(p.traced(p.orderConfirm)))
	mux.Handle("POST /order/link/{secret}/cancel", p.needCookies(p.traced(p.orderCancel)))
	mux.Handle("POST /order/link/{secret}/freeze", p.needCookies(p.traced(p.orderFreeze)))
	get(openid.DoctorPath, p.doctor)
	get(openid.DoctorPath+"/{reference}", p.doctor)
	get("/card-test", p.cardTest)
	get("/card-test/find", p.cardTestFind)
	get("/card-test/result", p.cardTestResult)
	get("/card-test/{code}", p.cardTested)
	mux.Handle("GET /card-test/state", p.Site.HandleJSON(p.cardTestState))
	mux.Handle("POST /card-test", p.needCookies(p.cardTestBegin))
	mux.Handle("POST /card-test/failed", p.needCookies(p.cardTestFailed))
	get("/signin/resume", p.resume)
	get("/signin/card/restart", p.traced(p.restart))
	get("/signin/{tx}", p.during(p.next))
	get("/signin/{tx}/finish", p.during(p.finish))
	get("/signin/{tx}/card", p.during(p.cardReturn))
	mux.Handle("GET /signin/{tx}/card/state", p.Site.HandleJSON(p.cardState))
	get("/signin/{tx}/card/failed", p.toStep)
	get("/signin/{tx}/consent", p.during(p.consent))
	get("/signin/{tx}/order", p.order)
	get("/signin/{tx}/order/{done}", p.orderDone)
	mux.Handle("POST /signin/{tx}/order", p.needCookies(p.ask))
	get("/signin/{tx}/asked", p.during(p.asked))
	post("/signin/{tx}/asked", p.cancelAsked)
	get("/signin/{tx}/{form}", p.back)
	post("/signin/{tx}/password", p.password)
	post("/signin/{tx}/code", p.code)
	post("/signin/{tx}/change", p.change)
	post("/signin/{tx}/card", p.cardStart)
	post("/signin/{tx}/card/failed", p.cardFailed)
	post("/signin/{tx}/over", p.over)
	post("/signin/{tx}/cancel", p.cancel)
	post("/signin/{tx}/consent", p.allow)
	post("/signin/{tx}/deny", p.deny)
	get("/device", p.device)
	get("/device/{visit}", p.traced(p.deviceVisit))
	get("/device/{visit}/{form}", p.deviceBack)
	mux.Handle("POST /device", p.needCookies(p.traced(p.deviceCode)))
	mux.Handle("POST /device/{visit}/signin", p.needCookies(p.traced(p.deviceSignIn)))
	mux.Handle("POST /device/{visit}/allow", p.needCookies(p.traced(p.deviceAllow)))
	mux.Handle("POST /device/{visit}/deny", p.needCookies(p.traced(p.deviceDeny)))
	mux.Handle("GET "+openid.EndSessionPath, p.Site.Handle(p.logout))
	mux.Handle("POST "+openid.EndSessionPath, p.Site.HandleCrossSite(p.logoutPosted))
	mux.Handle("POST "+logoutConfirmPath, p.needCookies(p.logoutConfirm))
}

// waiting is an authorization request of this browser that waits for a sign-in,
// with the session that the browser has already.
type waiting struct {
	openid.Request
	session *session.Session // nil when nobody is signed in
	demand  login.Demand
}

// during makes a handler of what happens in a waiting sign-in. Where nothing
// waits in this browser, it answers with the page that says how to start again.
func (p *Pages) during(f func(w http.ResponseWriter, r *http.Request, in *waiting) error) web.HandlerFunc {
	return p.traced(func(w http.ResponseWriter, r *http.Request) error {
		in, err := p.open(w, r)
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.Gone) {
			return p.restart(w, r)
		}
		if err != nil {
			return err
		}
		return f(w, r, in)
	})
}

func (p *Pages) open(w http.ResponseWriter, r *http.Request) (*waiting, error) {
	binding := p.Site.Browser(w, r)
	q, err := p.Provider.Request(r.Context(), r.PathValue("tx"), binding)
	if err != nil {
		return nil, err
	}
	p.Site.UseLocales(w, r, q.ID, q.Locales)
	s, err := p.current(r)
	if err != nil {
		return nil, err
	}
	return &waiting{Request: q, session: s, demand: login.Demand{
		TX: q.ID, Browser: boundTo(binding), Client: q.Client.ID, Hint: q.LoginHint,
		CardOnly: q.CardOnly, EnrolOK: q.EnrolOK, User: identity.UserID(q.User), From: p.Site.ClientAddr(r),
	}}, nil
}

// current is the browser's session, or nil.
func (p *Pages) current(r *http.Request) (*session.Session, error) {
	s, err := p.Sessions.Find(r.Context(), Browser{p.Site}.Session(r))
	if fault.Is(err, fault.Unauthenticated) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &s, nil
}

// path is the address of the sign-in, or of a form in it.
func (in *waiting) path(form ...string) string {
	return signInPath(in.ID, form...)
}

func signInPath(tx string, form ...string) string {
	return "/signin/" + url.PathEscape(tx) + strings.Join(append([]string{""}, form...), "/")
}

// servicePage is what the pages of a sign-in share.
type servicePage struct {
	web.Page
	service openid.Client
}

// Client is the service's name in the language of the page. It stands before
// web.Page's field, as the language is settled only when the page is rendered.
func (s *servicePage) Client() string { return nameOf(s.service, s.Lang) }

// Logo, Policy and Terms are the service's own, as registered; "" without.
func (s *servicePage) Logo() string   { return s.service.LogoURI }
func (s *servicePage) Policy() string { return s.service.PolicyURI }
func (s *servicePage) Terms() string  { return s.service.TermsURI }

// showLogo lets the page load the service's logo from its origin.
func (s *servicePage) showLogo(w http.ResponseWriter) {
	if s.service.LogoURI != "" {
		web.AllowImages(w, formOrigin(s.service.LogoURI))
	}
}

func nameOf(c openid.Client, lang string) string {
	name := c.Name[lang]
	for _, l := range templates.Languages {
		name = cmp.Or(name, c.Name[l])
	}
	return cmp.Or(name, c.ID)
}

// page starts a page of this sign-in. Its language links lead to the step, also
// where the page answers a form.
func (in *waiting) page() servicePage {
	return servicePage{Page: web.Page{Here: in.path()}, service: in.Client}
}

// render shows a page whose forms may lead out of the house: to the service, the
// card host, or User Services.
func (p *Pages) render(w http.ResponseWriter, r *http.Request, in *waiting, status int, name string, content web.Content) error {
	web.AllowFormAction(w, formOrigin(in.RedirectTo), formOrigin(in.Client.HomeURI), formOrigin(p.UserServices))
	web.AllowFormAction(w, p.CardHosts...)
	return p.Site.Render(w, r, status, name, content)
}

// formOrigin is the source for form-action of an address: its origin, or the
// scheme of a native app's own.
func formOrigin(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return ""
	case u.Host == "":
		return u.Scheme + ":"
	}
	return u.Scheme + "://" + u.Host
}

// see sends the browser on. 303: whatever was posted stays here (RFC 9700 §4.12).
func see(w http.ResponseWriter, to string) error {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

func (p *Pages) log() *slog.Logger { return cmp.Or(p.Log, slog.Default()) }
