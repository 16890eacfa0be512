package api

import (
	"context"
	"net/http"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// deskOperations are those of the help desk on people.
func (a *API) deskOperations() []operation {
	const people = " /api/v1/people/{user}"
	return []operation{
		managed(a, "GET"+people+"/case", identity.IdentityCheck, "What the help desk sees of a person's account", a.showCase),
		managed(a, "POST"+people+"/checks", identity.IdentityCheck, "Record how a person was recognised; acts on the person stand on it for 30 minutes", a.recordCheck),
		managed(a, "GET"+people+"/checks/{check}", identity.IdentityCheck, "A check of the caller's own that still holds", a.showCheck),
		managed(a, "POST"+people+"/order", identity.PasswordOrder, "Order a new password for a caller; it is in the answer, this once, where no letter carries it", a.orderFor),
		managed(a, "POST"+people+"/authenticator/remove", identity.AuthenticatorRemove, "Remove the link of an authenticator; sessions end, and linking asks for a code from then on", act(a.Directory.RemoveAuthenticator)),
		managed(a, "POST"+people+"/authenticator/unlock", identity.AuthenticatorUnlock, "Let codes and passwords be tried again after too many wrong ones", act(a.Directory.Unlock)),
		managed(a, "POST"+people+"/authenticator/resync", identity.AuthenticatorResync, "Learn a clock anew from two codes shown one after the other; both are spent", a.resync),
		managed(a, "POST"+people+"/linking-code", identity.LinkingCodeIssue, "Give the code that linking asks for after a removal; it is in the answer, this once", a.issueLinkingCode),
		managed(a, "POST"+people+"/sessions/end", identity.SessionsEnd, "End every session and token of a person", act(a.Directory.EndSessions)),
		managed(a, "POST"+people+"/unfreeze", identity.AccountUnfreeze, "Open an account that \"this was not me\" has frozen", act(a.Directory.Unfreeze)),
	}
}

// because reads why an act is done.
func because(w portti.Why) identity.Why {
	return identity.Why{Reason: w.Reason, Ticket: w.Ticket, Check: identity.CheckID(w.Check)}
}

func (a *API) showCase(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Case], error) {
	if _, err := only(r); err != nil {
		return answer[portti.Case]{}, err
	}
	c, err := a.Directory.Case(r.Context(), by, userOf(r))
	if err != nil {
		return answer[portti.Case]{}, err
	}
	now := a.Now()
	out := portti.Case{User: string(c.User.ID), Username: c.User.Username, Name: c.User.Name(), Organisation: portti.OrganisationName{ID: string(c.Organisation.ID), Name: c.Organisation.Name},
		Disabled: !c.Enabled(), Frozen: c.User.Frozen, Handover: a.Directory.HandedOver(c.Person), PasswordHours: int(identity.OrderedPasswordLasts.Hours()), Closed: c.User.LinkingClosed, May: fault.Code(by.On(identity.IdentityCheck, c.User))}
	for _, act := range c.Organisation.Seconds() {
		out.Seconds = append(out.Seconds, string(act))
	}
	if c.HasNumber(now) {
		out.Phone = c.User.Claims.Phone
	}
	if l := c.Card; l != nil {
		out.Card = &portti.LinkedCard{Holder: l.HolderName, Organisation: l.HolderOrg, Issuer: l.Issuer, Tail: l.Tail(), NotAfter: l.NotAfter,
			Expired: !c.UsableCard(now), State: l.State(now), ExpiresSoon: l.ExpiresSoon(now), Linked: l.Linked, Used: l.Used}
	}
	if l := c.Authenticator; l != nil {
		out.App = &portti.CaseAuthenticator{Model: l.Model, Serial: l.Serial, Failures: l.Failures,
			Authenticator: portti.Authenticator{Kind: portti.Method(l.Kind.String()), Linked: l.Linked, Permitted: c.Permits(l.Kind), Fast: int(l.Drift)}}
		if now.Before(l.BlockedUntil) {
			out.App.BlockedUntil = l.BlockedUntil
		}
	}
	if !c.Linking.Expires.IsZero() {
		out.LinkingCode = &portti.OpenLinkingCode{Issued: c.Linking.Issued, Expires: c.Linking.Expires}
	}
	return answer[portti.Case]{Body: out}, nil
}

func checkOf(c identity.Check) portti.Check {
	return portti.Check{ID: string(c.ID), Method: string(c.Method), Ticket: c.Ticket, Note: c.Note, At: c.At, Expires: c.Expires}
}

func (a *API) recordCheck(r *http.Request, by identity.Actor, in portti.NewCheck) (answer[portti.Check], error) {
	c, err := a.Directory.RecordCheck(r.Context(), by, userOf(r), identity.CheckMethod(in.Method), in.Ticket, in.Note)
	return answer[portti.Check]{Body: checkOf(c), Status: http.StatusCreated}, err
}

func (a *API) showCheck(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Check], error) {
	if _, err := only(r); err != nil {
		return answer[portti.Check]{}, err
	}
	c, err := a.Directory.OwnCheck(r.Context(), by, userOf(r), identity.CheckID(r.PathValue("check")))
	if err != nil {
		return answer[portti.Check]{}, err
	}
	out := checkOf(c)
	asked, err := a.Directory.OwnConfirmations(r.Context(), c)
	for _, f := range asked {
		one := askedConfirmation(f.Confirmation)
		one.Refuser = f.Refuser
		out.Confirmations = append(out.Confirmations, one)
	}
	return answer[portti.Check]{Body: out}, err
}

// act is an operation that does one thing to a person and has nothing to tell.
func act(do func(ctx context.Context, by identity.Actor, id identity.UserID, why identity.Why) error) func(r *http.Request, by identity.Actor, in portti.Why) (answer[nothing], error) {
	return func(r *http.Request, by identity.Actor, in portti.Why) (answer[nothing], error) {
		return answer[nothing]{}, do(r.Context(), by, userOf(r), because(in))
	}
}

func (a *API) orderFor(r *http.Request, by identity.Actor, in portti.Why) (answer[portti.Ordered], error) {
	pw, err := a.Directory.Order(r.Context(), by, userOf(r), because(in))
	if err != nil {
		return answer[portti.Ordered]{}, err
	}
	out := portti.Ordered{Password: pw, Expires: a.Now().Add(identity.OrderedPasswordLasts)}
	if p, err := a.Directory.Store.Person(r.Context(), userOf(r)); err == nil { // it is ordered, and must be told in any case
		out.Expires = p.Password.Expires
	}
	return answer[portti.Ordered]{Body: out}, nil
}

type twoCodes struct {
	portti.Why
	First  string `json:"first"`
	Second string `json:"second"`
}

func (a *API) resync(r *http.Request, by identity.Actor, in twoCodes) (answer[portti.Resynced], error) {
	fast, err := a.Directory.ResyncAuthenticator(r.Context(), by, userOf(r), in.First, in.Second, because(in.Why))
	return answer[portti.Resynced]{Body: portti.Resynced{Fast: int(fast)}}, err
}

type codeFor struct {
	portti.Why
	Minutes int `json:"minutes"`
}

func (a *API) issueLinkingCode(r *http.Request, by identity.Actor, in codeFor) (answer[portti.LinkingCode], error) {
	minutes := min(max(in.Minutes, 0), 100_000) // no overflow; the directory knows the bounds
	code, issued, err := a.Directory.IssueLinkingCode(r.Context(), by, userOf(r), time.Duration(minutes)*time.Minute, because(in.Why))
	return answer[portti.LinkingCode]{Body: portti.LinkingCode{Code: code, Expires: issued.Expires}}, err
}
