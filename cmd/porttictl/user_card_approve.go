package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userCardApprove() *cobra.Command {
	return t.decideOnCard("approve", "Link a card that waits: you have checked that its holder is the person (S29)", func(ctx context.Context, d *desk, id identity.LinkID, reason string) error {
		return d.directory.ApproveCard(ctx, d.by, id, reason)
	})
}
