package userservices

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

// visit is one request of a signed-in person.
type visit struct {
	session *rp.Session
	token   string // for the API
	me      portti.Me
	lang    string
}

// signedIn makes a page for people who are signed in, in an enrol session at
// least. Others sign in first and come back.
func (p *Pages) signedIn(h func(w http.ResponseWriter, r *http.Request, v *visit) error) http.Handler {
	return p.site.Handle(func(w http.ResponseWriter, r *http.Request) error {
		// Any form may end at the provider: to log out, to sign in again, to go on.
		web.AllowFormAction(w, p.issuer)
		v := &visit{}
		err := p.meet(w, r, v)
		if err == nil {
			err = h(w, r.WithContext(context.WithValue(r.Context(), visiting{}, v)), v)
		}
		return p.settle(w, r, v, err)
	})
}

type visiting struct{}

// stay is what the page's script asks when the person wants to go on (S72): to
// have asked is to have used the session.
func (p *Pages) stay(w http.ResponseWriter, _ *http.Request, _ *visit) error {
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// meet finds out who is asking, and how their account stands now.
func (p *Pages) meet(w http.ResponseWriter, r *http.Request, v *visit) error {
	var err error
	if v.session, err = p.rp.Session(r); err != nil {
		return ended(err)
	}
	if v.token, err = v.session.AccessToken(r.Context()); err != nil {
		return ended(err)
	}
	if v.me, err = p.api.Me(r.Context(), v.token); err != nil {
		return refused(err)
	}
	v.lang = p.language(w, r, v)
	return nil
}

// settle leads a person whom a refusal asks to prove themselves to the provider,
// and back to the page. Every other error is for the error page.
func (p *Pages) settle(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	o := rp.LoginOptions{ReturnTo: back(r)}
	switch code := fault.Code(err); {
	case err == nil:
		return nil
	case code == "reauthentication_required":
		if p.sinceThen(v.session.AuthTime) < time.Minute {
			return err // they have just done so: the clocks disagree, and once more would not help
		}
		o.Prompt, o.ACRValues = "login", []string{p.code}
	case code == "code_required" && v.me.App != nil && v.me.App.Permitted:
		o.ACRValues = []string{p.code}
	case code == "code_required":
		// The employer no longer permits the linked one. It proves who it is all the
		// same (S8), but reaches no level that could be asked for.
		o.Prompt = "login"
	case fault.Is(err, fault.Unauthenticated):
		if v.session != nil && p.sinceThen(v.session.Started) < justNow {
			return err // a sign-in that the API does not take: silently again would go in circles
		}
	default:
		return err
	}
	p.rp.Login(w, r, o)
	return nil
}

// justNow is less than anybody needs to sign in by hand.
const justNow = 3 * time.Second

func (p *Pages) sinceThen(t time.Time) time.Duration { return p.config.Now().Sub(t) }

// back is where a person comes back to after signing in: this page, or after a
// POST the page with the form, which has the same path.
func back(r *http.Request) string {
	if r.Method == http.MethodPost {
		return r.URL.Path
	}
	return r.URL.RequestURI()
}

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
	http.StatusBadRequest:          fault.Invalid,
	http.StatusUnprocessableEntity: fault.Invalid,
	http.StatusUnauthorized:        fault.Unauthenticated,
	http.StatusForbidden:           fault.Denied,
	http.StatusNotFound:            fault.NotFound,
	http.StatusConflict:            fault.Conflict,
	http.StatusGone:                fault.Gone,
	http.StatusTooManyRequests:     fault.Throttled,
	http.StatusBadGateway:          fault.Unavailable,
	http.StatusServiceUnavailable:  fault.Unavailable,
	http.StatusGatewayTimeout:      fault.Unavailable,
}

// refused makes the API's refusal a fault of ours, so that people read the
// catalogue's text of its code and never the API's own words.
func refused(err error) error {
	var e *portti.Error
	if !errors.As(err, &e) {
		return fmt.Errorf("%w: %w", errUnavailable, err)
	}
	kind, known := kinds[e.Status]
	if !known {
		return fmt.Errorf("the provider's API answered %d %s: %w", e.Status, e.Code, err)
	}
	f := fault.New(kind, e.Code, "%s", e.Detail)
	f.Field, f.Args, f.RetryAfter = e.Field, e.Args, time.Duration(e.RetryAfter)*time.Second
	return f
}

// barred makes a code of portti.May a fault; nil of "".
func barred(code string) error {
	switch code {
	case "":
		return nil
	case "card_already_linked", "totp_already_linked":
		return fault.New(fault.Conflict, code, "There is a link already.")
	}
	return fault.New(fault.Denied, code, "This cannot be linked now.")
}

// show renders a page. One of a signed-in person knows when the session ends
// unused.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, name string, content web.Content) error {
	if v, ok := r.Context().Value(visiting{}).(*visit); ok {
		content.EndsAfter(time.Duration(v.me.Session.Idle) * time.Second)
	}
	return p.site.Render(w, r, status, "userservices/"+name, content)
}

// again shows the page once more with what was wrong, if a person can put it
// right there; other errors it returns.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, name string, page *web.Page, content web.Content, err error) error {
	f, ok := fault.Of(err)
	if !ok || f.Kind == fault.Unauthenticated || f.Kind == fault.Unavailable {
		return err
	}
	page.Wrong(f)
	if f.RetryAfter > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(int(f.RetryAfter.Seconds())))
	}
	return p.show(w, r, web.Status(f), name, content)
}

func see(w http.ResponseWriter, r *http.Request, address string) error {
	http.Redirect(w, r, address, http.StatusSeeOther)
	return nil
}

// service names the service that waits, "" when none does.
func (v *visit) service() string {
	if v.me.Waiting == nil {
		return ""
	}
	return v.named(v.me.Waiting.Service, "")
}

// named is a service's name in the person's language, or in one that it has.
func (v *visit) named(names map[string]string, otherwise string) string {
	for _, lang := range []string{v.lang, "fi", "sv", "en"} {
		if name := names[lang]; name != "" {
			return name
		}
	}
	return otherwise
}

// resume is the provider's address that goes on with the service that waits, ""
// when none does. It can be nowhere else than at the provider.
func (p *Pages) resume(v *visit) string {
	if v.me.Waiting == nil {
		return ""
	}
	u, err := url.Parse(v.me.Waiting.Resume)
	if err != nil || u.Scheme+"://"+u.Host != p.issuer || u.User != nil {
		p.config.Log.Error("the provider's address of the waiting service is not at the provider: is the issuer right?", "issuer", p.issuer)
		return ""
	}
	return u.String()
}
