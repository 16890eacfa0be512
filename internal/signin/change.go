package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
)

// changePage is the forced change of a temporary password (S15, S17).
type changePage struct {
	servicePage
	Action, Restart string
	Username        string // for password managers
	Min             int    // characters
}

func (p *Pages) showChange(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, status int, wrong []*fault.Fault) error {
	page := &changePage{servicePage: in.page(), Action: in.path("change"), Restart: in.path("over"), Username: f.Username, Min: p.Login.Directory.Rules.Min()}
	page.Reasons = p.why(r.Context(), f)
	page.Wrong(wrong...)
	return p.render(w, r, in, status, "signin/change_password", page)
}

// change takes the new password, twice.
func (p *Pages) change(w http.ResponseWriter, r *http.Request, in *waiting) error {
	f, err := p.Login.ChangePassword(r.Context(), in.demand, r.PostFormValue("new"), r.PostFormValue("repeat"))
	return p.answer(w, r, in, f, err)
}
