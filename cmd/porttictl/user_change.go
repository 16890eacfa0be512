package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) userChange() *cobra.Command {
	var f userFlags
	c := &cobra.Command{Use: "change USERNAME", Short: "Change name, e-mail, language or claims of a person; flags that are not given leave theirs", Args: cobra.ExactArgs(1),
		Example: "  porttictl user change aino.alku --claim birthdate=1980-01-31 --address locality=Helsinki --apply"}
	f.add(c)
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		edit, err := f.edit(c, false)
		if err != nil {
			return err
		}
		p, err := d.person(ctx, args[0])
		if err != nil {
			return err
		}
		u, err := d.directory.ChangeUser(ctx, d.by, p.User.ID, edit)
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewUser(u)})
	})
	return c
}
