package rp

import (
	"fmt"
	"net/http"
)

// Codes of Error. The provider's own codes are passed on as they come; these are
// the ones that an application may want to tell apart.
const (
	// From the provider (RFC 6749 §4.1.2.1, OpenID Connect Core §3.1.2.6).
	AccessDenied           = "access_denied"        // cancelled, or not allowed
	LoginRequired          = "login_required"       // prompt=none, and nobody is signed in
	InteractionRequired    = "interaction_required" // prompt=none, and the person has something to do first
	ConsentRequired        = "consent_required"
	AccountSelection       = "account_selection_required"
	TemporarilyUnavailable = "temporarily_unavailable" // also ours, when the provider or the Store does not answer

	// UnmetRequirements: the person signed in, but not at the demanded level
	// (OpenID Connect Core Unmet Authentication Requirements 1.0). Also ours, when
	// the provider answers with a weaker sign-in than was asked for.
	UnmetRequirements = "unmet_authentication_requirements"

	// Ours.
	InvalidResponse = "invalid_response" // the provider's answer did not stand up to the checks
	CookiesBlocked  = "cookies_blocked"  // the callback came twice without the cookie that Login set
	CrossOrigin     = "cross_origin"     // a logout that this application's own pages did not send
)

// Error is a sign-in or logout that could not be finished. It never holds a
// token or a code; Description and Err are for the log, not for the person.
type Error struct {
	Code        string
	Description string // error_description of the provider
	URI         string // error_uri of the provider: the page that explains the error to those who look after it, "" without
	ReturnTo    string // local path where the person wanted to go
	Prompt      string // the prompt that was asked for, such as "none"
	ACR         string // with UnmetRequirements: the level that was reached
	Err         error
}

func (e *Error) Error() string {
	switch {
	case e.Err != nil:
		return fmt.Sprintf("sign-in failed: %s: %v", e.Code, e.Err)
	case e.Description != "":
		return fmt.Sprintf("sign-in failed: %s: %s", e.Code, e.Description)
	}
	return "sign-in failed: " + e.Code
}

func (e *Error) Unwrap() error { return e.Err }

// Status is a fitting HTTP status for the page that tells of the error.
func (e *Error) Status() int {
	switch e.Code {
	case TemporarilyUnavailable, "server_error":
		return http.StatusServiceUnavailable
	case InvalidResponse, CookiesBlocked, "invalid_request":
		return http.StatusBadRequest
	case LoginRequired, InteractionRequired, ConsentRequired, AccountSelection:
		return http.StatusUnauthorized
	}
	return http.StatusForbidden
}

// fail logs an error and hands it to the application. Security relevant ones are
// warnings: someone should look at them.
func (p *RP) fail(w http.ResponseWriter, r *http.Request, e *Error) {
	level := p.config.Log.InfoContext
	if e.Err != nil {
		level = p.config.Log.WarnContext
	}
	level(r.Context(), "sign-in not finished", "code", e.Code, "description", e.Description, "uri", e.URI, "error", e.Err)
	private(w)
	if e.ReturnTo == "" {
		e.ReturnTo = p.config.Home
	}
	p.config.OnError(w, r, e)
}

func plainError(w http.ResponseWriter, r *http.Request, e *Error) {
	http.Error(w, "Sign-in was not finished ("+e.Code+"). Go back to the application and try again.", e.Status())
}

// private keeps a response out of caches and its address out of Referer.
func private(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
}
