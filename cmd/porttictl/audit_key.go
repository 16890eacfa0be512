package main

import (
	"context"
	"crypto/ed25519"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) auditKey() *cobra.Command {
	return &cobra.Command{Use: "key", Short: "Print the public key that checkpoints are signed with: keep it with them, for audit verify", Args: cobra.NoArgs,
		RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
			key, err := d.auditKey(ctx)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(d.out, audit.FormatKey(key.Public().(ed25519.PublicKey)))
			return err
		})}
}

// auditKey signs what is said of the trail.
func (d *desk) auditKey(ctx context.Context) (ed25519.PrivateKey, error) {
	seed, err := keys.OpenSecret(ctx, d.store.Keys(), d.master, audit.KeyName)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
