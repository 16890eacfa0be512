package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
)

func (t *tool) auditCheckpoint() *cobra.Command {
	return &cobra.Command{Use: "checkpoint", Short: "Seal what waits and print where the trail is, signed: one line, to be kept elsewhere", Args: cobra.NoArgs,
		RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
			if err := d.sealAll(ctx); err != nil {
				return err
			}
			state, err := d.store.TrailState(ctx)
			if err != nil {
				return err
			}
			line, err := json.Marshal(state.End)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(d.out, string(line))
			return err
		})}
}

// sealAll does what the provider does every second. It changes nothing that
// anybody has written, so it is no change that would have to be rehearsed.
func (d *desk) sealAll(ctx context.Context) error {
	key, err := d.auditKey(ctx)
	if err != nil {
		return err
	}
	s := audit.Sealer{Chain: d.store, Key: key, File: string(d.settings.Audit.CheckpointFile), Now: time.Now, Log: slog.New(slog.NewTextHandler(d.err, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	return s.SealAll(ctx)
}
