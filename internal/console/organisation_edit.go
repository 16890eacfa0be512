package console

import (
	"cmp"
	"net/http"
	"strconv"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// newOrganisationPath is no organisation's: identifiers have no underscore.
const newOrganisationPath = organisationsPath + "/_new"

// organisationForm is what operators write of an organisation.
type organisationForm struct {
	Name, Delivery, Holder, CardNames string
	SecondPerson                      bool
}

func typedOrganisation(r *http.Request) organisationForm {
	text := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return organisationForm{text("name"), text("delivery"), text("card_holder"), text("card_names"), r.PostFormValue("second_person") != ""}
}

// choices are the values of what operators choose, in the reader's words.
type choices struct{ Deliveries, Holders []web.Option }

func (p *Pages) organisationChoices(v *visit) choices {
	of := func(family string, values ...string) (options []web.Option) {
		for _, value := range values {
			options = append(options, web.Option{Value: value, Label: p.site.Texts().Text(v.lang, family+value)})
		}
		return options
	}
	return choices{of("con.org.delivery.", "letter", "sms", "handover"), of("con.org.holder.", "approve", "refuse", "accept")}
}

type newOrganisationPage struct {
	web.Page
	organisationForm
	choices
	ID                               string
	Card, App, Token, PersonalPhones bool
}

// newOrganisation is the form. What is safest is chosen.
func (p *Pages) newOrganisation(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("organisations.change"); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "organisation_new", &newOrganisationPage{choices: p.organisationChoices(v), organisationForm: organisationForm{Delivery: "handover", Holder: "approve"}})
}

func (p *Pages) createOrganisation(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("organisations.change"); err != nil {
		return err
	}
	f, q := typedOrganisation(r), typedPolicy(r)
	page := &newOrganisationPage{choices: p.organisationChoices(v), organisationForm: f, ID: strings.TrimSpace(r.PostFormValue("id")), Card: q.Card, App: q.App, Token: q.Token, PersonalPhones: q.PersonalPhones}
	made, err := p.api.CreateOrganisation(r.Context(), v.token, portti.Employer{ID: page.ID, Name: f.Name, Delivery: f.Delivery, Holder: f.Holder, CardNames: f.CardNames, SecondPerson: f.SecondPerson,
		Policy: portti.Policy{Methods: q.methods(), PersonalPhones: q.PersonalPhones}})
	if err != nil {
		err = refused(err)
		if f, ok := fault.Of(err); ok && f.Code == "organisation_exists" {
			f.Field = "id"
		}
		return p.again(w, r, "organisation_new", &page.Page, page, err)
	}
	return see(w, r, organisationPath(made.ID, "?done=created"))
}

type editOrganisationPage struct {
	web.Page
	organisationForm
	choices
	Title        string // the organisation's name as it is
	Action, Back string
	Version      string           // what was seen
	Now          *portti.Employer // what somebody else has made of it meanwhile; nil: nothing
}

func (p *Pages) editOrganisation(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, o, err := p.editOf(r, v)
	if err != nil {
		return err
	}
	page.organisationForm = organisationForm{o.Name, o.Delivery, o.Holder, o.CardNames, o.SecondPerson}
	page.Version = strconv.FormatInt(o.Version, 10)
	return p.show(w, r, http.StatusOK, "organisation_edit", page)
}

func (p *Pages) editOf(r *http.Request, v *visit) (*editOrganisationPage, portti.Employer, error) {
	if err := v.need("organisations.change"); err != nil {
		return nil, portti.Employer{}, err
	}
	id := r.PathValue("organisation")
	o, err := p.api.Organisation(r.Context(), v.token, id)
	if err != nil {
		return nil, o, refused(err)
	}
	return &editOrganisationPage{choices: p.organisationChoices(v), Title: o.Name, Action: organisationPath(id, "/edit"), Back: organisationPath(id, "")}, o, nil
}

// changeOrganisation saves what operators decide. The employer's policy goes along
// as it was read: the version says that it is still the one that was seen.
func (p *Pages) changeOrganisation(w http.ResponseWriter, r *http.Request, v *visit) error {
	page, o, err := p.editOf(r, v)
	if err != nil {
		return err
	}
	f := typedOrganisation(r)
	page.organisationForm, page.Version = f, r.PostFormValue("version")
	next := o
	next.Name, next.Delivery, next.Holder, next.CardNames, next.SecondPerson = f.Name, f.Delivery, f.Holder, f.CardNames, f.SecondPerson
	seen, _ := strconv.ParseInt(page.Version, 10, 64)
	next.Version = cmp.Or(seen, -1) // a form that was tampered with has seen nothing
	if _, err := p.api.ReplaceOrganisation(r.Context(), v.token, next); err != nil {
		if portti.Code(err) == "changed_meanwhile" {
			page.Now, page.Version = &o, strconv.FormatInt(o.Version, 10)
		}
		return p.again(w, r, "organisation_edit", &page.Page, page, refused(err))
	}
	return see(w, r, organisationPath(o.ID, "?done=changed"))
}

// turnPage says what it means to close an organisation, or to open it.
type turnPage struct {
	web.Page
	why
	Name         string
	Act          string // disable or enable
	Own          bool   // it is the reader's own
	Action, Back string
}

func (p *Pages) turnOf(r *http.Request, v *visit, act string) (*turnPage, error) {
	if err := v.need("organisations.change"); err != nil {
		return nil, err
	}
	id := r.PathValue("organisation")
	o, err := p.api.Organisation(r.Context(), v.token, id)
	if err != nil {
		return nil, refused(err)
	}
	return &turnPage{why: whyOf(r), Name: o.Name, Act: act, Own: o.ID == v.staff.Organisation.ID, Action: organisationPath(id, "/"+act), Back: organisationPath(id, "")}, nil
}

func (p *Pages) beforeTurn(act string) page {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		page, err := p.turnOf(r, v, act)
		if err != nil {
			return err
		}
		return p.show(w, r, http.StatusOK, "organisation_turn", page)
	}
}

func (p *Pages) turn(act string) page {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		page, err := p.turnOf(r, v, act)
		if err != nil {
			return err
		}
		do := p.api.EnableOrganisation
		if act == "disable" {
			do = p.api.DisableOrganisation
		}
		if err := do(r.Context(), v.token, r.PathValue("organisation"), page.grounds()); err != nil {
			return p.again(w, r, "organisation_turn", &page.Page, page, refused(err))
		}
		return see(w, r, page.Back+"?done="+act+"d")
	}
}
