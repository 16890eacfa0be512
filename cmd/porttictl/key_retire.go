package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) keyRetire() *cobra.Command {
	return t.keyChange("retire", "Drop the keys of a kind whose last token has expired", func(ctx context.Context, ring *keys.Ring, kind keys.Kind) (string, error) {
		_, err := ring.Retire(ctx, kind)
		return "", err
	})
}
