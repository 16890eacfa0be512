package openid

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// pending is an authorization request that has been understood. While somebody
// signs in it waits in the ephemeral store under "request:"+ID.
type pending struct {
	ID        string    `json:"id"`
	Browser   string    `json:"browser"` // SHA-256 of the binding secret
	Client    string    `json:"client"`
	Target    target    `json:"target"`
	Scopes    []string  `json:"scopes"`
	Nonce     string    `json:"nonce,omitempty"`
	Challenge string    `json:"challenge,omitempty"` // PKCE, S256
	LoginHint string    `json:"login_hint,omitempty"`
	Locales   []string  `json:"locales,omitempty"`
	ACRValues []string  `json:"acr_values,omitempty"`
	ACRMust   []string  `json:"acr_must,omitempty"` // of an essential acr in claims, one of which must be reached
	ACRMay    []string  `json:"acr_may,omitempty"`  // of a voluntary one: words for the level, and no demand
	Silent    bool      `json:"silent,omitempty"`
	Again     bool      `json:"again,omitempty"`
	MaxAge    int64     `json:"max_age"` // seconds; -1: any age
	User      string    `json:"user,omitempty"`
	Claims    string    `json:"claims,omitempty"`    // the claims parameter, parsed and written again
	Resources []string  `json:"resources,omitempty"` // RFC 8707
	Consent   bool      `json:"consent,omitempty"`   // prompt=consent
	JKT       string    `json:"jkt,omitempty"`       // the DPoP key that the code is bound to (RFC 9449 §10)
	Pushed    string    `json:"pushed,omitempty"`    // of a pushed request: its request_uri's hash, burnt with the answer
	Inside    string    `json:"inside,omitempty"`    // the page of ours that wants a sign-in; Target is then empty
	Trail     string    `json:"trail,omitempty"`     // what its trace goes by where it is not ID: the device that waits
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires,omitzero"`
	Done      bool      `json:"done,omitempty"`

	Trace []trace.Entry `json:"trace,omitempty"` // what was decided when it came
}

func requestKey(id string) string { return "request:" + id }

var (
	errUnknownRequest = fault.New(fault.NotFound, "request_unknown", "The sign-in was started in another browser, or too long ago. Start again from the service.")
	errDoneRequest    = fault.New(fault.Gone, "request_done", "This sign-in is finished already. Go back to the service.")
)

const (
	// maxKept bounds a request as it is kept; whatever the authorization endpoint
	// takes fits, if it is not all quotes, and a pushed one may not be larger.
	maxKept = maxRequest + 4<<10
	// largeKept is what few requests need: long states, long lists of claims.
	largeKept = 4 << 10
)

// errTooLong names no parameter: it is the sum of them.
var errTooLong = Error{"invalid_request", "The request is too long."}

// encode is the request as it is kept; errTooLong.
func (q *pending) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // six bytes for one, of a stranger's choice
	if err := e.Encode(q); err != nil {
		return nil, fmt.Errorf("encode request: %w", err)
	}
	if b.Len() > maxKept {
		return nil, errTooLong
	}
	return b.Bytes(), nil
}

// keep stores the request for the sign-in pages, for this browser alone, if its
// address has not left too many already: fault.Throttled "too_many_requests".
func (p *Provider) keep(ctx context.Context, q *pending, browser string) error {
	q.ID, q.Browser, q.Expires = rand.Text(), digest(browser), q.Created.Add(p.RequestTTL)
	q.Trace = trace.All(ctx, nil)
	value, err := q.encode()
	if err != nil {
		return err
	}
	limits := []throttle.Limit{throttle.RequestsPerAddress}
	if len(value) > largeKept {
		limits = []throttle.Limit{throttle.LargeRequestsPerAddress, throttle.RequestsPerAddress}
	}
	if err := p.count(ctx, limits...); err != nil {
		return err
	}
	return p.Ephemeral.Put(ctx, requestKey(q.ID), value, p.RequestTTL)
}

// waiting loads an open request with its client. A request of another browser is
// not there: otherwise an attacker could begin a sign-in, send its address to a
// victim, and be signed in as the victim, or the other way round.
func (p *Provider) waiting(ctx context.Context, id, browser string) (q pending, raw []byte, c Client, err error) {
	raw, err = p.Ephemeral.Get(ctx, requestKey(id))
	if fault.Is(err, fault.NotFound) {
		return q, nil, c, errUnknownRequest
	}
	if err != nil {
		return q, nil, c, err
	}
	if err := json.Unmarshal(raw, &q); err != nil {
		return q, nil, c, fmt.Errorf("decode request: %w", err)
	}
	switch {
	case browser == "" || subtle.ConstantTimeCompare([]byte(q.Browser), []byte(digest(browser))) != 1:
		return pending{}, nil, c, errUnknownRequest
	}
	trace.In(ctx, cmp.Or(q.Trail, q.ID), q.Client)
	switch {
	case !p.Now().Before(q.Expires):
		return pending{}, nil, c, errUnknownRequest
	case q.Done:
		return pending{}, nil, c, errDoneRequest
	}
	c, err = p.client(ctx, q.Client)
	if fault.Is(err, fault.NotFound) {
		return pending{}, nil, c, errUnknownRequest
	}
	trace.Before(ctx, q.Trace)
	return q, raw, c, err
}

// Request returns a waiting request to the pages. browser is the secret of the
// browser's binding cookie. fault.NotFound "request_unknown" when it has expired
// or belongs to another browser; fault.Gone "request_done"; fault.Denied
// "client_disabled".
func (p *Provider) Request(ctx context.Context, id, browser string) (Request, error) {
	q, _, c, err := p.waiting(ctx, id, browser)
	if err != nil {
		return Request{}, err
	}
	d := p.demand(q, c, true)
	out := Request{
		ID:         q.ID,
		Client:     c,
		LoginHint:  q.LoginHint,
		Locales:    q.Locales,
		CardOnly:   d.Need == certificate || d.Methods == identity.Methods(identity.MethodCard),
		EnrolOK:    d.Enrol,
		Fresh:      q.Again || q.MaxAge >= 0,
		User:       q.User,
		RedirectTo: q.Target.origin(),
		Created:    q.Created,
		Expires:    q.Expires,
	}
	if d.Need != worthless {
		out.ACR = p.ACR.name(d.Need, nil)
	}
	return out, nil
}

// Complete answers a waiting request with a session that somebody has just
// opened in this browser. It looks at everything once more: the browser, the
// client, the person and what the employer permits. The faults of Request, and
//
//	fault.Unauthenticated  the session does not stand any more, or a fresh one is demanded
//	fault.Denied           step_up, enrol_only, password_temporary, method_not_permitted_by_employer, consent_required
//
// leave the request open, so that the pages can ask for more. Of two calls at
// once one answers the client, and the other gets fault.Gone.
func (p *Provider) Complete(w http.ResponseWriter, r *http.Request, id string, s session.Session) error {
	return p.complete(w, r, id, s, nil)
}

// complete is Complete, and Allow where consent is not nil.
func (p *Provider) complete(w http.ResponseWriter, r *http.Request, id string, s session.Session, consent *string) error {
	ctx := withAddress(r.Context(), address(p.ClientAddr(r)))
	q, raw, client, err := p.waiting(ctx, id, p.Binding(w, r))
	if err != nil {
		return err
	}
	person, err := p.personOf(ctx, &s)
	if err != nil {
		return err
	}
	// prompt=none never waits; a stored one would only make pages fail.
	q.Silent = false
	var agreed *Wish
	if consent != nil && client.ThirdParty {
		wish := p.wish(q, s)
		if *consent != wish.token(q.ID, s.User) {
			return errConsentChanged
		}
		agreed = &wish
	}
	trace.About(ctx, s.User, true)
	d, err := p.decide(ctx, p.demand(q, client, true), q, client, &s, person, agreed)
	if err == nil && d.Verdict != issueCode { // that it was enough, Issued says
		noteDecision(ctx, d)
	}
	switch {
	case err != nil:
		return err
	case d.Verdict == showSignIn:
		return notEnough(d.Reason)
	case agreed != nil && d.Verdict == issueCode:
		if err := p.saveConsent(ctx, s, client.ID, *agreed, p.consentLetter(person, client)); err != nil {
			return err
		}
	}
	if err := p.finish(ctx, q, raw); err != nil {
		return err
	}
	switch {
	case q.Inside != "":
		private(w)
		see(w, p.url(q.Inside))
	case d.Verdict == tellClient:
		p.answerError(w, r, q.Target, client.ID, d.Error)
	default:
		return p.issue(w, r, q, s)
	}
	return nil
}

// notEnough is a reason as the pages understand it.
func notEnough(reason string) error {
	switch reason {
	case ReasonNoSession, ReasonAgain, ReasonClosed:
		return fault.New(fault.Unauthenticated, reason, "Sign in to continue.")
	case ReasonByEmployer:
		return fault.New(fault.Denied, reason, "The employer does not permit this login method.")
	case ReasonEnrolOnly:
		return fault.New(fault.Denied, reason, "A password alone opens User Services only.")
	case ReasonConsent:
		return fault.New(fault.Denied, reason, "The service asks for something that has to be allowed first.")
	case ReasonTemporary:
		return fault.New(fault.Denied, reason, "Change the temporary password first.")
	}
	return fault.New(fault.Denied, reason, "The service demands another login method.")
}

// Refuse ends a waiting request with an error to the client: AccessDenied when
// the person cancels. The faults are those of Request.
func (p *Provider) Refuse(w http.ResponseWriter, r *http.Request, id string, e Error) error {
	q, raw, client, err := p.waiting(r.Context(), id, p.Binding(w, r))
	if err != nil {
		return err
	}
	if err := p.finish(r.Context(), q, raw); err != nil {
		return err
	}
	trace.Note(r.Context(), trace.Decided, "cancelled", "verdict", "refuse", "error", e.Code)
	if q.Inside != "" {
		private(w)
		see(w, p.url(q.Inside)) // it finds nobody signed in, and says so
		return nil
	}
	p.answerError(w, r, q.Target, client.ID, e)
	return nil
}

// finish moves the request from open to done, once, and a pushed one with it.
// What is left of it tells a late double click from a stranger.
func (p *Provider) finish(ctx context.Context, q pending, raw []byte) error {
	rest := pending{ID: q.ID, Browser: q.Browser, Client: q.Client, Trail: q.Trail, Created: q.Created, Expires: q.Expires, Done: true}
	value, err := json.Marshal(rest)
	if err != nil {
		return fmt.Errorf("encode request: %w", err)
	}
	err = p.Ephemeral.Replace(ctx, requestKey(q.ID), raw, value, q.Expires.Sub(p.Now()))
	switch {
	case fault.Is(err, fault.Conflict):
		return errDoneRequest
	case fault.Is(err, fault.NotFound):
		return errUnknownRequest
	case err != nil:
		return err
	}
	return p.burn(ctx, q)
}

// issue answers with a code.
func (p *Provider) issue(w http.ResponseWriter, r *http.Request, q pending, s session.Session) error {
	have := strengthOf(s)
	c := codeRecord{
		Client:      q.Client,
		RedirectURI: q.Target.URI,
		Challenge:   q.Challenge,
		Nonce:       q.Nonce,
		Claims:      q.Claims,
		Resources:   q.Resources,
		JKT:         q.JKT,
		Scopes:      p.granted(q, have),
		ACR:         p.ACR.name(have, slices.Concat(q.ACRMust, q.ACRValues, q.ACRMay)),
		AMR:         amrOf(have),
		Session:     s,
		Expires:     p.Now().UTC().Add(p.CodeTTL),
	}
	value, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("encode code: %w", err)
	}
	code := newSecret()
	if err := p.Ephemeral.Put(r.Context(), ephemeral.Key("code", code), value, p.CodeTTL); err != nil {
		return err
	}
	trace.Note(r.Context(), trace.Issued, "", "acr", levelOf(have), "amr", strings.Join(c.AMR, " "))
	p.answer(w, r, q.Target, url.Values{"code": {code}})
	return nil
}

// granted is what a sign-in of this strength gets of what was asked for: an
// enrol session the restricted scope alone, and everybody else all but it (S19).
func (p *Provider) granted(q pending, have strength) []string {
	if have == passwordOnly {
		return []string{"openid", p.EnrolScope}
	}
	return slices.DeleteFunc(slices.Clone(q.Scopes), func(s string) bool { return s == p.EnrolScope })
}
