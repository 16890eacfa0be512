package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func (t *tool) userShow() *cobra.Command {
	return &cobra.Command{Use: "show USERNAME", Short: "Show a person with links and the state of the password", Args: cobra.ExactArgs(1),
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			p, err := d.person(ctx, args[0])
			if err != nil {
				return err
			}
			return d.show(viewPerson(p, time.Now()))
		})}
}
