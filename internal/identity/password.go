package identity

import (
	"context"
	"maps"
	"net/netip"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/trace"
)

// errCredentials is the one answer for an unknown name, a wrong password, a
// closed account and a temporary password that has expired (S7, S16, S43).
var errCredentials = fault.New(fault.Unauthenticated, "wrong_credentials", "The username or password is incorrect. If the password is temporary, it may have expired.")

// VerifyPassword returns the person whose username and password these are.
// Every failure is errCredentials after equal work; the audit trail alone tells
// them apart. A right password of a frozen account is account_frozen (S59). Attempts are counted before the hash, so that parallel guesses
// cannot pass a limit, for known and unknown names alike.
func (d *Directory) VerifyPassword(ctx context.Context, name, pw string, from netip.Addr) (Person, error) {
	folded := FoldUsername(name)
	// One address may stand for a whole agency: only failures count against it.
	wholeAddress := throttle.Use{Limit: throttle.PasswordPerAddress, Subject: throttle.AddressKey(from)}
	if err := d.Throttle.Check(ctx, wholeAddress); err != nil {
		return Person{}, err
	}
	attempts, err := d.attempt(ctx, folded, from)
	if err != nil {
		return Person{}, err
	}
	p, err := d.Store.PersonByName(ctx, folded)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Person{}, err
	}
	known := err == nil
	if p.Password.Temporary {
		pw = password.AsTemporary(pw) // as it was read out or written down
	}
	ok, rehash, err := d.Hasher.Verify(ctx, p.Password.Hash, pw)
	if err != nil {
		return Person{}, err
	}
	reason := ""
	switch {
	case !known:
		reason = "unknown_username"
	case !ok:
		reason = "wrong_password"
	case !p.Enabled():
		reason = "account_disabled"
	case p.Password.Temporary && !d.now().Before(p.Password.Expires):
		reason = "temp_expired"
	case !p.User.Frozen.IsZero():
		reason = errFrozen.Code
	}
	if reason != "" {
		trace.About(ctx, string(p.User.ID), false)
		trace.Note(ctx, trace.Refused, reason)
		e := d.event(audit.SignInRefused, actorOf(p.User.ID), from.String(), p.User)
		e.Method, e.Reason = "password", reason
		if err := d.Audit.Record(ctx, e); err != nil {
			return Person{}, err
		}
		if err := d.Throttle.Fail(ctx, wholeAddress); err != nil {
			return Person{}, err
		}
		if reason == errFrozen.Code {
			return Person{}, errFrozen // who knows the password may know what to do
		}
		return Person{}, errCredentials
	}
	if rehash {
		d.rehash(ctx, p, pw)
	}
	return p, d.Throttle.Clear(ctx, attempts...)
}

// rehash stores the password under today's parameters. It may fail: the old
// hash still works.
func (d *Directory) rehash(ctx context.Context, p Person, pw string) {
	hash, err := d.Hasher.Hash(ctx, pw)
	if err != nil {
		return
	}
	_ = d.change(ctx, func(tx Tx) error {
		now, err := tx.Person(p.User.ID)
		if err != nil || now.Password.Hash != p.Password.Hash {
			return err // changed meanwhile: that one stands
		}
		now.Password.Hash = hash
		return tx.SetPassword(p.User.ID, now.Password)
	})
}

// ReplaceTemporary sets the person's own password in place of the temporary one
// that was just proved (S15, S17). p is as VerifyPassword returned it: when an
// Order came between, nothing changes and the fault is session_expired. Every
// session ends. It returns the person as changed.
func (d *Directory) ReplaceTemporary(ctx context.Context, p Person, pw, from string) (Person, error) {
	return d.setPassword(ctx, p, pw, "", from, func(now Person) error {
		if !now.Open() || !now.Password.Temporary || now.Password.Hash != p.Password.Hash || now.User.Epoch != p.User.Epoch {
			return fault.New(fault.Unauthenticated, "session_expired", "The password was replaced meanwhile. Sign in again.")
		}
		return nil
	})
}

// ChangePassword sets a new password for a fully signed-in person who knows the
// current one. The card link stays; the other sessions end (S58).
func (d *Directory) ChangePassword(ctx context.Context, self Self, current, pw string) error {
	if !self.Full {
		return fault.New(fault.Denied, "full_signin_required", "Sign in with your card, or with your password and a code, to change the password.")
	}
	uses := []throttle.Use{{Limit: throttle.PasswordPerAccount, Subject: changeOf(self.User)}}
	if err := d.Throttle.Attempt(ctx, uses...); err != nil {
		return err
	}
	p, err := d.Store.Person(ctx, self.User)
	if err != nil {
		return err
	}
	ok, _, err := d.Hasher.Verify(ctx, p.Password.Hash, current)
	if err != nil {
		return err
	}
	if !ok {
		return fault.New(fault.Invalid, "current_password_wrong", "The current password is incorrect.").In("current")
	}
	if err := d.Throttle.Clear(ctx, uses...); err != nil {
		return err
	}
	_, err = d.setPassword(ctx, p, pw, self.Session, self.Address, func(now Person) error {
		if !now.Open() || now.Password.Hash != p.Password.Hash {
			return fault.New(fault.Unauthenticated, "session_expired", "The password was replaced meanwhile. Sign in again.")
		}
		return nil
	})
	return err
}

func (d *Directory) setPassword(ctx context.Context, p Person, pw, keep, from string, still func(now Person) error) (Person, error) {
	about := password.Context{Username: p.User.Username, Organisation: p.Organisation.Name, Services: append([]string{p.User.GivenName, p.User.FamilyName}, d.Services...)}
	if wrong := d.Rules.Check(pw, about); len(wrong) > 0 {
		return Person{}, wrong[0].In("new")
	}
	same, _, err := d.Hasher.Verify(ctx, p.Password.Hash, pw)
	if err != nil {
		return Person{}, err
	}
	if same {
		return Person{}, password.Same().In("new")
	}
	hash, err := d.Hasher.Hash(ctx, pw)
	if err != nil {
		return Person{}, err
	}
	after := p
	err = d.change(ctx, func(tx Tx) error {
		now, err := tx.Person(p.User.ID)
		if err != nil {
			return err
		}
		if err := still(now); err != nil {
			return err
		}
		if err := tx.SetPassword(p.User.ID, Password{Hash: hash, Changed: d.now()}); err != nil {
			return err
		}
		if err := tx.EndSessions(p.User.ID, keep); err != nil {
			return err
		}
		if after, err = tx.Person(p.User.ID); err != nil {
			return err
		}
		if err := d.letter(tx, now, mail.PasswordChanged); err != nil {
			return err
		}
		return tx.Record(d.event(audit.PasswordChanged, "user:"+string(p.User.ID), from, p.User))
	})
	return after, err
}

// Order gives the person a new temporary password, with everything that goes
// with it in one transaction (S54): the old password is dead, the card link is
// removed, and a card that waits, every session and token ends, the authenticator
// link stays. The letter carries the temporary password where the organisation has
// letters carry it, and a link to say "this was not me" (S59). Otherwise the password
// is returned, this once, for the help desk to read out (S55); whoever runs porttictl
// gets it in any case. A frozen account stays frozen.
func (d *Directory) Order(ctx context.Context, by Actor, id UserID, why Why) (string, error) {
	if err := first(by.May(PasswordOrder), why.check(by)); err != nil {
		return "", err
	}
	if err := d.ration(ctx, by, PasswordOrder, id); err != nil {
		return "", err
	}
	carried := false
	temporary, err := d.order(ctx, id, order{By: by.Name, Address: by.Address, Note: why.Reason,
		Still: func(p Person) error { return by.On(PasswordOrder, p.User) },
		Stands: func(tx Tx, p Person) (map[string]string, error) {
			carried = !d.HandedOver(p)
			return d.grounded(tx, by, PasswordOrder, p, why)
		}})
	if carried && !by.Operator {
		return "", err // nobody need read out what a letter brings (S55)
	}
	return temporary, err
}

// OrderOwn is an Order by the person herself, whose card was replaced (S58). She
// has just proved who she is by a full sign-in, or she would only have to steal a
// browser to strip somebody of a card. The password goes by letter, and where it
// does not, or the letter would go to an address that is new (S55), to somebody
// else: the fault order_by_support says so. The session that orders ends with the
// others.
func (d *Directory) OrderOwn(ctx context.Context, self Self) error {
	p, err := d.Store.Person(ctx, self.User)
	if err != nil {
		return err
	}
	if err := MayOrder(p, self, d.now()); err != nil {
		return err
	}
	if err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.AskPerAccount, Subject: "own|" + string(self.User)}); err != nil {
		return err
	}
	_, err = d.order(ctx, self.User, order{By: self.actor(), Address: self.Address, Session: self.Session, Reason: "card_replaced",
		Still: func(p Person) error { return MayOrder(p, self, d.now()) }})
	return err
}

// order is who orders and why.
type order struct {
	By, Address, Session string
	Reason               string               // one of audit.Reasons
	Note                 string               // or what staff have typed
	Link                 string               // hash of the mailed link that this spends; "" for none
	Still                func(p Person) error // asked again in the transaction; nil: nothing to ask

	// Stands gives what the trail keeps of why; nil: nothing.
	Stands func(tx Tx, p Person) (map[string]string, error)
}

func (d *Directory) order(ctx context.Context, id UserID, o order) (string, error) {
	temporary, stored, err := d.temporary(ctx, OrderedPasswordLasts)
	if err != nil {
		return "", err
	}
	err = d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		spent, err := tx.SpendMailedLink(id, ToOrder, o.Link, d.now()) // whatever was asked has come to this
		if err != nil {
			return err
		}
		if o.Link != "" && !spent {
			return errNoLink
		}
		if o.Still != nil {
			if err := o.Still(p); err != nil {
				return err
			}
		}
		var details map[string]string
		if o.Stands != nil {
			if details, err = o.Stands(tx, p); err != nil {
				return err
			}
		}
		if !p.Enabled() {
			return errDisabled
		}
		if err := tx.SetPassword(id, stored); err != nil {
			return err
		}
		removed, err := tx.RemoveCardLink(id, "order")
		if err != nil {
			return err
		}
		if _, err := tx.RemoveCardApproval(id); err != nil {
			return err
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		notMe, _, err := d.newLink(tx, p, NotMe, NotMeLasts)
		if err != nil {
			return err
		}
		told, err := d.tellPassword(tx, p, mail.PasswordOrdered, temporary, stored, "link", notMe, "freeze_hours", itoa(int(NotMeLasts.Hours())))
		if err != nil {
			return err
		}
		if removed {
			if err := tx.Record(d.event(audit.CardLinkRemoved, o.By, o.Address, p.User)); err != nil {
				return err
			}
		}
		e := d.event(audit.PasswordOrdered, o.By, o.Address, p.User)
		maps.Copy(told, details)
		e.Reason, e.Session, e.Details = o.Reason, o.Session, told
		return tx.Record(e.Noted(o.Note))
	})
	if err != nil {
		return "", err
	}
	return temporary, nil
}

// cardUseNoted is how often it is noted that a card is in use.
const cardUseNoted = time.Hour

// SignedIn notes a finished sign-in by card: the first one opens the account's
// history (S14), and the trail tells of each. Sign-ins by code are noted with
// the code, in its transaction.
func (d *Directory) SignedIn(ctx context.Context, p Person, m Method, client, from string, at time.Time) error {
	return d.change(ctx, func(tx Tx) error {
		if err := tx.NoteSignIn(p.User.ID); err != nil {
			return err
		}
		if p.Card != nil && at.Sub(p.Card.Used) >= cardUseNoted {
			if err := tx.NoteCardUse(p.Card.User, p.Card.ID, at); err != nil {
				return err
			}
		}
		e := d.event(audit.SignInSucceeded, "user:"+string(p.User.ID), from, p.User)
		e.At, e.Method, e.Client = at, m.String(), client
		return tx.Record(e)
	})
}
