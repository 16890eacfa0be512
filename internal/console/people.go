package console

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const peoplePath = "/people"

// peoplePage is a list of people: everybody, or a view (S11).
type peoplePage struct {
	web.Page
	Filter string
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
	s := portti.PeopleSearch{Text: strings.TrimSpace(r.FormValue("q")), View: r.FormValue("view"), After: r.FormValue("after"), Limit: perPage}
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
		n, err = p.api.PeopleCounts(ctx, v.token, "")
		return err
	})
	if err := both.Wait(); err != nil {
		return refused(err)
	}
	page := &peoplePage{Filter: s.Text, View: s.View, People: list.People, All: !v.staff.OwnAlone("people.see"), New: v.may("people.create"),
		File: address("/people.csv", s.View, s.Text), Pager: pagerOf(r, list.Next)}
	for _, of := range views {
		page.Tabs = append(page.Tabs, tab{address(peoplePath, of.name, s.Text), of.key(), of.count(n), of.name == s.View})
	}
	return p.show(w, r, http.StatusOK, "people", page)
}

func address(path, view, text string) string {
	q := url.Values{}
	if view != "" {
		q.Set("view", view)
	}
	if text != "" {
		q.Set("q", text)
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
	s := portti.PeopleSearch{Text: strings.TrimSpace(r.FormValue("q")), View: r.FormValue("view")}
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
			tabs = append(tabs, tab{Href: address(peoplePath, of.name, ""), Key: of.key(), Count: of.count(n)})
		}
	}
	return tabs, nil
}
