package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/fault"
)

func (t *tool) crlForget() *cobra.Command {
	return &cobra.Command{Use: "forget CA", Short: "Take a CA's lists from the shelf, when it has begun its numbers again", Long: `Take a CA's lists from the shelf, when it has begun its numbers again.

Numbers of lists only ever rise; a lower one is an old list that somebody plays
back. Use this when the CA itself has said, to you and by another way, that its
lists begin again. Replicas hold on to theirs until they are restarted.`,
		Example: "porttictl crl forget 'DVV Organisational Certificates - G4R' --apply",
		Args:    cobra.ExactArgs(1), RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			trust, err := d.cardTrust()
			if err != nil {
				return err
			}
			s, err := authority(trust, args[0])
			if err != nil {
				return err
			}
			gone, err := d.shelf().Forget(ctx, crl.AuthorityOf(s.CA))
			if err != nil {
				return err
			}
			if !gone {
				return fault.New(fault.NotFound, "crl_not_found", "There is no list of this CA.")
			}
			v := revocationListView{CA: args[0], State: "missing"}
			if err := d.recordLists(ctx, audit.CRLForgotten, v); err != nil {
				return err
			}
			return d.done(outcome{Result: v, Warning: "restart every replica: they hold on to their lists"})
		})}
}
