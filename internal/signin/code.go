package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
)

// codePage asks for the confirmation code (S43–S48).
type codePage struct {
	servicePage
	Action, Restart string
	Account         string
	BeforeChange    bool // a temporary password was given: the code comes before its change (S57)
	Linked          bool // the authenticator was linked just now (S20)
}

// AccountPrefix is how the account's name begins (S39).
func (c *codePage) AccountPrefix() string { return c.Brand }

func (p *Pages) showCode(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, status int, wrong []*fault.Fault) error {
	page := &codePage{servicePage: in.page(), Action: in.path("code"), Restart: in.path("over"), Account: p.Account,
		BeforeChange: f.Step == login.AskCodeFirst, Linked: f.Notice == "linked"}
	page.Reasons = p.why(r.Context(), f)
	page.Wrong(wrong...)
	return p.render(w, r, in, status, "signin/code", page)
}

// code takes the confirmation code. An empty one is no guess and not counted.
func (p *Pages) code(w http.ResponseWriter, r *http.Request, in *waiting) error {
	code := r.PostFormValue("code")
	if code == "" {
		f, err := p.Login.Start(r.Context(), in.demand, in.session)
		if err != nil {
			return err
		}
		if f.Step != login.AskCode && f.Step != login.AskCodeFirst {
			return see(w, in.path())
		}
		return p.show(w, r, in, f, required("code"))
	}
	f, err := p.Login.Code(r.Context(), in.demand, code)
	return p.answer(w, r, in, f, err)
}
