package userservices

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"github.com/portti-id/portti/internal/app"
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

	linkingCode bool // linking asks for the help desk's code (S61)
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

func (p *Pages) stay(w http.ResponseWriter, _ *http.Request, _ *visit) error { return app.Stay(w) }

// meet finds out who is asking, and how their account stands now.
func (p *Pages) meet(w http.ResponseWriter, r *http.Request, v *visit) error {
	var err error
	if v.session, v.token, err = p.app.Meet(r); err != nil {
		return err
	}
	if v.me, err = p.api.Me(r.Context(), v.token); err != nil {
		return app.Refused(err)
	}
	o := v.me.Organisation
	web.Contact(r, web.Contacts{IT: o.ITContact, Responsible: o.ResponsibleContact, Phone: o.SupportPhone, Hours: o.SupportHours})
	for _, may := range []*string{&v.me.May.Card, &v.me.May.App, &v.me.May.Token} {
		if *may == "linking_code_required" { // so it may: the form that links asks for the code
			*may, v.linkingCode = "", true
		}
	}
	v.lang = p.app.Language(w, r, v.session, v.me.Language)
	return nil
}

// settle leads a person whom a refusal asks to prove themselves to the provider,
// and back to the page. Every other error is for the error page.
func (p *Pages) settle(w http.ResponseWriter, r *http.Request, v *visit, err error) error {
	return p.app.Settle(w, r, v.session, err, func(code string, o *rp.LoginOptions) bool {
		switch {
		case code != "code_required":
			return false
		case v.me.App != nil && v.me.App.Permitted:
			o.ACRValues = []string{p.code}
		default:
			// The employer no longer permits the linked one. It proves who it is all the
			// same (S8), but reaches no level that could be asked for.
			o.Prompt = "login"
		}
		return true
	})
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

// tellCode says on the first page of linking that its last one asks for a code.
func (v *visit) tellCode(page *web.Page) {
	if v.linkingCode {
		page.Tell("info", "us.linkingcode.needed")
	}
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
	status, err := app.Correctable(w, page, err)
	if err != nil {
		return err
	}
	return p.show(w, r, status, name, content)
}

// service names the service that waits, "" when none does.
func (v *visit) service() string {
	if v.me.Waiting == nil {
		return ""
	}
	return app.Named(v.lang, v.me.Waiting.Service, "")
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
