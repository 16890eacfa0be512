package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func (t *tool) clientRotateSecret() *cobra.Command {
	var keep time.Duration
	c := &cobra.Command{Use: "rotate-secret ID", Short: "Give a service a new secret, printed once; the old one works on for a while", Args: cobra.ExactArgs(1),
		Example: "  porttictl client rotate-secret records --apply\n  porttictl client rotate-secret records --keep 0s --apply"}
	c.Flags().DurationVar(&keep, "keep", 24*time.Hour, "how `long` the old secret works beside the new one, 720h at most; 0s, after a leak, stops it within seconds")
	t.withWhy(c, func(ctx context.Context, d *desk, args []string) error {
		secret, err := d.clients.RotateSecret(ctx, d.by.Name, args[0], keep, !d.apply)
		if err != nil {
			return err
		}
		o := outcome{ClientSecret: secret, Note: keepSecret}
		if c, err := d.store.Client(ctx, args[0]); err == nil { // it is done, and the secret must be printed, in any case
			o.Result = viewClient(c)
		}
		return d.done(o)
	})
	return c
}
