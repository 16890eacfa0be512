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

// findings is portti.Findings, the worst first.
type findings struct {
	Findings []finding `json:"findings"`
}

type finding struct {
	openid.Finding
	Explanation string `json:"explanation"`
}

func (a *API) examineClient(r *http.Request, _ caller, _ nothing) (answer[findings], error) {
	c, err := a.Registered.Client(r.Context(), r.PathValue("id"))
	if err != nil {
		return answer[findings]{}, err
	}
	out := findings{Findings: []finding{}}
	for _, f := range a.Checkups.Checkup(r.Context(), c) {
		out.Findings = append(out.Findings, finding{f, f.Symptom.Explain()})
	}
	return answer[findings]{Body: out}, nil
}
