package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) organisationChange() *cobra.Command {
	var f organisationFlags
	c := &cobra.Command{Use: "change ID", Short: "Change settings of an organisation; flags that are not given leave theirs", Args: cobra.ExactArgs(1),
		Example: "  porttictl organisation change kuntala --methods card --apply"}
	f.add(c)
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		edit, err := f.edit(c, false)
		if err != nil {
			return err
		}
		o, err := d.directory.ChangeOrganisation(ctx, d.by, identity.OrganisationID(args[0]), edit)
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewOrganisation(o)})
	})
	return c
}
