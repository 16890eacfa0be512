package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) keyRetire() *cobra.Command {
	return t.keyChange("retire", "Drop the keys of a kind that were retired at least 7 days ago", func(ctx context.Context, ring *keys.Ring, kind keys.Kind) error {
		_, err := ring.Retire(ctx, kind)
		return err
	})
}
