package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
)

func (t *tool) letterDiscard() *cobra.Command {
	return &cobra.Command{Use: "discard ID", Short: "Delete a letter that was given up", Args: cobra.ExactArgs(1), Example: "  porttictl letter discard 3KUDPMXZ4LSNUJNOVUJXPCAGWB --apply",
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			return d.decide(ctx, args[0], audit.LetterDiscarded, d.store.DiscardLetter)
		})}
}
