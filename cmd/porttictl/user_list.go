package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

func (t *tool) userList() *cobra.Command {
	var organisation string
	c := &cobra.Command{Use: "list", Short: "List people by username", Args: cobra.NoArgs}
	c.Flags().StringVar(&organisation, "organisation", "", "`ID` of an employer; default: all")
	c.RunE = t.with(func(ctx context.Context, d *desk, _ []string) error {
		if organisation != "" {
			if _, err := d.store.Organisation(ctx, identity.OrganisationID(organisation)); err != nil {
				return err
			}
		}
		people, err := d.store.People(ctx, identity.OrganisationID(organisation))
		if err != nil {
			return err
		}
		views := make([]userView, len(people))
		for i, p := range people {
			views[i] = viewPerson(p, time.Now())
		}
		return list(d, views, "USERNAME ORGANISATION NAME STATE PASSWORD CARD AUTHENTICATOR", func(v userView) []string {
			card, authenticator := "", ""
			if v.Card != nil {
				card = "…" + v.Card.Tail
			}
			if v.Authenticator != nil {
				authenticator = v.Authenticator.Kind
			}
			return []string{v.Username, v.Organisation, v.GivenName + " " + v.FamilyName, v.State, v.Password.Kind, card, authenticator}
		})
	})
	return c
}
