package identity

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

var (
	errChangedMeanwhile = fault.New(fault.Conflict, "changed_meanwhile", "Somebody else changed this meanwhile. Look at it again.")
	errBegun            = fault.New(fault.Conflict, "account_begun", "This person has begun to use the account. User support orders a new password.")
)

// FirstPassword gives somebody who has never signed in another temporary password,
// because the first one was lost or has expired (S65). The former one dies, and
// whatever was begun with it ends. It is returned once; the letter carries it where
// the organisation has letters carry it.
//
// Whoever has signed in, or has linked anything, gets a new password by an Order
// alone: there user support knows the caller, or the card link dies with it.
func (d *Directory) FirstPassword(ctx context.Context, by Actor, id UserID) (string, error) {
	if err := by.May(PasswordFirst); err != nil {
		return "", err
	}
	temporary, stored, err := d.temporary(ctx, FirstPasswordLasts)
	if err != nil {
		return "", err
	}
	err = d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(PasswordFirst, p.User); err != nil {
			return err
		}
		switch {
		case !p.Enabled():
			return errDisabled
		case !p.User.Frozen.IsZero():
			return errFrozen
		case !p.Unbegun():
			return errBegun
		}
		if err := tx.SetPassword(id, stored); err != nil {
			return err
		}
		if _, err := tx.RemoveCardApproval(id); err != nil {
			return err
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		told, err := d.tellPassword(tx, p, mail.Welcome, temporary, stored)
		if err != nil {
			return err
		}
		e := d.event(audit.PasswordFirstIssued, by.Name, by.Address, p.User)
		e.Details = told
		return tx.Record(e)
	})
	if err != nil {
		return "", err
	}
	return temporary, nil
}

// Unbegun tells whether the account was never used: no full sign-in, no link.
func (p Person) Unbegun() bool {
	return p.User.SignedIn.IsZero() && p.Card == nil && p.Authenticator == nil
}

// Handed tells whether a temporary password is for whoever made it to hand over:
// otherwise a letter or a message carries it, and nobody else should know it.
func (p Person) Handed(now time.Time) bool {
	way, _ := p.delivery(now)
	return way == ByHandover
}
