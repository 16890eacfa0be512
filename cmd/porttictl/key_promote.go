package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) keyPromote() *cobra.Command {
	return t.keyChange("promote", "Let the next key of a kind sign, when it has been published for long enough, and retire the current one", func(ctx context.Context, ring *keys.Ring, kind keys.Kind) (string, error) {
		return "", ring.Promote(ctx, kind)
	})
}
