package identity_test

import (
	"testing"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
)

var operators = identity.RolesOf(identity.RoleOperator)

func TestRolesAreReadAsTheyAreWritten(t *testing.T) {
	for _, r := range identity.AllRoles {
		if got, err := identity.ParseRole(r.String()); err != nil || got != r {
			t.Errorf("%s: %v, %v", r, got, err)
		}
	}
	for _, s := range []string{"", "none", "Operator", "operator,"} {
		if _, err := identity.ParseRole(s); fault.Code(err) != "role_unknown" {
			t.Errorf("%q: %v", s, err)
		}
	}
	if s := operators.String(); s != "operator" {
		t.Errorf("the set is %q", s)
	}
	if none := identity.Roles(0); none.Has(identity.RoleOperator) || operators.Has(0) || none.String() != "" || !operators.Has(identity.RoleOperator) {
		t.Error("a set has what it has not")
	}
}

// A change of roles ends the person's sessions, and the trail tells of it; what
// changes nothing does nothing.
func TestChangeOfRoles(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		org := h.organisation("org", identity.MethodApp)
		id, other := h.settled(org, "liisa"), h.settled(org, "matti")
		for i, c := range []struct {
			give, take, want identity.Roles
			changed          bool
		}{
			{operators, 0, operators, true}, {operators, 0, operators, false}, {0, operators, 0, true}, {0, operators, 0, false}, {0, 0, 0, false}, {operators, 0, operators, true},
		} {
			before, events := h.person(id).User, len(h.events(audit.UserRolesChanged))
			u, err := h.ChangeRoles(ctx, operator, id, c.give, c.take)
			h.must(err)
			after := h.person(id).User
			if after.Roles != c.want || u.Roles != c.want {
				t.Errorf("%d: told %s, stored %s, want %s", i, u.Roles, after.Roles, c.want)
			}
			_, err = h.Standing(ctx, id, before.Epoch, "sid")
			trail := h.events(audit.UserRolesChanged)
			if ended := fault.Code(err) == "session_expired"; ended != c.changed || (len(trail) > events) != c.changed {
				t.Errorf("%d: sessions ended %t, %d events, before %d", i, ended, len(trail), events)
			}
			if e := trail[0]; c.changed && (e.Actor != operator.Name || e.User != string(id) || e.Details["roles_before"] != before.Roles.String() || e.Details["roles"] != c.want.String()) {
				t.Errorf("%d: the trail says %+v", i, e)
			}
		}
		if p := h.person(other); p.User.Roles != 0 || p.User.Epoch != 2 { // 2: her first own password
			t.Errorf("another is touched: %+v", p.User)
		}
	})
}

func TestNobodyGivesThemselvesARole(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		for name, c := range map[string]struct {
			by   identity.Actor
			code string
		}{
			"nobody":                 {identity.Actor{}, "not_allowed"},
			"a person":               {identity.Actor{Name: "user:x"}, "not_allowed"},
			"herself":                {identity.Actor{Name: "user:" + string(id), User: id}, "not_allowed"},
			"herself as an operator": {identity.Actor{Name: "user:" + string(id), User: id, Roles: operators}, "own_account"},
			"herself, all the same":  {identity.Actor{Name: "user:" + string(id), Operator: true}, "own_account"},
		} {
			if _, err := h.ChangeRoles(ctx, c.by, id, operators, 0); fault.Code(err) != c.code {
				t.Errorf("%s: %v", name, err)
			}
		}
		for name, c := range map[string][2]identity.Roles{"a role that is none": {1 << 9, 0}, "taking none": {0, 1 << 9}, "give and take": {operators, operators}} {
			if _, err := h.ChangeRoles(ctx, operator, id, c[0], c[1]); fault.Code(err) != "role_unknown" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := h.ChangeRoles(ctx, operator, "nobody", operators, 0); !fault.Is(err, fault.NotFound) {
			t.Errorf("to nobody: %v", err)
		}
		_, err := h.ChangeUser(ctx, operator, id, func(u *identity.User) { u.Roles = operators })
		h.must(err)
		if r := h.person(id).User.Roles; r != 0 {
			t.Errorf("an edit passes ChangeRoles by: %s", r)
		}
	})
}

// A closed account has no roles, and opened again it gets none back.
func TestADisabledAccountLosesItsRoles(t *testing.T) {
	each(t, func(h *house) {
		ctx := t.Context()
		id := h.settled(h.organisation("org", identity.MethodApp), "liisa")
		_, err := h.ChangeRoles(ctx, operator, id, operators, 0)
		h.must(err)
		h.must(h.DisableUser(ctx, operator, id, identity.Why{Reason: "left"}))
		if e := h.events(audit.UserRolesChanged); len(e) != 2 || e[0].Details["roles_before"] != "operator" || e[0].Details["roles"] != "" {
			t.Errorf("the trail says %+v", e)
		}
		if _, err := h.ChangeRoles(ctx, operator, id, operators, 0); fault.Code(err) != "account_disabled" {
			t.Errorf("a role for a closed account: %v", err)
		}
		_, err = h.EnableUser(ctx, operator, id, identity.Why{Reason: "back"})
		h.must(err)
		if r := h.person(id).User.Roles; r != 0 {
			t.Errorf("roles came back: %s", r)
		}
	})
}
