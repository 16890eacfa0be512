package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) organisationShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show an organisation", Args: cobra.ExactArgs(1), RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
		o, err := d.store.Organisation(ctx, identity.OrganisationID(args[0]))
		if err != nil {
			return err
		}
		return d.show(viewOrganisation(o))
	})}
}
