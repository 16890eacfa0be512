package main

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/fault"
)

func (t *tool) crlFetch() *cobra.Command {
	return &cobra.Command{Use: "fetch [CA]", Short: "Ask the CAs' servers for their lists of revoked certificates now", Long: `Ask the CAs' servers for their lists of revoked certificates now, or one CA's,
given by its common name. The provider does so by itself about once an hour; this
is for trying the addresses in trust.yaml, and for after an outage.

The servers are asked in a dry run as well, and the lists verified; only the shelf
stays as it is.`,
		Example: "porttictl crl fetch\nporttictl crl fetch 'DVV Organisational Certificates - G4R' --apply",
		Args:    cobra.MaximumNArgs(1), RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			trust, err := d.cardTrust()
			if err != nil {
				return err
			}
			sources := trust.Sources()
			if len(args) == 1 {
				one, err := authority(trust, args[0])
				if err != nil {
					return err
				}
				sources = []card.Source{one}
			}
			views, err := d.fetchLists(ctx, trust, sources)
			if err != nil {
				return err
			}
			if err := d.done(outcome{Result: views}); err != nil {
				return err
			}
			for _, v := range views {
				if v.Problem != "" {
					return errors.New("not every list was fetched: see problem")
				}
			}
			return nil
		})}
}

func (d *desk) fetchLists(ctx context.Context, trust *card.Trust, sources []card.Source) ([]revocationListView, error) {
	own := func() *card.Trust { return trust }
	f := &crl.Fetcher{Shelf: d.shelf(), Lists: &crl.Lists{Trust: own}, Trust: own, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	var views []revocationListView
	for _, s := range sources {
		if len(s.CRL) == 0 {
			continue
		}
		lists, err := f.Fetch(ctx, s)
		for _, l := range lists {
			views = append(views, viewList(l.List, l.Address, time.Now()))
		}
		if err != nil {
			views = append(views, revocationListView{CA: s.CA.Subject.CommonName, State: "missing", Problem: err.Error()})
		}
	}
	if len(views) == 0 {
		return nil, fault.New(fault.Conflict, "crl_no_address", "No address of a list is in trust.yaml (crl).")
	}
	return views, d.recordLists(ctx, audit.CRLFetched, views...)
}
