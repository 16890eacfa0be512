package console

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/app"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const (
	clientsPath = "/clients"
	perPage     = 50 // rows of a list
)

type clientsPage struct {
	web.Page
	Filter  string
	Clients []clientRow
	Change  bool
	Pager   pager
}

type clientRow struct {
	ID, Name, Address    string
	Disabled, Registered bool // Registered: by itself
}

// clients lists relying parties. The API gives all of them: there are dozens of
// them, where there are thousands of people.
func (p *Pages) clients(w http.ResponseWriter, r *http.Request, v *visit) error {
	all, err := p.api.Clients(r.Context(), v.token)
	if err != nil {
		return refused(err)
	}
	page := &clientsPage{Filter: strings.TrimSpace(r.FormValue("q")), Change: v.may("clients.change")}
	after, next := r.FormValue("after"), ""
	for _, c := range all {
		row := rowOf(v, c)
		switch {
		case !row.matches(page.Filter), after != "" && row.ID <= after:
		case len(page.Clients) < perPage:
			page.Clients = append(page.Clients, row)
		default:
			next = page.Clients[perPage-1].ID
		}
	}
	page.Pager = pagerOf(r, next)
	return p.show(w, r, http.StatusOK, "clients", page)
}

func rowOf(v *visit, c portti.Registered) clientRow {
	row := clientRow{ID: c.Client.ID, Name: clientName(v.lang, c.Client), Address: c.Client.HomeURI, Disabled: !c.Disabled.IsZero(), Registered: c.SelfRegistered}
	if row.Address == "" && len(c.Client.RedirectURIs) > 0 {
		row.Address = c.Client.RedirectURIs[0]
	}
	return row
}

// clientName is what people read when they sign in to a service.
func clientName(lang string, c portti.Registration) string {
	return app.Named(lang, map[string]string{"fi": c.NameFi, "sv": c.NameSv, "en": cmp.Or(c.NameEn, c.Name)}, c.ID)
}

func (c clientRow) matches(filter string) bool {
	return slices.ContainsFunc([]string{c.ID, c.Name, c.Address}, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(filter)) })
}
