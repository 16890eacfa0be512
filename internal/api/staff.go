package api

import (
	"net/http"
	"net/url"
	"reflect"
	"slices"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// staffOperations tell the Console who uses it.
func (a *API) staffOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/staff", identity.ConsoleUse, "Who is calling, and what the role allows", a.staff),
	}
}

// managed is an operation of a person on others, by a right. The directory asks
// again for the right on whom it touches: here it is only known that the role has it.
func managed[In, Out any](a *API, pattern string, right identity.Right, summary string, f func(r *http.Request, by identity.Actor, in In) (answer[Out], error)) operation {
	return operation{pattern, summary, []string{scopeManage}, right, reflect.TypeFor[In](), reflect.TypeFor[Out](), func(w http.ResponseWriter, r *http.Request) error {
		g, r, err := a.entrusted(w, r, scopeManage)
		if err != nil {
			return challenge(w, err)
		}
		by, err := a.actor(r, g, right)
		if err != nil {
			return challenge(w, err)
		}
		in, err := body[In](r)
		if err != nil {
			return err
		}
		out, err := f(r, by, in)
		if err != nil {
			return err
		}
		return write(w, a.Issuer, out)
	}}
}

// only reads the query of an operation that knows these members, each once;
// anything else is refused, or who misspells one would see what was not asked for.
func only(r *http.Request, known ...string) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, fault.New(fault.Invalid, "query_invalid", "The query is not well-formed.")
	}
	for name, values := range query {
		if !slices.Contains(known, name) || len(values) != 1 {
			return nil, fault.New(fault.Invalid, "query_invalid", "%s: the query does not take this here, or takes it once.", name).In(name)
		}
	}
	return query, nil
}

// staff tells the Console who is signed in there.
func (a *API) staff(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Staff], error) {
	p, err := a.Directory.Store.Account(r.Context(), by.User)
	if err != nil {
		return answer[portti.Staff]{}, err
	}
	s := portti.Staff{ID: string(p.User.ID), Username: p.User.Username, Name: p.User.Name(), Language: p.User.Language, Support: a.Support, PasswordHours: int(identity.OrderedPasswordLasts.Hours()), FirstPasswordDays: int(identity.FirstPasswordLasts.Hours() / 24),
		Organisation: portti.OrganisationName{ID: string(p.Organisation.ID), Name: p.Organisation.Name}}
	for _, role := range by.Roles.List() {
		s.Roles = append(s.Roles, role.String())
	}
	for _, right := range by.Roles.Rights() {
		s.Rights = append(s.Rights, string(right))
		if by.Reach(right) == identity.OwnOrganisation {
			s.Own = append(s.Own, string(right))
		}
	}
	return answer[portti.Staff]{Body: s}, nil
}
