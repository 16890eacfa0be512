package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/openid"
)

func (t *tool) clientEnable() *cobra.Command {
	return t.clientState("enable ID", "Let a disabled service work again", func(ctx context.Context, d *desk, id string) (openid.Client, error) {
		return d.clients.Enable(ctx, d.by.Name, id, !d.apply)
	})
}
