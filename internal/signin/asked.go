package signin

import (
	"context"
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

// While somebody's ask for a new password waits to be confirmed, the person who
// signs in is told of it, and may cancel it (S59). The sign-in is over by then: it
// goes on to the service either way.

type askedPage struct {
	servicePage
	Cancel, Continue string
}

// askWaits tells whether the person of a session has something to cancel.
func (p *Pages) askWaits(ctx context.Context, s *session.Session) (bool, error) {
	if s == nil || s.Level != session.Full {
		return false, nil
	}
	waiting, err := p.Login.Directory.WaitingLinks(ctx, identity.UserID(s.User))
	return !waiting[identity.ToOrder].Expires.IsZero(), err
}

func (p *Pages) asked(w http.ResponseWriter, r *http.Request, in *waiting) error {
	waits, err := p.askWaits(r.Context(), in.session)
	if err != nil {
		return err
	}
	if !waits {
		return see(w, in.path())
	}
	page := &askedPage{servicePage: in.page(), Cancel: in.path("asked"), Continue: in.path()}
	page.Here = in.path("asked")
	return p.render(w, r, in, http.StatusOK, "signin/asked", page)
}

// cancelAsked cancels the ask. What was cancelled or confirmed meanwhile is not
// there any more, and the sign-in says what it came to.
func (p *Pages) cancelAsked(w http.ResponseWriter, r *http.Request, in *waiting) error {
	s := in.session
	if s == nil {
		return see(w, in.path())
	}
	_, err := p.Login.Here(r.Context(), s)
	if err == nil {
		err = p.Login.Directory.CancelOwnAsk(r.Context(), identity.Self{User: identity.UserID(s.User), Session: s.ID, Full: s.Level == session.Full, Address: in.demand.From.String()})
	}
	if refused, ok := fault.Of(err); err != nil && (!ok || refused.Kind == fault.Unavailable) {
		return err
	}
	return see(w, in.path())
}
