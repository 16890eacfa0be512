package userservices

import (
	"net/http"
	"net/url"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const (
	signInsPath   = "/logins"
	signInsAtOnce = 50 // as the API gives them
)

type signInsPage struct {
	web.Page
	SignIns []signIn
	Older   string // link to those before them; "" for none
}

// signIn is how one went.
type signIn struct {
	At         time.Time
	Service    string
	Method     string // card, app, token, password; "" when nobody was let in
	Network    string
	References []string
	Proved     bool // it was the person, as far as anybody knows
	Entries    []portti.TraceEntry
}

// signIns lists how the person's sign-ins went, and why what was asked.
func (p *Pages) signIns(w http.ResponseWriter, r *http.Request, v *visit) error {
	if !v.me.Full {
		return app.ErrFull
	}
	var after time.Time
	if q := r.URL.Query().Get("after"); q != "" {
		var err error
		if after, err = time.Parse(time.RFC3339Nano, q); err != nil {
			return fault.New(fault.NotFound, "not_found", "There is no such page.")
		}
	}
	all, err := p.api.OwnTraces(r.Context(), v.token, after)
	if err != nil {
		return app.Refused(err)
	}
	page := &signInsPage{}
	for _, t := range all {
		page.SignIns = append(page.SignIns, signIn{At: t.At, Service: app.Named(v.lang, t.ClientNames, t.Client), Method: t.Method(), Network: t.Network, References: t.References, Proved: t.Proved, Entries: t.Entries})
	}
	if len(all) == signInsAtOnce {
		page.Older = signInsPath + "?" + url.Values{"after": {all[len(all)-1].Until.UTC().Format(time.RFC3339Nano)}}.Encode()
	}
	return p.show(w, r, http.StatusOK, "signins", page)
}
