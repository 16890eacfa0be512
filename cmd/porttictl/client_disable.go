package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/openid"
)

func (t *tool) clientDisable() *cobra.Command {
	return t.clientState("disable ID", "Stop a service: no sign-in and no token, within seconds", func(ctx context.Context, d *desk, id string) (openid.Client, error) {
		return d.clients.Disable(ctx, d.by.Name, id, !d.apply)
	})
}
