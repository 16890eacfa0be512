package server

import (
	"net/http"

	"github.com/portti-id/portti/internal/api"
	"github.com/portti-id/portti/internal/card/proxied"
	"github.com/portti-id/portti/internal/signin"
)

// routes is every address of the main host. The card host has one of its own:
// card.Door.
//
//	openid   /.well-known/openid-configuration  /.well-known/oauth-authorization-server
//	         /authorize  /token  /userinfo  /jwks
//	signin   /  /order  /signin/{tx}…  /device…  /end_session  /doctor…
//	api      /api/v1/me…  /api/v1/clients…  /api/v1/doctor/…
//	web      /static/…
//	server   /healthz  /readyz
func (s *Server) routes(pages *signin.Pages, resources *api.API) http.Handler {
	mux := http.NewServeMux()
	s.Provider.Register(mux)
	pages.Routes(mux)
	resources.Routes(mux)
	mux.Handle("GET /static/", s.Site.Static())
	s.health(mux)
	return tellWhen(proxied.Strip(s.Site.Wrap(mux), s.deps.Log))
}
