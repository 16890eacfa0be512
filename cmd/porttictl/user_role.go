package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userRole() *cobra.Command {
	var give, take []string
	c := &cobra.Command{Use: "role USERNAME", Short: "Give a person roles or take them; the person's sessions end", Args: cobra.ExactArgs(1),
		Example: "  porttictl user role aino.alku --give operator --apply"}
	c.Flags().StringSliceVar(&give, "give", nil, "`roles` to give: "+identity.RolesOf(identity.AllRoles...).String())
	c.Flags().StringSliceVar(&take, "take", nil, "`roles` to take")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		if len(give)+len(take) == 0 {
			return usageError{errors.New("say which roles to --give or to --take")}
		}
		given, err := parseRoles(give)
		if err != nil {
			return err
		}
		taken, err := parseRoles(take)
		if err != nil {
			return err
		}
		p, err := d.person(ctx, args[0])
		if err != nil {
			return err
		}
		u, err := d.directory.ChangeRoles(ctx, d.by, p.User.ID, given, taken)
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewUser(u)})
	})
	return c
}

func parseRoles(names []string) (identity.Roles, error) {
	var set identity.Roles
	for _, name := range names {
		r, err := identity.ParseRole(name)
		if err != nil {
			return 0, err
		}
		set |= identity.RolesOf(r)
	}
	return set, nil
}

func roleNames(set identity.Roles) []string {
	var names []string
	for _, r := range set.List() {
		names = append(names, r.String())
	}
	return names
}
