package main

import "github.com/spf13/cobra"

func (t *tool) organisationEnable() *cobra.Command {
	return t.organisationState("enable ID", "Open a disabled organisation again", false)
}
