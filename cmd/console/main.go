// Command console runs the Console: the app in which responsible users, the help
// desk, operators and auditors work. Its settings file is described in config.go.
//
//	console -config /etc/portti/console.yaml
//	console -check -config …   looks at the settings and starts nothing
package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/portti-id/portti/internal/app/program"
	"github.com/portti-id/portti/internal/console"
)

func main() { (&Config{}).program().Main() }

func (c *Config) program() program.Program {
	return program.Program{Name: "console", File: "/etc/portti/console.yaml", Settings: c, Make: c.app}
}

// app makes the app of the settings.
func (c *Config) app(ctx context.Context, log *slog.Logger) (http.Handler, error) {
	secret, err := c.Secret()
	if err != nil {
		return nil, err
	}
	client, err := c.Client()
	if err != nil {
		return nil, err
	}
	app, err := console.New(ctx, console.Config{
		URL: c.URL.String(), Issuer: c.Issuer.String(), ClientID: c.ClientID, ClientSecret: secret, ACRPrefix: c.ACRPrefix,
		Brand: c.Brand, SupportPhone: c.SupportPhone, Footer: c.Footer.Links(),
		Proxies: c.Listen.Proxies, Forwarded: c.Listen.ForwardedHeader, HTTPClient: client, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return app.Handler(), nil
}
