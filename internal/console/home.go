package console

import (
	"net/http"

	"github.com/portti-id/portti/internal/web"
)

type homePage struct {
	web.Page
	Name, Organisation string
	Roles              []string
	Search             bool // the role allows to find people
	Tiles              []tile
	Due                []tab // what waits for somebody with the role, and people for whom somebody should do something (S11)
}

// tile leads from the home page to what there is to do.
type tile struct{ Href, Key, About string }

// home is what there is for this person.
func (p *Pages) home(w http.ResponseWriter, r *http.Request, v *visit) error {
	page := &homePage{Name: v.staff.Name, Organisation: v.staff.Organisation.Name, Roles: v.staff.Roles, Search: v.may("people.see")}
	for _, s := range sections {
		if s.about != "" && (s.right == "" || v.may(s.right)) {
			page.Tiles = append(page.Tiles, tile{s.path, s.name, s.about})
		}
	}
	for _, of := range []func(*http.Request, *visit) ([]tab, error){p.waiting, p.due} {
		tabs, err := of(r, v)
		if err != nil {
			return err
		}
		page.Due = append(page.Due, tabs...)
	}
	return p.show(w, r, http.StatusOK, "home", page)
}

// waiting is what waits for somebody like the reader: cards whose holder nobody has
// looked at (S29), and acts of colleagues (S64). Nothing is said where nothing waits.
func (p *Pages) waiting(r *http.Request, v *visit) (tabs []tab, err error) {
	add := func(path, key string, n int, next string) {
		if n > 0 {
			tabs = append(tabs, tab{Href: path, Key: key, Count: n, More: next != ""})
		}
	}
	if v.may("card.approve") {
		list, err := p.api.CardApprovals(r.Context(), v.token, "")
		if err != nil {
			return nil, refused(err)
		}
		add(approvalsPath, "con.desk.approvals", len(list.Approvals), list.Next)
	}
	if v.may("identity.confirm") {
		list, err := p.api.Confirmations(r.Context(), v.token, "")
		if err != nil {
			return nil, refused(err)
		}
		add(confirmationsPath, "con.second", len(list.Confirmations), list.Next)
	}
	return tabs, nil
}
