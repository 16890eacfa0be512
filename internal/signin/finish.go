package signin

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// finish starts the session that was earned and answers the service with it.
// Whoever has proved too little for this service is led on: to User Services, to
// link a way of signing in (S18, S30), or to the card, where only that will do.
func (p *Pages) finish(w http.ResponseWriter, r *http.Request, in *waiting) error {
	end, err := p.Login.Finish(r.Context(), in.demand, in.session)
	if refused, ok := fault.Of(err); ok && refused.Kind != fault.Unavailable {
		return p.notFinished(w, r, in, refused)
	}
	if err != nil {
		return err
	}
	p.signedIn(w, end.Secret, end.Session)
	in.session = &end.Session
	if end.Former != nil {
		// Somebody else was signed in here. The cookie is given first: a failure
		// must not leave this person in the other's session.
		if err := p.Provider.EndSession(r.Context(), end.Former.ID, "other_user_signed_in"); err != nil {
			return err
		}
	}
	switch {
	case end.Session.Level == session.Enrol && !in.EnrolOK:
		if p.UserServices == "" {
			return p.again(w, r, in, errNoUserServices)
		}
		return p.toUserServices(w, r)
	case end.More:
		return see(w, in.path())
	}
	waits, err := p.askWaits(r.Context(), &end.Session)
	if err != nil {
		return err
	}
	if waits {
		return see(w, in.path("asked"))
	}
	err = p.Provider.Complete(w, r, in.ID, end.Session)
	switch refused, _ := fault.Of(err); {
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.Gone):
		return p.restart(w, r)
	case fault.Code(err) == openid.ReasonConsent:
		return see(w, in.path("consent"))
	case fault.Is(err, fault.Denied), fault.Is(err, fault.Unauthenticated):
		return p.again(w, r, in, refused)
	}
	return err
}

// notFinished is a sign-in that has not come so far, or no session for it: another
// tab was first, the account changed under it, the employer forbade the method.
func (p *Pages) notFinished(w http.ResponseWriter, r *http.Request, in *waiting, refused *fault.Fault) error {
	switch refused.Code {
	case "signin_moved_on", "signin_expired":
		return see(w, in.path())
	case "session_expired":
		refused = told["session_expired"]
	}
	if _, err := p.Login.StartOver(r.Context(), in.demand); err != nil {
		return err
	}
	return p.again(w, r, in, refused)
}

// toUserServices leads to User Services, which go on in the language of the pages
// here: a choice is in a cookie of this host, which they do not see.
func (p *Pages) toUserServices(w http.ResponseWriter, r *http.Request) error {
	u, err := url.Parse(p.UserServices)
	if err != nil {
		return fmt.Errorf("address of User Services: %w", err)
	}
	q := u.Query()
	q.Set("lang", p.Site.Language(r))
	u.Path, u.RawQuery = cmp.Or(u.Path, "/"), q.Encode()
	return see(w, u.String())
}

// again shows the sign-in from where it can go on, and says why.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, in *waiting, why *fault.Fault) error {
	f, err := p.Login.Start(r.Context(), in.demand, in.session)
	if err != nil {
		return err
	}
	return p.show(w, r, in, f, why)
}

var errNoUserServices = fault.New(fault.Denied, "enrol_unavailable", "No way of signing in is linked to the username, and there are no User Services to link one in.")
