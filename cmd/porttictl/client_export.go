package main

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/openid"
)

func (t *tool) clientExport() *cobra.Command {
	return &cobra.Command{Use: "export ID", Short: "Print a service's registration as client import reads it", Args: cobra.ExactArgs(1),
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			c, err := d.store.Client(ctx, args[0])
			if err != nil {
				return err
			}
			body, err := json.MarshalIndent(openid.MetadataOf(c), "", "  ")
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(d.out, string(body))
			return err
		})}
}
