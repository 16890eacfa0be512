package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userCardRefuse() *cobra.Command {
	return t.decideOnCard("refuse", "End the waiting of a card that is not the person's", func(ctx context.Context, d *desk, id identity.LinkID, reason string) error {
		return d.directory.RefuseCard(ctx, d.by, id, reason)
	})
}
