package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/login"
)

// loginPage is the first page. It offers every method of the installation: what
// this person may use is not told before a proof (S7).
type loginPage struct {
	servicePage
	cardForm
	Action, Cancel, Order string
	Username              string
	Password              bool
	PasswordFirst         bool // it was used last in this browser (S6)
	Again                 bool // the service wants a fresh sign-in of somebody who is signed in
	Account               string
}

func (p *Pages) showPassword(w http.ResponseWriter, r *http.Request, in *waiting, f login.Flow, status int, wrong []*fault.Fault) error {
	page := &loginPage{servicePage: in.page(), Action: in.path("password"), Cancel: in.path("cancel"), Order: in.path("order"),
		Username: f.Username, Password: true, PasswordFirst: p.passwordFirst(r), Again: in.Fresh && in.session != nil, Account: p.Account}
	if len(p.CardHosts) > 0 {
		var err error
		if page.cardForm, err = p.cardForm(r.Context(), in, f, wrong); err != nil {
			return err
		}
		page.Failed = page.Trouble != nil
	}
	page.Reasons = p.why(r.Context(), f)
	page.Wrong(wrong...)
	page.showLogo(w)
	return p.render(w, r, in, status, "signin/login", page)
}

// password takes username and password.
func (p *Pages) password(w http.ResponseWriter, r *http.Request, in *waiting) error {
	username, password := r.PostFormValue("username"), r.PostFormValue("password")
	if username == "" || password == "" {
		return p.incomplete(w, r, in, username, password)
	}
	f, err := p.Login.Password(r.Context(), in.demand, username, password)
	if wrong, ok := fault.Of(err); ok && wrong.Code == "wrong_credentials" {
		err = wrong.In("username")
	}
	return p.answer(w, r, in, f, err)
}

// incomplete is the page again; nothing was tried, and nothing is counted.
func (p *Pages) incomplete(w http.ResponseWriter, r *http.Request, in *waiting, username, password string) error {
	f, err := p.Login.Start(r.Context(), in.demand, in.session)
	if err != nil {
		return err
	}
	if f.Step != login.AskPassword {
		return see(w, in.path())
	}
	f.Username = username
	var wrong []*fault.Fault
	if username == "" {
		wrong = append(wrong, required("username"))
	}
	if password == "" {
		wrong = append(wrong, required("password"))
	}
	return p.show(w, r, in, f, wrong...)
}
