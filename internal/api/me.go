package api

import (
	"net/http"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

func (a *API) me(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	p, err := a.Directory.Store.Person(r.Context(), self.User)
	if err != nil {
		return nil, err
	}
	now := a.Now()
	me := portti.Me{
		Username: p.User.Username, Name: p.User.Name(), Language: p.User.Language, Full: self.Full, Support: a.Support,
		Organisation: portti.Organisation{Name: p.Organisation.Name, PersonalPhones: p.Organisation.PersonalPhones, ITContact: p.Organisation.ITContact},
		Password:     portti.Password{Changed: p.Password.Changed, Min: a.MinPassword},
		May: portti.May{
			Card:  fault.Code(identity.MayLink(p, self, identity.MethodCard, now)),
			App:   fault.Code(identity.MayLink(p, self, identity.MethodApp, now)),
			Token: fault.Code(identity.MayLink(p, self, identity.MethodToken, now)),
		},
	}
	for _, m := range p.Organisation.Methods.List() {
		me.Organisation.Methods = append(me.Organisation.Methods, portti.Method(m.String()))
	}
	if c := p.Card; c != nil {
		me.Card = &portti.LinkedCard{Holder: c.HolderName, Organisation: c.HolderOrg, Issuer: c.Issuer, Tail: card.Holder{Serial: c.Serial}.Tail(),
			NotAfter: c.NotAfter, Expired: !p.UsableCard(now), Linked: c.Linked}
	}
	if l := p.Authenticator; l != nil {
		me.App = &portti.Authenticator{Kind: portti.Method(l.Kind.String()), Linked: l.Linked, Permitted: p.Permits(l.Kind)}
	}
	me.Waiting, err = a.waiting(r, self, now)
	return me, err
}

// waiting finds the service whose sign-in waits for this person (S20).
func (a *API) waiting(r *http.Request, self identity.Self, now time.Time) (*portti.Waiting, error) {
	s, err := a.Sessions.ByID(r.Context(), self.Session)
	if fault.Is(err, fault.Unauthenticated) || err == nil && (s.Waiting == "" || !now.Before(s.WaitingUntil)) {
		return nil, nil
	}
	if err != nil {
		return nil, err
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

func (a *API) beginAuthenticator(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	if err := read(r, &struct{}{}); err != nil {
		return nil, err
	}
	e, err := a.Directory.BeginAuthenticator(r.Context(), self)
	if err != nil {
		return nil, err
	}
	return portti.Enrolment{Key: e.Base32, URI: e.URI, QR: e.PNG, Account: e.Issuer, Expires: e.Expires}, nil
}

func (a *API) confirmAuthenticator(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	var in portti.Confirmation
	if err := read(r, &in); err != nil {
		return nil, err
	}
	kind, err := identity.ParseMethod(string(in.Kind))
	if err != nil {
		return nil, fault.New(fault.Invalid, "kind_required", "Say whether it is an app or a token.").In("kind")
	}
	return nil, a.Directory.ConfirmAuthenticator(r.Context(), self, in.Code, identity.Statement{Kind: kind, OwnDevice: in.OwnDevice,
		WorkPhone: in.WorkPhone, PersonalPhone: in.PersonalPhone, Model: in.Model, Serial: in.Serial})
}

func (a *API) tryCode(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	_, err := a.Directory.TryCode(r.Context(), self, in.Code)
	return nil, err
}

func (a *API) beginCard(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	var in struct {
		Return string `json:"return"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	if !a.ours(in.Return) {
		return nil, fault.New(fault.Invalid, "return_invalid", "return: this is not an address of a registered app.").In("return")
	}
	u, err := a.Login.BeginLink(r.Context(), self, in.Return)
	if err != nil {
		return nil, err
	}
	return portti.CardAttempt{URL: u}, nil
}

func (a *API) seenCard(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	var in struct {
		Code string `json:"code"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	seen, err := a.Login.SeenCard(r.Context(), self, in.Code)
	if err != nil {
		return nil, err
	}
	h := seen.Holder
	return portti.SeenCard{Fingerprint: h.Fingerprint, Card: portti.LinkedCard{Holder: h.Name, Organisation: h.Organisation, Issuer: h.Issuer,
		Tail: h.Tail(), NotAfter: h.NotAfter}}, nil
}

func (a *API) linkCard(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	var in struct {
		Fingerprint string `json:"fingerprint"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return nil, a.Login.ConfirmLink(r.Context(), self, in.Fingerprint)
}

func (a *API) changePassword(_ http.ResponseWriter, r *http.Request, self identity.Self) (any, error) {
	var in struct {
		Current string `json:"current"`
		New     string `json:"new"`
	}
	if err := read(r, &in); err != nil {
		return nil, err
	}
	return nil, a.Directory.ChangePassword(r.Context(), self, in.Current, in.New)
}
