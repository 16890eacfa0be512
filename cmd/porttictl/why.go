package main

import (
	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
)

// because adds the flags that say why something is done.
func because(c *cobra.Command, needed bool) *identity.Why {
	why, must := &identity.Why{}, ""
	if needed {
		must = ": required"
	}
	c.Flags().StringVar(&why.Reason, "reason", "", "`why`, for the audit trail"+must)
	c.Flags().StringVar(&why.Ticket, "ticket", "", "`number` of the call or request, for the audit trail")
	return why
}
