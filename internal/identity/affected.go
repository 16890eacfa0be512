package identity

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// MethodChange is a change of what an organisation permits, to ask whom it touches.
type MethodChange struct {
	Organisation  OrganisationID
	Before, After Methods
	Now, From     time.Time // cards must be good now, and from then on
}

// Group is what a change comes to for a person.
type Group string

const (
	Stranded Group = "stranded" // has a way in, and will have none
	Without  Group = "without"  // has no way in, and will have none
	Narrowed Group = "narrowed" // loses one of several
)

// Groups is every Group.
var Groups = []Group{Stranded, Without, Narrowed}

// Effect is how many people a change touches. Closed accounts do not count.
type Effect struct {
	People   int // of the organisation
	Stranded int
	Without  int
	Narrowed int
}

// WaysIn are the methods by which a person can sign in at a time where these are
// permitted: what is linked, good and permitted. What the store counts by (Affected)
// is the same rule in SQL.
func (p Person) WaysIn(permitted Methods, at time.Time) Methods {
	var linked Methods
	if p.UsableCard(at) {
		linked |= Methods(MethodCard)
	}
	if p.Authenticator != nil {
		linked |= Methods(p.Authenticator.Kind)
	}
	return linked & permitted
}

// MayEnable are the permitted methods that a person without a way in can link
// alone, once the password and what is linked have proved who it is (S8): what
// MayLink says after the sign-in that is left to such a person. Where there are
// none, user support has to remove a link first.
func (p Person) MayEnable(permitted Methods, at time.Time) Methods {
	var may Methods
	if p.Card == nil {
		may |= Methods(MethodCard)
	}
	if p.Authenticator == nil && (p.Card == nil || p.UsableCard(at)) {
		may |= MethodsOf(MethodApp, MethodToken)
	}
	return may & permitted
}

// PolicyEffect tells how many people a change to these methods from a time on would
// touch. Nothing is written.
func (d *Directory) PolicyEffect(ctx context.Context, by Actor, id OrganisationID, methods Methods, from time.Time) (Effect, error) {
	c, err := d.methodChange(ctx, by, id, methods, from)
	if err != nil {
		return Effect{}, err
	}
	return d.Store.CountAffected(ctx, c)
}

// PolicyAffected lists up to n people of a group, by username, after a folded one.
func (d *Directory) PolicyAffected(ctx context.Context, by Actor, id OrganisationID, methods Methods, from time.Time, g Group, after string, n int) ([]Person, error) {
	c, err := d.methodChange(ctx, by, id, methods, from)
	if err != nil {
		return nil, err
	}
	return d.Store.Affected(ctx, c, g, after, n)
}

func (d *Directory) methodChange(ctx context.Context, by Actor, id OrganisationID, methods Methods, from time.Time) (MethodChange, error) {
	if err := first(by.In(PolicyChange, id), by.In(PeopleSee, id)); err != nil {
		return MethodChange{}, err
	}
	if err := (Policy{Methods: methods}).check(); err != nil {
		return MethodChange{}, err
	}
	o, err := d.Store.Organisation(ctx, id)
	if err != nil {
		return MethodChange{}, err
	}
	now := d.now()
	if from.Before(now) {
		from = now
	}
	return MethodChange{Organisation: id, Before: o.Methods, After: methods, Now: now, From: from}, nil
}

// PolicyNotice is a change whose stranded people have to be told. It is written in
// the transaction of the change; the letters follow a batch at a time.
type PolicyNotice struct {
	ID            string
	Organisation  OrganisationID
	Before, After Methods
	From          time.Time
	Told          string // the folded username of the last one who was; "" for none yet
	Made          time.Time
}

// PolicyTold is somebody whom a letter has told of a change that is to come. Should
// it be withdrawn, another letter says so.
type PolicyTold struct {
	ID           string
	Organisation OrganisationID
	From         time.Time // of the change
	User         UserID
}

// tell leaves a notice where a change takes something away.
func (d *Directory) tell(tx Tx, id OrganisationID, before, after Methods, from time.Time) error {
	if before&^after == 0 {
		return nil
	}
	return tx.AddPolicyNotice(PolicyNotice{ID: rand.Text(), Organisation: id, Before: before, After: after, From: from, Made: d.now()})
}

// lettersAtOnce bounds a transaction of letters.
const lettersAtOnce = 100

// TellStranded writes the letters that changes of policy have left to write, first
// those on changes that were withdrawn, and returns how many (S8). Any number of
// replicas may do so at once: a batch is written in the transaction that notes it. A
// notice that fails keeps no other back.
func (d *Directory) TellStranded(ctx context.Context) (int, error) {
	told, failed := d.tellWithdrawn(ctx)
	if fault.Is(failed, fault.Unavailable) || ctx.Err() != nil {
		return told, failed
	}
	notices, err := d.Store.PolicyNotices(ctx)
	if err != nil {
		return told, err
	}
	for _, n := range notices {
		some, err := d.tellAll(ctx, n)
		told += some
		switch {
		case fault.Is(err, fault.Unavailable) || ctx.Err() != nil:
			return told, err
		case err != nil && failed == nil:
			failed = fmt.Errorf("organisation %s: %w", n.Organisation, err)
		}
	}
	return told, failed
}

// tellAll goes through a notice until it is over, or another replica is at it.
func (d *Directory) tellAll(ctx context.Context, n PolicyNotice) (told int, err error) {
	for {
		now := d.now()
		c := MethodChange{Organisation: n.Organisation, Before: n.Before, After: n.After, Now: now, From: n.From}
		if now.After(n.From) {
			c.From = now
		}
		people, err := d.Store.Affected(ctx, c, Stranded, n.Told, lettersAtOnce)
		if err != nil {
			return told, err
		}
		over, next := len(people) < lettersAtOnce, n.Told
		if len(people) > 0 {
			next = FoldUsername(people[len(people)-1].User.Username)
		}
		moved, letters := false, 0
		err = d.change(ctx, func(tx Tx) error {
			letters = 0
			if moved, err = tx.MovePolicyNotice(n, next, over); err != nil || !moved {
				return err
			}
			for _, p := range people {
				l, ok := d.Letter(p, mail.PolicyTightened, "date", dateIn(p.User.Language, n.From))
				if !ok || !p.Enabled() {
					continue
				}
				letters++
				if err := tx.Send(l); err != nil {
					return err
				}
				if !n.From.After(now) {
					continue // it is here, and not withdrawn any more
				}
				if err := tx.AddPolicyTold(PolicyTold{ID: rand.Text(), Organisation: n.Organisation, From: n.From, User: p.User.ID}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return told, err
		}
		if told += letters; over || !moved {
			return told, nil
		}
		n.Told = next
	}
}

// tellWithdrawn tells those who were told of a change that it is not to come. Each
// of them is taken in the transaction of the letter: of any number of replicas one
// writes it. People whose account has closed since hear nothing.
func (d *Directory) tellWithdrawn(ctx context.Context) (told int, err error) {
	for {
		owed, err := d.Store.WithdrawalsToTell(ctx, lettersAtOnce)
		if err != nil || len(owed) == 0 {
			return told, err
		}
		people := make([]Person, len(owed))
		for i, o := range owed {
			if people[i], err = d.Store.Account(ctx, o.User); err != nil {
				return told, fmt.Errorf("withdrawn policy of %s: %w", o.Organisation, err)
			}
		}
		letters := 0
		err = d.change(ctx, func(tx Tx) error {
			letters = 0
			for i, p := range people {
				taken, err := tx.TakePolicyTold(owed[i].ID)
				if err != nil {
					return err
				}
				l, ok := d.Letter(p, mail.PolicyWithdrawn, "date", dateIn(p.User.Language, owed[i].From))
				if !taken || !ok || !p.Enabled() {
					continue
				}
				letters++
				if err := tx.Send(l); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return told, err
		}
		if told += letters; len(owed) < lettersAtOnce || d.DryRun { // a rehearsal takes nobody
			return told, nil
		}
	}
}
