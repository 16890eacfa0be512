package main

import (
	"github.com/portti-id/portti/internal/app/program"
	"github.com/portti-id/portti/internal/config"
)

// Config is the settings file: what every app has (internal/app/program).
// deploy/console.example.yaml shows all of it.
type Config struct{ program.Settings }

// Check says what is missing or does not fit together.
func (c *Config) Check(p *config.Problems) { c.Complete(p, ":8445", ":8083") }
