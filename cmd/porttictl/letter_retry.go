package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
)

func (t *tool) letterRetry() *cobra.Command {
	var all bool
	c := &cobra.Command{Use: "retry [ID]", Short: "Try a letter at once that was given up or waits, or all that were given up", Args: cobra.MaximumNArgs(1),
		Long: `Try a letter at once that was given up or waits, or with --all those that were
given up. A letter whose temporary password has expired is not sent any more.`,
		Example: "  porttictl letter retry 3KUDPMXZ4LSNUJNOVUJXPCAGWB --apply\n  porttictl letter retry --all --apply"}
	c.Flags().BoolVar(&all, "all", false, "all that were given up and are still of use")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		if all == (len(args) == 1) {
			return usageError{errors.New("give the ID of a letter, or --all")}
		}
		if all {
			n, err := d.store.RetryLetters(ctx, d.letterEvent(audit.LetterRetried), !d.apply)
			if err != nil {
				return err
			}
			return d.done(outcome{Result: map[string]int64{"letters": n}})
		}
		return d.decide(ctx, args[0], audit.LetterRetried, d.store.RetryLetter)
	})
	return c
}

// decide shows a letter and does something with it.
func (d *desk) decide(ctx context.Context, id string, what audit.Type, do func(ctx context.Context, id string, e audit.Event, dry bool) error) error {
	k, err := d.store.Letter(ctx, id)
	if err != nil {
		return err
	}
	if err := do(ctx, id, d.letterEvent(what), !d.apply); err != nil {
		return err
	}
	return d.done(outcome{Result: viewLetter(k)})
}
