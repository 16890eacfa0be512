package rp

import (
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
)

// pendingTTL is how long a sign-in may take. An employee's first day includes
// linking a card or an app while the application waits: the provider keeps its
// side for 60 minutes, and we outlive it.
const pendingTTL = 90 * time.Minute

// LoginOptions say what one sign-in is to be like. The zero value asks for
// Config.DefaultACR and returns to Config.Home.
type LoginOptions struct {
	// ReturnTo is the local path ("/records/7?tab=2") to land on. Anything that
	// could leave the application becomes Config.Home.
	ReturnTo string
	// ACRValues are the levels asked for, best first. One of them must be reached,
	// or the sign-in is refused. Empty means Config.DefaultACR.
	ACRValues []string
	// MaxAge asks that the person proved themselves at most this long ago; 0 for
	// any time. To have it done now whatever was before, use Prompt "login".
	MaxAge time.Duration
	// Prompt is passed on: "none", "login", "select_account", "consent".
	Prompt string
	// LoginHint is a username to start with.
	LoginHint string
	// UILocales are the languages of the person's choice, best first.
	UILocales []string
	// Extra are further parameters. Those that Login sets itself can not be changed.
	Extra url.Values
}

// pending is a sign-in between Login and Callback.
type pending struct {
	Nonce    string        `json:"nonce"`
	Verifier string        `json:"verifier"`
	Options  LoginOptions  `json:"options"`
	Demand   []string      `json:"demand"` // ACRValues or the default
	Started  time.Time     `json:"started"`
	MaxAge   time.Duration `json:"max_age"`
}

// Login sends the browser to the provider to sign in. Any number of tabs may do
// so at once.
func (p *RP) Login(w http.ResponseWriter, r *http.Request, o LoginOptions) {
	p.login(w, r, o, "")
}

func (p *RP) login(w http.ResponseWriter, r *http.Request, o LoginOptions, prefix string) {
	o.ReturnTo = localOr(o.ReturnTo, p.config.Home)
	ctx := r.Context()
	prov, err := p.provider(ctx)
	if err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, ReturnTo: o.ReturnTo, Prompt: o.Prompt, Err: err})
		return
	}
	t := pending{
		Nonce: newSecret(), Verifier: oauth2.GenerateVerifier(),
		Options: o, Demand: o.ACRValues, MaxAge: o.MaxAge, Started: p.config.Now(),
	}
	if len(t.Demand) == 0 && p.config.DefaultACR != "" {
		t.Demand = []string{p.config.DefaultACR}
	}
	if len(o.UILocales) == 0 && p.config.UILocales != nil {
		o.UILocales = p.config.UILocales(r)
	}
	params, err := p.parameters(t, o)
	if err != nil {
		p.fail(w, r, &Error{Code: "invalid_request", ReturnTo: o.ReturnTo, Err: err})
		return
	}
	state := prefix + newSecret()
	if err := p.remember(ctx, state, p.browserSecret(w, r), t); err != nil {
		p.fail(w, r, &Error{Code: TemporarilyUnavailable, ReturnTo: o.ReturnTo, Prompt: o.Prompt, Err: err})
		return
	}
	private(w)
	http.Redirect(w, r, prov.oauth.AuthCodeURL(state, params...), http.StatusSeeOther)
}

// reserved are the parameters that Extra must not touch: they are what the
// checks of the callback rest on.
var reserved = []string{
	"response_type", "response_mode", "client_id", "redirect_uri", "scope", "state", "nonce",
	"code_challenge", "code_challenge_method", "request", "request_uri", "acr_values", "max_age", "prompt", "claims", "resource",
}

func (p *RP) parameters(t pending, o LoginOptions) ([]oauth2.AuthCodeOption, error) {
	set := []oauth2.AuthCodeOption{
		oauth2.S256ChallengeOption(t.Verifier),
		oauth2.SetAuthURLParam("nonce", t.Nonce),
	}
	for name, value := range map[string]string{
		"acr_values": strings.Join(t.Demand, " "),
		"prompt":     o.Prompt,
		"login_hint": o.LoginHint,
		"ui_locales": strings.Join(o.UILocales, " "),
		"resource":   p.config.Resource,
		"claims":     p.claims,
	} {
		if value != "" {
			set = append(set, oauth2.SetAuthURLParam(name, value))
		}
	}
	if o.MaxAge > 0 {
		set = append(set, oauth2.SetAuthURLParam("max_age", strconv.Itoa(int(o.MaxAge/time.Second))))
	}
	for name, values := range o.Extra {
		if slices.Contains(reserved, name) {
			return nil, fmt.Errorf("LoginOptions.Extra: %q is set by Login", name)
		}
		if len(values) != 1 {
			return nil, fmt.Errorf("LoginOptions.Extra: %q must have one value (RFC 6749 §3.1)", name)
		}
		set = append(set, oauth2.SetAuthURLParam(name, values[0]))
	}
	return set, nil
}

// remember keeps a pending sign-in under its state and the browser's secret
// together: the same state from another browser finds nothing.
func (p *RP) remember(ctx context.Context, state, browser string, t pending) error {
	sealed, err := p.seal("pending", state+browser, t)
	if err != nil {
		return err
	}
	if _, err := p.config.Store.Add(ctx, p.key("pending", state, browser), Record{Value: sealed, Expires: t.Started.Add(pendingTTL)}); err != nil {
		return fmt.Errorf("keep pending sign-in: %w", err)
	}
	return nil
}

// recall takes the pending sign-in of a callback, once. It leaves a mark, so that
// the second callback of a double click knows where the person wanted to go.
func (p *RP) recall(ctx context.Context, state, browser string) (_ pending, found bool, _ error) {
	record, ok, err := p.config.Store.Take(ctx, p.key("pending", state, browser))
	if err != nil {
		return pending{}, false, fmt.Errorf("recall sign-in: %w", err)
	}
	if !ok {
		return pending{}, false, nil
	}
	var t pending
	if err := p.open("pending", state+browser, record.Value, &t); err != nil {
		return pending{}, false, err
	}
	sealed, err := p.seal("spent", state+browser, t.Options)
	if err != nil {
		return pending{}, false, err
	}
	if _, err := p.config.Store.Add(ctx, p.key("spent", state, browser), Record{Value: sealed, Expires: p.config.Now().Add(10 * time.Minute)}); err != nil {
		return pending{}, false, fmt.Errorf("recall sign-in: %w", err)
	}
	return t, true, nil
}

// spent returns the options of a sign-in whose callback came before.
func (p *RP) spent(ctx context.Context, state, browser string) LoginOptions {
	var o LoginOptions
	record, ok, err := p.config.Store.Get(ctx, p.key("spent", state, browser))
	if err != nil || !ok || p.open("spent", state+browser, record.Value, &o) != nil {
		return LoginOptions{}
	}
	return o
}

// browserSecret is what binds pending sign-ins and logouts to this browser: the
// one it has, or a new one.
func (p *RP) browserSecret(w http.ResponseWriter, r *http.Request) string {
	if secret := cookie(r, p.browser); secret != "" {
		return secret
	}
	secret := newSecret()
	p.setCookie(w, p.browser, secret)
	return secret
}

// setCookie keeps a secret in the browser until it closes. Lax, because the
// callback is a navigation that comes from the provider's site.
func (p *RP) setCookie(w http.ResponseWriter, name, value string) {
	c := &http.Cookie{Name: name, Value: value, Path: "/", Secure: p.secure, HttpOnly: true, SameSite: http.SameSiteLaxMode}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// cookie returns a secret of the browser, or "" for what can not be one.
func cookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil || len(c.Value) != secretLength {
		return ""
	}
	return c.Value
}

// same compares in constant time.
func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
