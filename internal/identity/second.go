package identity

import (
	"context"
	"crypto/rand"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// Where an organisation wants a second person (S64), whatever opens an account of its
// people to somebody is done by two members of the help desk: one has recognised the
// caller, another has seen what is to be done and why.
//
//	RecordCheck ─▶ AskSecond: this act, for this reason ─▶ Confirm, by a colleague ─▶ the act, once
//	                                                    └─▶ RefuseSecond, by a colleague or whoever asks
//
// A confirmation ends with the check it is asked on.

// seconded are the acts that need one, in the order of a case. The others give nobody a
// way in: they end sessions, or let a person try again what she has.
var seconded = []Right{AccountUnfreeze, PasswordOrder, AuthenticatorRemove, LinkingCodeIssue}

// Seconds lists the acts on its people that need a second person.
func (o Organisation) Seconds() []Right {
	if !o.SecondPerson {
		return nil
	}
	return slices.Clone(seconded)
}

// ConfirmationID names one; random.
type ConfirmationID string

// Confirmation is an act that a second member of the help desk is asked to confirm, or
// has confirmed or refused. Whoever asks for the same act on the same check once more has
// another one, which nobody has confirmed yet.
type Confirmation struct {
	ID     ConfirmationID
	Check  Check // By asks
	Act    Right
	Reason string
	Asked  time.Time
	By     UserID // who has confirmed; "" while it waits
	At     time.Time

	RefusedBy UserID // who has refused; "" while it waits
	Refused   time.Time
	Refusal   string // why
}

// ConfirmationsOf says which are wanted; what is empty does not matter.
type ConfirmationsOf struct {
	Organisation OrganisationID
	ID           ConfirmationID
	Check        CheckID
	Waiting      bool // alone

	// Of a long list the part after one that was Asked then and has that ID, and no
	// more than Limit; 0 is all.
	AfterAsked time.Time
	After      ConfirmationID
	Limit      int
}

// WaitingConfirmation is one that waits, whom it is about, and who asks.
type WaitingConfirmation struct {
	Confirmation
	Person Person // without links
	Asker  string // name, as far as it is known
	May    error  // why the actor may not confirm it; nil when she may
}

var (
	errNeedsSecond    = fault.New(fault.Denied, "check_needs_second", "The organisation wants a second person of user support to confirm this first.").In("check")
	errSecondNeedless = fault.New(fault.Conflict, "second_needless", "This needs no second person.")
	errNoConfirmation = fault.New(fault.NotFound, "confirmation_not_found", "Nothing such waits for a second person: it was decided already, or its time has run out.")
	errSecondIsFirst  = fault.New(fault.Denied, "second_is_first", "You have asked for this yourself. A colleague confirms it.")
)

// AskSecond has an act wait until a colleague confirms it, on a check of the actor's
// own that holds. Faults: second_needless, required, too_long, too_many_acts,
// identity_check_invalid, and those of Actor.On.
func (d *Directory) AskSecond(ctx context.Context, by Actor, id UserID, check CheckID, act Right, reason string) (Confirmation, error) {
	reason = strings.TrimSpace(reason)
	if err := by.May(IdentityCheck); err != nil {
		return Confirmation{}, err
	}
	if !slices.Contains(seconded, act) {
		return Confirmation{}, errSecondNeedless
	}
	if err := first(by.May(act), text("reason", reason, 500, false)); err != nil {
		return Confirmation{}, err
	}
	if err := d.ration(ctx, by, IdentityConfirm, id); err != nil {
		return Confirmation{}, err
	}
	c := Confirmation{ID: ConfirmationID(rand.Text()), Act: act, Reason: reason, Asked: d.now()}
	return c, d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(act, p.User); err != nil {
			return err
		}
		if !p.Organisation.SecondPerson {
			return errSecondNeedless
		}
		if c.Check, err = d.holding(tx, by, id, check); err != nil {
			return err
		}
		if err := tx.AddConfirmation(c); err != nil {
			return err
		}
		return d.acted(tx, audit.SecondAsked, by, p, Why{Reason: reason}, and(c.Check.details(), "act", string(act)))
	})
}

// WaitingConfirmation finds one that waits: confirmation_not_found when there is none, or
// none that the actor sees.
func (d *Directory) WaitingConfirmation(ctx context.Context, by Actor, id ConfirmationID) (WaitingConfirmation, error) {
	found, err := d.WaitingConfirmations(ctx, by, ConfirmationsOf{ID: id})
	if err == nil && len(found) == 0 {
		err = errNoConfirmation
	}
	if err != nil {
		return WaitingConfirmation{}, err
	}
	return found[0], nil
}

// WaitingConfirmations lists acts that wait for a second person, of those that the
// actor sees, the longest first.
func (d *Directory) WaitingConfirmations(ctx context.Context, by Actor, of ConfirmationsOf) ([]WaitingConfirmation, error) {
	own, err := by.Of(IdentityConfirm)
	if err != nil {
		return nil, err
	}
	if own != "" {
		of.Organisation = own
	}
	of.Waiting = true
	waiting, err := d.Store.Confirmations(ctx, of, d.now())
	if err != nil {
		return nil, err
	}
	list := make([]WaitingConfirmation, 0, len(waiting))
	for _, c := range waiting {
		p, err := d.Store.Account(ctx, c.Check.User)
		if err != nil {
			return nil, err
		}
		list = append(list, WaitingConfirmation{Confirmation: c, Person: p, May: mayConfirm(by, c, p)})
	}
	return list, d.nameAskers(ctx, list)
}

// nameAskers reads who asks, in one round trip.
func (d *Directory) nameAskers(ctx context.Context, list []WaitingConfirmation) error {
	var ids []UserID
	for i, w := range list {
		list[i].Asker = w.Check.By
		if id, ok := strings.CutPrefix(w.Check.By, "user:"); ok {
			ids = append(ids, UserID(id))
		}
	}
	if len(ids) == 0 {
		return nil
	}
	users, err := d.Store.Names(ctx, ids)
	for _, u := range users {
		for i, w := range list {
			if w.Check.By == (Self{User: u.ID}).actor() {
				list[i].Asker = u.Name()
			}
		}
	}
	return err
}

// mayConfirm tells whether an actor is a second person for an act: not the first, and
// one who may do it.
func mayConfirm(by Actor, c Confirmation, p Person) error {
	switch {
	case by.User == "":
		return errNotAllowed // porttictl needs no second person, and is none
	case c.Check.By == by.Name:
		return errSecondIsFirst
	}
	return first(by.On(IdentityConfirm, p.User), by.On(c.Act, p.User))
}

// Confirm lets a colleague do, once, what waits. Faults: confirmation_not_found,
// second_is_first, and those of Actor.On.
func (d *Directory) Confirm(ctx context.Context, by Actor, id ConfirmationID) error {
	if err := by.May(IdentityConfirm); err != nil {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		c, p, err := d.waitingSecond(tx, by, id)
		if err != nil {
			return err
		}
		if err := mayConfirm(by, c, p); err != nil {
			return err
		}
		confirmed, err := tx.Confirm(id, by.User, d.now())
		if err != nil {
			return err
		}
		if !confirmed {
			return errNoConfirmation
		}
		return d.acted(tx, audit.SecondConfirmed, by, p, Why{Reason: c.Reason}, and(c.Check.details(), "act", string(c.Act), "asked_by", c.Check.By))
	})
}

// RefuseSecond ends what waits, for a reason. A colleague who could confirm it refuses,
// and whoever asks reads why (OwnConfirmations); whoever asks withdraws it. Faults:
// required, too_long, confirmation_not_found, and those of Actor.On.
func (d *Directory) RefuseSecond(ctx context.Context, by Actor, id ConfirmationID, reason string) error {
	reason = strings.TrimSpace(reason)
	if err := first(by.May(IdentityConfirm), text("reason", reason, 500, false)); err != nil {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		c, p, err := d.waitingSecond(tx, by, id)
		if err != nil {
			return err
		}
		what, ended, may := audit.SecondRefused, false, mayConfirm(by, c, p)
		switch {
		case fault.Code(may) == errSecondIsFirst.Code:
			what = audit.SecondWithdrawn
			ended, err = tx.WithdrawConfirmation(id)
		case may != nil:
			return may
		default:
			ended, err = tx.RefuseConfirmation(id, by.User, reason, d.now())
		}
		if err != nil {
			return err
		}
		if !ended {
			return errNoConfirmation
		}
		return d.acted(tx, what, by, p, Why{Reason: reason}, and(c.Check.details(), "act", string(c.Act), "asked_by", c.Check.By, "asked_for", c.Reason))
	})
}

// waitingSecond finds what is asked for on a check that holds, of a person in reach.
// Whether it waits still the statement that decides it tells.
func (d *Directory) waitingSecond(tx Tx, by Actor, id ConfirmationID) (Confirmation, Person, error) {
	c, err := tx.Confirmation(id)
	if err != nil {
		return Confirmation{}, Person{}, err
	}
	p, err := tx.Person(c.Check.User)
	if err != nil {
		return Confirmation{}, Person{}, err
	}
	if by.Sees(IdentityConfirm, p.User) != nil || !d.now().Before(c.Check.Expires) {
		return Confirmation{}, Person{}, errNoConfirmation
	}
	return c, p, nil
}

// OwnConfirmation is what somebody has asked for, as she sees how it stands.
type OwnConfirmation struct {
	Confirmation
	Refuser string // name of who has refused it, "" for nobody
}

// OwnConfirmations lists what was asked for on a check of the actor's own (OwnCheck).
func (d *Directory) OwnConfirmations(ctx context.Context, c Check) ([]OwnConfirmation, error) {
	asked, err := d.Store.Confirmations(ctx, ConfirmationsOf{Check: c.ID}, d.now())
	if err != nil {
		return nil, err
	}
	list := make([]OwnConfirmation, len(asked))
	for i, a := range asked {
		list[i].Confirmation = a
		if a.RefusedBy == "" {
			continue
		}
		users, err := d.Store.Names(ctx, []UserID{a.RefusedBy})
		if err != nil {
			return nil, err
		}
		for _, u := range users {
			list[i].Refuser = u.Name()
		}
	}
	return list, nil
}

// second spends the confirmation that an act needs, and gives whose it is. Whoever has
// confirmed it must still be somebody who may.
func (d *Directory) second(tx Tx, r Right, p Person, check CheckID, reason string) (Actor, error) {
	id, err := tx.SpendConfirmation(check, r, strings.TrimSpace(reason))
	if fault.Is(err, fault.NotFound) {
		return Actor{}, errNeedsSecond
	}
	if err != nil {
		return Actor{}, err
	}
	colleague, err := tx.Person(id)
	if err != nil {
		return Actor{}, err
	}
	by := ActorOf(colleague, "")
	if !colleague.Open() || first(by.On(IdentityConfirm, p.User), by.On(r, p.User)) != nil {
		return Actor{}, errNeedsSecond
	}
	return by, nil
}
