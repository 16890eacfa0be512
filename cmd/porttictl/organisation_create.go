package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) organisationCreate() *cobra.Command {
	var f organisationFlags
	c := &cobra.Command{Use: "create ID", Short: "Add an organisation; ID is lower-case letters, digits and hyphens, and stays", Args: cobra.ExactArgs(1),
		Example: "  porttictl organisation create kuntala --name 'Kuntalan kaupunki' --methods card,app --delivery letter --apply"}
	f.add(c)
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		edit, err := f.edit(c, true)
		if err != nil {
			return err
		}
		o := identity.Organisation{ID: identity.OrganisationID(args[0])}
		edit(&o)
		if o, err = d.directory.CreateOrganisation(ctx, d.by, o); err != nil {
			return err
		}
		return d.done(outcome{Result: viewOrganisation(o)})
	})
	return c
}
