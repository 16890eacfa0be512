package app

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

var (
	errEnded       = fault.New(fault.Unauthenticated, "session_ended", "The session has ended.")
	errUnavailable = fault.New(fault.Unavailable, "provider_unavailable", "The provider does not answer.")
)

// ended sorts what pkg/rp says about a session: over, or not to be had just now.
func ended(err error) error {
	if errors.Is(err, rp.ErrNoSession) || errors.Is(err, rp.ErrNoAccessToken) {
		return errEnded
	}
	return fmt.Errorf("%w: %w", errUnavailable, err)
}

var kinds = map[int]fault.Kind{
	http.StatusBadRequest:           fault.Invalid,
	http.StatusUnprocessableEntity:  fault.Invalid,
	http.StatusPreconditionRequired: fault.Invalid,
	http.StatusUnauthorized:         fault.Unauthenticated,
	http.StatusForbidden:            fault.Denied,
	http.StatusNotFound:             fault.NotFound,
	http.StatusConflict:             fault.Conflict,
	http.StatusPreconditionFailed:   fault.Conflict,
	http.StatusGone:                 fault.Gone,
	http.StatusTooManyRequests:      fault.Throttled,
	http.StatusBadGateway:           fault.Unavailable,
	http.StatusServiceUnavailable:   fault.Unavailable,
	http.StatusGatewayTimeout:       fault.Unavailable,
}

// Refused makes the API's refusal a fault of ours, so that people read the
// catalogue's text of its code and never the API's own words; nil of nil.
func Refused(err error) error {
	var e *portti.Error
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &e):
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	reference := referenceIn(e.Reference)
	kind, known := kinds[e.Status]
	if !known {
		err = fmt.Errorf("the provider's API answered %d %s: %w", e.Status, e.Code, err)
		return &web.Elsewhere{Err: err, Reference: reference}
	}
	f := fault.New(kind, e.Code, "%s", e.Detail)
	f.Field, f.Args, f.RetryAfter, f.Reference = e.Field, e.Args, time.Duration(e.RetryAfter)*time.Second, reference
	return f
}

var referenceForm = regexp.MustCompile(`^[A-Z2-7]{8}$`)

// referenceIn is the provider's reference, or "": pages show nothing that only came
// by a browser, and does not look like one.
func referenceIn(s string) string {
	if referenceForm.MatchString(s) {
		return s
	}
	return ""
}

// Correctable puts what was wrong on the page, if a person can put it right there,
// and returns the status that it is shown again with; other errors it returns.
func Correctable(w http.ResponseWriter, page *web.Page, err error) (status int, _ error) {
	f, ok := fault.Of(err)
	if !ok || f.Kind == fault.Unauthenticated || f.Kind == fault.Unavailable {
		return 0, err
	}
	page.Wrong(f)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(f.RetryAfter.Seconds())))
	}
	return web.Status(f), nil
}
