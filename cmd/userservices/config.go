package main

import (
	"github.com/portti-id/portti/internal/app/program"
	"github.com/portti-id/portti/internal/config"
)

// Config is the settings file: what every app has (internal/app/program), and the
// following. What stands beside a field is its manual;
// deploy/userservices.example.yaml shows them all.
type Config struct {
	program.Settings

	// CardHost is the provider's card host, spelled as in its settings, star
	// included: https://*.card.example.fi. Without it no cards can be linked.
	CardHost string `yaml:"card_host"`
	// Account is the name of the account in the authenticator app, if the
	// provider's settings say otherwise than BRAND-1 TOTP-2FA (the default).
	Account string `yaml:"account"`
}

// Check says what is missing or does not fit together.
func (c *Config) Check(p *config.Problems) { c.Complete(p, ":8444", ":8082") }
