package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/server/settings"
	"github.com/portti-id/portti/internal/store"
)

// desk is the opened installation.
type desk struct {
	*tool
	settings  *settings.Settings
	store     *store.Store
	master    *keys.Master
	directory *identity.Directory
	clients   *openid.Clients
	by        identity.Actor
}

// with makes the body of a command: it opens the installation, works and closes.
func (t *tool) with(work func(ctx context.Context, d *desk, args []string) error) func(c *cobra.Command, args []string) error {
	return func(c *cobra.Command, args []string) (err error) {
		d, err := t.open(c.Context())
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, d.store.Close()) }()
		return work(d.at(c.Context()), d, args)
	}
}

func (t *tool) open(ctx context.Context) (*desk, error) {
	operator, err := t.actor()
	if err != nil {
		return nil, err
	}
	s, err := settings.Load(t.config)
	if err != nil {
		return nil, err
	}
	master, err := keys.LoadMaster(string(s.MasterKeyFile))
	if err != nil {
		return nil, fmt.Errorf("setting master_key_file: %w", err)
	}
	c := store.Config{Driver: s.Database.Driver, Path: string(s.Database.Path), DSN: s.Database.DSN, MaxConns: 2, NoMigrations: true}
	if s.Database.PasswordFile.Given() {
		if c.Password, err = s.Database.PasswordFile.Read(); err != nil {
			return nil, fmt.Errorf("setting database.password_file: %w", err)
		}
	}
	if c.Driver == store.SQLite {
		if _, err := os.Stat(c.Path); errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("setting database.path: there is no database at %s yet; portti migrate makes it", c.Path)
		}
	}
	db, err := store.Open(ctx, c, store.Deps{Seal: master.Seal, Marker: master})
	if err != nil {
		return nil, err
	}
	d := &desk{tool: t, settings: s, store: db, master: master, by: operator, clients: &openid.Clients{Store: db, ACR: s.ACR.Names(), Now: time.Now}}
	if d.directory, err = d.newDirectory(); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return d, nil
}

func (d *desk) newDirectory() (*identity.Directory, error) {
	hasher, err := password.NewHasher(d.settings.Passwords.Params())
	if err != nil {
		return nil, fmt.Errorf("settings passwords: %w", err)
	}
	// No Ephemeral, no Throttle, no Rules: operators neither sign people in nor
	// choose passwords for them.
	return &identity.Directory{Store: d.store, Hasher: hasher, Sealer: d.master, Audit: d.store, Traces: d.store, Now: time.Now,
		Support: d.settings.SupportPhone, Links: d.settings.Issuer.String() + identity.LinkPath, Services: []string{d.settings.Brand}, DryRun: !d.apply}, nil
}

// actor is who the audit trail names.
func (t *tool) actor() (identity.Actor, error) {
	name := t.operator
	if name == "" {
		name = os.Getenv("SUDO_USER") // who became the provider's user to run this
	}
	if name == "" {
		if u, err := user.Current(); err == nil {
			name = u.Username
		}
	}
	switch {
	case name == "":
		return identity.Actor{}, usageError{errors.New("--operator: give your name for the audit trail")}
	case len(name) > 100 || strings.ContainsFunc(name, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }):
		return identity.Actor{}, usageError{errors.New("--operator: a name of up to 100 characters without blanks is expected")}
	}
	return identity.Actor{Name: "operator:" + name, Operator: true}, nil
}

// person finds somebody by username.
func (d *desk) person(ctx context.Context, username string) (identity.Person, error) {
	return d.store.PersonByName(ctx, identity.FoldUsername(username))
}
