package identity_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
)

// What each role may do is told here a second time, so that nobody gets more by a
// slip in the table.
func TestRightsOfRoles(t *testing.T) {
	all := identity.RolesOf(identity.AllRoles...).Rights()
	if identity.Roles(0).Rights() != nil {
		t.Error("an employee has rights over others")
	}
	for _, c := range []struct {
		role    identity.Role
		no, yes string
	}{
		// S65: the own organisation's people, and never a second factor.
		{identity.RoleResponsible, "authenticator.remove authenticator.unlock authenticator.resync linking_code.issue password.order identity.check people.roles sessions.end account.unfreeze trace.see " +
			"organisations.change clients.see clients.change keys.see trust.see letters.see", "people.see people.create people.change people.disable people.enable password.first card.approve policy.change audit.see"},
		// S64: the help desk is never more than that.
		{identity.RoleHelpDesk, "people.create people.change people.disable people.enable people.roles password.first policy.change organisations.change clients.see clients.change keys.see keys.change trust.see trust.change audit.see letters.see",
			"people.see identity.check password.order authenticator.remove authenticator.unlock authenticator.resync linking_code.issue account.unfreeze sessions.end trace.see card.approve"},
		{identity.RoleOperator, "password.order authenticator.remove authenticator.unlock authenticator.resync linking_code.issue account.unfreeze identity.check card.approve",
			"people.roles organisations.change clients.change keys.change trust.change letters.retry"},
	} {
		set := identity.RolesOf(c.role)
		for _, r := range strings.Fields(c.yes) {
			if !slices.Contains(all, identity.Right(r)) || set.Reach(identity.Right(r)) == identity.Nobody {
				t.Errorf("%s may not %s", c.role, r)
			}
		}
		for _, r := range strings.Fields(c.no) {
			if !slices.Contains(all, identity.Right(r)) || set.Reach(identity.Right(r)) != identity.Nobody {
				t.Errorf("%s may %s, or nobody may", c.role, r)
			}
		}
	}
	for _, r := range all {
		if far := identity.RolesOf(identity.RoleResponsible).Reach(r); far == identity.Everybody {
			t.Errorf("a responsible user reaches everybody with %s", r)
		}
		read := strings.HasSuffix(string(r), ".see") || r == identity.ConsoleUse
		if !read && identity.RolesOf(identity.RoleAuditor).Reach(r) != identity.Nobody {
			t.Errorf("an auditor may %s", r)
		}
	}
}

func TestWhomAnActorReaches(t *testing.T) {
	user := func(org string, roles ...identity.Role) identity.User {
		return identity.User{ID: identity.UserID(org + identity.RolesOf(roles...).String()), Organisation: identity.OrganisationID(org), Roles: identity.RolesOf(roles...)}
	}
	actor := func(u identity.User) identity.Actor { return identity.ActorOf(identity.Person{User: u}, "") }
	desk, desk2 := user("a", identity.RoleHelpDesk), user("b", identity.RoleHelpDesk)
	responsible, boss, boss2 := user("a", identity.RoleResponsible), user("a", identity.RoleOperator), user("b", identity.RoleOperator)
	auditor, both := user("a", identity.RoleAuditor), user("a", identity.RoleHelpDesk, identity.RoleOperator)
	for _, c := range []struct {
		name  string
		by    identity.Actor
		right identity.Right
		on    identity.User
		code  string
	}{
		{"the desk helps an employee", actor(desk), identity.PasswordOrder, user("b"), ""},
		{"the desk helps a responsible user", actor(desk), identity.PasswordOrder, user("b", identity.RoleResponsible), ""},
		{"the desk, a colleague", actor(desk), identity.PasswordOrder, desk2, "higher_account"},
		{"the desk, an auditor", actor(desk), identity.PasswordOrder, auditor, "higher_account"},
		{"the desk, an operator", actor(desk), identity.AuthenticatorRemove, boss, "higher_account"},
		{"the desk's auditor, a colleague", actor(user("a", identity.RoleHelpDesk, identity.RoleAuditor)), identity.PasswordOrder, desk2, "higher_account"},
		{"the desk's operator, a colleague", actor(both), identity.PasswordOrder, desk2, "higher_account"},
		{"the desk's operator, an operator", actor(both), identity.AuthenticatorRemove, boss2, "higher_account"},
		{"the desk's operator, an operator's account", actor(both), identity.PeopleDisable, boss2, ""},
		{"the desk's operator, an employee", actor(both), identity.PasswordOrder, user("b"), ""},
		{"a responsible auditor, the desk", actor(user("a", identity.RoleResponsible, identity.RoleAuditor)), identity.PeopleDisable, identity.User{ID: "x", Organisation: "a", Roles: identity.RolesOf(identity.RoleHelpDesk)}, "higher_account"},
		{"a responsible user of the desk, the desk", actor(user("a", identity.RoleResponsible, identity.RoleHelpDesk)), identity.PeopleDisable, identity.User{ID: "x", Organisation: "a", Roles: identity.RolesOf(identity.RoleHelpDesk)}, "higher_account"},
		{"a responsible user of the desk, another", actor(user("a", identity.RoleResponsible, identity.RoleHelpDesk)), identity.PeopleDisable, identity.User{ID: "x", Organisation: "a", Roles: identity.RolesOf(identity.RoleResponsible)}, "higher_account"},
		{"the desk, itself", actor(desk), identity.PasswordOrder, desk, "own_account"},
		{"an operator with the desk's role, himself", actor(both), identity.PasswordOrder, both, "own_account"},
		{"a responsible user, an employee", actor(responsible), identity.PeopleDisable, user("a"), ""},
		{"another organisation's", actor(responsible), identity.PeopleDisable, user("b"), "user_not_found"},
		{"a colleague", actor(responsible), identity.PeopleDisable, identity.User{ID: "x", Organisation: "a", Roles: identity.RolesOf(identity.RoleResponsible)}, "higher_account"},
		{"the second factor", actor(responsible), identity.AuthenticatorRemove, user("a"), "not_allowed"},
		{"an operator, another", actor(boss), identity.PeopleDisable, boss2, ""},
		{"an operator, the desk's work", actor(boss), identity.PasswordOrder, user("a"), "not_allowed"},
		{"an auditor", actor(auditor), identity.PeopleDisable, user("a"), "not_allowed"},
		{"nobody", identity.Actor{Roles: identity.RolesOf(identity.AllRoles...)}, identity.PeopleDisable, user("a"), "not_allowed"},
		{"the provider", identity.System, identity.AuthenticatorRemove, boss, ""},
	} {
		if err := c.by.On(c.right, c.on); fault.Code(err) != c.code {
			t.Errorf("%s: %v, want %q", c.name, err, c.code)
		}
	}
	if org, err := actor(responsible).Of(identity.PeopleSee); org != "a" || err != nil {
		t.Errorf("a responsible user reads of %q: %v", org, err)
	}
	if err := actor(responsible).In(identity.PolicyChange, "b"); fault.Code(err) != "organisation_not_found" {
		t.Errorf("another's policy: %v", err)
	}
	if err := actor(responsible).Sees(identity.PeopleSee, desk2); fault.Code(err) != "user_not_found" {
		t.Errorf("another's people: %v", err)
	}
}
