// Package api is the provider's JSON API: for the apps that work in a signed-in
// person's name, User Services now and the Console later, and for operators and
// their programs. Its wire types and client are pkg/portti; docs/openapi.json
// describes it.
//
//	api.go        API, its operations, what goes in and out
//	address.go    from where a call comes
//	me.go         the person's own account
//	order.go      a new password: ordered, asked for, and not by them
//	consents.go   what they have allowed third parties
//	operator.go   who is calling to do something for others, and by which right
//	audit.go      the audit trail, statistics      sentence.go  an event for people
//	staff.go      managed: operations of people with roles
//	people.go     people's accounts, for those who look after them
//	sheet.go      lists as CSV files      imports.go  people from one
//	desk.go       what the help desk does for callers      confirmations.go  a second person      approvals.go  cards that wait
//	clients.go    registrations of relying parties
//	organisations.go  employers and their policies
//	doctor.go     why their requests were refused
//	letters.go    letters that wait or were given up
//	trust.go      whose cards are accepted, CAs that were met and are not
//	keys.go       signing keys and their rotation
//	traces.go     how sign-ins went
//
// A caller shows an access token of a client that may use the API: for the
// person's own account with scope "us" (a full sign-in) or "us.enrol" (a password
// alone), for the rest with scope
// "clients" or "manage". There are no cookies here, so no
// other site can make a browser call it.
package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/templates"
)

// API serves /api/v1.
type API struct {
	Directory   *identity.Directory
	Login       *login.Service
	Sessions    *session.Sessions
	Tokens      Tokens
	Requests    Requests
	Consents    Consents
	Clients     *openid.Clients
	Registered  Registered
	Refusals    Refusals
	Letters     Letters
	CardTrust   CardTrust
	Keys        Keys
	Traces      *trace.Book                  // nil: nothing is kept of calls that were refused
	Reference   func(r *http.Request) string // the request's, as its answer gives it; nil: none
	Checkups    Checkups
	Previews    Previews
	Issuer      string                           // for the address that resumes a waiting sign-in
	Origins     []string                         // origins of the apps that may have a browser return from the card host
	MinPassword int                              // the least length of a new password, for pages to tell
	Support     string                           // the help desk's phone
	Texts       *templates.Texts                 // for events as sentences
	Address     func(r *http.Request) netip.Addr // where a call comes from; nil: unknown. See located
	Now         func() time.Time

	// Handle makes errors answers: web.Site.HandleJSON.
	Handle func(func(w http.ResponseWriter, r *http.Request) error) http.Handler
	// HandleLarge does so where a body may have up to n bytes: web.Site.HandleLargeJSON.
	HandleLarge func(n int64, f func(w http.ResponseWriter, r *http.Request) error) http.Handler
}

// Tokens looks access tokens up: openid.Provider.
type Tokens interface {
	// Caller returns the grant of the live access token that the request shows, a
	// person's or a client's own, if it is for us and the proof of its key is there;
	// or fault.Unauthenticated, with the challenge written into w's header.
	Caller(w http.ResponseWriter, r *http.Request) (openid.Grant, error)
}

// Requests tells about waiting sign-ins: openid.Provider.
type Requests interface {
	// Peek returns a waiting request without its browser's proof; for showing
	// whom it is for, never for completing it.
	Peek(ctx context.Context, id string) (openid.Request, error)
}

// Consents knows what people have allowed third parties: openid.Provider.
type Consents interface {
	Allowed(ctx context.Context, user string) ([]openid.Allowed, error)
	Disallow(ctx context.Context, s session.Session, client string) error
}

// Refusals explains requests, refused or not: openid.Provider.
type Refusals interface {
	Refusal(ctx context.Context, reference string) (openid.Refusal, error)
	Course(ctx context.Context, reference string) (openid.Course, error)
	Courses(ctx context.Context, client string) ([]openid.Course, error)
}

// Checkups looks at registrations for what will hurt: openid.Provider.
type Checkups interface {
	Checkup(ctx context.Context, c openid.Client) []openid.Finding
}

// Previews tells what clients would be told: openid.Provider.
type Previews interface {
	Preview(ctx context.Context, c openid.Client, g openid.Grant) (openid.Preview, error)
}

// Registered reads registrations: store.Store.
type Registered interface {
	Client(ctx context.Context, id string) (openid.Client, error)
	Clients(ctx context.Context) ([]openid.Client, error)
}

// Routes adds the API's routes.
func (a *API) Routes(mux *http.ServeMux) {
	for _, o := range a.operations() {
		serve := a.traced(o)
		if o.pattern == importPattern {
			mux.Handle(o.pattern, a.HandleLarge(mostImportBody, serve))
			continue
		}
		mux.Handle(o.pattern, a.Handle(serve))
	}
}

// operations is the whole API. docs/openapi.json is made of it.
func (a *API) operations() []operation {
	return slices.Concat(
		a.meOperations(), a.consentOperations(),
		a.staffOperations(), a.peopleOperations(), a.importOperations(), a.deskOperations(), a.confirmationOperations(), a.approvalOperations(), a.traceOperations(), a.auditOperations(),
		a.organisationOperations(), a.clientOperations(), a.doctorOperations(),
		a.letterOperations(), a.trustOperations(), a.keyOperations())
}

// operation is one method of one address. Its types are those that its handler
// takes and gives.
type operation struct {
	pattern, summary string
	scopes           []string       // one of which opens it
	right            identity.Right // what the caller's role must allow; "" for one's own account
	in, out          reflect.Type   // nothing: no body
	serve            web.HandlerFunc
}

// nothing is a body that is not there.
type nothing struct{}

// answer is what a handler gives beside the body of a success.
type answer[Out any] struct {
	Body   Out
	Status int    // 0: 200, or 204 where there is no body
	ETag   string // "" for none
	Made   string // path of what was made
}

// self is an operation of a person on her own account.
func self[In, Out any](a *API, pattern, summary string, f func(r *http.Request, self identity.Self, in In) (Out, error)) operation {
	return operation{pattern, summary, []string{scopeFull, scopeEnrol}, "", reflect.TypeFor[In](), reflect.TypeFor[Out](), func(w http.ResponseWriter, r *http.Request) error {
		who, r, err := a.self(w, r)
		if err != nil {
			return challenge(w, err)
		}
		in, err := body[In](r)
		if err != nil {
			return err
		}
		out, err := f(r, who, in)
		if err != nil {
			return err
		}
		return write(w, a.Issuer, answer[Out]{Body: out})
	}}
}

// operator is an operation on the installation, for people with the right and for
// operators' programs.
func operator[In, Out any](a *API, pattern string, right identity.Right, summary string, f func(r *http.Request, by caller, in In) (answer[Out], error)) operation {
	return operation{pattern, summary, []string{scopeClients}, right, reflect.TypeFor[In](), reflect.TypeFor[Out](), func(w http.ResponseWriter, r *http.Request) error {
		by, r, err := a.operator(w, r, right)
		if err != nil {
			return challenge(w, err)
		}
		if by.dryRun, r, err = asked(r); err != nil {
			return err
		}
		in, err := body[In](r)
		if err != nil {
			return err
		}
		out, err := f(r, by, in)
		if err != nil {
			return err
		}
		return write(w, a.Issuer, out)
	}}
}

// Scopes that open the API.
const (
	scopeFull    = "us"       // a person's own account, after a full sign-in
	scopeEnrol   = "us.enrol" // the same, after a password alone
	scopeClients = "clients"  // registrations of relying parties
	scopeManage  = "manage"   // everything else that people do for others, by the rights of their roles
)

var (
	errScope = fault.New(fault.Denied, "insufficient_scope", "The access token is not for this API.")
)

// challenge tells what the token lacks in the words of RFC 6750 §3.
func challenge(w http.ResponseWriter, err error) error {
	if fault.Code(err) == errScope.Code {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope"`)
	}
	return err
}

// self finds who is calling: the person behind the token, with what the sign-in
// proved. A device does not count: whoever was talked into letting one in must not
// have given the account away (RFC 8628 §5.4).
func (a *API) self(w http.ResponseWriter, r *http.Request) (identity.Self, *http.Request, error) {
	g, r, err := a.located(w, r)
	if err != nil {
		return identity.Self{}, nil, err
	}
	trace.In(r.Context(), "", g.Client)
	trace.About(r.Context(), g.User, true)
	full := g.Level == session.Full
	if g.User == "" || g.Kind != openid.GrantCode || full && !slices.Contains(g.Scopes, scopeFull) || !full && !slices.Contains(g.Scopes, scopeEnrol) {
		return identity.Self{}, nil, errScope
	}
	return identity.Self{User: identity.UserID(g.User), Session: g.Session, Full: full, Proved: proved[g.Method], AuthTime: g.AuthTime, Address: openid.AddressOf(r.Context())}, r, nil
}

var proved = map[session.Method]identity.Method{session.Card: identity.MethodCard, session.App: identity.MethodApp, session.Token: identity.MethodToken}

// read decodes a JSON body of known fields.
func read(r *http.Request, into any) error { return readUpTo(64<<10, r, into) }

func readUpTo(n int64, r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, n))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.New(fault.Invalid, "json_invalid", "The body is not the JSON that this address takes.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "json_invalid", "The body holds more than one JSON value.")
	}
	return nil
}

// body reads what an operation takes.
func body[In any](r *http.Request) (in In, err error) {
	switch into := any(&in).(type) {
	case *nothing:
	case *openid.Metadata:
		if *into, err = openid.ReadMetadata(r.Body); err != nil {
			err = openid.NamedAsMetadata(err)
		}
	case *portti.NewImport:
		err = readUpTo(mostImportBody, r, into)
	default:
		err = read(r, into)
	}
	return in, err
}

func write[Out any](w http.ResponseWriter, issuer string, a answer[Out]) error {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	if a.ETag != "" {
		h.Set("ETag", a.ETag)
	}
	if a.Made != "" {
		h.Set("Location", issuer+a.Made)
	}
	if _, ok := any(a.Body).(nothing); ok {
		w.WriteHeader(cmp.Or(a.Status, http.StatusNoContent))
		return nil
	}
	body, err := json.Marshal(a.Body)
	if err != nil {
		return err
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(cmp.Or(a.Status, http.StatusOK))
	_, err = w.Write(body)
	return err
}

// ours tells whether a return address is one of our apps'.
func (a *API) ours(back string) bool {
	u, err := url.Parse(back)
	return err == nil && u.User == nil && u.Fragment == "" && slices.Contains(a.Origins, u.Scheme+"://"+u.Host)
}
