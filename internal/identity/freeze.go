package identity

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// FreezeByLink is "this was not me", from the letter that told of an Order: the
// account is frozen until user support has checked (S59). The link is spent.
func (d *Directory) FreezeByLink(ctx context.Context, secret, from string) error {
	l, err := d.mailedLink(ctx, secret, NotMe)
	if err != nil {
		return err
	}
	return d.freeze(ctx, l.User, l.Hash, audit.Event{Actor: byLetter, Address: from})
}

// FreezeOwn is the same by a person who has signed in, within a day of an Order.
func (d *Directory) FreezeOwn(ctx context.Context, self Self) error {
	if !self.Full {
		return fault.New(fault.Denied, "full_signin_required", "Sign in with your card, or with your password and a code, to freeze the account.")
	}
	return d.freeze(ctx, self.User, "", audit.Event{Actor: self.actor(), Address: self.Address, Session: self.Session})
}

// freeze spends the link, so that of any number of callers one does it. Every
// session ends and no link of a letter works any more, and a card that waits to be
// linked waits no more. What is linked stays until user support knows who linked it.
func (d *Directory) freeze(ctx context.Context, id UserID, hash string, by audit.Event) error {
	return d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		now := d.now()
		spent, err := tx.SpendMailedLink(id, NotMe, hash, now)
		if err != nil {
			return err
		}
		if !spent {
			return errNoLink
		}
		if !p.User.Frozen.IsZero() {
			return nil
		}
		if _, err := tx.SpendMailedLink(id, ToOrder, "", now); err != nil {
			return err
		}
		if _, err := tx.TakeLinkingCode(id, ""); err != nil {
			return err
		}
		if _, err := tx.RemoveCardApproval(id); err != nil {
			return err
		}
		p.User.Frozen = now
		if err := tx.SaveUser(p.User); err != nil {
			return err
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.AccountFrozen); err != nil {
			return err
		}
		e := d.event(audit.AccountFrozen, by.Actor, by.Address, p.User)
		e.Session, e.Reason = by.Session, "not_me"
		return tx.Record(e)
	})
}

// Unfreeze opens a frozen account again, when user support knows who the person
// is. The password of before the freezing may be somebody else's and works no
// more, and neither does a card: an Order went before the freezing and removed the
// card of then, so whichever is linked was linked with that password. A password that
// user support has ordered since is as good as any. Whoever was frozen without an
// Order since needs one now.
func (d *Directory) Unfreeze(ctx context.Context, by Actor, id UserID, why Why) error {
	return d.act(ctx, by, AccountUnfreeze, id, why, func(tx Tx, p Person, details map[string]string) error {
		frozen := p.User.Frozen
		if frozen.IsZero() {
			return fault.New(fault.Conflict, "account_not_frozen", "The account %s is not frozen.", p.User.Username)
		}
		p.User.Frozen = time.Time{}
		if err := tx.SaveUser(p.User); err != nil {
			return err
		}
		if !p.Password.Changed.After(frozen) {
			if err := d.disown(tx, by, p); err != nil {
				return err
			}
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.AccountUnfrozen); err != nil {
			return err
		}
		return d.acted(tx, audit.AccountUnfrozen, by, p, why, details)
	})
}

// disown takes away what may be somebody else's: the password and the card link.
func (d *Directory) disown(tx Tx, by Actor, p Person) error {
	if err := tx.SetPassword(p.User.ID, Password{Changed: d.now()}); err != nil {
		return err
	}
	removed, err := tx.RemoveCardLink(p.User.ID, "order")
	if err != nil || !removed {
		return err
	}
	return tx.Record(d.event(audit.CardLinkRemoved, by.Name, by.Address, p.User))
}
