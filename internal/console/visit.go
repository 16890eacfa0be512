package console

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
	"github.com/portti-id/portti/pkg/rp"
)

// visit is one request of a signed-in person who has a role.
type visit struct {
	session *rp.Session
	token   string // for the API
	staff   portti.Staff
	lang    string
}

// may tells whether the role has a right, such as "people.see". The API asks
// again, and about whom.
func (v *visit) may(right string) bool { return v.staff.Has(right) }

// page answers a request of somebody with a role.
type page func(w http.ResponseWriter, r *http.Request, v *visit) error

// signedIn makes a page for people who are signed in and have a role. Others sign
// in first and come back, or read that they have none.
func (p *Pages) signedIn(h page) http.Handler { return p.site.Handle(p.met(h)) }

func (p *Pages) met(h page) web.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) error {
		// Any form may end at the provider: to log out, to sign in again.
		web.AllowFormAction(w, p.issuer)
		v := &visit{}
		err := p.meet(w, r, v)
		if fault.Code(err) == "not_allowed" {
			return p.site.Render(w, r, http.StatusForbidden, "console/no_role", &plainPage{})
		}
		if err == nil {
			err = h(w, r.WithContext(context.WithValue(r.Context(), visiting{}, v)), v)
		}
		return p.app.Settle(w, r, v.session, err, nil)
	}
}

type visiting struct{}

type plainPage struct{ web.Page }

func (p *Pages) stay(w http.ResponseWriter, _ *http.Request, _ *visit) error { return app.Stay(w) }

// meet finds out who is asking, and what their role allows now.
func (p *Pages) meet(w http.ResponseWriter, r *http.Request, v *visit) error {
	var err error
	if v.session, v.token, err = p.app.Meet(r); err != nil {
		return err
	}
	if v.staff, err = p.api.Staff(r.Context(), v.token); err != nil {
		return refused(err)
	}
	v.lang = p.app.Language(w, r, v.session, v.staff.Language)
	return nil
}

// need returns a fault unless the role has the right: for pages that would
// otherwise ask the API for nothing, and show a form for nothing.
func (v *visit) need(right string) error {
	if !v.may(right) {
		return fault.New(fault.Denied, "not_allowed", "Your role does not allow this.")
	}
	return nil
}

// tellDone says above the page what was just done, where the address has it as one of
// these: there is a text con.done.OF.DONE for each.
func tellDone(r *http.Request, page *web.Page, of string, done ...string) {
	if d := r.FormValue("done"); slices.Contains(done, d) {
		page.Tell(web.Success, "con.done."+of+"."+d)
	}
}

// refused makes the API's refusal a fault of ours.
func refused(err error) error { return app.Refused(err) }

// see leads on after a POST, or to the page that is meant.
func see(w http.ResponseWriter, r *http.Request, path string) error { return app.See(w, r, path) }

// show renders a page of templates/console with the navigation of the person, and
// knows when the session ends unused.
func (p *Pages) show(w http.ResponseWriter, r *http.Request, status int, name string, content web.Content) error {
	if v, ok := r.Context().Value(visiting{}).(*visit); ok {
		content.EndsAfter(app.Idle)
		content.Navigate(v.navigation(r.URL.Path))
	}
	return p.site.Render(w, r, status, "console/"+name, content)
}

// navigation is the sections that the role allows, and where in them one is.
func (v *visit) navigation(path string) []web.Entry {
	var entries []web.Entry
	for _, s := range sections {
		if s.right == "" || v.may(s.right) {
			within := s.path != homePath && strings.HasPrefix(path, s.path+"/") || s.path == peoplePath && strings.HasPrefix(path, importsPath) || s.path == clientsPath && path == newClientPath
			entries = append(entries, web.Entry{Href: s.path, Key: s.name, Here: path == s.path, Within: within})
		}
	}
	return entries
}

// again shows the page once more with what was wrong, if a person can put it
// right there; other errors it returns.
func (p *Pages) again(w http.ResponseWriter, r *http.Request, name string, page *web.Page, content web.Content, err error) error {
	status, err := app.Correctable(w, page, err)
	if err != nil {
		return err
	}
	return p.show(w, r, status, name, content)
}
