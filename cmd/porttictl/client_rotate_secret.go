package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) clientRotateSecret() *cobra.Command {
	return &cobra.Command{Use: "rotate-secret ID", Short: "Give a service a new secret, printed once; the old one stops within seconds", Args: cobra.ExactArgs(1),
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			secret, err := d.clients.RotateSecret(ctx, d.by.Name, args[0], !d.apply)
			if err != nil {
				return err
			}
			o := outcome{ClientSecret: secret, Note: keepSecret}
			if c, err := d.store.Client(ctx, args[0]); err == nil { // it is done, and the secret must be printed, in any case
				o.Result = viewClient(c)
			}
			return d.done(o)
		})}
}
