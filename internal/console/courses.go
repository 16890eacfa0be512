package console

import (
	"net/http"

	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// coursesPage is how the latest requests of a service went, for its makers.
type coursesPage struct {
	web.Page
	ID, Name string
	Courses  []portti.Course
}

func (p *Pages) courses(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("refusals.see"); err != nil {
		return err
	}
	client, _, err := p.client(r, v)
	if err != nil {
		return err
	}
	page := &coursesPage{ID: client.ID, Name: client.Name}
	if page.Courses, err = p.api.Courses(r.Context(), v.token, client.ID); err != nil {
		return refused(err)
	}
	return p.show(w, r, http.StatusOK, "client_requests", page)
}
