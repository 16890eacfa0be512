package rp

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"
)

// Require lets only people through who are signed in at the level acr, or at
// Config.DefaultACR when acr is empty. Others are sent to sign in, or to step up
// in place, and come back to the same address. Behind it, FromContext gives the
// session; responses are not cached unless the handler says otherwise.
//
// A form that was posted without a good enough session is not sent again by
// itself: after signing in the person is back on the page that holds the form.
// Scripts get 401 with an RFC 9470 challenge, since they can not be redirected.
func (p *RP) Require(acr string, next http.Handler) http.Handler {
	return p.RequireRecent(acr, 0, next)
}

// RequireRecent is Require for people who proved themselves at most maxAge ago.
func (p *RP) RequireRecent(acr string, maxAge time.Duration, next http.Handler) http.Handler {
	if acr == "" {
		acr = p.config.DefaultACR
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		s, err := p.Session(r)
		switch {
		case err == nil && p.Satisfies(s.ACR, acr) && p.within(s, maxAge):
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionInContext{}, s)))
		case err != nil && !errors.Is(err, ErrNoSession):
			p.fail(w, r, &Error{Code: TemporarilyUnavailable, ReturnTo: p.cameFrom(r), Err: err})
		case !navigation(r):
			Challenge(w, acr, maxAge)
		default:
			o := LoginOptions{ReturnTo: p.cameFrom(r), MaxAge: maxAge}
			if acr != "" {
				o.ACRValues = []string{acr}
			}
			p.Login(w, r, o)
		}
	})
}

func (p *RP) within(s *Session, maxAge time.Duration) bool {
	return maxAge <= 0 || !s.AuthTime.IsZero() && p.config.Now().Sub(s.AuthTime) <= maxAge+skew
}

// cameFrom is a local address that is safe to show again: the request's own, or,
// after a POST, the page that it came from.
func (p *RP) cameFrom(r *http.Request) string {
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return localOr(here(r), p.config.Home)
	}
	from, err := url.Parse(r.Referer())
	if err != nil {
		return p.config.Home
	}
	own, err := url.Parse(p.config.RedirectURL)
	if err != nil || from.Scheme != own.Scheme || from.Host != own.Host {
		return p.config.Home
	}
	return localOr(from.RequestURI(), p.config.Home)
}
