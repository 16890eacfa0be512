package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/web"
)

type orderPage struct {
	web.Page
	Back string
}

// order tells how to get a new password (S50). It knows no person and changes
// nothing.
func (p *Pages) order(w http.ResponseWriter, r *http.Request) error {
	page := &orderPage{}
	if tx := r.PathValue("tx"); tx != "" {
		page.Back = signInPath(tx)
	}
	return p.Site.Render(w, r, http.StatusOK, "signin/order", page)
}
