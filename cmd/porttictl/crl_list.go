package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
)

func (t *tool) crlList() *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the CAs' lists of revoked certificates that are on the shelf", Long: `List the CAs' lists of revoked certificates that are on the shelf.

A list that is stale says only of cards that are on it that they were revoked.
CAs of the trust bundle without a list are shown as missing.`,
		Args: cobra.NoArgs, RunE: t.with(func(ctx context.Context, d *desk, _ []string) error {
			trust, err := d.cardTrust()
			if err != nil {
				return err
			}
			shelved, err := d.store.Shelf().Shelved(ctx)
			if err != nil {
				return err
			}
			return list(d, viewShelf(trust, shelved, time.Now()), "CA SCOPE NUMBER FROM UNTIL ENTRIES CHECKED STATE", func(v revocationListView) []string {
				return []string{v.CA, string(v.Scope), v.Number, when(v.ThisUpdate), when(v.NextUpdate), strconv.Itoa(v.Entries), when(v.Checked), v.State}
			})
		})}
}

// viewShelf is in the order of the bundle; what belongs to none of its CAs comes last.
func viewShelf(trust *card.Trust, shelved []crl.Shelved, now time.Time) []revocationListView {
	var views []revocationListView
	for _, s := range trust.Sources() {
		found := false
		for _, l := range shelved {
			if of(s.CA, l) {
				views, found = append(views, viewShelved(l, now)), true
			}
		}
		if !found {
			views = append(views, revocationListView{CA: s.CA.Subject.CommonName, State: "missing"})
		}
	}
	for _, l := range shelved {
		if !slices.ContainsFunc(trust.Sources(), func(s card.Source) bool { return of(s.CA, l) }) {
			v := viewShelved(l, now)
			v.State = "not trusted"
			views = append(views, v)
		}
	}
	return views
}
