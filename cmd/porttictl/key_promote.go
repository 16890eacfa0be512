package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) keyPromote() *cobra.Command {
	return t.keyChange("promote", "Let the next key of a kind sign, 24 h after it was prepared, and retire the current one", func(ctx context.Context, ring *keys.Ring, kind keys.Kind) error {
		return ring.Promote(ctx, kind)
	})
}
