package app

import (
	"net/http"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/pkg/rp"
)

// Meet finds the session of the request's browser, and the token for the API.
func (a *App) Meet(r *http.Request) (session *rp.Session, token string, err error) {
	if session, err = a.RP.Session(r); err != nil {
		return nil, "", ended(err)
	}
	if token, err = session.AccessToken(r.Context()); err != nil {
		return session, "", ended(err)
	}
	return session, token, nil
}

// Settle leads a person whom a refusal asks to prove themselves to the provider,
// and back to the page; session is nil of somebody who has none. What else than a
// new sign-in a refusal asks for, more knows: it sets the options of the sign-in
// and says true, and may be nil. Every other error is for the error page.
func (a *App) Settle(w http.ResponseWriter, r *http.Request, session *rp.Session, err error, more func(code string, o *rp.LoginOptions) bool) error {
	o := rp.LoginOptions{ReturnTo: back(r)}
	switch code := fault.Code(err); {
	case err == nil:
		return nil
	case code == "reauthentication_required":
		if a.SinceThen(session.AuthTime) < time.Minute {
			return err // they have just done so: the clocks disagree, and once more would not help
		}
		o.Prompt, o.ACRValues = "login", []string{a.Code}
	case more != nil && more(code, &o):
	case fault.Is(err, fault.Unauthenticated):
		if session != nil && a.SinceThen(session.Started) < justNow {
			return err // a sign-in that the API does not take: silently again would go in circles
		}
	default:
		return err
	}
	a.RP.Login(w, r, o)
	return nil
}

// justNow is less than anybody needs to sign in by hand.
const justNow = 3 * time.Second

// SinceThen is how long ago something was.
func (a *App) SinceThen(t time.Time) time.Duration { return a.Now().Sub(t) }

// back is where a person comes back to after signing in: this page, or after a
// POST the page with the form, which has the same path.
func back(r *http.Request) string {
	if r.Method == http.MethodPost {
		return r.URL.Path
	}
	return r.URL.RequestURI()
}

// Stay is what the page's script asks when the person wants to go on (S72): to
// have asked is to have used the session.
func Stay(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// See leads to another page of the app, or to an address of the provider's.
func See(w http.ResponseWriter, r *http.Request, address string) error {
	http.Redirect(w, r, address, http.StatusSeeOther)
	return nil
}
