package signin

import (
	"net/http"

	"github.com/portti-id/portti/internal/web"
)

type startPage struct {
	web.Page
	Services string
}

// start is the issuer's own address: nothing begins here, so it says where.
func (p *Pages) start(w http.ResponseWriter, r *http.Request) error {
	return p.Site.Render(w, r, http.StatusOK, "signin/start", &startPage{Services: p.UserServices})
}
