package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/fault"
)

// revocationListView is a CA's list of revoked certificates as printed.
type revocationListView struct {
	CA         string    `json:"ca"`
	Scope      crl.Scope `json:"scope,omitempty"`
	Number     string    `json:"number,omitempty"` // decimal
	ThisUpdate time.Time `json:"this_update,omitzero"`
	NextUpdate time.Time `json:"next_update,omitzero"`
	Entries    int       `json:"entries"`
	Size       int64     `json:"size,omitempty"`
	Fetched    time.Time `json:"fetched,omitzero"`
	Checked    time.Time `json:"checked,omitzero"`
	Source     string    `json:"source,omitempty"`
	State      string    `json:"state"` // fresh, stale, missing or "not trusted"
	Problem    string    `json:"problem,omitempty"`
}

func viewShelved(s crl.Shelved, now time.Time) revocationListView {
	v := revocationListView{CA: s.Name, Scope: s.Scope, Number: s.Number.String(), ThisUpdate: s.ThisUpdate, NextUpdate: s.NextUpdate, Entries: s.Entries, Size: s.Size,
		Fetched: s.Fetched, Checked: s.Checked, Source: s.Source, State: "fresh"}
	if now.After(s.NextUpdate) {
		v.State = "stale"
	}
	return v
}

func viewList(l *crl.List, source string, now time.Time) revocationListView {
	return viewShelved(crl.Shelved{Name: l.Name, Scope: l.Scope, Number: l.Number, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, Entries: l.Entries, Size: l.Size,
		Fetched: now, Checked: now, Source: source}, now)
}

// cardTrust is the trust bundle of the settings.
func (d *desk) cardTrust() (*card.Trust, error) {
	c := d.settings.Card
	if c == nil {
		return nil, errors.New("setting card: there is none, so no card can sign in and no lists are needed")
	}
	b, err := card.OpenBundle(string(c.Trust.Folder), c.Trust.AcceptTestCAs, time.Now(), slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, fmt.Errorf("setting card.trust.folder: %w", err)
	}
	return b.Trust(), nil
}

// shelf is where lists are, or in a dry run a shelf that only looks so.
func (d *desk) shelf() crl.Shelf {
	if d.apply {
		return d.store.Shelf()
	}
	return rehearsedShelf{d.store.Shelf()}
}

// rehearsedShelf takes everything and keeps nothing.
type rehearsedShelf struct{ crl.Shelf }

func (rehearsedShelf) PutPart(context.Context, string, int, []byte) error { return nil }
func (rehearsedShelf) Shelve(context.Context, crl.Shelved) (bool, error)  { return true, nil }
func (rehearsedShelf) NoteChecked(context.Context, crl.Shelved) error     { return nil }
func (rehearsedShelf) DropParts(context.Context, string) error            { return nil }

func (r rehearsedShelf) Forget(ctx context.Context, ca crl.Authority) (bool, error) {
	all, err := r.Shelved(ctx)
	return slices.ContainsFunc(all, func(s crl.Shelved) bool { return s.CA == ca }), err
}

// recordLists puts into the trail what was done with the lists of CAs.
func (d *desk) recordLists(ctx context.Context, event audit.Type, lists ...revocationListView) error {
	for _, l := range lists {
		if !d.apply || l.Problem != "" {
			continue
		}
		if err := d.store.Record(ctx, audit.Event{Type: event, Actor: d.by.Name, Details: map[string]string{"ca": l.CA, "scope": string(l.Scope), "number": l.Number}}); err != nil {
			return err
		}
	}
	return nil
}

// authority finds a CA of the bundle by its common name.
func authority(trust *card.Trust, name string) (card.Source, error) {
	var names []string
	for _, s := range trust.Sources() {
		if s.CA.Subject.CommonName == name {
			return s, nil
		}
		names = append(names, s.CA.Subject.CommonName)
	}
	return card.Source{}, fault.New(fault.NotFound, "ca_not_found", "No CA of the trust bundle is called %q; there are %s.", name, strings.Join(names, ", "))
}

func of(ca *x509.Certificate, s crl.Shelved) bool { return crl.AuthorityOf(ca) == s.CA }
