package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/openid"
)

// clientImport registers a service as a file has it, or changes its registration
// to that: the same file twice changes nothing.
func (t *tool) clientImport() *cobra.Command {
	c := &cobra.Command{Use: "import FILE", Short: "Register a service, or change its registration, from a JSON file (-: standard input)", Args: cobra.ExactArgs(1),
		Long: `The file holds client metadata as of RFC 7591 and OpenID Connect, with client_id; what it leaves out gets the default. client export prints one.
A new service's secret is printed once.`,
		Example: "  porttictl client import records.json --apply"}
	t.withWhy(c, func(ctx context.Context, d *desk, args []string) error {
		m, err := readMetadata(args[0])
		if err != nil {
			return err
		}
		if _, err := d.store.Client(ctx, m.ID); err == nil {
			client, err := d.clients.Change(ctx, d.by.Name, m.ID, m.Apply, !d.apply)
			if err != nil {
				return err
			}
			return d.done(outcome{Result: viewClient(client), Warning: warning(client)})
		} else if !fault.Is(err, fault.NotFound) {
			return err
		}
		client := openid.Client{ID: m.ID}
		if err := m.Apply(&client); err != nil {
			return err
		}
		return d.register(ctx, client)
	})
	return c
}

// register adds a service and prints its secret, this once.
func (d *desk) register(ctx context.Context, client openid.Client) error {
	secret, err := d.clients.Create(ctx, d.by.Name, client, !d.apply)
	if err != nil {
		return err
	}
	o := outcome{Result: viewClient(client), ClientSecret: secret, Warning: warning(client)}
	if secret != "" {
		o.Note = keepSecret
	}
	return d.done(o)
}

func readMetadata(path string) (openid.Metadata, error) {
	if path == "-" {
		return openid.ReadMetadata(os.Stdin)
	}
	f, err := os.Open(path)
	if err != nil {
		return openid.Metadata{}, usageError{err}
	}
	m, err := openid.ReadMetadata(f)
	if err := errors.Join(err, f.Close()); err != nil {
		return openid.Metadata{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}
