package rp

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Logout ends the session here and sends the browser to the provider to end it
// there, and so everywhere (OpenID Connect RP-Initiated Logout 1.0). It takes
// only a POST from this application's own pages: nobody else may log people out.
//
// The page with the form needs the provider's origin in its form-action, if it
// has a Content-Security-Policy: browsers apply it to the redirect, too.
func (p *RP) Logout(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	private(w)
	if err := p.ownPage(r); err != nil {
		p.fail(w, r, &Error{Code: CrossOrigin, Err: err})
		return
	}
	hint, err := p.end(r)
	if err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, Err: err})
		return
	}
	p.setCookie(w, p.session, "")
	// Without the provider nobody is signed out for good: say so, above all on a
	// shared computer.
	prov, err := p.provider(r.Context())
	if err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, Err: err})
		return
	}
	if prov.metadata.EndSessionEndpoint == "" {
		http.Redirect(w, r, p.config.SignedOut, http.StatusSeeOther)
		return
	}
	target, err := p.endSession(w, r, prov, hint)
	if err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, Err: err})
		return
	}
	http.Redirect(w, r, target, http.StatusSeeOther)
}

// ownPage refuses requests from other sites. Every browser that we support says
// where a POST comes from; silence is no excuse.
func (p *RP) ownPage(r *http.Request) error {
	if r.Header.Get("Sec-Fetch-Site") == "" && r.Header.Get("Origin") == "" {
		return errors.New("POST without Sec-Fetch-Site and Origin")
	}
	return p.csrf.Check(r)
}

// end deletes the session of this browser and returns its ID token.
func (p *RP) end(r *http.Request) (idToken string, _ error) {
	secret := cookie(r, p.session)
	if secret == "" {
		return "", nil
	}
	record, ok, err := p.config.Store.Take(r.Context(), p.key("session", secret))
	if err != nil {
		return "", fmt.Errorf("end session: %w", err)
	}
	var k kept
	if !ok || p.open("session", secret, record.Value, &k) != nil {
		return "", nil // gone already; the provider asks whether to log out
	}
	p.config.Log.InfoContext(r.Context(), "signed out", "sub", k.Subject, "sid", k.SID)
	return k.IDToken, nil
}

// endSession is the address that ends the provider's session.
func (p *RP) endSession(w http.ResponseWriter, r *http.Request, prov *provider, hint string) (string, error) {
	target, err := url.Parse(prov.metadata.EndSessionEndpoint)
	if err != nil {
		return "", fmt.Errorf("end_session_endpoint: %w", err)
	}
	q := target.Query()
	q.Set("client_id", p.config.ClientID)
	if hint != "" {
		q.Set("id_token_hint", hint)
	}
	if p.config.UILocales != nil {
		if locales := p.config.UILocales(r); len(locales) > 0 {
			q.Set("ui_locales", strings.Join(locales, " "))
		}
	}
	if p.config.PostLogoutRedirectURL != "" {
		state := newSecret()
		record := Record{Value: []byte("1"), Expires: p.config.Now().Add(30 * time.Minute)}
		if _, err := p.config.Store.Add(r.Context(), p.key("logout", state, p.browserSecret(w, r)), record); err != nil {
			return "", fmt.Errorf("keep logout: %w", err)
		}
		q.Set("post_logout_redirect_uri", p.config.PostLogoutRedirectURL)
		q.Set("state", state)
	}
	target.RawQuery = q.Encode()
	return target.String(), nil
}

// LogoutCallback is where the provider sends the browser after a logout. It leads
// to Config.SignedOut; a visitor who comes with a stranger's link, and is signed
// in, is not told that they were signed out, and lands on Config.Home.
func (p *RP) LogoutCallback(w http.ResponseWriter, r *http.Request) {
	private(w)
	_, ours, err := p.config.Store.Take(r.Context(), p.key("logout", r.URL.Query().Get("state"), cookie(r, p.browser)))
	if err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, Err: fmt.Errorf("recall logout: %w", err)})
		return
	}
	if !ours {
		if _, err := p.Session(r); err == nil {
			http.Redirect(w, r, p.config.Home, http.StatusSeeOther)
			return
		}
	}
	http.Redirect(w, r, p.config.SignedOut, http.StatusSeeOther)
}
