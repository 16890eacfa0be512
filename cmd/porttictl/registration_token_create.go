package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

func (t *tool) registrationTokenCreate() *cobra.Command {
	var uses int64
	var expires time.Duration
	var note string
	c := &cobra.Command{Use: "create", Short: "Make a token that lets software register clients; printed once", Args: cobra.NoArgs,
		Long: `Make an initial access token (RFC 7591): software that shows it may register clients at the registration endpoint, where the setting
dynamic_registration is token or open. Such clients are third parties: people are asked for their consent.`,
		Example: "  porttictl registration-token create --uses 5 --expires 72h --note 'Kuntala, test systems' --apply"}
	c.Flags().Int64Var(&uses, "uses", 1, "how many `clients` it may register, 10000 at most")
	c.Flags().DurationVar(&expires, "expires", 24*time.Hour, "how `long` it works, 8760h at most")
	c.Flags().StringVar(&note, "note", "", "whom it is for; `text` for yourselves")
	c.RunE = t.with(func(ctx context.Context, d *desk, _ []string) error {
		token, secret, err := d.clients.NewRegistrationToken(ctx, d.by.Name, note, uses, expires, !d.apply)
		if err != nil {
			return err
		}
		return d.done(outcome{Result: viewRegistrationToken(token), RegistrationToken: secret, Note: "The token is shown here this once; only a hash of it is kept."})
	})
	return c
}
