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
	Due                []tab // people for whom somebody should do something (S11)
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
	var err error
	if page.Due, err = p.due(r, v); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "home", page)
}
