package console

import (
	"net/http"
	"time"

	"github.com/portti-id/portti/internal/web"
)

// What is made once is shown once: a temporary password, a linking code, a service's
// secret. The page that shows it is no answer to a form, so that to load it again
// makes nothing (docs/adr/0144):
//
//	POST …           makes it, keeps it in the session, encrypted, and leads on
//	GET …/once/T     shows it and forgets it; after that it says that it was shown

// onceKept is far more than a browser needs to get there.
const onceKept = 5 * time.Minute

// gonePage stands where something was shown already.
type gonePage struct {
	web.Page
	What string // password, desk or secret: how to get another
	Back string // where that is
}

// once leads on to the page that shows what was made. Where it cannot be kept, it is
// shown at once: it is made, and must be told.
func (p *Pages) once(w http.ResponseWriter, r *http.Request, v *visit, below, name string, content web.Content) error {
	ticket, err := v.session.PutOnce(r.Context(), content, onceKept)
	if err != nil {
		p.app.Log.WarnContext(r.Context(), "what is shown once was not kept", "error", err)
		w.Header().Set("Cache-Control", "no-store")
		return p.show(w, r, http.StatusOK, name, content)
	}
	return see(w, r, below+"/once/"+ticket)
}

// shown renders what the ticket of the address finds, into content.
func (p *Pages) shown(w http.ResponseWriter, r *http.Request, v *visit, name string, content web.Content, gone *gonePage) error {
	w.Header().Set("Cache-Control", "no-store")
	if r.Method != http.MethodGet {
		return nil // to ask whether there is something takes nothing away
	}
	found, err := v.session.TakeOnce(r.Context(), r.PathValue("ticket"), content)
	if err != nil {
		return err
	}
	if !found {
		gone.Here = gone.Back
		return p.show(w, r, http.StatusOK, "gone", gone) // no failure: nobody need be asked for help
	}
	return p.show(w, r, http.StatusOK, name, content)
}

func (p *Pages) issuedOnce(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, back := &issuedPage{}, personPath(r.PathValue("user"))
	page.Here = back // in another language this page would be gone
	return p.shown(w, r, v, "person_issued", page, &gonePage{What: "password", Back: back})
}

func (p *Pages) caseIssuedOnce(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, back := &caseIssuedPage{}, workPath(r.PathValue("user"), r.PathValue("check"))
	page.Here = back
	return p.shown(w, r, v, "case_issued", page, &gonePage{What: "desk", Back: back})
}

func (p *Pages) secretOnce(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, back := &secretPage{}, clientPath(r.PathValue("id"), "")
	page.Here = back
	return p.shown(w, r, v, "client_secret", page, &gonePage{What: "secret", Back: back})
}
