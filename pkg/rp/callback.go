package rp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// Callback finishes a sign-in: the provider sends the browser here with a code or
// an error. A callback that fits no sign-in of this browser (a reload, the back
// button, a page kept open overnight, somebody else's link) starts a new one, or
// leads home a person who is signed in already; it never signs anybody in.
func (p *RP) Callback(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet { // HEAD must not spend the code
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	private(w)
	ctx := r.Context()
	q := r.URL.Query()
	state, browser := q.Get("state"), cookie(r, p.browser)

	t, found, err := p.recall(ctx, state, browser)
	if err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, Err: err})
		return
	}
	if !found {
		o := p.spent(ctx, state, browser)
		if _, err := p.Session(r); err == nil {
			http.Redirect(w, r, localOr(o.ReturnTo, p.config.Home), http.StatusSeeOther)
			return
		}
		p.restart(w, r, o, state, errors.New("no such sign-in in this browser"))
		return
	}

	fail := func(code string, err error) {
		p.fail(w, r, &Error{Code: code, ReturnTo: t.Options.ReturnTo, Prompt: t.Options.Prompt, Err: err})
	}
	prov, err := p.provider(ctx)
	if err != nil {
		fail(TemporarilyUnavailable, err)
		return
	}
	if err := p.checkResponse(prov, q); err != nil {
		fail(InvalidResponse, err)
		return
	}
	if code := q.Get("error"); code != "" {
		p.fail(w, r, &Error{Code: code, Description: q.Get("error_description"), URI: p.errorURI(q), ReturnTo: t.Options.ReturnTo, Prompt: t.Options.Prompt})
		return
	}

	s, err := p.redeem(ctx, prov, t, q.Get("code"))
	if err != nil {
		var refused *oauth2.RetrieveError
		var e *Error
		switch {
		case errors.As(err, &refused) && refused.ErrorCode == "invalid_grant":
			// The code expired on its way, or the provider changed its mind about the
			// person: a new sign-in finds out which.
			p.restart(w, r, t.Options, state, err)
		case errors.As(err, &e):
			e.ReturnTo, e.Prompt = t.Options.ReturnTo, t.Options.Prompt
			p.fail(w, r, e)
		case errors.As(err, &refused) && refused.Response.StatusCode < 500:
			fail(InvalidResponse, err)
		default:
			fail(TemporarilyUnavailable, err)
		}
		return
	}
	if err := p.begin(w, r, s); errors.Is(err, errOver) {
		p.restart(w, r, t.Options, state, err)
		return
	} else if err != nil {
		fail(TemporarilyUnavailable, err)
		return
	}
	p.config.Log.InfoContext(ctx, "signed in", "sub", s.Subject, "sid", s.SID, "acr", s.ACR)
	http.Redirect(w, r, localOr(t.Options.ReturnTo, p.config.Home), http.StatusSeeOther)
}

// restarted begins the state of a sign-in that started by itself, followed by the
// time when it did. Such a sign-in does not start again by itself, or a browser
// without cookies, or two replicas without a common Store, would go in circles.
// Old ones may: somebody only found an old tab.
const (
	restarted    = "again."
	restartAfter = 10 * time.Minute
)

func (p *RP) restartState() string {
	return restarted + strconv.FormatInt(p.config.Now().Unix(), 36) + "."
}

func (p *RP) restartedJustNow(state string) bool {
	rest, ok := strings.CutPrefix(state, restarted)
	if !ok {
		return false
	}
	stamp, _, _ := strings.Cut(rest, ".")
	at, err := strconv.ParseInt(stamp, 36, 64)
	return err == nil && p.config.Now().Sub(time.Unix(at, 0)) < restartAfter
}

// restart begins a sign-in again by itself, but not twice in a row.
func (p *RP) restart(w http.ResponseWriter, r *http.Request, o LoginOptions, state string, why error) {
	if p.restartedJustNow(state) {
		code := CookiesBlocked
		if cookie(r, p.browser) != "" {
			code = InvalidResponse
		}
		p.fail(w, r, &Error{Code: code, ReturnTo: o.ReturnTo, Prompt: o.Prompt, Err: why})
		return
	}
	p.config.Log.InfoContext(r.Context(), "sign-in starts again", "reason", why)
	p.login(w, r, o, p.restartState())
}

// errorURI is the provider's error_uri (RFC 6749 §4.1.2.1), "" when it is another
// server's: the browser has brought it.
func (p *RP) errorURI(q url.Values) string {
	if uri := q.Get("error_uri"); len(uri) <= 500 && strings.HasPrefix(uri, strings.TrimSuffix(p.config.Issuer, "/")+"/") {
		return uri
	}
	return ""
}

// checkResponse looks at the authorization response before anything is done with
// it. An answer of another provider carries another iss, and its code must not
// reach this one's token endpoint (mix-up, RFC 9207 §2.4).
func (p *RP) checkResponse(prov *provider, q url.Values) error {
	for _, name := range []string{"code", "state", "iss", "error"} {
		if len(q[name]) > 1 {
			return fmt.Errorf("%s is given %d times (RFC 6749 §3.1)", name, len(q[name]))
		}
	}
	iss, given := q.Get("iss"), q.Has("iss")
	if given && iss != p.config.Issuer {
		return fmt.Errorf("answer of another provider: iss %q", iss)
	}
	if !given && prov.metadata.IssParameter {
		return errors.New("iss is missing, and the provider says that it sends it")
	}
	code := q.Get("error")
	if (code == "") == (q.Get("code") == "") {
		return errors.New("neither a code nor an error, or both")
	}
	if len(code) > 100 || strings.ContainsFunc(code, func(c rune) bool { return c < 0x20 || c > 0x7e || c == '"' || c == '\\' }) {
		return errors.New("malformed error code")
	}
	return nil
}

// redeem exchanges the code and checks all that comes back. The result is not a
// session yet.
func (p *RP) redeem(ctx context.Context, prov *provider, t pending, code string) (*Session, error) {
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := prov.oauth.Exchange(ctx, code, oauth2.VerifierOption(t.Verifier))
	if err != nil {
		return nil, fmt.Errorf("exchange code: %w", err)
	}
	invalid := func(err error) error { return &Error{Code: InvalidResponse, Err: err} }
	if !strings.EqualFold(token.TokenType, "bearer") {
		return nil, invalid(fmt.Errorf("token type %q", token.TokenType))
	}
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return nil, invalid(errors.New("no ID token in the token response"))
	}
	id, err := p.verify(ctx, prov, raw, token.AccessToken)
	if err != nil {
		return nil, invalid(err)
	}
	if !same(id.Nonce, t.Nonce) {
		return nil, invalid(errors.New("ID token of another sign-in: wrong nonce"))
	}
	if err := p.recent(t, id); err != nil {
		return nil, invalid(err)
	}
	if !p.meets(id.ACR, t.Demand) {
		return nil, &Error{Code: UnmetRequirements, ACR: id.ACR, Err: fmt.Errorf("asked for acr %q, got %q", t.Demand, id.ACR)}
	}
	claims := id.all
	if p.wantsUserInfo(prov) {
		if claims, err = p.userInfo(ctx, prov, token, id); err != nil {
			return nil, err
		}
	}
	s := &Session{rp: p, Subject: id.Subject, SID: id.SID, ACR: id.ACR, AMR: id.AMR, Claims: claims, IDToken: raw, issued: time.Unix(int64(id.IssuedAt), 0)}
	if id.AuthTime != 0 {
		s.AuthTime = time.Unix(int64(id.AuthTime), 0)
	}
	s.tokens = p.tokensOf(token)
	return s, nil
}

// skew is how far the clocks of provider and application may differ.
const skew = time.Minute

// recent holds the provider to max_age and prompt=login.
func (p *RP) recent(t pending, id idToken) error {
	notBefore := time.Time{}
	if t.MaxAge > 0 {
		notBefore = p.config.Now().Add(-t.MaxAge)
	}
	if strings.Contains(" "+t.Options.Prompt+" ", " login ") {
		notBefore = t.Started
	}
	if notBefore.IsZero() {
		return nil
	}
	if at := time.Unix(int64(id.AuthTime), 0); id.AuthTime == 0 || at.Before(notBefore.Add(-skew)) {
		return fmt.Errorf("a fresh sign-in was asked for, auth_time is %s", at.UTC().Format(time.RFC3339))
	}
	return nil
}

// meets tells whether the level satisfies one of the demands.
func (p *RP) meets(acr string, demands []string) bool {
	return meetsAny(p.config.Satisfies, acr, demands)
}

func meetsAny(satisfies map[string][]string, acr string, demands []string) bool {
	return len(demands) == 0 || slices.ContainsFunc(demands, func(d string) bool { return meets(satisfies, acr, d) })
}
