package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

func (t *tool) keyReseal() *cobra.Command {
	return &cobra.Command{Use: "reseal", Short: "Encrypt all that older master keys encrypted under the first one of the file", Args: cobra.NoArgs,
		Long: `After a new master key was put on top of the file, on every replica: encrypts the
signing keys, secrets, authenticator keys and letters in the database under it, so
that the older ones can be taken out. The provider may go on running. A dry run
counts, and tries to open everything.`,
		RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
			all, err := keys.Reseal(ctx, d.store.Keys(), d.master, d.apply)
			if err != nil {
				return err
			}
			var found, resealed, left, unopened int
			for _, r := range all {
				found, resealed, left, unopened = found+r.Found, resealed+r.Resealed, left+r.Left, unopened+len(r.Unopened)
			}
			if d.apply {
				err := d.store.Record(ctx, audit.Event{At: time.Now().UTC(), Type: audit.KeysResealed, Actor: d.by.Name,
					Details: map[string]string{"key": d.master.First(), "resealed": fmt.Sprint(resealed), "left": fmt.Sprint(left)}})
				if err != nil {
					return fmt.Errorf("resealed %d values, but the audit trail does not tell: %w", resealed, err)
				}
			}
			if err := d.done(outcome{Result: all, Warning: d.afterReseal(left, unopened)}); err != nil {
				return err
			}
			if unopened > 0 {
				return fault.New(fault.Conflict, "not_opened", "Some values cannot be opened with any key of the file. They were left as they are.")
			}
			return nil
		})}
}

// afterReseal says what is to be done next.
func (d *desk) afterReseal(left, unopened int) string {
	others := strings.Join(d.master.Others(), ", ")
	switch {
	case unopened > 0:
		return "Take no key out of the file. The values under unopened were changed, or belong to a key that is not in it: look for that one."
	case left > 0 && d.apply:
		return fmt.Sprintf("%d values were encrypted with an older key meanwhile: a replica still has the older file. Restart it, then do this again.", left)
	case left == 0 && others != "":
		return "Nothing in the database needs these keys any more: " + others + ". Take them out of the file an hour after the last replica was restarted with the new one, " +
			"and keep them for as long as backups that were made until now."
	}
	return ""
}
