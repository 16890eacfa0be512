package main

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/keys/pkcs11"
)

// keyView is a signing key as printed.
type keyView struct {
	ID      string     `json:"id"`
	Kind    keys.Kind  `json:"kind"`
	State   keys.State `json:"state"`
	Created time.Time  `json:"created"`
	Moved   time.Time  `json:"moved"`
}

// viewKeys leaves out other kinds, and none when kind is "".
func viewKeys(rows []keys.Stored, kind keys.Kind) []keyView {
	views := []keyView{}
	for _, k := range rows {
		if kind == "" || k.Kind == kind {
			views = append(views, keyView{ID: k.ID, Kind: k.Kind, State: k.State, Created: k.Created, Moved: k.Moved})
		}
	}
	return views
}

// kinds are what signing keys there are.
var kinds = []keys.Kind{keys.RSA2048, keys.P256, keys.Ed25519}

// keyChange is a command that changes the keys of one kind. do returns what the
// operator should know.
func (t *tool) keyChange(use, short string, do func(ctx context.Context, ring *keys.Ring, kind keys.Kind) (warning string, err error)) *cobra.Command {
	return &cobra.Command{Use: use + " KIND", Short: short, Args: cobra.ExactArgs(1), ValidArgs: []string{"RSA-2048", "P-256", "Ed25519"},
		RunE: t.with(func(ctx context.Context, d *desk, args []string) (err error) {
			kind := keys.Kind(args[0])
			if !slices.Contains(kinds, kind) {
				return fault.New(fault.Invalid, "key_kind_unknown", "kind: %q is not one of RSA-2048, P-256, Ed25519.", kind).In("kind")
			}
			ring, done, err := d.ring(ctx)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, done()) }()
			warning, err := do(ctx, ring, kind)
			if err != nil {
				return err
			}
			return d.done(outcome{Result: viewKeys(ring.List(), kind), Warning: warning})
		})}
}

// ring opens the signing keys, and the token that they are made in; in a dry run
// it is a ring over a copy of them, which leaves the token alone.
func (d *desk) ring(ctx context.Context) (ring *keys.Ring, done func() error, err error) {
	o := d.settings.Keys.Options()
	o.Actor, done = d.by.Name, func() error { return nil }
	if !d.apply {
		rows, err := d.store.Keys().SigningKeys(ctx)
		if err != nil {
			return nil, nil, err
		}
		o.Token, o.TokenKinds = rehearsedToken{}, nil
		ring, err = keys.OpenRing(ctx, &rehearsal{Store: d.store.Keys(), rows: rows}, d.master, o)
		return ring, done, err
	}
	if p := d.settings.Keys.PKCS11; p != nil {
		token, err := pkcs11.Open(pkcs11.Config{Module: string(p.Module), Token: p.Token, PIN: p.PINFile.Read, Sessions: 1})
		if err != nil {
			return nil, nil, fmt.Errorf("setting keys.pkcs11: %w", err)
		}
		o.Token, done = token, token.Close
	}
	if ring, err = keys.OpenRing(ctx, d.store.Keys(), d.master, o); err != nil {
		return nil, nil, errors.Join(err, done())
	}
	return ring, done, nil
}

// rehearsedToken has every key and makes, uses and deletes none.
type rehearsedToken struct{ keys.Token }

func (rehearsedToken) Find(string, crypto.PublicKey) error { return nil }
func (rehearsedToken) Destroy(string) error                { return nil }

// rehearsal is a copy of the signing keys that changes are tried on.
type rehearsal struct {
	keys.Store // for what a ring does not do
	rows       []keys.Stored
}

func (r *rehearsal) SigningKeys(context.Context) ([]keys.Stored, error) {
	return slices.Clone(r.rows), nil
}

func (r *rehearsal) AddSigningKey(_ context.Context, k keys.Stored, _ audit.Event) error {
	r.rows = append(r.rows, k)
	return nil
}

func (r *rehearsal) Rotate(_ context.Context, _ keys.Kind, next, current string, at time.Time, _ ...audit.Event) error {
	r.move(next, keys.Current, at)
	r.move(current, keys.Retired, at)
	return nil
}

func (r *rehearsal) Replace(_ context.Context, k keys.Stored, current string, withdrawn []string, _ ...audit.Event) error {
	r.move(current, keys.Retired, k.Moved)
	r.rows = append(slices.DeleteFunc(r.rows, func(o keys.Stored) bool { return slices.Contains(withdrawn, o.ID) }), k)
	return nil
}

func (r *rehearsal) DropSigningKey(_ context.Context, id string, _ audit.Event) (bool, error) {
	n := len(r.rows)
	r.rows = slices.DeleteFunc(r.rows, func(k keys.Stored) bool { return k.ID == id })
	return len(r.rows) < n, nil
}

func (r *rehearsal) move(id string, to keys.State, at time.Time) {
	for i, k := range r.rows {
		if k.ID == id {
			r.rows[i].State, r.rows[i].Moved = to, at
		}
	}
}
