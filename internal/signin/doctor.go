package signin

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/web"
)

// doctorPage is a refused request for an operator's eyes, or how one went that was
// in order, and the form that asks for its reference.
type doctorPage struct {
	web.Page
	Asked   string // the reference that was asked for
	Refusal *openid.Refusal
	When    string // in UTC, for comparing with logs
	Course  *openid.Course
}

// doctorDoorPage is what everybody else sees who is not signed in.
type doctorDoorPage struct {
	web.Page
	SignIn string // a link
}

// doctor serves the form and, under a reference, what is known of a service's
// request. Whoever is signed in and no operator learns not even that it is there.
func (p *Pages) doctor(w http.ResponseWriter, r *http.Request) error {
	reference := r.PathValue("reference")
	here := openid.DoctorPath
	if reference != "" {
		here += "/" + url.PathEscape(reference)
	}
	err := p.Provider.Operator(r)
	switch {
	case fault.Is(err, fault.Unauthenticated) && r.URL.Query().Get("signin") == "yes":
		return p.Provider.SignInFor(w, r, openid.Inside{Return: here})
	case fault.Is(err, fault.Unauthenticated):
		// A page of its own: who cancels the sign-in comes back here.
		return p.Site.Render(w, r, http.StatusOK, "signin/doctor_door", &doctorDoorPage{SignIn: here + "?signin=yes"})
	case err != nil:
		return err
	}
	if asked := strings.ToUpper(strings.TrimSpace(r.URL.Query().Get("reference"))); reference == "" && asked != "" {
		return see(w, openid.DoctorPath+"/"+url.PathEscape(asked))
	}
	page := &doctorPage{Asked: reference}
	if reference == "" {
		return p.Site.Render(w, r, http.StatusOK, "signin/doctor", page)
	}
	f, err := p.Provider.Refusal(r.Context(), reference)
	if fault.Is(err, fault.NotFound) {
		var c openid.Course
		if c, err = p.Provider.Course(r.Context(), reference); err == nil {
			page.Course = &c
			return p.Site.Render(w, r, http.StatusOK, "signin/doctor", page)
		}
	}
	if unknown, ok := fault.Of(err); ok && unknown.Kind == fault.NotFound {
		page.Wrong(unknown.In("reference"))
		return p.Site.Render(w, r, http.StatusNotFound, "signin/doctor", page)
	}
	if err != nil {
		return err
	}
	page.Refusal, page.When = &f, f.At.UTC().Format(time.DateTime)+" UTC"
	return p.Site.Render(w, r, http.StatusOK, "signin/doctor", page)
}
