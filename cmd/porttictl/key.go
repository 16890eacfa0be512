package main

import (
	"context"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
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

// keyChange is prepare, promote or retire, for one kind of keys.
func (t *tool) keyChange(use, short string, do func(ctx context.Context, ring *keys.Ring, kind keys.Kind) error) *cobra.Command {
	return &cobra.Command{Use: use + " KIND", Short: short, Args: cobra.ExactArgs(1), ValidArgs: []string{"RSA-2048", "P-256", "Ed25519"},
		RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			kind := keys.Kind(args[0])
			if !slices.Contains(kinds, kind) {
				return fault.New(fault.Invalid, "key_kind_unknown", "kind: %q is not one of RSA-2048, P-256, Ed25519.", kind).In("kind")
			}
			ring, err := d.ring(ctx)
			if err != nil {
				return err
			}
			if err := do(ctx, ring, kind); err != nil {
				return err
			}
			return d.done(outcome{Result: viewKeys(ring.List(), kind)})
		})}
}

// ring opens the signing keys; in a dry run it is a ring over a copy of them.
func (d *desk) ring(ctx context.Context) (*keys.Ring, error) {
	if d.apply {
		return keys.OpenRing(ctx, d.store.Keys(), d.master, keys.Options{Audit: signed{d.store, d.by}})
	}
	rows, err := d.store.Keys().SigningKeys(ctx)
	if err != nil {
		return nil, err
	}
	return keys.OpenRing(ctx, &rehearsal{Secrets: d.store.Keys(), rows: rows}, d.master, keys.Options{})
}

// rehearsal is a copy of the signing keys that changes are tried on.
type rehearsal struct {
	keys.Secrets // not used by a ring
	rows         []keys.Stored
}

func (r *rehearsal) SigningKeys(context.Context) ([]keys.Stored, error) {
	return slices.Clone(r.rows), nil
}

func (r *rehearsal) AddSigningKey(_ context.Context, k keys.Stored) error {
	r.rows = append(r.rows, k)
	return nil
}

func (r *rehearsal) Rotate(_ context.Context, _ keys.Kind, next, current string, at time.Time) error {
	for i, k := range r.rows {
		switch k.ID {
		case next:
			r.rows[i].State, r.rows[i].Moved = keys.Current, at
		case current:
			r.rows[i].State, r.rows[i].Moved = keys.Retired, at
		}
	}
	return nil
}

func (r *rehearsal) DropSigningKey(_ context.Context, id string) error {
	r.rows = slices.DeleteFunc(r.rows, func(k keys.Stored) bool { return k.ID == id })
	return nil
}
