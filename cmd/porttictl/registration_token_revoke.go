package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
)

func (t *tool) registrationTokenRevoke() *cobra.Command {
	return &cobra.Command{Use: "revoke ID", Short: "Stop a registration token; clients that came by it stay", Args: cobra.ExactArgs(1), RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
		all, err := d.store.RegistrationTokens(ctx)
		if err != nil {
			return err
		}
		i := slices.IndexFunc(all, func(t openid.RegistrationToken) bool { return t.ID == args[0] && t.Revoked.IsZero() })
		if i < 0 {
			return fault.New(fault.NotFound, "registration_token_not_found", "There is no such registration token, or it is revoked already.")
		}
		if d.apply {
			if err := d.clients.RevokeRegistrationToken(ctx, d.by.Name, args[0]); err != nil {
				return err
			}
		}
		all[i].Revoked = time.Now().UTC()
		return d.done(outcome{Result: viewRegistrationToken(all[i])})
	})}
}
