package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userRemoveAuthenticator() *cobra.Command {
	return t.aboutUser("remove-authenticator USERNAME", "Remove the link of an authenticator app or token; sessions end (S60). Check first who is calling",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			return outcome{}, d.directory.RemoveAuthenticator(ctx, d.by, p.User.ID, why)
		})
}
