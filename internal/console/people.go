package console

import (
	"io"
	"net/http"
	"net/url"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const peoplePath = "/people"

// peoplePage is a list of people: everybody, or a view (S11).
type peoplePage struct {
	web.Page
	Filter string
	Of     string // the organisation whose people these are; "" for all that the reader sees
	View   string // "" for everybody
	Tabs   []tab
	People []portti.Person
	All    bool   // people of every organisation
	New    bool   // the role allows to create
	File   string // address of the list as a file
	Pager  pager
}

// tab is a view, with the number of people in it.
type tab struct {
	Href, Key string
	Count     int
	Here      bool
	More      bool // Count is of a first page, and there are others
}

// view is how a view's number is found in the counts.
type view struct {
	name  string
	count func(n portti.PeopleCounts) int
}

var views = []view{
	{"", func(n portti.PeopleCounts) int { return n.All }},
	{"unlinked", func(n portti.PeopleCounts) int { return n.Unlinked }},
	{"expiring", func(n portti.PeopleCounts) int { return n.Expiring }},
	{"unused", func(n portti.PeopleCounts) int { return n.Unused }},
	{"blocked", func(n portti.PeopleCounts) int { return n.Blocked }},
	{"frozen", func(n portti.PeopleCounts) int { return n.Frozen }},
	{"disabled", func(n portti.PeopleCounts) int { return n.Disabled }},
}

// key is the text of a view's name.
func (v view) key() string {
	if v.name == "" {
		return "con.people.view.all"
	}
	return "con.people.view." + v.name
}

// people lists people by username, a page at a time.
func (p *Pages) people(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.see"); err != nil {
		return err
	}
	s := peopleSearchOf(r)
	s.After, s.Limit = r.FormValue("after"), perPage
	if !slices.ContainsFunc(views, func(of view) bool { return of.name == s.View }) {
		return see(w, r, peoplePath)
	}
	var list portti.People
	var n portti.PeopleCounts
	both, ctx := errgroup.WithContext(r.Context()) // among 100,000 people each takes its time
	both.Go(func() (err error) {
		list, err = p.api.People(ctx, v.token, s)
		return err
	})
	both.Go(func() (err error) {
		n, err = p.api.PeopleCounts(ctx, v.token, s.Organisation)
		return err
	})
	page := &peoplePage{Filter: s.Text, View: s.View, Of: s.Organisation, All: !v.staff.OwnAlone("people.see"), New: v.may("people.create"), File: address("/people.csv", s)}
	if err := refused(both.Wait()); err != nil {
		return p.again(w, r, "people", &page.Page, page, noSuchOrganisation(err))
	}
	page.People, page.Pager = list.People, pagerOf(r, list.Next)
	for _, of := range views {
		there := s
		there.View = of.name
		page.Tabs = append(page.Tabs, tab{Href: address(peoplePath, there), Key: of.key(), Count: of.count(n), Here: of.name == s.View})
	}
	return p.show(w, r, http.StatusOK, "people", page)
}

// peopleSearchOf is the filter of a list of people.
func peopleSearchOf(r *http.Request) portti.PeopleSearch {
	return portti.PeopleSearch{Organisation: asked(r, "organisation"), Text: asked(r, "q"), View: r.FormValue("view")}
}

// noSuchOrganisation puts the refusal of an organisation beside the field in which it
// was typed; others it leaves.
func noSuchOrganisation(err error) error {
	if f, ok := fault.Of(err); ok && f.Code == "organisation_not_found" {
		f.Kind, f.Field = fault.Invalid, "organisation"
	}
	return err
}

// address is a list of people with its filter.
func address(path string, s portti.PeopleSearch) string {
	q := url.Values{}
	for name, value := range map[string]string{"organisation": s.Organisation, "view": s.View, "q": s.Text} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if len(q) == 0 {
		return path
	}
	return path + "?" + q.Encode()
}

// peopleFile hands the list over as a file, as it comes from the API.
func (p *Pages) peopleFile(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.see"); err != nil {
		return err
	}
	s := peopleSearchOf(r)
	file, err := p.api.ExportPeople(r.Context(), v.token, s)
	if err != nil {
		return refused(err)
	}
	defer func() { _ = file.Close() }()
	name := "people"
	if s.View != "" {
		name += "-" + s.View // the API has taken it
	}
	h := w.Header()
	h.Set("Content-Type", "text/csv; charset=utf-8")
	h.Set("Content-Disposition", `attachment; filename="`+name+`.csv"`)
	h.Set("Cache-Control", "no-store")
	if _, err := io.Copy(w, file); err != nil {
		panic(http.ErrAbortHandler) // half a list must not look like a whole one
	}
	return nil
}

// due is what home shows of the people for whom somebody should do something.
func (p *Pages) due(r *http.Request, v *visit) ([]tab, error) {
	if !v.may("people.see") {
		return nil, nil
	}
	n, err := p.api.PeopleCounts(r.Context(), v.token, "")
	if err != nil {
		return nil, refused(err)
	}
	var tabs []tab
	for _, of := range views {
		if slices.Contains([]string{"unlinked", "expiring", "unused"}, of.name) {
			tabs = append(tabs, tab{Href: address(peoplePath, portti.PeopleSearch{View: of.name}), Key: of.key(), Count: of.count(n)})
		}
	}
	return tabs, nil
}
