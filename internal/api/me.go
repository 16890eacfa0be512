package api

import (
	"net/http"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/pkg/portti"
)

// meOperations are those of a person on her own account.
func (a *API) meOperations() []operation {
	return []operation{
		self(a, "GET /api/v1/me", "The person's own account", a.me),
		self(a, "POST /api/v1/me/authenticator", "Make the key of an authenticator; a former one that was not confirmed is void", a.beginAuthenticator),
		self(a, "POST /api/v1/me/authenticator/confirm", "Link the authenticator by a code of it", a.confirmAuthenticator),
		self(a, "POST /api/v1/me/authenticator/trial", "Spend a code to see that the authenticator works", a.tryCode),
		self(a, "POST /api/v1/me/card/attempt", "Open the card host for linking a card", a.beginCard),
		self(a, "GET /api/v1/me/card/attempt", "How the newest card attempt of the session goes", a.cardProgress),
		self(a, "GET /api/v1/me/card/outcome", "What became of it, for a person who has come back without its result", a.cardOutcome),
		self(a, "POST /api/v1/me/card/seen", "Redeem the code that the browser came back with from the card host", a.seenCard),
		self(a, "POST /api/v1/me/card/link", "Link the card that was seen", a.linkCard),
		self(a, "POST /api/v1/me/password", "Set a new password; the person's other sessions end", a.changePassword),
		self(a, "POST /api/v1/me/order", "Order a new password because the card was replaced: the card link is removed, every session ends, a letter brings a temporary password", a.order),
		self(a, "POST /api/v1/me/order/cancel", "Cancel a new password that somebody has asked for: the link in the letter is dead", a.cancelAsk),
		self(a, "POST /api/v1/me/freeze", "Say of an Order of the last 24 hours that it was somebody else's: the account is frozen until user support has checked, every session ends", a.freeze),
	}
}

func (a *API) me(r *http.Request, self identity.Self, _ nothing) (portti.Me, error) {
	p, err := a.Directory.Store.Person(r.Context(), self.User)
	if err != nil {
		return portti.Me{}, err
	}
	now := a.Now()
	me := portti.Me{
		Username: p.User.Username, Name: p.User.Name(), Language: p.User.Language, Full: self.Full, Support: a.Support,
		Organisation: portti.Organisation{Name: p.Organisation.Name, PersonalPhones: p.Organisation.PersonalPhones, ITContact: p.Organisation.ITContact,
			ResponsibleContact: p.Organisation.ResponsibleContact, SupportPhone: p.Organisation.SupportPhone, SupportHours: p.Organisation.SupportHours},
		Password: portti.Password{Changed: p.Password.Changed, Min: a.MinPassword, OrderedHours: int(identity.OrderedPasswordLasts.Hours())},
		May: portti.May{
			Card:  fault.Code(identity.MayLink(p, self, identity.MethodCard, now)),
			App:   fault.Code(identity.MayLink(p, self, identity.MethodApp, now)),
			Token: fault.Code(identity.MayLink(p, self, identity.MethodToken, now)),
			Order: fault.Code(identity.MayOrder(p, self, now)),
		},
	}
	for _, m := range p.Organisation.Methods.List() {
		me.Organisation.Methods = append(me.Organisation.Methods, portti.Method(m.String()))
	}
	if c := p.Card; c != nil {
		me.Card = &portti.LinkedCard{Holder: c.HolderName, Organisation: c.HolderOrg, Issuer: c.Issuer, Tail: c.Tail(),
			NotAfter: c.NotAfter, Expired: !p.UsableCard(now), State: c.State(now), ExpiresSoon: c.ExpiresSoon(now), Linked: c.Linked, Used: c.Used}
	} else if me.Asked, err = a.asked(r, self, now); err != nil {
		return portti.Me{}, err
	}
	if l := p.Authenticator; l != nil {
		me.App = &portti.Authenticator{Kind: portti.Method(l.Kind.String()), Linked: l.Linked, Permitted: p.Permits(l.Kind), Fast: int(l.Drift)}
	}
	if me.NewPassword, err = a.newPassword(r, self); err != nil {
		return portti.Me{}, err
	}
	s, err := a.Sessions.ByID(r.Context(), self.Session)
	if err == nil {
		s, err = a.Sessions.Use(r.Context(), s, p.Organisation.Limits(s.Level))
	}
	if err != nil && !fault.Is(err, fault.Unauthenticated) {
		return portti.Me{}, err
	}
	me.Session.Idle = int(s.Idle)
	me.Waiting, err = a.waiting(r, s, now)
	return me, err
}

// asked finds the person's card that waits for an approval (S29).
func (a *API) asked(r *http.Request, self identity.Self, now time.Time) (*portti.AskedCard, error) {
	all, err := a.Directory.Store.CardApprovals(r.Context(), identity.ApprovalsOf{User: self.User}, now)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	c := all[0].Card
	return &portti.AskedCard{Holder: c.HolderName, Issuer: c.Issuer, Tail: c.Tail(), Asked: all[0].Asked, Expires: all[0].Expires}, nil
}

// waiting finds the service whose sign-in waits for the person of a session (S20).
func (a *API) waiting(r *http.Request, s session.Session, now time.Time) (*portti.Waiting, error) {
	if s.Waiting == "" || !now.Before(s.WaitingUntil) {
		return nil, nil
	}
	req, err := a.Requests.Peek(r.Context(), s.Waiting)
	if fault.Is(err, fault.NotFound) || err == nil && req.Done {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &portti.Waiting{Service: req.Client.Name, Resume: a.Issuer + "/signin/resume"}, nil
}

func (a *API) beginAuthenticator(r *http.Request, self identity.Self, _ struct{}) (portti.Enrolment, error) {
	e, err := a.Directory.BeginAuthenticator(r.Context(), self)
	if err != nil {
		return portti.Enrolment{}, err
	}
	return portti.Enrolment{Key: e.Base32, URI: e.URI, QR: e.PNG, Account: e.Issuer, Expires: e.Expires}, nil
}

func (a *API) confirmAuthenticator(r *http.Request, self identity.Self, in portti.Confirmation) (nothing, error) {
	kind, err := identity.ParseMethod(string(in.Kind))
	if err != nil {
		return nothing{}, fault.New(fault.Invalid, "kind_required", "Say whether it is an app or a token.").In("kind")
	}
	self.LinkingCode = in.LinkingCode
	return nothing{}, a.Directory.ConfirmAuthenticator(r.Context(), self, in.Code, identity.Statement{Kind: kind, OwnDevice: in.OwnDevice,
		WorkPhone: in.WorkPhone, PersonalPhone: in.PersonalPhone, Model: in.Model, Serial: in.Serial})
}

type oneCode struct {
	Code string `json:"code"`
}

func (a *API) tryCode(r *http.Request, self identity.Self, in oneCode) (nothing, error) {
	_, err := a.Directory.TryCode(r.Context(), self, in.Code)
	return nothing{}, err
}

type comeBack struct {
	Return string `json:"return"`
	Mode   string `json:"mode,omitempty"`
}

func (a *API) beginCard(r *http.Request, self identity.Self, in comeBack) (portti.CardAttempt, error) {
	if !a.ours(in.Return) {
		return portti.CardAttempt{}, fault.New(fault.Invalid, "return_invalid", "return: this is not an address of a registered app.").In("return")
	}
	u, err := a.Login.BeginLink(r.Context(), self, card.Mode(in.Mode), in.Return)
	return portti.CardAttempt{URL: u}, err
}

func (a *API) cardProgress(r *http.Request, self identity.Self, _ nothing) (portti.CardProgress, error) {
	if err := a.Login.Throttle.Attempt(r.Context(), throttle.Use{Limit: throttle.CardPollPerSignIn, Subject: "linking|" + self.Session}); err != nil {
		return portti.CardProgress{}, err
	}
	return a.progress(a.Login.LinkState(r.Context(), self, false))
}

func (a *API) cardOutcome(r *http.Request, self identity.Self, _ nothing) (portti.CardProgress, error) {
	return a.progress(a.Login.LinkState(r.Context(), self, true))
}

func (a *API) progress(s login.CardState, err error) (portti.CardProgress, error) {
	verdict := strings.TrimPrefix(s.Code, "card_")
	return portti.CardProgress{Phase: string(s.Phase), Verdict: verdict, Tail: s.Tail, Result: s.Result, Silent: s.Silent,
		TLS12: verdict == string(card.HandshakeBroken) && a.Login.Offers(card.OldTLS)}, err
}

func (a *API) seenCard(r *http.Request, self identity.Self, in oneCode) (portti.SeenCard, error) {
	seen, err := a.Login.SeenCard(r.Context(), self, in.Code)
	if err != nil {
		return portti.SeenCard{}, err
	}
	h := seen.Holder
	j, err := a.Directory.Judge(r.Context(), self, h)
	if err != nil {
		return portti.SeenCard{}, err
	}
	return portti.SeenCard{Fingerprint: h.Fingerprint, Match: string(j.Match), Waits: j.Waits, Card: portti.LinkedCard{Holder: h.Name, Organisation: h.Organisation, Issuer: h.Issuer,
		Kind: string(seen.Kind), Tail: h.Tail(), NotAfter: h.NotAfter}}, nil
}

type oneCard struct {
	Fingerprint string `json:"fingerprint"`
	LinkingCode string `json:"linking_code,omitempty"`
}

func (a *API) linkCard(r *http.Request, self identity.Self, in oneCard) (nothing, error) {
	self.LinkingCode = in.LinkingCode
	return nothing{}, a.Login.ConfirmLink(r.Context(), self, in.Fingerprint)
}

type newPassword struct {
	Current string `json:"current"`
	New     string `json:"new"`
}

func (a *API) changePassword(r *http.Request, self identity.Self, in newPassword) (nothing, error) {
	return nothing{}, a.Directory.ChangePassword(r.Context(), self, in.Current, in.New)
}
