package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/store"
)

// eventView is an event as printed.
type eventView struct {
	At           time.Time         `json:"at"`
	Type         audit.Type        `json:"type"`
	Actor        string            `json:"actor"`
	User         string            `json:"user,omitempty"`
	Organisation string            `json:"organisation,omitempty"`
	Client       string            `json:"client,omitempty"`
	Session      string            `json:"session,omitempty"`
	Method       string            `json:"method,omitempty"`
	Reason       string            `json:"reason,omitempty"`
	Address      string            `json:"address,omitempty"`
	Details      map[string]string `json:"details,omitempty"`
}

func (t *tool) auditList() *cobra.Command {
	var username, organisation, since, until string
	var types []string
	var limit int
	c := &cobra.Command{Use: "list", Short: "List events, newest first", Args: cobra.NoArgs,
		Example: "  porttictl audit list --user aino.alku --since 24h\n  porttictl audit list --type client.created,client.changed --since 2026-01-01 --json"}
	flags := c.Flags()
	flags.StringVar(&username, "user", "", "only what happened to this `username`")
	flags.StringVar(&organisation, "organisation", "", "only what happened in this organisation (`ID`)")
	flags.StringSliceVar(&types, "type", nil, "only these `types`, such as signin.refused")
	flags.StringVar(&since, "since", "", "only this `time` and later: 24h, 2026-01-31 or 2026-01-31T12:00:00Z")
	flags.StringVar(&until, "until", "", "only before this `time`")
	flags.IntVar(&limit, "limit", 100, "at most so `many`")
	c.RunE = t.with(func(ctx context.Context, d *desk, _ []string) error {
		trail := store.Trail{Organisation: organisation, Limit: limit}
		var err error
		if trail.Since, err = parseTime("since", since, time.Now()); err != nil {
			return err
		}
		if trail.Until, err = parseTime("until", until, time.Now()); err != nil {
			return err
		}
		if limit < 1 || limit > 100_000 {
			return usageError{fmt.Errorf("--limit: %d is not between 1 and 100000", limit)}
		}
		for _, name := range types {
			trail.Types = append(trail.Types, audit.Type(name))
		}
		if username != "" {
			p, err := d.person(ctx, username)
			if err != nil {
				return err
			}
			trail.User = string(p.User.ID)
		}
		events, err := d.store.AuditEvents(ctx, trail)
		if err != nil {
			return err
		}
		views := make([]eventView, len(events))
		for i, e := range events {
			views[i] = eventView(e)
		}
		return list(d, views, "AT TYPE ACTOR USER ORGANISATION CLIENT METHOD REASON ADDRESS", func(v eventView) []string {
			return []string{when(v.At), string(v.Type), v.Actor, v.User, v.Organisation, v.Client, v.Method, v.Reason, v.Address}
		})
	})
	return c
}

// parseTime reads a time, a day (its beginning, UTC) or how long ago.
func parseTime(flag, s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if ago, err := time.ParseDuration(s); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, s); err == nil {
			return at, nil
		}
	}
	return time.Time{}, usageError{fmt.Errorf("--%s: %q is neither a time (2026-01-31T12:00:00Z), a day (2026-01-31) nor a length of time (24h)", flag, s)}
}
