package identity

import (
	"context"
	"crypto/rand"
	"net/netip"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/throttle"
)

// Unlock lets a person try codes and passwords again after too many wrong ones. What
// is linked stays.
func (d *Directory) Unlock(ctx context.Context, by Actor, id UserID, why Why) error {
	var username string
	err := d.act(ctx, by, AuthenticatorUnlock, id, why, func(tx Tx, p Person, details map[string]string) error {
		username = p.User.Username
		a := p.Authenticator
		if a == nil {
			if d.Throttle == nil {
				return noAuthenticator(p) // and nothing else is in reach: see forgive
			}
			if err := d.letter(tx, p, mail.PasswordUnlocked); err != nil {
				return err
			}
			return d.acted(tx, audit.PasswordUnlocked, by, p, why, details)
		}
		if err := tx.UnblockCodes(a.ID); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.AuthenticatorUnlocked); err != nil {
			return err
		}
		return d.acted(tx, audit.AuthenticatorUnlocked, by, p, why, and(details, "failures", itoa(a.Failures)))
	})
	if err != nil {
		return err
	}
	folded := FoldUsername(username)
	if err := d.startOver(ctx, folded); err != nil {
		return err
	}
	return d.forgive(ctx, throttle.Use{Limit: throttle.CodePerAccount, Subject: string(id)}, throttle.Use{Limit: throttle.PasswordPerAccount, Subject: folded},
		throttle.Use{Limit: throttle.PasswordPerAccount, Subject: changeOf(id)})
}

// forgive forgets what was counted against a person whom the help desk has spoken to.
// porttictl does not reach the counters: there they run out by themselves.
func (d *Directory) forgive(ctx context.Context, uses ...throttle.Use) error {
	if d.Throttle == nil || d.DryRun {
		return nil
	}
	return d.Throttle.Clear(ctx, uses...)
}

// The help desk does not know from which addresses a person has tried passwords, so
// what was counted for name and address together cannot be cleared. Instead a mark
// begins those counts anew: it lasts as long as they do.
func unlockedKey(folded string) string { return ephemeral.Key("unlocked", folded) }

func (d *Directory) startOver(ctx context.Context, folded string) error {
	if d.Throttle == nil || d.DryRun {
		return nil
	}
	return d.Ephemeral.Put(ctx, unlockedKey(folded), []byte(rand.Text()), throttle.PasswordPerAccountAndAddress.Window)
}

// attempt counts a password tried for a name, and gives what it was counted as, to be
// cleared when it was right. Who looks for the mark was refused without it.
func (d *Directory) attempt(ctx context.Context, folded string, from netip.Addr) ([]throttle.Use, error) {
	uses := []throttle.Use{
		{Limit: throttle.PasswordPerAccountAndAddress, Subject: folded + "|" + throttle.AddressKey(from)},
		{Limit: throttle.PasswordPerAccount, Subject: folded},
	}
	refused := d.Throttle.Attempt(ctx, uses[0])
	if f, ok := fault.Of(refused); ok && f.Kind == fault.Throttled {
		mark, err := d.Ephemeral.Get(ctx, unlockedKey(folded))
		if fault.Is(err, fault.NotFound) {
			return nil, refused
		}
		if err != nil {
			return nil, err
		}
		anew := throttle.Use{Limit: throttle.PasswordPerAccountAndAddress, Subject: uses[0].Subject + "|" + string(mark)}
		uses = append(uses, anew)
		refused = d.Throttle.Attempt(ctx, anew)
	}
	if refused != nil {
		return nil, refused
	}
	return uses, d.Throttle.Attempt(ctx, uses[1])
}

// changeOf is whom tries at the current password count for, in User Services.
func changeOf(id UserID) string { return "change|" + string(id) }
