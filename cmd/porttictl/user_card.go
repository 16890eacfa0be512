package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

// approvalView is a card that waits, beside the person it would be linked to.
type approvalView struct {
	ID           string    `json:"id"`
	Username     string    `json:"username"`
	Organisation string    `json:"organisation"`
	Name         string    `json:"name"`
	Holder       string    `json:"holder"`
	HolderOrg    string    `json:"holder_organisation,omitempty"`
	Issuer       string    `json:"issuer"`
	Tail         string    `json:"serial_tail"`
	NotAfter     time.Time `json:"not_after"`
	Proved       string    `json:"proved"` // what the person had proved beside the password when the card was read
	Asked        time.Time `json:"asked"`
	Expires      time.Time `json:"expires"`
}

func viewApproval(a identity.CardApproval, p identity.Person) approvalView {
	return approvalView{ID: string(a.Card.ID), Username: p.User.Username, Organisation: string(p.Organisation.ID), Name: p.User.Name(), Holder: a.Card.HolderName,
		HolderOrg: a.Card.HolderOrg, Issuer: a.Card.Issuer, Tail: a.Card.Tail(), NotAfter: a.Card.NotAfter, Proved: a.Proved.String(), Asked: a.Asked, Expires: a.Expires}
}

// decideOnCard is a command that ends the waiting of one card, for a reason.
func (t *tool) decideOnCard(use, short string, do func(ctx context.Context, d *desk, id identity.LinkID, reason string) error) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: use + " ID", Short: short, Args: cobra.ExactArgs(1), Example: "  porttictl user card " + use + " JBSWY3DPEHPK3PXP --reason 'saw the card, ticket 1234' --apply"}
	c.Flags().StringVar(&reason, "reason", "", "`why`, for the audit trail: required")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		id := identity.LinkID(args[0])
		waiting, err := d.store.CardApprovals(ctx, identity.ApprovalsOf{}, time.Now())
		if err != nil {
			return err
		}
		if err := do(ctx, d, id, reason); err != nil {
			return err
		}
		for _, a := range waiting {
			if a.Card.ID == id {
				p, err := d.store.Person(ctx, a.Card.User)
				if err != nil {
					return err
				}
				return d.done(outcome{Result: viewApproval(a, p)})
			}
		}
		return d.done(outcome{})
	})
	return c
}
