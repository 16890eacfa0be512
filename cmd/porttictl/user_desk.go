package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

// What the help desk does in the Console, for whoever runs this machine: without an
// identity check, which the trail would not find (identity.Directory).

func (t *tool) userUnlock() *cobra.Command {
	return t.aboutUser("unlock USERNAME", "Let codes of the authenticator be tried again after too many wrong ones",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			return outcome{}, d.directory.Unlock(ctx, d.by, p.User.ID, why)
		})
}

func (t *tool) userUnfreeze() *cobra.Command {
	return t.aboutUser("unfreeze USERNAME", "Open an account that \"this was not me\" has frozen (S59). Check first who is calling",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			return outcome{}, d.directory.Unfreeze(ctx, d.by, p.User.ID, why)
		})
}

func (t *tool) userEndSessions() *cobra.Command {
	return t.aboutUser("end-sessions USERNAME", "End every session and token of a person",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			return outcome{}, d.directory.EndSessions(ctx, d.by, p.User.ID, why)
		})
}

func (t *tool) userResync() *cobra.Command {
	var first, second string
	c := t.aboutUser("resync USERNAME", "Learn the clock of an authenticator anew from two codes shown one after the other (S47)",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			fast, err := d.directory.ResyncAuthenticator(ctx, d.by, p.User.ID, first, second, why)
			return outcome{Note: fmt.Sprintf("Its clock is %d seconds fast.", fast)}, err
		})
	c.Flags().StringVar(&first, "first", "", "`code` that the device showed first")
	c.Flags().StringVar(&second, "second", "", "`code` that it showed next")
	return c
}

func (t *tool) userLinkingCode() *cobra.Command {
	var lasts time.Duration
	c := t.aboutUser("linking-code USERNAME", "Give the code that linking asks for after remove-authenticator (S61). Check first who is calling",
		func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error) {
			code, issued, err := d.directory.IssueLinkingCode(ctx, d.by, p.User.ID, lasts, why)
			return outcome{LinkingCode: code, Note: "Read the code out. It is shown here this once, and works until " + when(issued.Expires) + " UTC."}, err
		})
	c.Flags().DurationVar(&lasts, "lasts", time.Hour, "`time` for which it works, from 10m to 24h")
	return c
}
