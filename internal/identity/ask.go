package identity

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"net/netip"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/throttle"
)

// A new password that a person asks for without signing in (S51–S53):
//
//	Ask            anybody: the name is written down, and nothing is looked up
//	DecideAsks     later: whose name it is, and whether a letter goes to that person
//	ConfirmOrder   the button behind the letter's link: the Order
//	CancelAsk      the other button: the link is dead
//
// Who asks learns nothing, not even from the time that the answer takes, because
// whatever differs between names happens when the answer is out (docs/adr/0124).

// Ask is a name that somebody asked a new password for.
type Ask struct {
	ID        string
	Username  string // folded
	Address   string
	Throttled bool // the name's limit was reached: no letter
	Created   time.Time
}

const (
	longestName  = 100 // of what is kept; no username is longer than 64
	asksAtOnce   = 50
	askLease     = time.Minute // in which an ask is decided
	askOutlived  = time.Hour   // after which a letter would surprise
	askNotDecide = time.Minute // until an ask is tried again
)

// Ask writes down that somebody asks for a new password. Known names, unknown ones
// and those that get no letter are the same work: two counters, one statement. A
// browser's address that asks too often is told the same and kept nothing of but one
// line of the trail an hour.
func (d *Directory) Ask(ctx context.Context, name string, from netip.Addr) error {
	address := throttle.AddressKey(from)
	err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.AskPerAddress, Subject: address})
	if fault.Is(err, fault.Throttled) {
		return d.askedTooOften(ctx, address, from)
	}
	if err != nil {
		return err
	}
	folded := FoldUsername(name)
	if r := []rune(folded); len(r) > longestName {
		folded = string(r[:longestName])
	}
	err = d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.AskPerAccount, Subject: folded})
	if err != nil && !fault.Is(err, fault.Throttled) {
		return err
	}
	return d.Store.AddAsk(ctx, Ask{ID: rand.Text(), Username: folded, Address: from.String(), Throttled: err != nil, Created: d.now()})
}

func (d *Directory) askedTooOften(ctx context.Context, address string, from netip.Addr) error {
	err := d.Throttle.Attempt(ctx, throttle.Use{Limit: throttle.AskRefusalNoted, Subject: address})
	if fault.Is(err, fault.Throttled) {
		return nil
	}
	if err != nil {
		return err
	}
	return d.Audit.Record(ctx, audit.Event{At: d.now(), Type: audit.PasswordAsked, Actor: anybody, Reason: "throttled_address", Address: from.String()})
}

// DecideAsks decides what waits and returns how many it has decided. Any number
// of replicas may do so at once. What fails is tried again for an hour and keeps
// nothing else from being decided: the error holds the first of those failures.
func (d *Directory) DecideAsks(ctx context.Context) (int, error) {
	decided := 0
	var failed error
	for {
		asks, err := d.Store.LeaseAsks(ctx, asksAtOnce, d.now(), askLease)
		if err != nil {
			return decided, err
		}
		for _, a := range asks {
			err := d.decide(ctx, a)
			switch {
			case err == nil:
				decided++
			case fault.Is(err, fault.Unavailable), ctx.Err() != nil:
				return decided, err
			default:
				if failed == nil {
					failed = fmt.Errorf("ask %s: %w", a.ID, err)
				}
				if err := d.Store.AskFailed(ctx, a.ID, d.later(a)); err != nil {
					return decided, err
				}
			}
		}
		if len(asks) < asksAtOnce {
			return decided, failed
		}
	}
}

// later is when to decide an ask once more; zero for never.
func (d *Directory) later(a Ask) time.Time {
	next := d.now().Add(askNotDecide)
	if next.Sub(a.Created) > askOutlived {
		return time.Time{}
	}
	return next
}

// decide takes the ask and does what it comes to in one transaction: the letter
// with its link, and the line of the trail.
func (d *Directory) decide(ctx context.Context, a Ask) error {
	named, err := d.Store.PersonByName(ctx, a.Username)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		var p Person
		if named.User.ID != "" {
			if p, err = tx.Person(named.User.ID); err != nil {
				return err
			}
		}
		taken, err := tx.TakeAsk(a.ID)
		if err != nil || !taken {
			return err // another replica was first
		}
		reason := d.outcome(p, a)
		e := d.event(audit.PasswordAsked, anybody, a.Address, p.User)
		e.Reason = reason
		switch reason {
		case askMailed:
			link, until, err := d.newLink(tx, p, ToOrder, ToOrderLasts)
			if err != nil {
				return err
			}
			l, _ := d.Letter(p, mail.PasswordAsked, "link", link)
			l.Expires = until
			if err := tx.Send(l); err != nil {
				return err
			}
			e.Details = map[string]string{"channel": string(l.Channel)}
		case bySupport, newContact, noContact:
			if err := d.letter(tx, p, mail.PasswordAskedSupport); err != nil {
				return err
			}
		}
		return tx.Record(e)
	})
}

// What an ask comes to, besides why nothing can be sent.
const (
	askMailed = "link_mailed"
	bySupport = "by_support" // the organisation hands passwords over
)

// outcome is what an ask comes to, for the trail.
func (d *Directory) outcome(p Person, a Ask) string {
	switch {
	case d.now().Sub(a.Created) > askOutlived:
		return "too_late"
	case p.User.ID == "":
		return "unknown_username"
	case a.Throttled:
		return "throttled"
	}
	return cmp.Or(p.unsendable(d.now()), askMailed)
}

// unsendable is why neither the link nor a temporary password can go to the person
// by itself (S55), or "": then only user support helps.
func (p Person) unsendable(now time.Time) string {
	way, instead := p.delivery(now)
	_, to := p.contact()
	switch {
	case !p.Enabled():
		return errDisabled.Code
	case !p.User.Frozen.IsZero():
		return errFrozen.Code
	case to == "":
		return noContact
	case way == ByHandover:
		return cmp.Or(instead, bySupport)
	}
	return ""
}

// ConfirmOrder is the Order of the person who has the letter: the link is spent
// with it, so that of any number of callers one orders. The temporary password is
// in another letter, and nowhere else. Faults: mailed_link_spent, and
// order_by_support where the account has changed meanwhile.
func (d *Directory) ConfirmOrder(ctx context.Context, secret, from string) error {
	l, err := d.mailedLink(ctx, secret, ToOrder)
	if err != nil {
		return err
	}
	_, err = d.order(ctx, l.User, order{By: byLetter, Address: from, Reason: "asked", Link: l.Hash, Still: func(p Person) error {
		if p.unsendable(d.now()) != "" {
			return errBySupport
		}
		return nil
	}})
	return err
}

// CancelAsk is "I did not ask for this", by the link.
func (d *Directory) CancelAsk(ctx context.Context, secret, from string) error {
	l, err := d.mailedLink(ctx, secret, ToOrder)
	if err != nil {
		return err
	}
	return d.cancelAsk(ctx, l.User, l.Hash, audit.Event{Actor: byLetter, Address: from})
}

// CancelOwnAsk is the same by the person, who has signed in (S59). Nothing to
// cancel any more is mailed_link_spent.
func (d *Directory) CancelOwnAsk(ctx context.Context, self Self) error {
	if !self.Full {
		return fault.New(fault.Denied, "full_signin_required", "Sign in with your card, or with your password and a code, to cancel this.")
	}
	return d.cancelAsk(ctx, self.User, "", audit.Event{Actor: self.actor(), Address: self.Address, Session: self.Session})
}

func (d *Directory) cancelAsk(ctx context.Context, id UserID, hash string, by audit.Event) error {
	return d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		spent, err := tx.SpendMailedLink(id, ToOrder, hash, d.now())
		if err != nil {
			return err
		}
		if !spent {
			return errNoLink
		}
		e := d.event(audit.PasswordAskCancelled, by.Actor, by.Address, p.User)
		e.Session = by.Session
		return tx.Record(e)
	})
}
