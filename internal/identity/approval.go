package identity

import (
	"context"
	"crypto/rand"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// ApprovalLasts is how long a card waits for somebody to look at it. After that
// the person reads it again.
const ApprovalLasts = 14 * 24 * time.Hour

// CardApproval is a card that a person has confirmed and that is not linked yet,
// because its holder is nearly, and not exactly, the person (S29). It opens
// nothing.
type CardApproval struct {
	Card    CardLink // as it will be linked; its ID is the approval's
	Proved  Method   // the second proof that the person had given; 0 for a password alone
	Asked   time.Time
	Expires time.Time
}

// ApprovalsOf says whose waiting cards are wanted; what is empty does not matter.
type ApprovalsOf struct {
	Organisation OrganisationID
	User         UserID
	ID           LinkID
	Fingerprint  string

	// Of a long list the part after one that was Asked then and has that ID, and no
	// more than Limit; 0 is all.
	AfterAsked time.Time
	After      LinkID
	Limit      int
}

// WaitingCard is a card that waits, and whose it would be.
type WaitingCard struct {
	CardApproval
	Person Person // without links
}

// Judgement is what linking a card would come to.
type Judgement struct {
	Match Match
	Waits bool // for an approval
}

// errHolder names nobody: the card may be of somebody else's account.
var errHolder = fault.New(fault.Denied, "card_holder_differs", "The name on the card is not the name of the account.")

// errAwaits is an error although all went well: nothing is linked, and a caller
// that knows nothing of approvals must not take it for done.
var errAwaits = fault.New(fault.Denied, "card_awaits_approval", "The card waits until somebody has checked that it is yours.")

// judge is the whole rule of S29. A card of somebody else is refused whatever the
// employer has chosen.
func judge(p Person, h card.Holder) (Judgement, error) {
	j := Judgement{Match: HolderMatch(p.User, p.Organisation, h)}
	switch {
	case j.Match == MatchExact:
		return j, nil
	case j.Match != MatchNear:
		return j, errHolder
	}
	switch p.Organisation.HolderRule {
	case HolderAccepted:
		return j, nil
	case HolderRefused:
		return j, errHolder
	}
	j.Waits = true
	return j, nil
}

// Judge says beforehand what linking the card would come to, for the page that
// shows it. The fault card_holder_differs is one that LinkCard would give, and
// goes into the trail as well.
func (d *Directory) Judge(ctx context.Context, self Self, h card.Holder) (Judgement, error) {
	p, err := d.Store.Person(ctx, self.User)
	if err != nil {
		return Judgement{}, err
	}
	j, err := judge(p, h)
	if err != nil {
		return j, d.holderRefused(ctx, self, err)
	}
	return j, nil
}

// holderRefused puts a card of somebody else into the trail, and gives the error
// for the person back.
func (d *Directory) holderRefused(ctx context.Context, self Self, refusal error) error {
	if err := d.CardRefused(ctx, self.User, fault.Code(refusal), "", self.Address); err != nil {
		return err
	}
	return refusal
}

// ask has a card wait.
func (d *Directory) ask(tx Tx, p Person, self Self, link CardLink, given LinkingCode, now time.Time) error {
	if err := d.spendAsking(tx, p, self, given); err != nil {
		return err
	}
	if err := tx.AddCardApproval(CardApproval{Card: link, Proved: self.Proved, Asked: now, Expires: now.Add(ApprovalLasts)}); err != nil {
		return err
	}
	if err := d.letter(tx, p, mail.CardWaits, "tail", link.Tail()); err != nil {
		return err
	}
	e := d.event(audit.CardApprovalAsked, self.actor(), self.Address, p.User)
	e.Method, e.Session = MethodCard.String(), self.Session
	e.Details = map[string]string{"link": string(link.ID), "issuer": link.Issuer, "tail": link.Tail()}
	return tx.Record(e)
}

// WaitingCards lists the cards that the actor sees waiting, the longest first.
func (d *Directory) WaitingCards(ctx context.Context, by Actor, of ApprovalsOf) ([]WaitingCard, error) {
	own, err := by.Of(CardApprove)
	if err != nil {
		return nil, err
	}
	if own != "" {
		of.Organisation = own
	}
	waiting, err := d.Store.CardApprovals(ctx, of, d.now())
	if err != nil {
		return nil, err
	}
	list := make([]WaitingCard, 0, len(waiting))
	for _, a := range waiting {
		p, err := d.Store.Account(ctx, a.Card.User)
		if err != nil {
			return nil, err
		}
		list = append(list, WaitingCard{a, p})
	}
	return list, nil
}

// WaitingCard finds one of them: card_approval_not_found when there is none, or none
// that the actor sees.
func (d *Directory) WaitingCard(ctx context.Context, by Actor, id LinkID) (WaitingCard, error) {
	own, err := by.Of(CardApprove)
	if err != nil {
		return WaitingCard{}, err
	}
	found, err := d.WaitingCards(ctx, by, ApprovalsOf{Organisation: own, ID: id})
	if err != nil {
		return WaitingCard{}, err
	}
	if len(found) == 0 {
		return WaitingCard{}, errNoApproval
	}
	return found[0], nil
}

var errNoApproval = fault.New(fault.NotFound, "card_approval_not_found", "No such card waits for an approval: it was decided already, or its time has run out.")

// ApproveCard links a card that waits: somebody has checked that its holder is
// the person. Whatever LinkCard asks for must hold now as it did then, so that
// two cards of one person and two people with one card are refused here too
// (S27), and a password alone has added nothing to what was linked since (S28).
func (d *Directory) ApproveCard(ctx context.Context, by Actor, id LinkID, reason string) error {
	if err := first(by.May(CardApprove), text("reason", reason, 500, false)); err != nil {
		return err
	}
	now := d.now()
	return d.change(ctx, func(tx Tx) error {
		a, p, err := d.waiting(tx, by, id, now)
		if err != nil {
			return err
		}
		if err := mayAdd(p, Self{User: a.Card.User, Proved: a.Proved}, MethodCard, now); fault.Code(err) == "code_required" || err == nil && overtaken(a, p) {
			return fault.New(fault.Conflict, "card_approval_overtaken", "The person has linked another way of signing in since. The card must be read again, after a sign-in with a code.")
		} else if err != nil {
			return err
		}
		// The account may have another name by now, or the employer another rule.
		j, err := judge(p, card.Holder{Name: a.Card.HolderName, Organisation: a.Card.HolderOrg})
		if err != nil {
			return err
		}
		link := a.Card
		link.ID, link.Linked = LinkID(rand.Text()), now
		if _, err := tx.RemoveCardApproval(p.User.ID); err != nil {
			return err
		}
		if err := tx.AddCardLink(link); err != nil {
			return err
		}
		if err := d.opened(tx, p); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.CardLinked, "tail", link.Tail()); err != nil {
			return err
		}
		e := d.event(audit.CardLinked, by.Name, by.Address, p.User)
		e.Method = MethodCard.String()
		e.Details = map[string]string{"link": string(link.ID), "approval": string(id), "issuer": link.Issuer, "tail": link.Tail(), "holder": string(j.Match)}
		return tx.Record(e.Noted(reason))
	})
}

// overtaken tells whether a card that was asked for by a password alone was so before
// user support removed an authenticator. One that was asked for since has cost a
// linking code (S61).
func overtaken(a CardApproval, p Person) bool {
	return a.Proved == 0 && !p.User.LinkingClosed.IsZero() && !a.Asked.After(p.User.LinkingClosed)
}

// RefuseCard ends the waiting of a card that is not the person's.
func (d *Directory) RefuseCard(ctx context.Context, by Actor, id LinkID, reason string) error {
	if err := first(by.May(CardApprove), text("reason", reason, 500, false)); err != nil {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		a, p, err := d.waiting(tx, by, id, d.now())
		if err != nil {
			return err
		}
		if _, err := tx.RemoveCardApproval(p.User.ID); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.CardNotApproved, "tail", a.Card.Tail()); err != nil {
			return err
		}
		e := d.event(audit.CardApprovalRefused, by.Name, by.Address, p.User)
		e.Method = MethodCard.String()
		e.Details = map[string]string{"approval": string(id), "issuer": a.Card.Issuer, "tail": a.Card.Tail()}
		return tx.Record(e.Noted(reason))
	})
}

// waiting finds a card that waits for somebody else's decision than its holder's.
func (d *Directory) waiting(tx Tx, by Actor, id LinkID, now time.Time) (CardApproval, Person, error) {
	a, err := tx.CardApproval(id)
	if err != nil {
		return CardApproval{}, Person{}, err
	}
	p, err := tx.Person(a.Card.User)
	if err != nil {
		return CardApproval{}, Person{}, err
	}
	if err := by.On(CardApprove, p.User); fault.Is(err, fault.NotFound) {
		return CardApproval{}, Person{}, errNoApproval
	} else if err != nil {
		return CardApproval{}, Person{}, err
	}
	switch {
	case !now.Before(a.Expires):
		return CardApproval{}, Person{}, fault.New(fault.Gone, "card_approval_expired", "The card has waited too long. The person must read it again.")
	case !now.Before(a.Card.NotAfter):
		return CardApproval{}, Person{}, fault.New(fault.Gone, "card_approval_expired", "The card has expired.")
	}
	return a, p, nil
}
