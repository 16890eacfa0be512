package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/openid"
)

func (t *tool) clientCreate() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{Use: "create ID", Short: "Register a service; its secret is printed once", Args: cobra.ExactArgs(1),
		Example: "  porttictl client create records --name en=Records --name fi=Rekisteri --redirect-uris https://records.example.fi/callback --minimum-acr urn:portti:acr:card --apply"}
	f.add(c)
	t.withWhy(c, func(ctx context.Context, d *desk, args []string) error {
		client := openid.Client{ID: args[0]}
		if err := f.edit(c, true)(&client); err != nil {
			return err
		}
		return d.register(ctx, client)
	})
	return c
}
