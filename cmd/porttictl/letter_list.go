package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/mail"
)

// letterView is a letter of the outbox as printed: never what it says.
type letterView struct {
	ID           string        `json:"id"`
	Channel      mail.Channel  `json:"channel"`
	Template     mail.Template `json:"template,omitempty"`
	Organisation string        `json:"organisation,omitempty"`
	Recipient    string        `json:"recipient,omitempty"`
	Created      time.Time     `json:"created"`
	Due          time.Time     `json:"due"`
	Expires      time.Time     `json:"expires,omitzero"`
	Attempts     int           `json:"attempts"`
	Reason       string        `json:"reason,omitempty"`
	Dead         time.Time     `json:"dead,omitzero"`
}

func viewLetter(k mail.Kept) letterView {
	return letterView{k.ID, k.Channel, k.Template, k.Organisation, k.Recipient, k.Created, k.Due, k.Expires, k.Attempts, k.Reason, k.Dead}
}

func (t *tool) letterList() *cobra.Command {
	var waiting bool
	var limit int
	c := &cobra.Command{Use: "list", Short: "List the letters that were given up, the newest first", Args: cobra.NoArgs}
	c.Flags().BoolVar(&waiting, "waiting", false, "those that are still tried instead, the oldest first")
	c.Flags().IntVar(&limit, "limit", 1000, "at most so many")
	c.RunE = t.with(func(ctx context.Context, d *desk, _ []string) error {
		if limit < 1 || limit > 100_000 {
			return usageError{fmt.Errorf("--limit: %d is not between 1 and 100000", limit)}
		}
		kept, err := d.store.Letters(ctx, mail.Which{Dead: !waiting, Limit: limit})
		if err != nil {
			return err
		}
		views := make([]letterView, len(kept))
		for i, k := range kept {
			views[i] = viewLetter(k)
		}
		return list(d, views, "ID CHANNEL LETTER ORGANISATION RECIPIENT CREATED ATTEMPTS REASON", func(v letterView) []string {
			return []string{v.ID, string(v.Channel), string(v.Template), v.Organisation, v.Recipient, when(v.Created), fmt.Sprint(v.Attempts), v.Reason}
		})
	})
	return c
}

// letterEvent is what the trail keeps of a decision on letters.
func (d *desk) letterEvent(what audit.Type) audit.Event {
	return audit.Event{At: time.Now().UTC(), Type: what, Actor: d.by.Name}
}
