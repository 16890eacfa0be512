package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) clientChange() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{Use: "change ID", Short: "Change a registration; flags that are not given leave theirs, lists are replaced whole", Args: cobra.ExactArgs(1),
		Example: "  porttictl client change records --minimum-acr urn:portti:acr:pwd-otp --apply"}
	f.add(c)
	t.withWhy(c, func(ctx context.Context, d *desk, args []string) error {
		client, err := d.clients.Change(ctx, d.by.Name, args[0], f.edit(c, false), !d.apply)
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewClient(client), Warning: warning(client)})
	})
	return c
}
