package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) clientList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List services by ID", Args: cobra.NoArgs, RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
		all, err := d.store.Clients(ctx)
		if err != nil {
			return err
		}
		views := make([]clientView, len(all))
		for i, c := range all {
			views[i] = viewClient(c)
		}
		return list(d, views, "ID NAME STATE AUTH_METHOD MINIMUM_ACR ALGORITHM", func(v clientView) []string {
			return []string{v.ID, cmp.Or(v.Name["en"], v.Name["fi"], v.Name["sv"]), v.State, string(v.AuthMethod), v.MinimumACR, string(v.Algorithm)}
		})
	})}
}
