// Package api is the provider's JSON API over identity, for the apps that work
// in a signed-in person's name: User Services now, the Console later. Its wire
// types and client are pkg/portti.
//
//	api.go    API, Routes, who is calling
//	me.go     the person's own account
//
// A caller shows an access token of a client that may use the API, with scope
// "us" (a full sign-in) or "us.enrol" (a password alone). There are no cookies
// here, so no other site can make a browser call it.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/login"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// API serves /api/v1.
type API struct {
	Directory   *identity.Directory
	Login       *login.Service
	Sessions    *session.Sessions
	Tokens      Tokens
	Requests    Requests
	Issuer      string   // for the address that resumes a waiting sign-in
	Origins     []string // origins of the apps that may have a browser return from the card host
	MinPassword int      // the least length of a new password, for pages to tell
	Support     string   // the help desk's phone
	Now         func() time.Time

	// Handle makes errors answers: web.Site.HandleJSON.
	Handle func(func(w http.ResponseWriter, r *http.Request) error) http.Handler
}

// Tokens looks access tokens up: openid.Provider.
type Tokens interface {
	// Token returns the grant of a live access token, or fault.Unauthenticated.
	Token(ctx context.Context, raw string) (openid.Grant, error)
}

// Requests tells about waiting sign-ins: openid.Provider.
type Requests interface {
	// Peek returns a waiting request without its browser's proof; for showing
	// whom it is for, never for completing it.
	Peek(ctx context.Context, id string) (openid.Request, error)
}

// Routes adds the API's routes.
func (a *API) Routes(mux *http.ServeMux) {
	for pattern, h := range map[string]func(w http.ResponseWriter, r *http.Request, self identity.Self) (any, error){
		"GET /api/v1/me":                        a.me,
		"POST /api/v1/me/authenticator":         a.beginAuthenticator,
		"POST /api/v1/me/authenticator/confirm": a.confirmAuthenticator,
		"POST /api/v1/me/authenticator/trial":   a.tryCode,
		"POST /api/v1/me/card/attempt":          a.beginCard,
		"POST /api/v1/me/card/seen":             a.seenCard,
		"POST /api/v1/me/card/link":             a.linkCard,
		"POST /api/v1/me/password":              a.changePassword,
	} {
		mux.Handle(pattern, a.Handle(func(w http.ResponseWriter, r *http.Request) error {
			self, err := a.self(r)
			if err != nil {
				w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
				return err
			}
			answer, err := h(w, r, self)
			if err != nil {
				return err
			}
			return write(w, answer)
		}))
	}
}

// self finds who is calling: the person behind the token, with what the sign-in proved.
func (a *API) self(r *http.Request) (identity.Self, error) {
	scheme, raw, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || raw == "" {
		return identity.Self{}, fault.New(fault.Unauthenticated, "invalid_token", "Show an access token.")
	}
	g, err := a.Tokens.Token(r.Context(), strings.TrimSpace(raw))
	if err != nil {
		return identity.Self{}, err
	}
	full := g.Level == session.Full
	if full && !slices.Contains(g.Scopes, "us") || !full && !slices.Contains(g.Scopes, "us.enrol") {
		return identity.Self{}, fault.New(fault.Denied, "insufficient_scope", "The access token is not for this API.")
	}
	return identity.Self{User: identity.UserID(g.User), Session: g.Session, Full: full, Proved: proved[g.Method], AuthTime: g.AuthTime}, nil
}

var proved = map[session.Method]identity.Method{session.Card: identity.MethodCard, session.App: identity.MethodApp, session.Token: identity.MethodToken}

// read decodes a JSON body of known fields.
func read(r *http.Request, into any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, 64<<10))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fault.New(fault.Invalid, "json_invalid", "The body is not the JSON that this address takes.")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "json_invalid", "The body holds more than one JSON value.")
	}
	return nil
}

func write(w http.ResponseWriter, answer any) error {
	w.Header().Set("Cache-Control", "no-store")
	if answer == nil {
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return err
}

// ours tells whether a return address is one of our apps'.
func (a *API) ours(back string) bool {
	u, err := url.Parse(back)
	return err == nil && u.User == nil && u.Fragment == "" && slices.Contains(a.Origins, u.Scheme+"://"+u.Host)
}
