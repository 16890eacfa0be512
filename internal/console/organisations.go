package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

const organisationsPath = "/organisations"

// organisationPath is the page of an organisation, or one below it.
func organisationPath(id, below string) string {
	return organisationsPath + "/" + url.PathEscape(id) + below
}

type organisationsPage struct {
	web.Page
	Organisations []organisationRow
	New           string // address of the page for another one; "" where the role does not allow it
	Pager         pager
}

type organisationRow struct {
	Href, ID, Name string
	Methods        []portti.Method
	Disabled       bool
	Planned        time.Time // zero: no change is planned
}

// organisations lists those that the person may see: a responsible user's own, and
// everybody else every one.
func (p *Pages) organisations(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("organisations.see"); err != nil {
		return err
	}
	list, err := p.api.Organisations(r.Context(), v.token, r.FormValue("after"))
	if err != nil {
		return refused(err)
	}
	page := &organisationsPage{Pager: pagerOf(r, list.Next)}
	if v.may("organisations.change") {
		page.New = newOrganisationPath
	}
	for _, o := range list.Organisations {
		page.Organisations = append(page.Organisations, organisationRow{organisationPath(o.ID, ""), o.ID, o.Name, o.Policy.Methods, !o.Disabled.IsZero(), o.Planned})
	}
	return p.show(w, r, http.StatusOK, "organisations", page)
}

// organisationDone are the acts after which the page says so.
var organisationDone = map[string]bool{"created": true, "changed": true, "disabled": true, "enabled": true, "policy": true, "planned": true, "withdrawn": true}

type organisationPage struct {
	web.Page
	ID, Name           string
	Disabled           bool
	Delivery, Holder   string
	CardNames          string
	SecondPerson       bool
	Policy             portti.Policy
	Planned            *portti.PlannedPolicy
	Change, Withdrawal string // addresses; "" where the role does not allow it
	Edit, Turn         string // of the operators' pages, the same
	Done               string // what was just done: a key below con.org.done, or ""
	Lists              []tile // what there is of it in other sections
}

// organisation is what is decided of one, and the change that is to come.
func (p *Pages) organisation(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("organisations.see"); err != nil {
		return err
	}
	id := r.PathValue("organisation")
	o, err := p.api.Organisation(r.Context(), v.token, id)
	if err != nil {
		return refused(err)
	}
	state, err := p.api.OrganisationPolicy(r.Context(), v.token, id)
	if err != nil {
		return refused(err)
	}
	page := &organisationPage{ID: o.ID, Name: o.Name, Disabled: !o.Disabled.IsZero(), Delivery: o.Delivery, Holder: o.Holder, CardNames: o.CardNames, SecondPerson: o.SecondPerson, Policy: state.Policy, Planned: state.Planned}
	switch {
	case !v.may("policy.change"):
	case state.Planned == nil:
		page.Change = organisationPath(id, "/policy")
	default:
		page.Withdrawal = organisationPath(id, "/policy/withdraw")
	}
	if v.may("organisations.change") {
		page.Edit, page.Turn = organisationPath(id, "/edit"), organisationPath(id, "/disable")
		if page.Disabled {
			page.Turn = organisationPath(id, "/enable")
		}
	}
	if d := r.FormValue("done"); organisationDone[d] {
		page.Done = d
	}
	for _, l := range []struct{ path, right, key string }{
		{peoplePath, "people.see", "con.people"}, {peoplePath + "/new", "people.create", "con.people.new"}, {importFilePath, "people.create", "con.import.open"},
		{statisticsPath, "statistics.see", "con.statistics"}, {auditPath, "audit.see", "con.audit"},
	} {
		if v.may(l.right) && !v.staff.OwnAlone(l.right) { // where it ends at one's own organisation, the section is the same
			page.Lists = append(page.Lists, tile{Href: l.path + "?organisation=" + url.QueryEscape(o.ID), Key: l.key})
		}
	}
	return p.show(w, r, http.StatusOK, "organisation", page)
}

// policyForm is a change of policy as it is typed.
type policyForm struct {
	Card, App, Token, PersonalPhones, SharedWorkstations bool
	SessionIdle, SessionAbsolute                         string // minutes; "" for the usual limit
	ITContact, ResponsibleContact, Phone, Hours          string
	From                                                 string // a day as browsers send it, 2027-02-01; "": at once
	Version                                              string
}

type policyPage struct {
	web.Page
	Name, Action, Back string
	Now                *portti.Policy // what somebody else has made of it meanwhile; nil: nothing
	policyForm
}

type policyConfirmPage struct {
	web.Page
	Name, Action, Back, Again string
	policyForm
	Policy  portti.Policy
	Day     time.Time // zero: at once
	Effect  portti.PolicyEffect
	People  []affectedRow // the first of the stranded
	More    string        // address of all of them, "" when these are all
	Without string        // addresses of the other groups, "" where nobody is in one
	Narrow  string
}

// affectedRow is a person whom a change touches.
type affectedRow struct {
	Username, Name string
	Card           *portti.LinkedCard
	Authenticator  portti.Method
	MayEnable      []portti.Method
}

func policyFormOf(s portti.PolicyState) policyForm {
	minutes := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	q := s.Policy
	return policyForm{Card: slices.Contains(q.Methods, portti.Card), App: slices.Contains(q.Methods, portti.App), Token: slices.Contains(q.Methods, portti.Token),
		PersonalPhones: q.PersonalPhones, SharedWorkstations: q.SharedWorkstations, SessionIdle: minutes(q.SessionIdle), SessionAbsolute: minutes(q.SessionAbsolute),
		ITContact: q.ITContact, ResponsibleContact: q.ResponsibleContact, Phone: q.SupportPhone, Hours: q.SupportHours, Version: strconv.FormatInt(s.Version, 10)}
}

func typedPolicy(r *http.Request) policyForm {
	yes := func(name string) bool { return r.PostFormValue(name) == "yes" }
	text := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return policyForm{Card: yes("card"), App: yes("app"), Token: yes("token"), PersonalPhones: yes("personal_phones"), SharedWorkstations: yes("shared_workstations"),
		SessionIdle: text("session_idle"), SessionAbsolute: text("session_absolute"), ITContact: text("it_contact"), ResponsibleContact: text("responsible_contact"),
		Phone: text("support_phone"), Hours: text("support_hours"), From: text("from"), Version: text("version")}
}

func (f policyForm) methods() (list []portti.Method) {
	for _, m := range []struct {
		ticked bool
		method portti.Method
	}{{f.Card, portti.Card}, {f.App, portti.App}, {f.Token, portti.Token}} {
		if m.ticked {
			list = append(list, m.method)
		}
	}
	return list
}

// change reads what was typed; what the API would not take it says itself.
func (f policyForm) change() (portti.PolicyChange, error) {
	c := portti.PolicyChange{Policy: portti.Policy{PersonalPhones: f.PersonalPhones, SharedWorkstations: f.SharedWorkstations,
		ITContact: f.ITContact, ResponsibleContact: f.ResponsibleContact, SupportPhone: f.Phone, SupportHours: f.Hours}}
	c.Policy.Methods = f.methods()
	for _, n := range []struct {
		field, typed string
		into         *int
	}{{"session_idle", f.SessionIdle, &c.Policy.SessionIdle}, {"session_absolute", f.SessionAbsolute, &c.Policy.SessionAbsolute}} {
		if n.typed == "" {
			continue
		}
		var err error
		if *n.into, err = strconv.Atoi(n.typed); err != nil {
			return c, fault.New(fault.Invalid, "number_invalid", "Give a number of minutes.").In(n.field)
		}
	}
	if f.From != "" {
		var err error
		if c.From, err = time.ParseInLocation(time.DateOnly, f.From, time.Local); err != nil {
			return c, fault.New(fault.Invalid, "day_invalid", "Give a day such as 2027-02-01.").In("from")
		}
	}
	c.Version, _ = strconv.ParseInt(f.Version, 10, 64) // another version is one that nobody has seen
	return c, nil
}

// policy is the form.
func (p *Pages) policy(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("policy.change"); err != nil {
		return err
	}
	id := r.PathValue("organisation")
	state, err := p.api.OrganisationPolicy(r.Context(), v.token, id)
	if err != nil {
		return refused(err)
	}
	return p.show(w, r, http.StatusOK, "policy", &policyPage{Name: state.Organisation.Name, Action: organisationPath(id, "/policy"), Back: organisationPath(id, ""), policyForm: policyFormOf(state)})
}

// changePolicy shows first whom the change touches, and makes it when that was
// confirmed (S8).
func (p *Pages) changePolicy(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("policy.change"); err != nil {
		return err
	}
	id, f := r.PathValue("organisation"), typedPolicy(r)
	state, err := p.api.OrganisationPolicy(r.Context(), v.token, id)
	if err != nil {
		return refused(err)
	}
	form := &policyPage{Name: state.Organisation.Name, Action: organisationPath(id, "/policy"), Back: organisationPath(id, ""), policyForm: f}
	if r.PostFormValue("again") == "yes" {
		return p.show(w, r, http.StatusOK, "policy", form)
	}
	c, err := f.change()
	if err != nil {
		return p.again(w, r, "policy", &form.Page, form, err)
	}
	if !c.From.After(p.now()) {
		c.From = time.Time{} // today has begun
	}
	how := portti.DryRun
	if r.PostFormValue("confirmed") == "yes" {
		how = portti.Apply
	}
	out, err := p.api.ChangePolicy(r.Context(), v.token, id, c, how)
	if err != nil {
		if portti.Code(err) == "changed_meanwhile" {
			// What there is now stands beside what was typed, and the next try is over that.
			form.Now, form.Version = &state.Policy, strconv.FormatInt(state.Version, 10)
		}
		return p.again(w, r, "policy", &form.Page, form, refused(err))
	}
	switch {
	case how == portti.Apply && c.From.IsZero():
		return see(w, r, organisationPath(id, "?done=policy"))
	case how == portti.Apply:
		return see(w, r, organisationPath(id, "?done=planned"))
	}
	stranded, err := p.api.PolicyAffected(r.Context(), v.token, id, portti.AffectedQuery{Methods: c.Policy.Methods, From: c.From})
	if err != nil {
		return refused(err)
	}
	page := &policyConfirmPage{Name: form.Name, Action: form.Action, Back: form.Back, policyForm: f, Policy: c.Policy, Day: c.From, Effect: out.Effect, People: rowsOf(stranded)}
	at := func(group string, n int) string {
		if n == 0 {
			return ""
		}
		return organisationPath(id, "/policy/affected?") + affectedQuery(c, group).Encode()
	}
	if stranded.Next != "" {
		page.More = at("stranded", out.Effect.Stranded)
	}
	page.Without, page.Narrow = at("without", out.Effect.Without), at("narrowed", out.Effect.Narrowed)
	return p.show(w, r, http.StatusOK, "policy_confirm", page)
}

func affectedQuery(c portti.PolicyChange, group string) url.Values {
	q := url.Values{"group": {group}}
	for _, m := range c.Policy.Methods {
		q.Add("method", string(m))
	}
	if !c.From.IsZero() {
		q.Set("from", c.From.UTC().Format(time.RFC3339))
	}
	return q
}

func rowsOf(list portti.Affected) (rows []affectedRow) {
	for _, one := range list.People {
		rows = append(rows, affectedRow{one.Username, one.Name, one.Card, one.Authenticator, one.MayEnable})
	}
	return rows
}

type affectedPage struct {
	web.Page
	Group  string // stranded, without, narrowed
	Back   string
	People []affectedRow
	Pager  pager
}

// affected lists everybody of a group.
func (p *Pages) affected(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("policy.change"); err != nil {
		return err
	}
	id, query := r.PathValue("organisation"), r.URL.Query()
	q := portti.AffectedQuery{Group: "stranded", After: query.Get("after")}
	if g := query.Get("group"); slices.Contains([]string{"without", "narrowed"}, g) {
		q.Group = g
	}
	for _, m := range query["method"] {
		q.Methods = append(q.Methods, portti.Method(m))
	}
	if from, err := time.Parse(time.RFC3339, query.Get("from")); err == nil {
		q.From = from
	}
	list, err := p.api.PolicyAffected(r.Context(), v.token, id, q)
	if err != nil {
		return refused(err)
	}
	return p.show(w, r, http.StatusOK, "affected", &affectedPage{Group: q.Group, Back: organisationPath(id, "/policy"), People: rowsOf(list), Pager: pagerOf(r, list.Next)})
}

// withdrawPolicy forgets the planned change.
func (p *Pages) withdrawPolicy(w http.ResponseWriter, r *http.Request, v *visit) error {
	id := r.PathValue("organisation")
	if err := p.api.WithdrawPolicy(r.Context(), v.token, id); err != nil {
		return refused(err)
	}
	return see(w, r, organisationPath(id, "?done=withdrawn"))
}

// toOrganisation is where the path of a POST without a page of its own leads by GET.
func (p *Pages) toOrganisation(w http.ResponseWriter, r *http.Request, _ *visit) error {
	return see(w, r, organisationPath(r.PathValue("organisation"), ""))
}
