package console

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/web"
	"github.com/portti-id/portti/pkg/portti"
)

// personPage is a person's account: what it is, its links without secrets, and
// what the reader may do.
type personPage struct {
	web.Page
	Person portti.Person
	Self   bool   // one's own account, on which nobody acts
	Done   string // what was just done: a key below con.people.done, or ""
	Acts   []act
	Traces bool // the role allows to see how the person's sign-ins went
}

// act is a page on which something is done to a person. What a role is there for comes
// first, and is Main.
type act struct {
	Href, Key string
	Main      bool
}

// slot is an act that a person's page shows: to whoever may do it to this person,
// where it makes sense. Those who add a page below /people/{user} add their slot.
type slot struct {
	path  string // after /people/ID
	key   string // of its name
	right string
	when  func(p portti.Person) bool // nil: always
}

var slots = []slot{
	{"/case", "con.desk.open", "identity.check", nil},
	{"/edit", "con.people.edit", "people.change", nil},
	{"/first-password", "con.people.first", "password.first", unbegun},
	{"/roles", "con.people.roles", "people.roles", nil},
	{"/disable", "con.people.disable", "people.disable", func(p portti.Person) bool { return p.Disabled.IsZero() }},
	{"/enable", "con.people.enable", "people.enable", func(p portti.Person) bool { return !p.Disabled.IsZero() }},
}

// unbegun tells whether another first password is possible, as far as one sees.
func unbegun(p portti.Person) bool {
	return p.Disabled.IsZero() && p.Frozen.IsZero() && p.FirstSignIn.IsZero() && p.Card == nil && p.Authenticator == nil
}

func personPath(id string) string { return peoplePath + "/" + url.PathEscape(id) }

// personOf reads the person whom the address names.
func (p *Pages) personOf(r *http.Request, v *visit) (portti.Person, error) {
	if err := v.need("people.see"); err != nil {
		return portti.Person{}, err
	}
	person, err := p.api.Person(r.Context(), v.token, r.PathValue("user"))
	if err != nil {
		return person, refused(err)
	}
	return person, nil
}

// done are the acts after which the person's page says so.
var done = map[string]bool{"changed": true, "created": true, "enabled": true, "first": true, "disabled": true, "roles": true}

func (p *Pages) person(w http.ResponseWriter, r *http.Request, v *visit) error {
	person, err := p.personOf(r, v)
	if err != nil {
		return err
	}
	page := &personPage{Person: person, Self: person.ID == v.staff.ID, Traces: v.may("trace.see")}
	if d := r.FormValue("done"); done[d] {
		page.Done = d
	}
	for _, s := range slots {
		if person.May(s.right) && (s.when == nil || s.when(person)) {
			page.Acts = append(page.Acts, act{personPath(person.ID) + s.path, s.key, s.right == "identity.check"})
		}
	}
	return p.show(w, r, http.StatusOK, "person", page)
}

// personForm is what can be written of an account.
type personForm struct {
	GivenName, FamilyName, Email, Phone, Language string
}

func personFormOf(r *http.Request) personForm {
	f := func(name string) string { return strings.TrimSpace(r.PostFormValue(name)) }
	return personForm{f("given-name"), f("family-name"), f("email"), f("phone_number"), f("language")}
}

func (f personForm) change() portti.PersonChange {
	return portti.PersonChange{GivenName: f.GivenName, FamilyName: f.FamilyName, Email: f.Email, Phone: f.Phone, Language: f.Language}
}

type newPersonPage struct {
	web.Page
	personForm
	Username     string
	Organisation string
	Choose       bool // any organisation; otherwise the reader's own
	Spoken       []web.Option
	Days         int // that a first password is good for
}

// languages are the choices of a person's language, each in its own.
var languages = []web.Option{{Value: "fi", Label: "suomi"}, {Value: "sv", Label: "svenska"}, {Value: "en", Label: "English"}}

func (p *Pages) newPerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.create"); err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "person_new", &newPersonPage{personForm: personForm{Language: v.lang}, Organisation: v.employer(r),
		Choose: !v.staff.OwnAlone("people.create"), Spoken: languages, Days: v.staff.FirstPasswordDays})
}

// employer is whose people somebody creates: those of the organisation from whose page
// she comes, or her own.
func (v *visit) employer(r *http.Request) string {
	if of := asked(r, "organisation"); of != "" && !v.staff.OwnAlone("people.create") {
		return of
	}
	return v.staff.Organisation.ID
}

func (p *Pages) createPerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.need("people.create"); err != nil {
		return err
	}
	page := &newPersonPage{personForm: personFormOf(r), Username: strings.TrimSpace(r.PostFormValue("username")), Organisation: v.staff.Organisation.ID,
		Choose: !v.staff.OwnAlone("people.create"), Spoken: languages, Days: v.staff.FirstPasswordDays}
	if page.Choose {
		page.Organisation = strings.TrimSpace(r.PostFormValue("organisation"))
	}
	made, err := p.api.CreatePerson(r.Context(), v.token, portti.NewPerson{Organisation: page.Organisation, Username: page.Username, PersonChange: page.change()})
	if err != nil {
		err = noSuchOrganisation(refused(err))
		if f, ok := fault.Of(err); ok && f.Field == "" && f.Code == "username_taken" {
			f.Field = "username"
		}
		return p.again(w, r, "person_new", &page.Page, page, err)
	}
	return p.handOver(w, r, v, made, "created")
}

// issuedPage shows a temporary password this once, as a sheet to print.
type issuedPage struct {
	web.Page `json:"-"`
	Issued   portti.Issued
	Why      string // created, enabled or first
	Site     string // where the person signs in
}

// handOver shows the password, or tells that a letter carries it.
func (p *Pages) handOver(w http.ResponseWriter, r *http.Request, v *visit, i portti.Issued, why string) error {
	if i.Password == "" {
		return see(w, r, personPath(i.Person.ID)+"?done="+why)
	}
	return p.once(w, r, v, personPath(i.Person.ID), "person_issued", &issuedPage{Issued: i, Why: why, Site: p.issuer})
}

type editPersonPage struct {
	web.Page
	personForm
	ID, Name string
	Version  string
	Spoken   []web.Option
	Now      *portti.Person // what somebody else has made of it meanwhile; nil: nothing
}

func (p *Pages) editPerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	person, err := p.toAct(r, v, "people.change")
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "person_edit", &editPersonPage{ID: person.ID, Name: person.Name(), Version: strconv.FormatInt(person.Version, 10), Spoken: languages,
		personForm: personForm{person.GivenName, person.FamilyName, person.Email, person.Phone, person.Language}})
}

// changePerson saves what was written over what was seen. If somebody else was
// first, the page shows what there is now beside what was written, and the next
// try is over that.
func (p *Pages) changePerson(w http.ResponseWriter, r *http.Request, v *visit) error {
	page := &editPersonPage{ID: r.PathValue("user"), personForm: personFormOf(r), Version: r.PostFormValue("version"), Spoken: languages}
	person, err := p.toAct(r, v, "people.change")
	if err != nil {
		return err
	}
	page.Name = person.Name()
	version, err := strconv.ParseInt(page.Version, 10, 64)
	if err != nil {
		version = 0 // a form that was tampered with has seen nothing
	}
	_, err = p.api.ChangePerson(r.Context(), v.token, page.ID, version, page.change())
	switch {
	case portti.Code(err) == "changed_meanwhile":
		if person, err := p.personOf(r, v); err == nil {
			page.Now, page.Version = &person, strconv.FormatInt(person.Version, 10)
		}
		return p.again(w, r, "person_edit", &page.Page, page, refused(err))
	case err != nil:
		return p.again(w, r, "person_edit", &page.Page, page, refused(err))
	}
	return see(w, r, personPath(page.ID)+"?done=changed")
}

// toAct reads a person to whom the reader may do something.
func (p *Pages) toAct(r *http.Request, v *visit, right string) (portti.Person, error) {
	if err := v.need(right); err != nil {
		return portti.Person{}, err
	}
	person, err := p.personOf(r, v)
	if err == nil && !person.May(right) {
		err = fault.New(fault.Denied, "not_allowed", "Your role does not allow this.")
	}
	return person, err
}

// actPage says what an act does before it is done.
type actPage struct {
	web.Page
	why
	ID, Name, Username string
	Act                string // disable, enable or first_password
	Path               string // of this page
	Danger             bool
	Ask                bool // for the reason and the ticket
	Begun              bool // first-password: the person has begun to use the account
	Hours, Days        int  // that the password of an opened account is good for, and a first one
}

// acts are the acts with a page of their own.
var acts = map[string]struct {
	right  string
	danger bool
	ask    bool
}{
	"disable":        {"people.disable", true, true},
	"enable":         {"people.enable", false, true},
	"first-password": {"password.first", true, false},
}

func (p *Pages) beforeAct(name string) page {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		page, err := p.actOf(r, v, name)
		if err != nil {
			return err
		}
		return p.show(w, r, http.StatusOK, "person_act", page)
	}
}

func (p *Pages) actOf(r *http.Request, v *visit, name string) (*actPage, error) {
	a := acts[name]
	person, err := p.toAct(r, v, a.right)
	if err != nil {
		return nil, err
	}
	return &actPage{ID: person.ID, Name: person.Name(), Username: person.Username, Act: strings.ReplaceAll(name, "-", "_"), Path: personPath(person.ID) + "/" + name, Danger: a.danger, Ask: a.ask, why: whyOf(r),
		Begun: name == "first-password" && !unbegun(person), Hours: v.staff.PasswordHours, Days: v.staff.FirstPasswordDays}, nil
}

func (p *Pages) doAct(name string) page {
	return func(w http.ResponseWriter, r *http.Request, v *visit) error {
		page, err := p.actOf(r, v, name)
		if err != nil {
			return err
		}
		var issued portti.Issued
		switch name {
		case "disable":
			_, err = p.api.DisablePerson(r.Context(), v.token, page.ID, page.grounds())
		case "enable":
			issued, err = p.api.EnablePerson(r.Context(), v.token, page.ID, page.grounds())
		case "first-password":
			issued, err = p.api.FirstPassword(r.Context(), v.token, page.ID)
		}
		switch {
		case err != nil:
			return p.again(w, r, "person_act", &page.Page, page, refused(err))
		case name == "disable":
			return see(w, r, personPath(page.ID)+"?done=disabled")
		case name == "enable":
			return p.handOver(w, r, v, issued, "enabled")
		}
		return p.handOver(w, r, v, issued, "first")
	}
}

type rolesPage struct {
	web.Page
	ID, Name string
	Roles    []roleChoice
}

type roleChoice struct {
	Name string
	Has  bool
}

var roles = []string{"responsible", "helpdesk", "operator", "auditor"}

func (p *Pages) personRoles(w http.ResponseWriter, r *http.Request, v *visit) error {
	person, err := p.toAct(r, v, "people.roles")
	if err != nil {
		return err
	}
	return p.show(w, r, http.StatusOK, "person_roles", rolesPageOf(person))
}

func rolesPageOf(person portti.Person) *rolesPage {
	page := &rolesPage{ID: person.ID, Name: person.Name()}
	for _, name := range roles {
		page.Roles = append(page.Roles, roleChoice{name, slices.Contains(person.Roles, name)})
	}
	return page
}

// changeRoles gives what is ticked and was not there when the page was made, and
// takes what was there and is ticked no more; what somebody else did meanwhile stays.
func (p *Pages) changeRoles(w http.ResponseWriter, r *http.Request, v *visit) error {
	person, err := p.toAct(r, v, "people.roles")
	if err != nil {
		return err
	}
	had, wanted := r.PostForm["had"], r.PostForm["role"]
	var change portti.RolesChange
	for _, name := range roles {
		switch {
		case slices.Contains(wanted, name) && !slices.Contains(had, name):
			change.Give = append(change.Give, name)
		case !slices.Contains(wanted, name) && slices.Contains(had, name):
			change.Take = append(change.Take, name)
		}
	}
	if _, err := p.api.ChangeRoles(r.Context(), v.token, person.ID, change); err != nil {
		page := rolesPageOf(person)
		return p.again(w, r, "person_roles", &page.Page, page, refused(err))
	}
	return see(w, r, personPath(person.ID)+"?done=roles")
}
