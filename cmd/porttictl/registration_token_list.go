package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
)

func (t *tool) registrationTokenList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List registration tokens, newest first", Args: cobra.NoArgs, RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
		all, err := d.store.RegistrationTokens(ctx)
		if err != nil {
			return err
		}
		views := make([]registrationTokenView, len(all))
		for i, token := range all {
			views[i] = viewRegistrationToken(token)
		}
		return list(d, views, "ID STATE USED EXPIRES NOTE", func(v registrationTokenView) []string {
			return []string{v.ID, v.State, fmt.Sprintf("%d of %d", v.Used, v.Uses), when(v.Expires), v.Note}
		})
	})}
}
