package api

import (
	"net/http"

	"github.com/portti-id/portti/internal/openid"
)

// refusal is portti.Refusal.
type refusal struct {
	openid.Refusal
	Explanation string `json:"explanation"`
}

func (a *API) showRefusal(r *http.Request, _ caller, _ nothing) (answer[refusal], error) {
	f, err := a.Refusals.Refusal(r.Context(), r.PathValue("reference"))
	return answer[refusal]{Body: refusal{f, f.Cause.Explain()}}, err
}
