package identity

import (
	"context"
	"strings"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// Role is something that a person may do for others. Values are bits, as stored:
// none is ever given another meaning.
type Role uint16

const (
	RoleOperator    Role = 1 << iota // runs the installation: organisations, services, keys, trust; not the help desk's work
	RoleResponsible                  // responsible user: looks after the people of the own organisation (S65)
	RoleHelpDesk                     // user support: helps callers of every organisation (S60–S64)
	RoleAuditor                      // sees, and changes nothing
)

// Roles is a set of them. It is read at each use, so that one that is taken is
// gone at once.
type Roles uint16

// AllRoles is every role, in the order in which they are shown.
var AllRoles = []Role{RoleResponsible, RoleHelpDesk, RoleOperator, RoleAuditor}

// rank is how high the highest role stands: nobody acts on somebody who stands as
// high. An employee's is 0.
func (s Roles) rank() int {
	switch {
	case s.Has(RoleOperator), s.Has(RoleAuditor):
		return 3
	case s.Has(RoleHelpDesk):
		return 2
	case s.Has(RoleResponsible):
		return 1
	}
	return 0
}

func (r Role) String() string {
	switch r {
	case RoleOperator:
		return "operator"
	case RoleResponsible:
		return "responsible"
	case RoleHelpDesk:
		return "helpdesk"
	case RoleAuditor:
		return "auditor"
	}
	return "none"
}

// ParseRole reads "responsible", "helpdesk", "operator" or "auditor".
func ParseRole(s string) (Role, error) {
	for _, r := range AllRoles {
		if s == r.String() {
			return r, nil
		}
	}
	return 0, fault.New(fault.Invalid, "role_unknown", "roles: %q is not one of %s.", s, RolesOf(AllRoles...)).In("roles")
}

// RolesOf makes a set.
func RolesOf(rs ...Role) Roles {
	var set Roles
	for _, r := range rs {
		set |= Roles(r)
	}
	return set
}

// Has tells whether r is in the set.
func (s Roles) Has(r Role) bool { return r != 0 && s&Roles(r) == Roles(r) }

// List returns the roles of the set in the order of AllRoles.
func (s Roles) List() []Role {
	var rs []Role
	for _, r := range AllRoles {
		if s.Has(r) {
			rs = append(rs, r)
		}
	}
	return rs
}

// String is "responsible,operator" and the like.
func (s Roles) String() string {
	var names []string
	for _, r := range s.List() {
		names = append(names, r.String())
	}
	return strings.Join(names, ",")
}

// ChangeRoles gives a person roles and takes others. Nobody changes her own. The
// person's sessions and grants end: what was begun with other rights does not go
// on with these, and who gets a role proves anew who she is (docs/adr/0075).
// Nothing happens when the roles are as wanted already.
func (d *Directory) ChangeRoles(ctx context.Context, by Actor, id UserID, give, take Roles) (User, error) {
	if err := by.May(PeopleRoles); err != nil {
		return User{}, err
	}
	if unknown := (give | take) &^ RolesOf(AllRoles...); unknown != 0 || give&take != 0 {
		return User{}, fault.New(fault.Invalid, "role_unknown", "roles: give and take different ones of %s.", RolesOf(AllRoles...)).In("roles")
	}
	var after User
	err := d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(PeopleRoles, p.User); err != nil {
			return err
		}
		after = p.User
		after.Roles = after.Roles&^take | give
		if after.Roles == p.User.Roles {
			return nil
		}
		if !p.Enabled() && give != 0 {
			return errDisabled
		}
		if err := tx.SaveUser(after); err != nil {
			return err
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.RolesChanged); err != nil {
			return err
		}
		return tx.Record(d.rolesChanged(by, p.User, after.Roles))
	})
	return after, err
}

// rolesChanged is the audit event of a change of roles.
func (d *Directory) rolesChanged(by Actor, before User, after Roles) audit.Event {
	e := d.event(audit.UserRolesChanged, by.Name, by.Address, before)
	e.Details = map[string]string{"roles_before": before.Roles.String(), "roles": after.String()}
	return e
}
