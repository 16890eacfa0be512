package identity

import (
	"context"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// Right is one thing that somebody may do for others. Every operation of the API
// that is not about the caller's own account asks for exactly one.
type Right string

const (
	ConsoleUse Right = "console.use" // open the Console

	PeopleSee     Right = "people.see"     // find people, see how they may sign in; also as a file
	PeopleCreate  Right = "people.create"  // also many at once, from a file
	PeopleChange  Right = "people.change"  // names, e-mail, language, claims
	PeopleDisable Right = "people.disable" //
	PeopleEnable  Right = "people.enable"  //
	PeopleRoles   Right = "people.roles"   // give and take roles
	PasswordFirst Right = "password.first" // another first temporary password, for somebody who has never signed in (S65)
	CardApprove   Right = "card.approve"   // decide on cards whose holder's name is nearly the person's (S29)

	IdentityCheck       Right = "identity.check"       // record how a caller was recognised (S64)
	IdentityConfirm     Right = "identity.confirm"     // be the second person of a colleague's act (S64)
	PasswordOrder       Right = "password.order"       // for a caller (S63)
	AuthenticatorRemove Right = "authenticator.remove" // S60
	AuthenticatorUnlock Right = "authenticator.unlock" // after too many wrong codes or passwords
	AuthenticatorResync Right = "authenticator.resync" // two consecutive codes (S47)
	LinkingCodeIssue    Right = "linking_code.issue"   // S61
	AccountUnfreeze     Right = "account.unfreeze"     // after "this was not me" (S59)
	SessionsEnd         Right = "sessions.end"         //
	TraceSee            Right = "trace.see"            // how a sign-in went, by its support reference

	OrganisationsSee    Right = "organisations.see"    //
	OrganisationsChange Right = "organisations.change" // create, disable, everything of them
	PolicyChange        Right = "policy.change"        // what an employer decides of: methods, phones, workstations, session limits, contacts (S5, S10, S72)

	ClientsSee    Right = "clients.see"
	ClientsChange Right = "clients.change"
	RefusalsSee   Right = "refusals.see" // why a service's request was refused
	TrustSee      Right = "trust.see"    // whose cards are accepted, issuers that were met and are not
	TrustChange   Right = "trust.change" //
	KeysSee       Right = "keys.see"     // signing keys, never their private halves
	KeysChange    Right = "keys.change"  //
	LettersSee    Right = "letters.see"  // letters that were given up; never what they say
	LettersRetry  Right = "letters.retry"

	AuditSee      Right = "audit.see"      // the trail; also as a file
	StatisticsSee Right = "statistics.see" // sign-ins by method, failures by cause
)

// Reach is whom a right is about.
type Reach uint8

const (
	Nobody          Reach = iota
	OwnOrganisation       // the people of the holder's own organisation
	Everybody
)

// rights says which role has which right, and how far. What is not here nobody has.
// porttictl and the provider itself have all of them (Actor.Operator).
var rights = map[Right]map[Role]Reach{
	ConsoleUse: {RoleResponsible: OwnOrganisation, RoleHelpDesk: Everybody, RoleOperator: Everybody, RoleAuditor: Everybody},

	PeopleSee:     {RoleResponsible: OwnOrganisation, RoleHelpDesk: Everybody, RoleOperator: Everybody, RoleAuditor: Everybody},
	PeopleCreate:  {RoleResponsible: OwnOrganisation, RoleOperator: Everybody},
	PeopleChange:  {RoleResponsible: OwnOrganisation, RoleOperator: Everybody},
	PeopleDisable: {RoleResponsible: OwnOrganisation, RoleOperator: Everybody},
	PeopleEnable:  {RoleResponsible: OwnOrganisation, RoleOperator: Everybody},
	PeopleRoles:   {RoleOperator: Everybody},
	PasswordFirst: {RoleResponsible: OwnOrganisation, RoleOperator: Everybody},
	CardApprove:   {RoleResponsible: OwnOrganisation, RoleHelpDesk: Everybody},

	IdentityCheck:       {RoleHelpDesk: Everybody},
	IdentityConfirm:     {RoleHelpDesk: Everybody},
	PasswordOrder:       {RoleHelpDesk: Everybody},
	AuthenticatorRemove: {RoleHelpDesk: Everybody},
	AuthenticatorUnlock: {RoleHelpDesk: Everybody},
	AuthenticatorResync: {RoleHelpDesk: Everybody},
	LinkingCodeIssue:    {RoleHelpDesk: Everybody},
	AccountUnfreeze:     {RoleHelpDesk: Everybody},
	SessionsEnd:         {RoleHelpDesk: Everybody},
	TraceSee:            {RoleHelpDesk: Everybody, RoleOperator: Everybody},

	OrganisationsSee:    {RoleResponsible: OwnOrganisation, RoleHelpDesk: Everybody, RoleOperator: Everybody, RoleAuditor: Everybody},
	OrganisationsChange: {RoleOperator: Everybody},
	PolicyChange:        {RoleResponsible: OwnOrganisation, RoleOperator: Everybody},

	ClientsSee:    {RoleOperator: Everybody, RoleAuditor: Everybody},
	ClientsChange: {RoleOperator: Everybody},
	RefusalsSee:   {RoleOperator: Everybody},
	TrustSee:      {RoleOperator: Everybody, RoleAuditor: Everybody},
	TrustChange:   {RoleOperator: Everybody},
	KeysSee:       {RoleOperator: Everybody, RoleAuditor: Everybody},
	KeysChange:    {RoleOperator: Everybody},
	LettersSee:    {RoleOperator: Everybody, RoleAuditor: Everybody},
	LettersRetry:  {RoleOperator: Everybody},

	AuditSee:      {RoleResponsible: OwnOrganisation, RoleOperator: Everybody, RoleAuditor: Everybody},
	StatisticsSee: {RoleResponsible: OwnOrganisation, RoleHelpDesk: Everybody, RoleOperator: Everybody, RoleAuditor: Everybody},
}

// Reach is how far a set of roles has a right: as far as the role that has it furthest.
func (s Roles) Reach(r Right) Reach {
	far := Nobody
	for role, reach := range rights[r] {
		if s.Has(role) {
			far = max(far, reach)
		}
	}
	return far
}

// with are those of the roles that have a right: how high somebody stands for an act
// is told by the role that allows it. An auditor who is of the help desk, too, is no
// operator to a colleague.
func (s Roles) with(r Right) Roles {
	var set Roles
	for role := range rights[r] {
		if s.Has(role) && rights[r][role] != Nobody {
			set |= Roles(role)
		}
	}
	return set
}

// Rights lists what a set of roles may do, by name.
func (s Roles) Rights() []Right {
	var may []Right
	for r := range rights {
		if s.Reach(r) != Nobody {
			may = append(may, r)
		}
	}
	slices.Sort(may)
	return may
}

// Actor is who administers people: an operator at the command line, or a person
// with a role, in the Console. A person acting on himself is a Self.
type Actor struct {
	Name         string         // for the audit trail: "operator:NAME", "user:ID"
	Address      string         // "" on the command line
	User         UserID         // "" at the command line and of the provider itself
	Organisation OrganisationID // the actor's own; "" as above
	Roles        Roles          // as they are now
	Operator     bool           // whoever runs porttictl, and the provider itself: everything
}

// System is the provider itself: seeding, background work.
var System = Actor{Name: "system", Operator: true}

// ActorOf is a signed-in person with the roles of now, as Standing has read them.
func ActorOf(p Person, address string) Actor {
	return Actor{Name: "user:" + string(p.User.ID), Address: address, User: p.User.ID, Organisation: p.User.Organisation, Roles: p.User.Roles}
}

// Reach is how far the actor has a right.
func (a Actor) Reach(r Right) Reach {
	switch {
	case a.Name == "":
		return Nobody
	case a.Operator:
		return Everybody
	}
	return a.Roles.Reach(r)
}

// Of is the organisation to which reading is bound: "" for none. The fault is
// not_allowed where the actor has no such right.
func (a Actor) Of(r Right) (OrganisationID, error) {
	switch a.Reach(r) {
	case Everybody:
		return "", nil
	case OwnOrganisation:
		return a.Organisation, nil
	}
	return "", errNotAllowed
}

// May returns a fault unless the actor has the right at all: not_allowed.
func (a Actor) May(r Right) error {
	_, err := a.Of(r)
	return err
}

// In returns a fault unless the actor has the right in an organisation. One that
// is out of reach is as one that does not exist: organisation_not_found.
func (a Actor) In(r Right, id OrganisationID) error {
	own, err := a.Of(r)
	if err == nil && own != "" && own != id {
		return fault.New(fault.NotFound, "organisation_not_found", "There is no such organisation.")
	}
	return err
}

// Sees returns a fault unless the actor has a right to look at a person: one out
// of reach is as one that does not exist, user_not_found.
func (a Actor) Sees(r Right, u User) error {
	own, err := a.Of(r)
	if err == nil && own != "" && own != u.Organisation {
		return errNoUser
	}
	return err
}

// On returns a fault unless the actor may do this to a person: as Sees, and nobody
// acts on himself (own_account), nor on somebody who stands as high as the role that
// allows it, or higher (higher_account). Operators do what operators may to everybody else.
func (a Actor) On(r Right, u User) error {
	switch err := a.Sees(r, u); {
	case err != nil:
		return err
	case a.User == u.ID || a.Name == Self{User: u.ID}.actor():
		return errOwnAccount
	case !a.Operator && !a.Roles.with(r).Has(RoleOperator) && u.Roles.rank() >= a.Roles.with(r).rank():
		return errHigher
	}
	return nil
}

// CheckID names a record of how a caller was recognised (S64).
type CheckID string

// Why is what the trail keeps of an act: the reason in a few words and the ticket,
// and of an act of the help desk the identity check it stands on. An operator at the
// command line may leave ticket and check out.
type Why struct {
	Reason string
	Ticket string
	Check  CheckID
}

func (w Why) check(by Actor) error {
	return first(text("reason", w.Reason, 500, false), text("ticket", w.Ticket, 100, by.Operator))
}

// given is check for acts that follow no call: there may be no ticket.
func (w Why) given() error {
	return first(text("reason", w.Reason, 500, false), text("ticket", w.Ticket, 100, true))
}

// Optional is check for acts that may be done without a word.
func (w Why) Optional() error {
	return first(text("reason", w.Reason, 500, true), text("ticket", w.Ticket, 100, true))
}

// Of is an event with why it was done.
func (w Why) Of(e audit.Event) audit.Event {
	if ticket := strings.TrimSpace(w.Ticket); ticket != "" {
		e.Details = and(e.Details, "ticket", ticket)
	}
	return e.Noted(w.Reason)
}

var (
	errNotAllowed = fault.New(fault.Denied, "not_allowed", "Your role does not allow this.")
	errOwnAccount = fault.New(fault.Denied, "own_account", "Nobody does this to their own account. Ask a colleague.")
	errHigher     = fault.New(fault.Denied, "higher_account", "This person has a role of their own. Ask an operator.")
	errNoUser     = fault.New(fault.NotFound, "user_not_found", "There is no such user.")
)

// ActorFor reads who is acting, as the session's token says: as Standing, with the
// roles of now.
func (d *Directory) ActorFor(ctx context.Context, id UserID, epoch int64, sid, address string) (Person, Actor, error) {
	p, err := d.Standing(ctx, id, epoch, sid)
	if err != nil {
		return Person{}, Actor{}, err
	}
	return p, ActorOf(p, address), nil
}
