package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
)

// strangerView is a CA that is not configured, as printed.
type strangerView struct {
	ID          string    `json:"id"`
	Issuer      string    `json:"issuer"`
	KeyID       string    `json:"key_id,omitempty"`
	Root        string    `json:"root,omitempty"` // the configured root that has signed it
	Seen        int64     `json:"seen"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	SHA256      string    `json:"sha256,omitempty"`
	Certificate string    `json:"certificate,omitempty"`
}

func viewStranger(s card.Stranger) strangerView {
	return strangerView{s.ID, s.Issuer, s.KeyID, s.Root, s.Seen, s.First, s.Last, s.SHA256, s.Certificate}
}

func (t *tool) trustStrangers() *cobra.Command {
	var forget bool
	c := &cobra.Command{Use: "strangers [ID]", Short: "List the CAs that are not configured and whose cards were shown, or show one with its certificate", Args: cobra.MaximumNArgs(1),
		Long: `List the CAs that are not configured and whose cards were shown, or show one of
them with its certificate, if a browser has sent that along. The beginning of an
ID is enough.

Anybody can make a certificate that names any CA. Only one below a configured
root (ROOT) is proved to be what its name says; of any other, get the certificate
and its fingerprint from the CA itself.`,
		Example: "  porttictl trust strangers\n  porttictl trust strangers 3f9a\n  porttictl trust strangers 3f9a --forget --apply"}
	c.Flags().BoolVar(&forget, "forget", false, "delete it from the list; it comes back when its cards are shown again")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		all, err := d.store.Strangers(ctx)
		if err != nil {
			return err
		}
		if len(args) == 0 {
			if forget {
				return usageError{errors.New("--forget: say which")}
			}
			views := make([]strangerView, len(all))
			for i, s := range all {
				views[i] = viewStranger(s)
			}
			return list(d, views, "ID ISSUER KEY-ID ROOT CERTIFICATE SEEN FIRST LAST", func(v strangerView) []string {
				return []string{v.ID[:min(12, len(v.ID))], v.Issuer, v.KeyID, v.Root, v.SHA256, fmt.Sprint(v.Seen), when(v.First), when(v.Last)}
			})
		}
		s, err := strangerBy(all, args[0])
		if err != nil {
			return err
		}
		if !forget {
			return d.show(viewStranger(s))
		}
		if d.apply {
			event := audit.Event{At: time.Now(), Type: audit.CardIssuerForgotten, Actor: d.by.Name, Details: map[string]string{"issuer": s.Issuer}}
			if err := d.store.ForgetStranger(ctx, s.ID, event); err != nil {
				return err
			}
		}
		return d.done(outcome{Result: viewStranger(s)})
	})
	return c
}

// strangerBy finds the one whose ID begins so.
func strangerBy(all []card.Stranger, id string) (card.Stranger, error) {
	found := slices.DeleteFunc(slices.Clone(all), func(s card.Stranger) bool { return !strings.HasPrefix(s.ID, strings.ToLower(id)) })
	switch len(found) {
	case 0:
		return card.Stranger{}, fault.New(fault.NotFound, "unknown_issuer_not_found", "No card of such an issuer was shown.")
	case 1:
		return found[0], nil
	}
	return card.Stranger{}, usageError{fmt.Errorf("%d IDs begin with %q: give more of it", len(found), id)}
}
