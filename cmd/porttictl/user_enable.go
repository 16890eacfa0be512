package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userEnable() *cobra.Command {
	return t.aboutUser("enable USERNAME", "Open a disabled account again; it starts afresh with a temporary password",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			temporary, err := d.directory.EnableUser(ctx, d.by, p.User.ID, why)
			return outcome{TemporaryPassword: temporary, Note: handedOver(p.Organisation)}, err
		})
}
