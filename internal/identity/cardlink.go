package identity

import (
	"context"
	"crypto/rand"
	"strconv"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// HandshakeFresh is how old a card's handshake may be when its link is confirmed (S26).
const HandshakeFresh = 5 * time.Minute

// LinkCard binds the card to the person's username, after the person has seen
// what it is and confirmed (S25–S29). seen is what this browser's own handshake
// came to. A card whose holder is not exactly the person may have to wait: the
// fault card_awaits_approval says so, or card_holder_differs that it is refused.
func (d *Directory) LinkCard(ctx context.Context, self Self, seen card.Result) error {
	now := d.now()
	if seen.Verdict != card.Good || seen.Holder.Fingerprint == "" {
		return fault.New(fault.Denied, "card_refused", "This card cannot be linked.")
	}
	if age := now.Sub(seen.At); age > HandshakeFresh || age < -time.Minute {
		return fault.New(fault.Gone, "card_ticket_spent", "The card was read too long ago. Read it again.")
	}
	h := seen.Holder
	link := CardLink{ID: LinkID(rand.Text()), User: self.User, Fingerprint: h.Fingerprint, SPKI: h.SPKI, Issuer: h.Issuer, IssuerDN: h.IssuerDN,
		Serial: h.Serial, SubjectSerial: h.SubjectSerial, HolderName: h.Name, HolderOrg: h.Organisation, NotAfter: h.NotAfter, Linked: now}
	var judged Judgement
	given, err := d.linkingGiven(ctx, self)
	if err != nil {
		return err
	}
	err = d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(self.User)
		if err != nil {
			return err
		}
		if err := mayAdd(p, self, MethodCard, now); err != nil {
			return err
		}
		if judged, err = judge(p, h); err != nil {
			return err
		}
		if judged.Waits {
			return d.ask(tx, p, self, link, given, now)
		}
		if err := d.spend(tx, p, self, given); err != nil {
			return err
		}
		if _, err := tx.RemoveCardApproval(self.User); err != nil {
			return err
		}
		if err := tx.AddCardLink(link); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.CardLinked, "tail", h.Tail()); err != nil {
			return err
		}
		e := d.event(audit.CardLinked, self.actor(), self.Address, p.User)
		e.Method, e.Session = MethodCard.String(), self.Session
		e.Details = map[string]string{"link": string(link.ID), "issuer": h.Issuer, "tail": h.Tail(), "holder": string(judged.Match)}
		return tx.Record(e)
	})
	switch {
	case err != nil && fault.Code(err) == errHolder.Code:
		return d.holderRefused(ctx, self, err)
	case err == nil && judged.Waits:
		return errAwaits
	}
	return err
}

// CardHolder returns the person to whose username a good card is linked (S2).
// The match is the certificate's fingerprint and nothing else. Faults:
// card_not_linked, card_awaits_approval, card_link_removed_by_order,
// account_disabled, account_frozen; and card_revoked, card_suspended or card_untrusted_issuer when
// that has been noted of the link.
func (d *Directory) CardHolder(ctx context.Context, h card.Holder) (Person, error) {
	p, err := d.linkedTo(ctx, h)
	if err == nil || fault.Code(err) != errNotLinked.Code && fault.Code(err) != errByOrder.Code {
		return p, err
	}
	waiting, werr := d.Store.CardApprovals(ctx, ApprovalsOf{Fingerprint: h.Fingerprint}, d.now())
	switch {
	case werr != nil:
		return Person{}, werr
	case len(waiting) > 0:
		return Person{}, errAwaits
	}
	return Person{}, err
}

func (d *Directory) linkedTo(ctx context.Context, h card.Holder) (Person, error) {
	link, err := d.Store.CardLink(ctx, h.Fingerprint)
	if err != nil {
		return Person{}, err // card_not_linked
	}
	switch {
	case link.Removed.IsZero():
	case link.RemovedReason == "order":
		return Person{}, errByOrder
	case link.RemovedReason == "user_disabled":
		p, err := d.Store.Person(ctx, link.User)
		if err != nil {
			return Person{}, err
		}
		if !p.Enabled() {
			return Person{}, errDisabled
		}
		fallthrough
	default:
		return Person{}, errNotLinked
	}
	p, err := d.Store.Person(ctx, link.User)
	if err != nil {
		return Person{}, err
	}
	if !p.Enabled() {
		return Person{}, errDisabled
	}
	if !p.User.Frozen.IsZero() {
		return Person{}, errFrozen
	}
	if p.Card == nil || p.Card.Fingerprint != h.Fingerprint {
		return Person{}, errNotLinked // removed between the two reads
	}
	switch p.Card.Status { // whatever the card's door has found: it may have asked nobody
	case card.WasRevoked:
		return Person{}, errRevoked
	case card.OnHold:
		return Person{}, errSuspended
	case card.Untrusted:
		return Person{}, errUntrusted
	}
	return p, nil
}

var (
	errNotLinked = fault.New(fault.NotFound, "card_not_linked", "The card works, but it has not been linked to a username.")
	errByOrder   = fault.New(fault.Denied, "card_link_removed_by_order", "A new password was ordered, which removed the link to this card. Sign in with your username and password and link the card again.")
)

// The codes of a card that was refused when it was read (login.Service.Card).
var (
	errRevoked   = fault.New(fault.Denied, "card_revoked", "The card has been revoked.")
	errSuspended = fault.New(fault.Denied, "card_suspended", "The card has been suspended.")
	errUntrusted = fault.New(fault.Denied, "card_untrusted_issuer", "The issuer of the card is not accepted any more.")
)

// Tail is the end of the certificate's serial number (card.Holder.Tail).
func (l CardLink) Tail() string { return card.Holder{Serial: l.Serial}.Tail() }

// CardRefused puts a refused card into the trail: its verdict, and nothing of its content.
func (d *Directory) CardRefused(ctx context.Context, user UserID, reason, client, from string) error {
	e := audit.Event{At: d.now(), Type: audit.CardRefused, Actor: actorOf(user), User: string(user),
		Client: client, Method: MethodCard.String(), Reason: reason, Address: from}
	if user != "" {
		p, err := d.Store.Account(ctx, user)
		if err != nil {
			return err
		}
		e.Organisation = string(p.User.Organisation)
	}
	return d.Audit.Record(ctx, e)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func itoa[N int | int64](n N) string { return strconv.FormatInt(int64(n), 10) }
