package userservices

import (
	"net/http"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
)

type passwordPage struct {
	web.Page
	Username string
	Min      int
}

type plainPage struct{ web.Page }

// password: an enrol session changes none. Who has just changed a temporary one
// needs no more, and who stole one must not (S58).
func (p *Pages) password(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.me.Full {
		return app.ErrFull
	}
	return p.show(w, r, http.StatusOK, "password", &passwordPage{Username: v.me.Username, Min: v.me.Password.Min})
}

func (p *Pages) changePassword(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.me.Full {
		return app.ErrFull
	}
	page := &passwordPage{Username: v.me.Username, Min: v.me.Password.Min}
	form := map[string]string{}
	for _, field := range []string{"current", "new", "repeat"} {
		if form[field] = r.PostFormValue(field); form[field] == "" {
			page.Wrong(fault.New(fault.Invalid, "required", "%s: fill it in.", field).In(field))
		}
	}
	if len(page.Problems) == 0 && form["new"] != form["repeat"] {
		page.Wrong(fault.New(fault.Invalid, "password_mismatch", "The passwords do not match.").In("repeat"))
	}
	if len(page.Problems) > 0 {
		return p.show(w, r, http.StatusBadRequest, "password", page)
	}
	if err := p.api.ChangePassword(r.Context(), v.token, form["current"], form["new"]); err != nil {
		return p.again(w, r, "password", &page.Page, page, app.Refused(err))
	}
	return app.See(w, r, "/password/changed")
}

func (p *Pages) passwordChanged(w http.ResponseWriter, r *http.Request, _ *visit) error {
	return p.show(w, r, http.StatusOK, "password_changed", &plainPage{})
}
