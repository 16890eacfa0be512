package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) auditExport() *cobra.Command {
	var organisation, since, file string
	c := &cobra.Command{Use: "export", Short: "Write the trail as JSON Lines that audit verify can check without the database", Args: cobra.NoArgs,
		Long: `Write the trail as JSON Lines that audit verify can check without the database.

Events of other organisations, and earlier ones, are left out; the hashes of their
contents stay, so that the chain can still be followed. The export is itself
an event of the trail.`,
		Example: "  porttictl audit export --organisation kuntala --since 2026-01-01 --file kuntala.jsonl"}
	flags := c.Flags()
	flags.StringVar(&organisation, "organisation", "", "only events of this organisation (`ID`)")
	flags.StringVar(&since, "since", "", "only this `time` and later: 24h, 2026-01-31 or 2026-01-31T12:00:00Z")
	flags.StringVar(&file, "file", "", "the `file` to write, which must not exist; without it: standard output")
	c.RunE = t.with(func(ctx context.Context, d *desk, _ []string) (err error) {
		from, err := parseTime("since", since, time.Now())
		if err != nil {
			return err
		}
		if organisation != "" {
			if _, err := d.store.Organisation(ctx, identity.OrganisationID(organisation)); err != nil {
				return err
			}
		}
		out := d.out
		if file != "" {
			f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
			if err != nil {
				return usageError{fmt.Errorf("--file: %w", err)}
			}
			defer func() { err = errors.Join(err, f.Close()) }()
			out = f
		}
		// Before anything leaves: whoever stops the export has had some of it.
		if err := d.store.Record(ctx, audit.Event{Type: audit.TrailExported, Actor: d.by.Name, Organisation: organisation, Details: map[string]string{"since": since, "format": "chain"}}); err != nil {
			return err
		}
		if err := d.sealAll(ctx); err != nil {
			return err
		}
		return d.export(ctx, out, organisation, from)
	})
	return c
}

// export writes the chain from the last checkpoint before a time.
func (d *desk) export(ctx context.Context, out io.Writer, organisation string, since time.Time) error {
	key, err := d.auditKey(ctx)
	if err != nil {
		return err
	}
	state, err := d.store.TrailState(ctx)
	if err != nil {
		return err
	}
	reached, _, err := d.store.Checkpoints(ctx)
	if err != nil {
		return err
	}
	start, later := state.Removed, []audit.Checkpoint{}
	for _, c := range reached {
		switch {
		case c.Sequence <= state.Removed.Sequence || c.Sequence > state.End.Sequence:
		case c.At.Before(since):
			start, later = c, later[:0]
		default:
			later = append(later, c)
		}
	}
	w, err := audit.NewWriter(out, time.Now(), key.Public().(ed25519.PublicKey), organisation, since, start, later)
	if err != nil {
		return err
	}
	for e, err := range d.store.Entries(ctx, start.Sequence+1, state.End.Sequence) {
		if err != nil {
			return err
		}
		if err := w.Entry(e); err != nil {
			return err
		}
	}
	return w.End(state.End)
}
