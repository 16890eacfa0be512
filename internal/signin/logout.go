package signin

import (
	"maps"
	"net/http"
	"net/url"
	"slices"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
	"github.com/portti-id/portti/internal/web"
)

// logoutConfirmPath is where the question's form goes: the end session endpoint
// itself takes forms of other sites.
const logoutConfirmPath = openid.EndSessionPath + "/confirm"

// logoutPage asks before everything ends.
type logoutPage struct {
	restartPage
	Action, Stay string
	Hidden       []hidden
}

type hidden struct{ Name, Value string }

// logout is the end session endpoint (OpenID Connect RP-Initiated Logout 1.0 §2).
// It asks, unless the service shows an ID token of this very session.
func (p *Pages) logout(w http.ResponseWriter, r *http.Request) error {
	l, s, err := p.parseLogout(w, r)
	switch {
	case fault.Is(err, fault.Invalid):
		return p.logoutRefused(w, r, err)
	case err != nil:
		return err
	case l.MustAsk(s):
		return p.askLogout(w, r, l)
	}
	bye, err := p.endSession(w, r, l, s)
	switch {
	case err != nil:
		return err
	case bye.Next != "" && len(bye.Frames) == 0:
		return see(w, bye.Next)
	}
	return p.loggedOut(w, r, l, bye)
}

// logoutPosted starts a logout by POST again as a GET: a form of the service's
// page comes without our SameSite=Lax cookies, and nobody would seem signed in.
func (p *Pages) logoutPosted(w http.ResponseWriter, r *http.Request) error {
	l, err := p.Provider.ParseLogout(r)
	switch {
	case fault.Is(err, fault.Invalid):
		return p.logoutRefused(w, r, err)
	case err != nil:
		return err
	}
	return see(w, openid.EndSessionPath+"?"+l.Params.Encode())
}

// logoutConfirm is the person's yes.
func (p *Pages) logoutConfirm(w http.ResponseWriter, r *http.Request) error {
	l, s, err := p.parseLogout(w, r)
	switch {
	case fault.Is(err, fault.Invalid):
		return p.logoutRefused(w, r, err)
	case err != nil:
		return err
	}
	bye, err := p.endSession(w, r, l, s)
	switch {
	case err != nil:
		return err
	case len(bye.Frames) > 0:
		return p.loggedOut(w, r, l, bye) // here and now: nobody knows afterwards whom to tell
	case bye.Next != "":
		return see(w, bye.Next)
	}
	// Nothing is left to ask about, so that page is the last one; of the request
	// only who asked for it goes along.
	rest := url.Values{}
	if l.Client != nil {
		rest.Set("client_id", l.Client.ID)
	}
	if locales := l.Params.Get("ui_locales"); locales != "" {
		rest.Set("ui_locales", locales)
	}
	return see(w, openid.EndSessionPath+"?"+rest.Encode())
}

func (p *Pages) parseLogout(w http.ResponseWriter, r *http.Request) (openid.Logout, *session.Session, error) {
	l, err := p.Provider.ParseLogout(r)
	if err != nil {
		return l, nil, err
	}
	if len(l.Locales) > 0 {
		p.Site.UseLocales(w, r, "logout "+l.Params.Encode(), l.Locales)
	}
	s, err := p.current(r)
	return l, s, err
}

func (p *Pages) endSession(w http.ResponseWriter, r *http.Request, l openid.Logout, s *session.Session) (openid.Farewell, error) {
	bye, err := p.Provider.FinishLogout(r.Context(), l, s)
	if err == nil {
		p.signedOut(w)
	}
	return bye, err
}

func (p *Pages) askLogout(w http.ResponseWriter, r *http.Request, l openid.Logout) error {
	page := &logoutPage{restartPage: logoutBy(l), Action: logoutConfirmPath, Stay: p.UserServices}
	if page.Return != "" {
		page.Stay = page.Return
	}
	for _, name := range slices.Sorted(maps.Keys(l.Params)) {
		page.Hidden = append(page.Hidden, hidden{name, l.Params.Get(name)})
	}
	web.AllowFormAction(w, formOrigin(l.RedirectURI))
	return p.Site.Render(w, r, http.StatusOK, "signin/logout_confirm", page)
}

// loggedOutPage is the end of a session. Services that hear of it by the browser
// are loaded in Frames; then the browser goes on to Next, "" to stay.
type loggedOutPage struct {
	restartPage
	Frames []string
	Next   string
}

// loggedOut tells to take the card (S72), and the services that want the browser
// to tell them. The browser goes on by itself when the frames are loaded: HTML
// counts the seconds of a refresh, none here, from the end of loading.
func (p *Pages) loggedOut(w http.ResponseWriter, r *http.Request, l openid.Logout, bye openid.Farewell) error {
	page := &loggedOutPage{restartPage: logoutBy(l), Frames: bye.Frames, Next: bye.Next}
	if r.Method == http.MethodPost {
		page.Here = openid.EndSessionPath
	}
	for _, f := range bye.Frames {
		web.AllowFrames(w, formOrigin(f))
	}
	return p.Site.Render(w, r, http.StatusOK, "signin/logged_out", page)
}

// logoutRefused never redirects: an address that is not the client's own is what
// was refused.
func (p *Pages) logoutRefused(w http.ResponseWriter, r *http.Request, err error) error {
	return p.oauthError(w, r, openid.Problem{Status: http.StatusBadRequest, Code: "invalid_request", Description: err.Error()})
}

func logoutBy(l openid.Logout) restartPage {
	if l.Client == nil {
		return restartPage{}
	}
	return restartPage{servicePage: servicePage{service: *l.Client}, Return: l.Client.HomeURI}
}
