package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func (t *tool) userEnable() *cobra.Command {
	return &cobra.Command{Use: "enable USERNAME", Short: "Open a disabled account again; it starts afresh with a temporary password", Args: cobra.ExactArgs(1),
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			p, err := d.person(ctx, args[0])
			if err != nil {
				return err
			}
			temporary, err := d.directory.EnableUser(ctx, d.by, p.User.ID)
			if err != nil {
				return err
			}
			o := outcome{TemporaryPassword: temporary, Note: handedOver(p.Organisation)}
			if after, err := d.store.Person(ctx, p.User.ID); err == nil { // it is done, and the password must be printed, in any case
				o.Result = viewPerson(after, time.Now())
			}
			return d.done(o)
		})}
}
