package main

import (
	"context"

	"github.com/spf13/cobra"
)

func (t *tool) keyList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the signing keys, oldest first", Args: cobra.NoArgs, RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
		rows, err := d.store.Keys().SigningKeys(ctx)
		if err != nil {
			return err
		}
		return list(d, viewKeys(rows, ""), "ID KIND STATE SINCE", func(v keyView) []string {
			return []string{v.ID, string(v.Kind), string(v.State), when(v.Moved)}
		})
	})}
}
