package api

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// organisationOperations are on employers and their policies.
func (a *API) organisationOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/organisations", identity.OrganisationsSee, "Organisations that the caller may see, by name, 50 a page", a.listOrganisations),
		managed(a, "POST /api/v1/organisations", identity.OrganisationsChange, "Add an organisation", a.createOrganisation),
		managed(a, "GET /api/v1/organisations/{organisation}", identity.OrganisationsSee, "An organisation; the ETag is for If-Match", a.showOrganisation),
		managed(a, "PUT /api/v1/organisations/{organisation}", identity.OrganisationsChange, "Give an organisation other settings; If-Match is needed", a.replaceOrganisation),
		managed(a, "POST /api/v1/organisations/{organisation}/disable", identity.OrganisationsChange, "Close an organisation; every session of its people ends", a.disableOrganisation),
		managed(a, "POST /api/v1/organisations/{organisation}/enable", identity.OrganisationsChange, "Open a closed organisation again", a.enableOrganisation),
		managed(a, "GET /api/v1/organisations/{organisation}/policy", identity.OrganisationsSee, "What the employer decides, and the change of it that is to come; the ETag is for If-Match", a.showPolicy),
		managed(a, "POST /api/v1/organisations/{organisation}/policy", identity.PolicyChange, "Change it now or from a time on; those who will have no way in hear of it by letter. If-Match is needed. With dry_run=true: what that would come to", a.changePolicy),
		managed(a, "DELETE /api/v1/organisations/{organisation}/policy/planned", identity.PolicyChange, "Withdraw a planned change", a.withdrawPolicy),
		managed(a, "GET /api/v1/organisations/{organisation}/policy/stranded", identity.PolicyChange, "Whom a change to methods (card,app,token) from a time on would touch: group stranded, without or narrowed; 50 a page, by username", a.listAffected),
	}
}

// perPage is how many rows of a list come at once.
const perPage = 50

func (a *API) listOrganisations(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Employers], error) {
	q, err := only(r, "after")
	if err != nil {
		return answer[portti.Employers]{}, err
	}
	all, err := a.Directory.Organisations(r.Context(), by)
	if err != nil {
		return answer[portti.Employers]{}, err
	}
	// The last of the page before may be gone; then the list begins anew.
	all = all[1+slices.IndexFunc(all, func(o identity.Organisation) bool { return string(o.ID) == q.Get("after") }):]
	page := portti.Employers{Organisations: []portti.Employer{}}
	if len(all) > perPage {
		all, page.Next = all[:perPage], string(all[perPage-1].ID)
	}
	for _, o := range all {
		page.Organisations = append(page.Organisations, a.employer(o))
	}
	return answer[portti.Employers]{Body: page}, nil
}

func (a *API) showOrganisation(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Employer], error) {
	o, err := a.Directory.Organisation(r.Context(), by, organisationOf(r))
	return a.shownOrganisation(o), err
}

func (a *API) shownOrganisation(o identity.Organisation) answer[portti.Employer] {
	return answer[portti.Employer]{Body: a.employer(o), ETag: versioned(o.Version)}
}

func (a *API) createOrganisation(r *http.Request, by identity.Actor, in portti.Employer) (answer[portti.Employer], error) {
	o, err := organisation(in)
	if err == nil {
		o, err = a.Directory.CreateOrganisation(r.Context(), by, o)
	}
	if err != nil {
		return answer[portti.Employer]{}, namedAsJSON(err)
	}
	out := a.shownOrganisation(o)
	out.Status, out.Made = http.StatusCreated, "/api/v1/organisations/"+url.PathEscape(string(o.ID))
	return out, nil
}

func (a *API) replaceOrganisation(r *http.Request, by identity.Actor, in portti.Employer) (answer[portti.Employer], error) {
	seen, err := matched(r)
	if err != nil {
		return answer[portti.Employer]{}, err
	}
	in.ID = string(organisationOf(r))
	o, err := organisation(in)
	if err == nil {
		o, err = a.Directory.ReplaceOrganisation(r.Context(), by, seen, o)
	}
	if err != nil {
		return answer[portti.Employer]{}, namedAsJSON(err)
	}
	return a.shownOrganisation(o), nil
}

func (a *API) disableOrganisation(r *http.Request, by identity.Actor, in portti.Grounds) (answer[nothing], error) {
	return answer[nothing]{}, a.Directory.SetOrganisationDisabled(r.Context(), by, organisationOf(r), true, grounds(in))
}

func (a *API) enableOrganisation(r *http.Request, by identity.Actor, in portti.Grounds) (answer[nothing], error) {
	return answer[nothing]{}, a.Directory.SetOrganisationDisabled(r.Context(), by, organisationOf(r), false, grounds(in))
}

func (a *API) showPolicy(r *http.Request, by identity.Actor, _ nothing) (answer[portti.PolicyState], error) {
	o, err := a.Directory.Organisation(r.Context(), by, organisationOf(r))
	return answer[portti.PolicyState]{Body: a.policyState(o), ETag: versioned(o.Version)}, err
}

// changePolicy counts first and changes then, so that both say the same of a
// change at once.
func (a *API) changePolicy(r *http.Request, by identity.Actor, in portti.PolicyChange) (answer[portti.PolicyOutcome], error) {
	dry, err := dryRun(r)
	if err != nil {
		return answer[portti.PolicyOutcome]{}, err
	}
	seen, err := matched(r)
	if err != nil {
		return answer[portti.PolicyOutcome]{}, err
	}
	p, err := policy(in.Policy)
	if err != nil {
		return answer[portti.PolicyOutcome]{}, err
	}
	ctx, id, d := r.Context(), organisationOf(r), *a.Directory
	d.DryRun = dry
	effect, err := d.PolicyEffect(ctx, by, id, p.Methods, in.From)
	if err != nil {
		return answer[portti.PolicyOutcome]{}, namedAsJSON(err)
	}
	o, err := d.PlanPolicy(ctx, by, id, seen, p, in.From)
	if err != nil {
		return answer[portti.PolicyOutcome]{}, namedAsJSON(err)
	}
	out := answer[portti.PolicyOutcome]{Body: portti.PolicyOutcome{State: a.policyState(o), Effect: portti.PolicyEffect(effect)}}
	if !dry {
		out.ETag = versioned(o.Version)
	}
	return out, nil
}

func (a *API) withdrawPolicy(r *http.Request, by identity.Actor, _ nothing) (answer[nothing], error) {
	_, err := a.Directory.WithdrawPlan(r.Context(), by, organisationOf(r))
	return answer[nothing]{}, err
}

func (a *API) listAffected(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Affected], error) {
	q, err := only(r, "methods", "from", "group", "after")
	if err != nil {
		return answer[portti.Affected]{}, err
	}
	methods, err := identity.ParseMethods(strings.FieldsFunc(q.Get("methods"), func(c rune) bool { return c == ',' }))
	if err != nil {
		return answer[portti.Affected]{}, err
	}
	var from time.Time
	if q.Has("from") {
		if from, err = time.Parse(time.RFC3339, q.Get("from")); err != nil {
			return answer[portti.Affected]{}, fault.New(fault.Invalid, "query_invalid", "from: give a time such as 2027-01-31T00:00:00Z.").In("from")
		}
	}
	group := identity.Stranded
	if q.Get("group") != "" {
		group = identity.Group(q.Get("group"))
	}
	if !slices.Contains(identity.Groups, group) {
		return answer[portti.Affected]{}, fault.New(fault.Invalid, "query_invalid", "group: %q is not one of stranded, without, narrowed.", group).In("group")
	}
	people, err := a.Directory.PolicyAffected(r.Context(), by, organisationOf(r), methods, from, group, identity.FoldUsername(q.Get("after")), perPage+1)
	if err != nil {
		return answer[portti.Affected]{}, namedAsJSON(err)
	}
	page := portti.Affected{People: []portti.AffectedPerson{}}
	if len(people) > perPage {
		people, page.Next = people[:perPage], people[perPage-1].User.Username
	}
	now := a.Now()
	if from.Before(now) {
		from = now
	}
	for _, p := range people {
		one := portti.AffectedPerson{ID: string(p.User.ID), Username: p.User.Username, Name: p.User.Name(), MayEnable: methodsOf(p.MayEnable(methods, from))}
		if c := p.Card; c != nil {
			one.Card = &portti.LinkedCard{Holder: c.HolderName, Organisation: c.HolderOrg, Issuer: c.Issuer, Tail: c.Tail(), NotAfter: c.NotAfter,
				Expired: !p.UsableCard(now), State: c.State(now), ExpiresSoon: c.ExpiresSoon(now), Linked: c.Linked, Used: c.Used}
		}
		if l := p.Authenticator; l != nil {
			one.Authenticator = portti.Method(l.Kind.String())
		}
		page.People = append(page.People, one)
	}
	return answer[portti.Affected]{Body: page}, nil
}

func organisationOf(r *http.Request) identity.OrganisationID {
	return identity.OrganisationID(r.PathValue("organisation"))
}

func (a *API) employer(o identity.Organisation) portti.Employer {
	e := portti.Employer{ID: string(o.ID), Name: o.Name, Policy: policyView(o.Policy()), Delivery: string(o.Delivery), Holder: string(o.HolderRule), CardNames: o.CardNames, SecondPerson: o.SecondPerson,
		Created: o.Created, Disabled: o.Disabled, Version: o.Version}
	if o.Planned.Open(a.Now()) {
		e.Planned = o.Planned.From
	}
	return e
}

func (a *API) policyState(o identity.Organisation) portti.PolicyState {
	s := portti.PolicyState{Organisation: portti.OrganisationName{ID: string(o.ID), Name: o.Name}, Policy: policyView(o.Policy()), Version: o.Version}
	if o.Planned.Open(a.Now()) {
		s.Planned = &portti.PlannedPolicy{Policy: policyView(o.Planned.Policy), From: o.Planned.From, Made: o.Planned.Made}
	}
	return s
}

func policyView(p identity.Policy) portti.Policy {
	return portti.Policy{Methods: methodsOf(p.Methods), PersonalPhones: p.PersonalPhones, SharedWorkstations: p.SharedWorkstations,
		SessionIdle: int(p.SessionIdle / time.Minute), SessionAbsolute: int(p.SessionAbsolute / time.Minute),
		ITContact: p.ITContact, ResponsibleContact: p.ResponsibleContact, SupportPhone: p.SupportPhone, SupportHours: p.SupportHours}
}

func methodsOf(set identity.Methods) (names []portti.Method) {
	for _, m := range set.List() {
		names = append(names, portti.Method(m.String()))
	}
	return names
}

func organisation(in portti.Employer) (identity.Organisation, error) {
	p, err := policy(in.Policy)
	o := identity.Organisation{ID: identity.OrganisationID(in.ID), Name: in.Name, Delivery: identity.Delivery(in.Delivery), HolderRule: identity.HolderRule(in.Holder), CardNames: in.CardNames, SecondPerson: in.SecondPerson}
	return o.With(p), err
}

func policy(in portti.Policy) (identity.Policy, error) {
	names := make([]string, len(in.Methods))
	for i, m := range in.Methods {
		names[i] = string(m)
	}
	methods, err := identity.ParseMethods(names)
	if err != nil {
		return identity.Policy{}, err
	}
	// A number that no limit can be stays one when it becomes a duration.
	minutes := func(n int) time.Duration { return time.Duration(max(-1, min(n, 24*60))) * time.Minute }
	return identity.Policy{Methods: methods, PersonalPhones: in.PersonalPhones, SharedWorkstations: in.SharedWorkstations,
		SessionIdle: minutes(in.SessionIdle), SessionAbsolute: minutes(in.SessionAbsolute),
		ITContact: in.ITContact, ResponsibleContact: in.ResponsibleContact, SupportPhone: in.SupportPhone, SupportHours: in.SupportHours}, nil
}

// namedAsJSON gives a fault's field the name that it has here: porttictl's flags
// have hyphens.
func namedAsJSON(err error) error {
	f, ok := fault.Of(err)
	if !ok || !strings.Contains(f.Field, "-") {
		return err
	}
	return f.In(strings.ReplaceAll(f.Field, "-", "_"))
}
