package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) keyPrepare() *cobra.Command {
	return t.keyChange("prepare", "Publish the next key of a kind; it does not sign yet", func(ctx context.Context, ring *keys.Ring, kind keys.Kind) (string, error) {
		_, err := ring.Prepare(ctx, kind)
		return "", err
	})
}
