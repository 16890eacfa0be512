package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userCardList() *cobra.Command {
	var organisation string
	c := &cobra.Command{Use: "list", Short: "List the cards that wait, the longest first", Args: cobra.NoArgs}
	c.Flags().StringVar(&organisation, "organisation", "", "`ID` of an employer; default: all")
	c.RunE = t.with(func(ctx context.Context, d *desk, _ []string) error {
		waiting, err := d.store.CardApprovals(ctx, identity.ApprovalsOf{Organisation: identity.OrganisationID(organisation)}, time.Now())
		if err != nil {
			return err
		}
		views := make([]approvalView, len(waiting))
		for i, a := range waiting {
			p, err := d.store.Person(ctx, a.Card.User)
			if err != nil {
				return err
			}
			views[i] = viewApproval(a, p)
		}
		return list(d, views, "ID USERNAME ORGANISATION NAME HOLDER CARD ASKED", func(v approvalView) []string {
			return []string{v.ID, v.Username, v.Organisation, v.Name, v.Holder, "…" + v.Tail, when(v.Asked)}
		})
	})
	return c
}
