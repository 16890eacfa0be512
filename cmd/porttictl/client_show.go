package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) clientShow() *cobra.Command {
	return &cobra.Command{Use: "show ID", Short: "Show a service's registration", Args: cobra.ExactArgs(1), RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
		c, err := d.store.Client(ctx, args[0])
		if err != nil {
			return err
		}
		return d.show(viewClient(c))
	})}
}
