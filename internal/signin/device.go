package signin

import (
	"errors"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/web"
)

// devicePage asks for the code that a device shows (RFC 8628 §3.3).
type devicePage struct {
	web.Page
	Action   string
	UserCode string // as typed, or of the address that the device showed
}

// device is the page that devices send people to.
func (p *Pages) device(w http.ResponseWriter, r *http.Request) error {
	return p.showDevice(w, r, r.URL.Query().Get("user_code"))
}

func (p *Pages) showDevice(w http.ResponseWriter, r *http.Request, code string, wrong ...*fault.Fault) error {
	page := &devicePage{Page: web.Page{Here: openid.VerifyPath}, Action: openid.VerifyPath, UserCode: strings.ToValidUTF8(code[:min(len(code), 20)], "")}
	page.Wrong(wrong...)
	noteShown(r, wrong)
	status := http.StatusOK
	if len(wrong) > 0 {
		status = web.Status(wrong[0])
		if after := wrong[0].RetryAfter; after > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		}
	}
	return p.Site.Render(w, r, status, "signin/device", page)
}

// deviceCode takes the code. An empty one is no guess and not counted.
func (p *Pages) deviceCode(w http.ResponseWriter, r *http.Request) error {
	code := r.PostFormValue("user-code")
	if code == "" {
		return p.showDevice(w, r, "", required("user-code"))
	}
	id, err := p.Provider.VisitDevice(w, r, code)
	if err != nil {
		return p.noDevice(w, r, code, err)
	}
	s, err := p.current(r)
	if err != nil {
		return err
	}
	d, err := p.Provider.Device(w, r, id, s)
	switch {
	case err != nil:
		return p.noDevice(w, r, code, err)
	case d.Token == "":
		return p.signInFor(w, r, d)
	}
	return see(w, visitPath(id))
}

// noDevice shows the first page again, with why, and with whoever can help the person
// who is signed in here (S71).
func (p *Pages) noDevice(w http.ResponseWriter, r *http.Request, code string, err error) error {
	why, ok := fault.Of(err)
	if !ok || why.Kind == fault.Unavailable {
		return err
	}
	s, err := p.current(r)
	if err != nil {
		return err
	}
	if s != nil {
		person, err := p.Login.Here(r.Context(), s)
		if err == nil {
			contact(r, person.Organisation)
		} else if !fault.Is(err, fault.Unauthenticated) {
			return err
		}
	}
	return p.showDevice(w, r, code, why)
}

func visitPath(id string, form ...string) string {
	path, _ := url.JoinPath(openid.VerifyPath, append([]string{url.PathEscape(id)}, form...)...) // never fails: it is ours
	return path
}

// signInFor leads to a sign-in for the device's service, and back to its question.
func (p *Pages) signInFor(w http.ResponseWriter, r *http.Request, d openid.Device) error {
	return p.Provider.SignInFor(w, r, openid.Inside{Client: d.Client.ID, Return: visitPath(d.ID), Trail: d.Trail})
}

// deviceAskPage is the question: is this your device, and may it?
type deviceAskPage struct {
	servicePage
	SignIn, Allow, Deny string
	UserCode            string
	Token               string // what was shown, and to whom; "" when a sign-in is missing
	Person              string
	Scopes, Claims      []string
	Third               bool // a third party's: the answer is a consent, and remembered
}

// deviceAskedPage says what was answered.
type deviceAskedPage struct {
	servicePage
	Allowed bool
}

// deviceVisit is the question, or what was answered.
func (p *Pages) deviceVisit(w http.ResponseWriter, r *http.Request) error {
	return p.askDevice(w, r)
}

func (p *Pages) askDevice(w http.ResponseWriter, r *http.Request, wrong ...*fault.Fault) error {
	s, err := p.current(r)
	if err != nil {
		return err
	}
	id := r.PathValue("visit")
	d, err := p.Provider.Device(w, r, id, s)
	if err != nil {
		return p.noDevice(w, r, "", err)
	}
	base := servicePage{Page: web.Page{Here: visitPath(id)}, service: d.Client}
	if d.Allowed() || d.Denied() {
		return p.Site.Render(w, r, http.StatusOK, "signin/device_asked", &deviceAskedPage{servicePage: base, Allowed: d.Allowed()})
	}
	page := &deviceAskPage{servicePage: base, SignIn: visitPath(id, "signin"), Allow: visitPath(id, "allow"), Deny: visitPath(id, "deny"), UserCode: d.UserCode,
		Token: d.Token, Scopes: d.Wish.Scopes, Claims: d.Wish.Claims, Third: d.Client.ThirdParty}
	if d.Token != "" {
		person, err := p.Login.Directory.Store.Person(r.Context(), identity.UserID(s.User))
		if err != nil {
			return err
		}
		contact(r, person.Organisation)
		page.Person = person.User.Name()
	}
	page.Wrong(wrong...)
	noteShown(r, wrong)
	status := http.StatusOK
	if len(wrong) > 0 {
		status = web.Status(wrong[0])
	}
	page.showLogo(w)
	return p.Site.Render(w, r, status, "signin/device_ask", page)
}

// deviceBack is GET at the address of a form: a reload.
func (p *Pages) deviceBack(w http.ResponseWriter, r *http.Request) error {
	return see(w, visitPath(r.PathValue("visit")))
}

// deviceSignIn leads whoever came back without a sign-in there again.
func (p *Pages) deviceSignIn(w http.ResponseWriter, r *http.Request) error {
	d, err := p.Provider.Device(w, r, r.PathValue("visit"), nil)
	if err != nil {
		return p.noDevice(w, r, "", err)
	}
	return p.signInFor(w, r, d)
}

// deviceAllow is the person's yes.
func (p *Pages) deviceAllow(w http.ResponseWriter, r *http.Request) error {
	s, err := p.current(r)
	if err != nil {
		return err
	}
	if s == nil {
		return p.askDevice(w, r)
	}
	err = p.Provider.AllowDevice(w, r, r.PathValue("visit"), *s, r.PostFormValue("shown"))
	var why *fault.Fault
	switch {
	case err == nil:
		return see(w, visitPath(r.PathValue("visit")))
	case fault.Is(err, fault.Unauthenticated):
		return p.askDevice(w, r)
	case fault.Is(err, fault.Conflict) && errors.As(err, &why):
		return p.askDevice(w, r, why)
	}
	return p.noDevice(w, r, "", err)
}

// deviceDeny is the person's no. It needs no sign-in.
func (p *Pages) deviceDeny(w http.ResponseWriter, r *http.Request) error {
	s, err := p.current(r)
	if err != nil {
		return err
	}
	if err := p.Provider.DenyDevice(w, r, r.PathValue("visit"), s); err != nil {
		return p.noDevice(w, r, "", err)
	}
	return see(w, visitPath(r.PathValue("visit")))
}
