package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userDisable() *cobra.Command {
	return t.aboutUser("disable USERNAME", "Close an account: its sessions, tokens and links end (S36)",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			return outcome{}, d.directory.DisableUser(ctx, d.by, p.User.ID, why)
		})
}
