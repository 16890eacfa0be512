// Command userservices runs User Services: the app in which people link a card
// or an authenticator and change their password. Its settings file is described
// in config.go.
//
//	userservices -config /etc/portti/userservices.yaml
//	userservices -check -config …   looks at the settings and starts nothing
package main

import (
	"context"
	"log/slog"
	"net/http"

	"github.com/portti-id/portti/internal/app/program"
	"github.com/portti-id/portti/internal/userservices"
)

func main() { (&Config{}).program().Main() }

func (c *Config) program() program.Program {
	return program.Program{Name: "userservices", File: "/etc/portti/userservices.yaml", Settings: c, Make: c.app}
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
	app, err := userservices.New(ctx, userservices.Config{
		URL: c.URL.String(), Issuer: c.Issuer.String(), ClientID: c.ClientID, ClientSecret: secret, CardHost: c.CardHost, ACRPrefix: c.ACRPrefix,
		Brand: c.Brand, Account: c.Account, SupportPhone: c.SupportPhone, Footer: c.Footer.Links(),
		Proxies: c.Listen.Proxies, Forwarded: c.Listen.ForwardedHeader, HTTPClient: client, Log: log,
	})
	if err != nil {
		return nil, err
	}
	return app.Handler(), nil
}
