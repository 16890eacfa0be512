package openid

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/session"
)

// Wish is what a third-party client needs a person's consent for.
type Wish struct {
	Scopes []string // as asked
	Claims []string // asked for by name, beyond what the scopes give; sorted
}

// wishOf is what scopes and a claims parameter come to. Claims about the sign-in
// are no secrets of a person and in every ID token.
func wishOf(scopes []string, claims string) Wish {
	w := Wish{Scopes: scopes}
	asked := askedClaims(Grant{Claims: claims})
	for _, c := range personClaims {
		if !slices.Contains(scopes, c.scope) && (asks(asked.Userinfo, c.name) || asks(asked.IDToken, c.name)) {
			w.Claims = append(w.Claims, c.name)
		}
	}
	slices.Sort(w.Claims)
	return w
}

// within tells whether a consent that was given covers the wish.
func (w Wish) within(given Wish) bool {
	return !slices.ContainsFunc(w.Scopes, func(s string) bool { return !slices.Contains(given.Scopes, s) }) &&
		!slices.ContainsFunc(w.Claims, func(c string) bool { return !given.gives(c) })
}

func (w Wish) gives(claim string) bool {
	return slices.Contains(w.Claims, claim) ||
		slices.ContainsFunc(personClaims, func(c personClaim) bool { return c.name == claim && slices.Contains(w.Scopes, c.scope) })
}

// with is the wish and another one's.
func (w Wish) with(o Wish) Wish {
	sum := Wish{Scopes: slices.Concat(w.Scopes, o.Scopes), Claims: slices.Concat(w.Claims, o.Claims)}
	slices.Sort(sum.Scopes)
	slices.Sort(sum.Claims)
	return Wish{Scopes: slices.Compact(sum.Scopes), Claims: slices.Compact(sum.Claims)}
}

// token stands for the wish as one person was shown it for one request. It goes
// with the form, so that nobody consents to what somebody else was shown: another
// tab may have signed another person in meanwhile. It is no secret.
func (w Wish) token(request, user string) string {
	return digest(strings.Join([]string{"consent", request, user, strings.Join(w.Scopes, " "), strings.Join(w.Claims, " ")}, "\x00"))
}

// decide says whether a session answers a request, with what the person has
// allowed the client. agreed is the consent that comes with this very call, nil
// without one.
func (p *Provider) decide(ctx context.Context, d demand, q pending, client Client, s *session.Session, person identity.Person, agreed *Wish) (decision, error) {
	if client.ThirdParty && q.Inside == "" && s != nil {
		d.Wants, d.Anew = p.wish(q, *s), q.Consent
		if agreed != nil {
			d.Given, d.Anew = *agreed, false
		} else if given, err := p.given(ctx, s.User, client.ID); err != nil {
			return decision{}, err
		} else {
			d.Given = given
		}
	}
	return decide(d, s, person, p.Now()), nil
}

// wish is what a request of a third-party client comes to for a session.
func (p *Provider) wish(q pending, s session.Session) Wish {
	return wishOf(p.granted(q, strengthOf(s)), q.Claims)
}

// given is what a person has allowed a client, nothing mostly.
func (p *Provider) given(ctx context.Context, user, client string) (Wish, error) {
	c, err := p.Store.Consent(ctx, user, client)
	if fault.Is(err, fault.NotFound) {
		return Wish{}, nil
	}
	return Wish{Scopes: c.Scopes, Claims: c.Claims}, err
}

// Asks is what the page asks a person to allow.
type Asks struct {
	Wish
	Token string // goes with the form, to Allow
}

// Asks tells what a waiting request needs this session's person to allow. The
// faults are those of Complete; nil when nothing is missing.
func (p *Provider) Asks(w http.ResponseWriter, r *http.Request, id string, s session.Session) (*Asks, error) {
	ctx := r.Context()
	q, _, client, err := p.waiting(ctx, id, p.Binding(w, r))
	if err != nil {
		return nil, err
	}
	person, err := p.personOf(ctx, &s)
	if err != nil {
		return nil, err
	}
	q.Silent = false
	d, err := p.decide(ctx, p.demand(q, client, true), q, client, &s, person, nil)
	switch {
	case err != nil:
		return nil, err
	case d.Verdict != showSignIn:
		return nil, nil
	case d.Reason != ReasonConsent:
		return nil, notEnough(d.Reason)
	}
	wish := p.wish(q, s)
	return &Asks{Wish: wish, Token: wish.token(q.ID, s.User)}, nil
}

// Allow is the person's consent to a waiting request, and then Complete. token is
// what Asks gave for the page; fault.Conflict "consent_changed" when it was given
// to somebody else, or for something else.
func (p *Provider) Allow(w http.ResponseWriter, r *http.Request, id string, s session.Session, token string) error {
	return p.complete(w, r, id, s, &token)
}

var errConsentChanged = fault.New(fault.Conflict, "consent_changed", "Something changed meanwhile. Look at the question once more.")

// saveConsent remembers what a person allows a client, beside what they allowed it
// before. Where that is more, the letters tell of it.
func (p *Provider) saveConsent(ctx context.Context, s session.Session, client string, w Wish, letters []mail.Letter) error {
	before, err := p.given(ctx, s.User, client)
	if err != nil {
		return err
	}
	if w.within(before) {
		letters = nil
	}
	now, all := p.Now().UTC(), before.with(w)
	return p.Store.SaveConsent(ctx, Consent{User: s.User, Client: client, Scopes: all.Scopes, Claims: all.Claims, Created: now, Updated: now},
		p.consentEvent(ctx, audit.ConsentGiven, s, client, w), letters...)
}

func (p *Provider) consentEvent(ctx context.Context, t audit.Type, s session.Session, client string, w Wish) audit.Event {
	e := audit.Event{At: p.Now().UTC(), Type: t, Actor: "user:" + s.User, User: s.User, Organisation: s.Organisation, Client: client, Session: s.ID,
		Method: string(s.Method), Address: addressOf(ctx), Details: map[string]string{"scopes": strings.Join(w.Scopes, " ")}}
	if len(w.Claims) > 0 {
		e.Details["claims"] = strings.Join(w.Claims, " ")
	}
	return e
}

// stillAllowed tells whether a person's consent covers a grant.
func (p *Provider) stillAllowed(ctx context.Context, client Client, g Grant) (bool, error) {
	if !client.ThirdParty {
		return true, nil
	}
	given, err := p.given(ctx, g.User, client.ID)
	return err == nil && wishOf(g.Scopes, g.Claims).within(given), err
}

// Allowed is a client with what a person has allowed it.
type Allowed struct {
	Client Client
	Consent
}

// Allowed lists what a person has allowed, by client. Clients that are gone are
// left out: nothing can be got with that consent.
func (p *Provider) Allowed(ctx context.Context, user string) ([]Allowed, error) {
	consents, err := p.Store.Consents(ctx, user)
	if err != nil {
		return nil, err
	}
	var all []Allowed
	for _, c := range consents {
		client, err := p.clients.get(ctx, c.Client) // disabled ones too: they may come back
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, Allowed{Client: client, Consent: c})
	}
	return all, nil
}

// Disallow takes a person's consent back, with every token that the client has of
// this person. s is the session that says so, of which ID, User and Organisation are
// looked at. fault.NotFound "consent_not_found".
func (p *Provider) Disallow(ctx context.Context, s session.Session, client string) error {
	given, err := p.Store.Consent(ctx, s.User, client)
	if err != nil {
		return err
	}
	return p.Store.RevokeConsent(ctx, s.User, client, p.Now().UTC(), p.consentEvent(ctx, audit.ConsentRevoked, s, client, Wish{given.Scopes, given.Claims}))
}
