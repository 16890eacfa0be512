package app

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/rp"
)

type signedOutPage struct{ web.Page }

// signedOut tells to take the card along (S72). The browser forgets what it
// kept of our pages; not the cookies, which Clear-Site-Data would take from
// neighbouring hosts as well.
func (a *App) signedOut(w http.ResponseWriter, r *http.Request) error {
	_, err := a.RP.Session(r)
	if err == nil {
		return See(w, r, HomePath) // a link led here: nobody signed out
	}
	if !errors.Is(err, rp.ErrNoSession) {
		return ended(err)
	}
	for _, name := range a.Forget {
		a.Site.ClearCookie(w, name)
	}
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	return a.Site.Render(w, r, http.StatusOK, a.Folder+"/signed_out", &signedOutPage{})
}

// signInFailed is the page for a sign-in or logout that came to nothing.
func (a *App) signInFailed(w http.ResponseWriter, r *http.Request, e *rp.Error) {
	a.Site.HandleCrossSite(func(http.ResponseWriter, *http.Request) error { return a.failed(e) }).ServeHTTP(w, r)
}

// ErrFull asks for a sign-in with more than a password.
var ErrFull = fault.New(fault.Denied, "full_signin_required", "Sign in with your card, or with your password and a code.")

// failed is what an error of the sign-in comes to here, under the provider's
// reference: the trace of the sign-in is there.
func (a *App) failed(e *rp.Error) error {
	err := failure(e)
	page, ok := strings.CutPrefix(e.URI, a.Issuer+"/doctor/")
	reference := referenceIn(page)
	if !ok || reference == "" {
		return err
	}
	if f, ok := err.(*fault.Fault); ok {
		told := *f
		told.Reference = reference
		return &told
	}
	return &web.Elsewhere{Err: err, Reference: reference}
}

func failure(e *rp.Error) error {
	switch e.Code {
	case rp.AccessDenied:
		return fault.New(fault.Denied, "signin_cancelled", "The sign-in was cancelled.")
	case rp.UnmetRequirements:
		return ErrFull
	case rp.CookiesBlocked:
		return fault.New(fault.Invalid, "cookies", "The browser keeps no cookies.")
	case rp.CrossOrigin:
		return fault.New(fault.Denied, "csrf", "The form comes from another site.")
	case rp.TemporarilyUnavailable, "server_error":
		return fmt.Errorf("%w: %w", errUnavailable, e)
	}
	return fault.New(fault.Invalid, "signin_failed", "The sign-in could not be finished.")
}
