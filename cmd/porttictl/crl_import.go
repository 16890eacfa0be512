package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card/crl"
	"github.com/portti-id/portti/internal/fault"
)

func (t *tool) crlImport() *cobra.Command {
	return &cobra.Command{Use: "import FILE", Short: "Put a list of revoked certificates (DER or PEM) from a file on the shelf", Long: `Put a list of revoked certificates (DER or PEM) from a file on the shelf, for
networks from which no CA's server is reached.

The list is verified by the trust bundle of the settings: whose it is, its
signature, and that its number is higher than that of the list which is there.
Every replica takes it within 15 seconds.`,
		Example: "porttictl crl import /media/usb/organisation.crl --apply",
		Args:    cobra.ExactArgs(1), RunE: t.with(func(ctx context.Context, d *desk, args []string) error {
			trust, err := d.cardTrust()
			if err != nil {
				return err
			}
			now := time.Now()
			found, err := crl.Find(trust, func(ca *x509.Certificate) (*crl.List, error) {
				file, err := os.Open(args[0])
				if err != nil {
					return nil, err
				}
				defer file.Close()
				return crl.Put(ctx, d.shelf(), file, ca, crl.Shelved{Source: crl.Imported}, now)
			})
			if err != nil {
				return refusedList(args[0], err)
			}
			v := viewList(found, crl.Imported, now)
			if err := d.recordLists(ctx, audit.CRLImported, v); err != nil {
				return err
			}
			o := outcome{Result: v}
			if v.State == "stale" {
				o.Warning = fmt.Sprintf("the list was good until %s: it says of the cards on it that they were revoked, and lets none in", when(v.NextUpdate))
			}
			return d.done(o)
		})}
}

// refusedList tells a list that is refused from a file that cannot be read.
func refusedList(name string, err error) error {
	var file *os.PathError
	if _, ok := fault.Of(err); ok || errors.As(err, &file) {
		return err
	}
	if errors.Is(err, crl.ErrOlder) || errors.Is(err, crl.ErrNumberReused) {
		return fault.New(fault.Conflict, "crl_not_newer", "%s: %v.", name, err)
	}
	return fault.New(fault.Invalid, "crl_refused", "%s: %v.", name, err)
}
