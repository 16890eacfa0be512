package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/trace"
)

// traceView is a trace as printed.
type traceView struct {
	References []string     `json:"references,omitempty"`
	At         time.Time    `json:"at"`
	User       string       `json:"user,omitempty"`
	Proved     bool         `json:"proved"`
	Client     string       `json:"client_id,omitempty"`
	Network    string       `json:"network,omitempty"`
	Trouble    string       `json:"trouble,omitempty"` // what it ended with
	Owner      string       `json:"owner,omitempty"`   // who can do something about that
	Entries    []traceEntry `json:"entries"`
}

type traceEntry struct {
	At      time.Time `json:"at"`
	What    string    `json:"what"`
	Code    string    `json:"code,omitempty"`
	Details string    `json:"details,omitempty"`
}

func (t *tool) traceShow() *cobra.Command {
	var ticket string
	c := &cobra.Command{Use: "show REFERENCE", Short: "Show how a sign-in went, by the reference that its page has shown; the trail tells that you looked", Args: cobra.ExactArgs(1)}
	c.Flags().StringVar(&ticket, "ticket", "", "`number` of the call, for the audit trail")
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		found, err := d.directory.Trace(ctx, d.by, args[0], ticket)
		if err != nil {
			return err
		}
		return d.show(viewTrace(found))
	})
	return c
}

func viewTrace(t trace.Trace) traceView {
	v := traceView{References: t.References, At: t.At, User: t.User, Proved: t.Proved, Client: t.Client, Network: t.Network}
	if e, bad := t.Trouble(); bad {
		v.Trouble, v.Owner = e.Code, string(e.Owner())
	}
	for _, e := range t.Entries {
		var details []string
		for _, name := range slices.Sorted(maps.Keys(e.Details)) {
			details = append(details, fmt.Sprintf("%s=%s", name, e.Details[name]))
		}
		v.Entries = append(v.Entries, traceEntry{e.At, string(e.What), e.Code, strings.Join(details, " ")})
	}
	return v
}
