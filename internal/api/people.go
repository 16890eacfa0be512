package api

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/pkg/portti"
)

// peopleOperations are on people's accounts, for those who look after them.
func (a *API) peopleOperations() []operation {
	return []operation{
		managed(a, "GET /api/v1/people", identity.PeopleSee, "People by username, a page at a time: organisation, q (beginnings of names), view (unlinked, expiring, unused, blocked, frozen, disabled), after, limit", a.people),
		managed(a, "POST /api/v1/people", identity.PeopleCreate, "Create an account; a temporary password to be handed over is in the answer, this once", a.createPerson),
		managed(a, "GET /api/v1/people/counts", identity.PeopleSee, "How many people each view has: organisation", a.countPeople),
		exported(a, "GET /api/v1/people.csv", identity.PeopleSee, "A list of people as a file: organisation, q, view; the trail tells who took it", a.exportPeople),
		managed(a, "GET /api/v1/people/{user}", identity.PeopleSee, "An account and its links; the ETag is for If-Match", a.person),
		managed(a, "PUT /api/v1/people/{user}", identity.PeopleChange, "Change names, e-mail, phone and language; If-Match is needed", a.changePerson),
		managed(a, "POST /api/v1/people/{user}/disable", identity.PeopleDisable, "Close an account: its sessions, links and roles end", a.disablePerson),
		managed(a, "POST /api/v1/people/{user}/enable", identity.PeopleEnable, "Open an account again, with a temporary password", a.enablePerson),
		managed(a, "POST /api/v1/people/{user}/first-password", identity.PasswordFirst, "Another temporary password for somebody who has not begun to use the account", a.firstPassword),
		managed(a, "POST /api/v1/people/{user}/roles", identity.PeopleRoles, "Give and take roles; the person's sessions end", a.changeRoles),
	}
}

// searched reads whom a list is about; more are the members of the query that it
// takes beside.
func searched(r *http.Request, more ...string) (identity.Search, url.Values, error) {
	q, err := only(r, append(more, "organisation", "q", "view")...)
	if err != nil {
		return identity.Search{}, nil, err
	}
	view, err := identity.ParseView(q.Get("view"))
	return identity.Search{Organisation: identity.OrganisationID(q.Get("organisation")), Text: q.Get("q"), View: view}, q, err
}

func (a *API) people(r *http.Request, by identity.Actor, _ nothing) (answer[portti.People], error) {
	s, q, err := searched(r, "after", "limit")
	if err != nil {
		return answer[portti.People]{}, err
	}
	s.After = q.Get("after")
	if limit := q.Get("limit"); limit != "" {
		if s.Limit, err = strconv.Atoi(limit); err != nil || s.Limit < 1 || s.Limit > identity.MostPeople {
			return answer[portti.People]{}, fault.New(fault.Invalid, "query_invalid", "limit: it is a number from 1 to %d.", identity.MostPeople).In("limit")
		}
	}
	list, next, err := a.Directory.People(r.Context(), by, s)
	if err != nil {
		return answer[portti.People]{}, err
	}
	page := portti.People{People: make([]portti.Person, len(list)), Next: next}
	for i, p := range list {
		page.People[i] = a.listed(p)
	}
	return answer[portti.People]{Body: page}, nil
}

func (a *API) countPeople(r *http.Request, by identity.Actor, _ nothing) (answer[portti.PeopleCounts], error) {
	q, err := only(r, "organisation")
	if err != nil {
		return answer[portti.PeopleCounts]{}, err
	}
	n, err := a.Directory.CountPeople(r.Context(), by, identity.OrganisationID(q.Get("organisation")))
	return answer[portti.PeopleCounts]{Body: portti.PeopleCounts{All: n[identity.ViewAll], Unlinked: n[identity.ViewUnlinked], Expiring: n[identity.ViewExpiring],
		Unused: n[identity.ViewUnused], Blocked: n[identity.ViewBlocked], Frozen: n[identity.ViewFrozen], Disabled: n[identity.ViewDisabled]}}, err
}

func (a *API) person(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Person], error) {
	return a.seen(r, by, userOf(r))
}

// userOf is whom the address names.
func userOf(r *http.Request) identity.UserID { return identity.UserID(r.PathValue("user")) }

// seen shows a person as they are now.
func (a *API) seen(r *http.Request, by identity.Actor, id identity.UserID) (answer[portti.Person], error) {
	p, err := a.Directory.See(r.Context(), by, id)
	if err != nil {
		return answer[portti.Person]{}, err
	}
	out := a.listed(p.Person)
	out.LastSignIn = p.LastSignIn
	for _, right := range by.Roles.Rights() {
		if by.On(right, p.User) == nil {
			out.Rights = append(out.Rights, string(right))
		}
	}
	return answer[portti.Person]{Body: out, ETag: versioned(p.User.Version)}, nil
}

func versioned(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// listed is a person on the wire.
func (a *API) listed(p identity.Person) portti.Person {
	now := a.Now()
	out := portti.Person{ID: string(p.User.ID), Version: p.User.Version, Username: p.User.Username, GivenName: p.User.GivenName, FamilyName: p.User.FamilyName,
		Email: p.User.Email, Phone: p.User.Claims.Phone, Language: p.User.Language,
		Organisation: portti.OrganisationName{ID: string(p.Organisation.ID), Name: p.Organisation.Name},
		Created:      p.User.Created, Disabled: p.User.Disabled, Frozen: p.User.Frozen, FirstSignIn: p.User.SignedIn, Usable: !p.In(identity.ViewUnlinked, now) && p.Open(),
		Password: portti.PersonPassword{State: p.PasswordState(now), Changed: p.Password.Changed}}
	for _, role := range p.User.Roles.List() {
		out.Roles = append(out.Roles, role.String())
	}
	if p.Password.Temporary {
		out.Password.Expires = p.Password.Expires
	}
	if c := p.Card; c != nil {
		out.Card = &portti.PersonCard{Holder: c.HolderName, Organisation: c.HolderOrg, Issuer: c.Issuer, Tail: c.Tail(), NotAfter: c.NotAfter, State: c.State(now),
			ExpiresSoon: p.In(identity.ViewExpiring, now), Permitted: p.Permits(identity.MethodCard), Linked: c.Linked, Used: c.Used}
	}
	if t := p.Authenticator; t != nil {
		out.Authenticator = &portti.PersonAuthenticator{Kind: portti.Method(t.Kind.String()), Model: t.Model, Serial: t.Serial, PersonalPhone: t.PersonalPhone,
			Permitted: p.Permits(t.Kind), Linked: t.Linked}
		if now.Before(t.BlockedUntil) {
			out.Authenticator.BlockedUntil = t.BlockedUntil
		}
	}
	return out
}

func (a *API) createPerson(r *http.Request, by identity.Actor, in portti.NewPerson) (answer[portti.Issued], error) {
	u := identity.User{Username: in.Username, Organisation: identity.OrganisationID(in.Organisation)}
	if in.Organisation == "" {
		u.Organisation = by.Organisation
	}
	change(&u, in.PersonChange)
	u, temporary, err := a.Directory.CreateUser(r.Context(), by, u)
	if err != nil {
		return answer[portti.Issued]{}, err
	}
	out, err := a.issued(r, by, u.ID, temporary)
	out.Status, out.Made = http.StatusCreated, "/api/v1/people/"+url.PathEscape(string(u.ID))
	return out, err
}

// issued tells a temporary password, this once, if it is to be handed over. It is
// made already: where the person cannot be read now, another one can be issued.
func (a *API) issued(r *http.Request, by identity.Actor, id identity.UserID, temporary string) (answer[portti.Issued], error) {
	p, err := a.Directory.Store.Person(r.Context(), id)
	if err != nil {
		return answer[portti.Issued]{Body: portti.Issued{Person: portti.Person{ID: string(id)}}}, nil
	}
	out := portti.Issued{Person: a.listed(p), Expires: p.Password.Expires}
	if p.Handed(a.Now()) {
		out.Password = temporary
	}
	return answer[portti.Issued]{Body: out, ETag: versioned(p.User.Version)}, nil
}

// change is what a form of ours can change of an account: the other claims stay.
func change(u *identity.User, c portti.PersonChange) {
	u.GivenName, u.FamilyName, u.Email, u.Language, u.Claims.Phone = c.GivenName, c.FamilyName, c.Email, c.Language, c.Phone
}

var errMatch = fault.New(fault.Invalid, "precondition_required", "Send If-Match with the ETag of what you have changed.")

func (a *API) changePerson(r *http.Request, by identity.Actor, in portti.PersonChange) (answer[portti.Person], error) {
	version, err := matched(r)
	if err != nil {
		return answer[portti.Person]{}, err
	}
	if _, err := a.Directory.ReplaceUser(r.Context(), by, userOf(r), version, func(u *identity.User) { change(u, in) }); err != nil {
		return answer[portti.Person]{}, err
	}
	return a.seen(r, by, userOf(r))
}

// matched is the version in If-Match. Whoever has seen nothing changes nothing:
// "*" is not taken.
func matched(r *http.Request) (int64, error) {
	tags := r.Header.Values("If-Match")
	if len(tags) != 1 {
		return 0, errMatch
	}
	tag, err := strconv.Unquote(tags[0])
	if err != nil {
		return 0, errMatch
	}
	version, err := strconv.ParseInt(tag, 10, 64)
	if err != nil {
		return 0, errMatch
	}
	return version, nil
}

// grounds is why an act is done that follows no call.
func grounds(in portti.Grounds) identity.Why {
	return identity.Why{Reason: in.Reason, Ticket: in.Ticket}
}

func (a *API) disablePerson(r *http.Request, by identity.Actor, in portti.Grounds) (answer[portti.Person], error) {
	if err := a.Directory.DisableUser(r.Context(), by, userOf(r), grounds(in)); err != nil {
		return answer[portti.Person]{}, err
	}
	return a.seen(r, by, userOf(r))
}

func (a *API) enablePerson(r *http.Request, by identity.Actor, in portti.Grounds) (answer[portti.Issued], error) {
	temporary, err := a.Directory.EnableUser(r.Context(), by, userOf(r), grounds(in))
	if err != nil {
		return answer[portti.Issued]{}, err
	}
	return a.issued(r, by, userOf(r), temporary)
}

func (a *API) firstPassword(r *http.Request, by identity.Actor, _ nothing) (answer[portti.Issued], error) {
	temporary, err := a.Directory.FirstPassword(r.Context(), by, userOf(r))
	if err != nil {
		return answer[portti.Issued]{}, err
	}
	return a.issued(r, by, userOf(r), temporary)
}

func (a *API) changeRoles(r *http.Request, by identity.Actor, in portti.RolesChange) (answer[portti.Person], error) {
	give, err := rolesNamed(in.Give)
	if err != nil {
		return answer[portti.Person]{}, err
	}
	take, err := rolesNamed(in.Take)
	if err != nil {
		return answer[portti.Person]{}, err
	}
	if _, err := a.Directory.ChangeRoles(r.Context(), by, userOf(r), give, take); err != nil {
		return answer[portti.Person]{}, err
	}
	return a.seen(r, by, userOf(r))
}

func rolesNamed(names []string) (identity.Roles, error) {
	var set identity.Roles
	for _, name := range names {
		role, err := identity.ParseRole(name)
		if err != nil {
			return 0, err
		}
		set |= identity.RolesOf(role)
	}
	return set, nil
}

// exportPeople streams a list. The first page is read before the first byte is
// sent, so that what is refused is an answer like any other.
func (a *API) exportPeople(w http.ResponseWriter, r *http.Request, by identity.Actor) error {
	s, _, err := searched(r)
	if err != nil {
		return err
	}
	name := "people"
	if s.View != "" {
		name += "-" + string(s.View)
	}
	f := newSheet(w, r, name+"-"+a.Now().UTC().Format(time.DateOnly)+".csv", identity.PeopleColumns)
	now := a.Now()
	if err := a.Directory.EachPerson(r.Context(), by, s, func(p identity.Person) error { return f.row(p.Cells(now)) }); err != nil {
		return f.broken(err)
	}
	return f.end()
}
