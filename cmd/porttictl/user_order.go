package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userOrder() *cobra.Command {
	return t.aboutUser("order USERNAME", "Order a new password: the old one and the card link are gone, sessions end, the authenticator stays (S54)",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			temporary, err := d.directory.Order(ctx, d.by, p.User.ID, why)
			return outcome{TemporaryPassword: temporary, Note: handedOver(p.Organisation)}, err
		})
}
