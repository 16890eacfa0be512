package console

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const tracesPath = "/traces"

// traceFindPage asks for the reference that a caller reads out.
type traceFindPage struct {
	web.Page
	Asked, Ticket string
}

// tracePage is how a sign-in went.
type tracePage struct {
	web.Page
	Trace   traceView
	Doctor  string // where its service's request is explained, "" without
	Person  *portti.TracePerson
	Account string // the person's page
}

type tracesPage struct {
	web.Page
	Account string
	Traces  []traceView
	Pager   pager
}

// traceView is a trace in words.
type traceView struct {
	portti.Trace
	Service string // its name
	Remedy  string // key of what to do
	Signed  string // Method of the trace, if it has one
}

func viewTrace(v *visit, t portti.Trace, has func(key string) bool) traceView {
	view := traceView{Trace: t, Service: app.Named(v.lang, t.ClientNames, t.Client), Signed: t.Method()}
	if t.Trouble != nil {
		view.Remedy = "con.trace.do.other"
		for _, key := range []string{"con.trace.do." + t.Trouble.Code, "verdict." + t.Trouble.Code + ".do", "fault." + t.Trouble.Code + ".do"} {
			if has(key) {
				view.Remedy = key
				break
			}
		}
	}
	return view
}

// traces asks for a reference, and shows the sign-in that has it.
func (p *Pages) traces(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("trace.see"); err != nil {
		return err
	}
	asked := strings.TrimSpace(r.FormValue("reference"))
	page := &traceFindPage{Asked: asked, Ticket: strings.TrimSpace(r.FormValue("ticket"))}
	if asked == "" {
		return p.show(w, r, http.StatusOK, "trace_find", page)
	}
	t, err := p.api.Trace(r.Context(), v.token, asked, page.Ticket)
	if err = refused(err); err != nil {
		if f, ok := fault.Of(err); ok && f.Code == "trace_not_found" {
			err = f.In("reference")
		}
		return p.again(w, r, "trace_find", &page.Page, page, err)
	}
	shown := &tracePage{Trace: viewTrace(v, t, p.site.Texts().Has), Person: t.Person}
	if t.Person != nil && v.may("people.see") {
		shown.Account = "/people/" + url.PathEscape(t.Person.ID)
	}
	if v.may("refusals.see") && len(t.References) > 0 {
		shown.Doctor = p.issuer + "/doctor/" + url.PathEscape(t.References[len(t.References)-1])
	}
	return p.show(w, r, http.StatusOK, "trace", shown)
}

// personTraces lists how a person's sign-ins went.
func (p *Pages) personTraces(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("trace.see"); err != nil {
		return err
	}
	id := r.PathValue("user")
	var after time.Time
	if q := r.FormValue("after"); q != "" {
		var err error
		if after, err = time.Parse(time.RFC3339Nano, q); err != nil {
			return fault.New(fault.NotFound, "not_found", "There is no such page.")
		}
	}
	all, err := p.api.TracesOf(r.Context(), v.token, id, after)
	if err != nil {
		return refused(err)
	}
	page := &tracesPage{Account: "/people/" + url.PathEscape(id)}
	for _, t := range all {
		page.Traces = append(page.Traces, viewTrace(v, t, p.site.Texts().Has))
	}
	next := ""
	if len(all) == perPage {
		next = all[perPage-1].Until.UTC().Format(time.RFC3339Nano)
	}
	page.Pager = pagerOf(r, next)
	return p.show(w, r, http.StatusOK, "traces", page)
}
