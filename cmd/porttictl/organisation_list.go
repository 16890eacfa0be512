package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (t *tool) organisationList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List organisations by name", Args: cobra.NoArgs, RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
		all, err := d.store.Organisations(ctx)
		if err != nil {
			return err
		}
		views := make([]organisationView, len(all))
		for i, o := range all {
			views[i] = viewOrganisation(o)
		}
		return list(d, views, "ID NAME STATE METHODS DELIVERY", func(v organisationView) []string {
			return []string{v.ID, v.Name, v.State, strings.Join(v.Methods, ","), v.Delivery}
		})
	})}
}
