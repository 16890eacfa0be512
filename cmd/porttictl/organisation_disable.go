package main

import "github.com/spf13/cobra"

func (t *tool) organisationDisable() *cobra.Command {
	return t.organisationState("disable ID", "Close an organisation: nobody of it can sign in, and every session of its people ends", true)
}
