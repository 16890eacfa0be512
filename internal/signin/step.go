package signin

import (
	"math"
	"net/http"
	"strconv"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/trace"
	"github.com/portti-id/portti/internal/web"
)

// next is GET /signin/{tx}: where the sign-in stands. When somebody has signed in
// meanwhile, in another tab, the session is tried first; package openid decides
// whether it is enough.
func (p *Pages) next(w http.ResponseWriter, r *http.Request, in *waiting) error {
	f, err := p.Login.Start(r.Context(), in.demand, in.session)
	if err != nil {
		return err
	}
	if in.session == nil || ended(f) || !in.mine(f) || in.stale() {
		return p.show(w, r, in, f)
	}
	err = p.Provider.Complete(w, r, in.ID, *in.session)
	switch {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Gone):
		return p.restart(w, r)
	case fault.Code(err) == openid.ReasonConsent:
		return see(w, in.path("consent"))
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Unauthenticated):
		return p.show(w, r, in, f) // the session is not enough: the step asks for the rest
	}
	return err
}

// ended tells whether a session may start.
func ended(f login.Flow) bool { return f.Step == login.Done || f.Step == login.Enrol }

// mine tells whether the flow and the browser's session are of one person, as far
// as the flow knows a person. Otherwise somebody has proved another username
// here, and must not be taken for the one of the other tab.
func (in *waiting) mine(f login.Flow) bool {
	return f.User == "" || string(f.User) == in.session.User
}

// stale tells whether the request wants a proof of its own and the session is
// older than the request. Seconds, in which package openid compares, would let a
// session pass that began just before.
func (in *waiting) stale() bool { return in.Fresh && !in.session.Started.After(in.Created) }

// show is the page of a step, with what was wrong.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, wrong ...*fault.Fault) error {
	if told, ok := told[f.Problem]; ok && len(wrong) == 0 {
		trace.Note(r.Context(), trace.Shown, told.Code)
		return p.showStep(w, r, in, f, http.StatusOK, []*fault.Fault{told})
	}
	if err := p.contacts(r, f, wrong); err != nil {
		return err
	}
	noteShown(r, wrong)
	status := http.StatusOK
	if len(wrong) > 0 {
		status = web.Status(wrong[0])
		if after := wrong[0].RetryAfter; after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		}
	}
	return p.showStep(w, r, in, f, status, wrong)
}

func (p *Pages) showStep(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, status int, wrong []*fault.Fault) error {
	switch f.Step {
	case login.AskPassword:
		return p.showPassword(w, r, in, f, status, wrong)
	case login.AskCode, login.AskCodeFirst:
		return p.showCode(w, r, in, f, status, wrong)
	case login.ChangePassword, login.ChangeProved:
		return p.showChange(w, r, in, f, status, wrong)
	case login.UseCard:
		return p.showCard(w, r, in, f, status, wrong)
	case login.Done, login.Enrol:
		return see(w, in.path("finish"))
	}
	return see(w, in.path())
}

// contacts shows the contacts of the person's organisation where something went
// wrong after a right password or card (S71). Before that nobody knows who it is.
func (p *Pages) contacts(r *http.Request, f login.Flow, wrong []*fault.Fault) error {
	if len(wrong) == 0 || f.User == "" || f.Step == login.AskPassword {
		return nil
	}
	person, err := p.Login.Directory.Store.Person(r.Context(), f.User)
	if err != nil {
		return err
	}
	contact(r, person.Organisation)
	return nil
}

func contact(r *http.Request, o identity.Organisation) {
	web.Contact(r, web.Contacts{IT: o.ITContact, Responsible: o.ResponsibleContact, Phone: o.SupportPhone, Hours: o.SupportHours})
}

// told is what a flow's Problem says to the person.
var told = map[string]*fault.Fault{
	"too_many_codes":  fault.New(fault.Unauthenticated, "otp_too_many", "There were several wrong codes in a row. Sign in again."),
	"session_expired": fault.New(fault.Unauthenticated, "signin_over", "Something about the account changed during the sign-in. Sign in again."),
}

// answer ends a form: a redirect to the sign-in when it stands anywhere, and the
// page again, with what was wrong, when the form was refused.
func (p *Pages) answer(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, err error) error {
	if err == nil {
		return see(w, in.path())
	}
	wrong, ok := fault.Of(err)
	switch {
	case !ok, wrong.Kind == fault.Unavailable && wrong.Code != "busy":
		return err
	case wrong.Code == "signin_moved_on":
		return see(w, in.path()) // a double click, or an old page: show where it got to
	case f.Step == "":
		// It took too long: the request still waits, its sign-in begins again.
		if f, err = p.Login.Start(r.Context(), in.demand, in.session); err != nil {
			return err
		}
	}
	return p.show(w, r, in, f, wrong)
}

// required is a field that was left empty.
func required(field string) *fault.Fault {
	return fault.New(fault.Invalid, "required", "Fill in this field.").In(field)
}

// toStep is GET at the address of a form that only shows where the sign-in stands.
func (p *Pages) toStep(w http.ResponseWriter, r *http.Request) error {
	return see(w, signInPath(r.PathValue("tx")))
}

// back is GET at the address of a form: a reload, or an address that was typed.
func (p *Pages) back(w http.ResponseWriter, r *http.Request) error {
	switch r.PathValue("form") {
	case "password", "code", "change", "over", "cancel", "deny":
		return p.toStep(w, r)
	}
	return fault.New(fault.NotFound, "not_found", "There is no such page.")
}
