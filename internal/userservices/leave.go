package userservices

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/pkg/rp"
)

// signedOut tells to take the card along (S72). The browser forgets what it
// kept of our pages; not the cookies, which Clear-Site-Data would take from
// neighbouring hosts as well.
func (p *Pages) signedOut(w http.ResponseWriter, r *http.Request) error {
	_, err := p.rp.Session(r)
	if err == nil {
		return see(w, r, homePath) // a link led here: nobody signed out
	}
	if !errors.Is(err, rp.ErrNoSession) {
		return ended(err)
	}
	p.site.ClearCookie(w, statementCookie)
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return p.show(w, r, http.StatusOK, "signed_out", &plainPage{})
}

// signInFailed is the page for a sign-in or logout that came to nothing.
func (p *Pages) signInFailed(w http.ResponseWriter, r *http.Request, e *rp.Error) {
	p.site.HandleCrossSite(func(http.ResponseWriter, *http.Request) error { return failed(e) }).ServeHTTP(w, r)
}

func failed(e *rp.Error) error {
	switch e.Code {
	case rp.AccessDenied:
		return fault.New(fault.Denied, "signin_cancelled", "The sign-in was cancelled.")
	case rp.UnmetRequirements:
		return errFull
	case rp.CookiesBlocked:
		return fault.New(fault.Invalid, "cookies", "The browser keeps no cookies.")
	case rp.CrossOrigin:
		return fault.New(fault.Denied, "csrf", "The form comes from another site.")
	case rp.TemporarilyUnavailable, "server_error":
		return fmt.Errorf("%w: %w", errUnavailable, e)
	}
	return fault.New(fault.Invalid, "signin_failed", "The sign-in could not be finished.")
}
