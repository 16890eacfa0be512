package openid

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/session"
)

// Logout is an RP-initiated logout that has been understood (OpenID Connect
// RP-Initiated Logout 1.0 §2).
type Logout struct {
	Client      *Client // who asks, by the hint or by client_id; nil when nobody says
	User        string  // the hint's sub; "" without a hint
	Session     string  // the hint's sid
	RedirectURI string  // registered, and asked for by a client that is known; "" for our own page
	Locales     []string
	State       string

	// Params are the request's own, for a page that asks first and posts them back.
	Params url.Values

	from string // the browser's address, for the audit trail
}

// maxLogout bounds a logout request: an ID token and a few addresses.
const maxLogout = 16 << 10

var logoutParams = []string{"id_token_hint", "logout_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"}

// ParseLogout reads a request to the end session endpoint, GET or POST. Its
// faults, all fault.Invalid and for an error page, never for a redirect, are
// logout_request_invalid, logout_hint_invalid, logout_client_unknown and
// logout_redirect_unknown.
func (p *Provider) ParseLogout(r *http.Request) (Logout, error) {
	l, err := p.parseLogout(r)
	if f, ok := fault.Of(err); ok && f.Kind == fault.Invalid {
		p.remember(r, l.Client, Error{"invalid_request", f.Message}, f.Field)
	}
	return l, err
}

func (p *Provider) parseLogout(r *http.Request) (Logout, error) {
	r.Body = http.MaxBytesReader(nil, r.Body, maxLogout)
	if len(r.URL.RawQuery) > maxLogout {
		return Logout{}, errLogout
	}
	if err := r.ParseForm(); err != nil {
		return Logout{}, errLogout
	}
	l := Logout{Params: url.Values{}, from: address(p.ClientAddr(r))}
	for _, name := range logoutParams {
		switch values := r.Form[name]; {
		case len(values) > 1 || len(values) == 1 && !readable(values[0]):
			return Logout{}, errLogout
		case len(values) == 1 && values[0] != "":
			l.Params.Set(name, values[0])
		}
	}
	ctx := r.Context()
	l.State, l.Locales = l.Params.Get("state"), fields(l.Params.Get("ui_locales"), 10)
	asking := l.Params.Get("client_id")
	if raw := l.Params.Get("id_token_hint"); raw != "" {
		hint, err := p.hint(ctx, raw)
		if unavailable(err) {
			return Logout{}, err
		}
		if err != nil || asking != "" && asking != hint.Client {
			return Logout{}, errLogoutHint.In("id_token_hint")
		}
		l.User, l.Session, asking = hint.User, hint.Session, hint.Client
	}
	if asking != "" {
		c, err := p.client(ctx, asking)
		switch {
		case fault.Is(err, fault.NotFound), fault.Is(err, fault.Denied):
			return Logout{}, errLogoutClient.In("client_id")
		case err != nil:
			return Logout{}, err
		}
		l.Client = &c
	}
	if uri := l.Params.Get("post_logout_redirect_uri"); uri != "" {
		if l.Client == nil || !slices.Contains(l.Client.PostLogoutRedirectURIs, uri) {
			return Logout{Client: l.Client}, errLogoutRedirect.In("post_logout_redirect_uri")
		}
		l.RedirectURI = uri
	}
	return l, nil
}

var (
	errLogout         = fault.New(fault.Invalid, "logout_request_invalid", "The logout request cannot be read.")
	errLogoutHint     = fault.New(fault.Invalid, "logout_hint_invalid", "The id_token_hint is not an ID token that this provider gave to this client.")
	errLogoutClient   = fault.New(fault.Invalid, "logout_client_unknown", "The client that asks for the logout is not registered.")
	errLogoutRedirect = fault.New(fault.Invalid, "logout_redirect_unknown", "The post_logout_redirect_uri is not registered for the client that asks.")
)

// MustAsk tells whether the person has to confirm: without an ID token of this
// very session, any page on the web could sign people out. s is the browser's
// session, nil when it has none.
func (l Logout) MustAsk(s *session.Session) bool {
	switch {
	case l.User == "":
		return s != nil || l.RedirectURI != "" // nothing to end and nowhere to go needs no question
	case s == nil:
		return false // a lost cookie; the token is the client's proof
	}
	return l.User != s.User || l.Session != "" && l.Session != s.ID
}

// FinishLogout ends the browser's session and the one that the hint names, and
// says how the browser goes on. The caller has asked where MustAsk says so.
func (p *Provider) FinishLogout(ctx context.Context, l Logout, s *session.Session) (Farewell, error) {
	ctx = withAddress(ctx, l.from)
	var bye Farewell
	var err error
	if s != nil {
		if bye.Frames, err = p.frames(ctx, s.ID); err != nil {
			return Farewell{}, err
		}
		if err := p.endSession(ctx, *s, "logout"); err != nil {
			return Farewell{}, err
		}
	}
	if l.Session != "" && (s == nil || s.ID != l.Session) {
		more, err := p.frames(ctx, l.Session)
		if err != nil {
			return Farewell{}, err
		}
		bye.Frames = append(bye.Frames, more...)
		if err := p.EndSession(ctx, l.Session, "logout"); err != nil {
			return Farewell{}, err
		}
	}
	switch {
	case l.RedirectURI != "" && l.State != "":
		bye.Next = withQuery(l.RedirectURI, url.Values{"state": {l.State}})
	default:
		bye.Next = l.RedirectURI
	}
	return bye, nil
}

// EndSession ends a session by its sid: its grants are revoked, its clients are
// told, and the browser's cookie opens nothing any more. reason is a stable
// code for the audit trail. A session that is over already is no error.
func (p *Provider) EndSession(ctx context.Context, sid, reason string) error {
	s, err := p.Sessions.ByID(ctx, sid)
	if fault.Is(err, fault.Unauthenticated) {
		s = session.Session{ID: sid}
	} else if err != nil {
		return err
	}
	return p.endSession(ctx, s, reason)
}

// endSession does what must last first: if it fails the session goes on, the
// person sees an error and tries again.
func (p *Provider) endSession(ctx context.Context, s session.Session, reason string) error {
	now := p.Now().UTC()
	e := audit.Event{At: now, Type: audit.SignedOut, Actor: "system", User: s.User, Organisation: s.Organisation,
		Session: s.ID, Method: string(s.Method), Reason: reason, Address: addressOf(ctx)}
	if s.User != "" {
		e.Actor = "user:" + s.User
	}
	if err := p.Store.EndSession(ctx, s.ID, now, e); err != nil {
		return err
	}
	p.backchannel.kick()
	return p.Sessions.End(ctx, s.ID)
}

// hint is what an id_token_hint says.
type hint struct{ User, Session, Client string }

// hint verifies an ID token of ours, for a client of ours. An expired one will
// do: it says who was here, not who is (OpenID Connect Core §3.1.2.1, RP-Initiated
// Logout 1.0 §4). The ring holds the token to its typ, so that none of our other
// tokens passes for one (RFC 8725 §3.11).
func (p *Provider) hint(ctx context.Context, raw string) (hint, error) {
	payload, _, err := p.Keys.Verify(raw, "JWT", keys.Algorithms...)
	if err != nil {
		return hint{}, errNoHint
	}
	var c idToken
	if err := json.Unmarshal(payload, &c); err != nil || c.Issuer != p.Issuer || c.Subject == "" || c.Audience == "" {
		return hint{}, errNoHint
	}
	client, err := p.clients.get(ctx, c.Audience) // a disabled one's person can still be named
	switch {
	case unavailable(err):
		return hint{}, err
	case err != nil:
		return hint{}, errNoHint
	}
	user, ok := p.userOf(client, c.Subject)
	if !ok {
		return hint{}, errNoHint
	}
	return hint{User: user, Session: c.Session, Client: c.Audience}, nil
}

var errNoHint = errors.New("not an ID token of this provider")
