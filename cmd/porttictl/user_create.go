package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userCreate() *cobra.Command {
	var f userFlags
	var organisation string
	c := &cobra.Command{Use: "create USERNAME", Short: "Add a person's account, with a temporary password that is printed once", Args: cobra.ExactArgs(1),
		Example: "  porttictl user create aino.alku --organisation kuntala --given-name Aino --family-name Alku --email aino.alku@kuntala.example --apply"}
	f.add(c)
	c.Flags().StringVar(&organisation, "organisation", "", "`ID` of the employer; it stays")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		edit, err := f.edit(c, true)
		if err != nil {
			return err
		}
		u := identity.User{Username: args[0], Organisation: identity.OrganisationID(organisation)}
		edit(&u)
		u, temporary, err := d.directory.CreateUser(ctx, d.by, u)
		if err != nil {
			return err
		}
		view := viewUser(u)
		if !d.apply {
			view.ID = "" // the real one will be another
			return d.done(outcome{Result: view})
		}
		org, err := d.store.Organisation(ctx, u.Organisation)
		if err != nil {
			// The account is there, and its password is in no other place.
			return d.done(outcome{Result: view, TemporaryPassword: temporary})
		}
		return d.done(outcome{Result: view, TemporaryPassword: temporary, Note: handedOver(org)})
	})
	return c
}
