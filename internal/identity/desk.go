package identity

import (
	"context"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/totp"
)

// act is what every act of the help desk on a person goes through (S64): the right,
// a reason and a ticket, the limits, and inside the transaction the person, in
// reach, and the identity check. details are for the trail.
func (d *Directory) act(ctx context.Context, by Actor, r Right, id UserID, why Why, f func(tx Tx, p Person, details map[string]string) error) error {
	if err := first(by.May(r), why.check(by)); err != nil {
		return err
	}
	if err := d.ration(ctx, by, r, id); err != nil {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(r, p.User); err != nil {
			return err
		}
		details, err := d.grounded(tx, by, r, p, why)
		if err != nil {
			return err
		}
		return f(tx, p, details)
	})
}

// acted writes an act into the trail.
func (d *Directory) acted(tx Tx, t audit.Type, by Actor, p Person, why Why, details map[string]string) error {
	e := d.event(t, by.Name, by.Address, p.User)
	e.Details = details
	return tx.Record(e.Noted(why.Reason))
}

// RemoveAuthenticator removes an authenticator link, which only user support may
// (S60). Sessions end, and the person hears of it. From then on a password alone
// links nothing: a code that user support gives is asked for with it (S61).
func (d *Directory) RemoveAuthenticator(ctx context.Context, by Actor, id UserID, why Why) error {
	return d.act(ctx, by, AuthenticatorRemove, id, why, func(tx Tx, p Person, details map[string]string) error {
		removed, err := tx.RemoveAuthenticator(id, "support")
		if err != nil {
			return err
		}
		if !removed {
			return noAuthenticator(p)
		}
		if err := tx.CloseLinking(id, d.now()); err != nil {
			return err
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.AuthenticatorRemoved); err != nil {
			return err
		}
		return d.acted(tx, audit.AuthenticatorRemoved, by, p, why, details)
	})
}

func noAuthenticator(p Person) error {
	return fault.New(fault.NotFound, "totp_not_linked", "No authenticator is linked to %s.", p.User.Username)
}

// ResyncAuthenticator learns the clock of an authenticator anew from two codes
// that the person has read out, one shown after the other, within twenty minutes of
// the right time (S47, RFC 6238 §6). Both are spent with it. It returns how many
// seconds the clock is fast; slow is negative.
//
// Faults: resync_no_match, and resync_spent for codes that are no later than one
// that was used: those of a clock that was set back are so for a while.
func (d *Directory) ResyncAuthenticator(ctx context.Context, by Actor, id UserID, one, two string, why Why) (int64, error) {
	if err := first(by.May(AuthenticatorResync), digits("first", one), digits("second", two)); err != nil {
		return 0, err
	}
	var drift int64
	err := d.act(ctx, by, AuthenticatorResync, id, why, func(tx Tx, p Person, details map[string]string) error {
		a := p.Authenticator
		if a == nil {
			return noAuthenticator(p)
		}
		key, err := d.Sealer.Open(a.SealedKey, a.aad())
		if err != nil {
			return wrap("open authenticator key", err)
		}
		now := d.now()
		step, ok := totp.Consecutive(key, one, two, now)
		if !ok {
			return fault.New(fault.Invalid, "resync_no_match", "These are not two codes that this authenticator has shown one after the other within twenty minutes.").In("first")
		}
		drift = totp.DriftOf(step, now)
		fresh := step-1 > a.LastStep // the first of them must not be spent either
		if fresh {
			if fresh, err = tx.UseStep(a.ID, step, drift); err != nil {
				return err
			}
		}
		if !fresh {
			return fault.New(fault.Conflict, "resync_spent", "These codes are no later than one that was used already. Wait for the next two.").In("first")
		}
		if err := d.letter(tx, p, mail.AuthenticatorResynced); err != nil {
			return err
		}
		return d.acted(tx, audit.AuthenticatorResynced, by, p, why, and(details, "drift_before", itoa(a.Drift), "drift", itoa(drift)))
	})
	return drift, err
}

func digits(field, code string) error {
	if _, ok := totp.Normalise(code); !ok {
		return fault.New(fault.Invalid, "resync_digits", "%s: a code has six digits.", field).In(field)
	}
	return nil
}

// EndSessions ends every session and token of a person, whose devices somebody
// else may have.
func (d *Directory) EndSessions(ctx context.Context, by Actor, id UserID, why Why) error {
	return d.act(ctx, by, SessionsEnd, id, why, func(tx Tx, p Person, details map[string]string) error {
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.SessionsEnded); err != nil {
			return err
		}
		return d.acted(tx, audit.SessionsEnded, by, p, why, details)
	})
}

// Case is what the help desk sees of a person's account: whatever tells which act
// helps, and nothing that opens anything.
type Case struct {
	Person
	Linking LinkingCode // the open one, without its hash; zero for none
}

// Case reads it.
func (d *Directory) Case(ctx context.Context, by Actor, id UserID) (Case, error) {
	if err := by.May(IdentityCheck); err != nil {
		return Case{}, err
	}
	p, err := d.Store.Person(ctx, id)
	if err != nil {
		return Case{}, err
	}
	if err := by.Sees(IdentityCheck, p.User); err != nil {
		return Case{}, err
	}
	c := Case{Person: p}
	code, err := d.Store.LinkingCode(ctx, id)
	switch {
	case err == nil && d.now().Before(code.Expires):
		code.Hash = ""
		c.Linking = code
	case err != nil && !fault.Is(err, fault.NotFound):
		return Case{}, err
	}
	return c, nil
}
