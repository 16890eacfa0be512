package api

import (
	"net/http"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// doctorOperations explain what went wrong between us and a service.
func (a *API) doctorOperations() []operation {
	return []operation{
		operator(a, "GET /api/v1/clients/{id}/doctor", identity.ClientsSee, "What about a registration is permitted and will probably hurt", a.examineClient),
		operator(a, "GET /api/v1/doctor/{reference}", identity.RefusalsSee, "Why a service's request was refused; kept for a day", a.showRefusal),
		operator(a, "GET /api/v1/clients/{id}/requests", identity.RefusalsSee, "How the latest authorization requests of a client went, refused or not, the newest first", a.listCourses),
		operator(a, "GET /api/v1/requests/{reference}", identity.RefusalsSee, "How an authorization request went, in the words of the protocol", a.showCourse),
	}
}

// refusal is portti.Refusal.
type refusal struct {
	openid.Refusal
	Explanation string `json:"explanation"`
}

func (a *API) showRefusal(r *http.Request, _ caller, _ nothing) (answer[refusal], error) {
	f, err := a.Refusals.Refusal(r.Context(), r.PathValue("reference"))
	return answer[refusal]{Body: refusal{f, f.Cause.Explain()}}, err
}

// showCourse is portti.Course.
func (a *API) showCourse(r *http.Request, _ caller, _ nothing) (answer[openid.Course], error) {
	c, err := a.Refusals.Course(r.Context(), r.PathValue("reference"))
	return answer[openid.Course]{Body: c}, err
}

// courses is portti.Courses.
type courses struct {
	Requests []openid.Course `json:"requests"`
}

func (a *API) listCourses(r *http.Request, _ caller, _ nothing) (answer[courses], error) {
	c, err := a.Registered.Client(r.Context(), r.PathValue("id"))
	if err != nil {
		return answer[courses]{}, err
	}
	all, err := a.Refusals.Courses(r.Context(), c.ID)
	return answer[courses]{Body: courses{all}}, err
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
