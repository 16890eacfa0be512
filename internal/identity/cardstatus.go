package identity

import (
	"context"
	"fmt"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// CheckCards asks about every active link, page by page, and notes what is new. It
// returns how many it noted. ask must not call the Directory; it says card.Unavailable where it
// knows nothing. What cannot be noted of one card keeps nothing from the others:
// the error holds the first of those failures.
func (d *Directory) CheckCards(ctx context.Context, page int, ask func(ctx context.Context, l CardLink) card.Status) (noted int, err error) {
	var failed error
	for after := LinkID(""); ; {
		links, err := d.Store.CardLinks(ctx, after, page)
		if err != nil {
			return noted, err
		}
		for _, l := range links {
			if ctx.Err() != nil {
				return noted, ctx.Err()
			}
			s := ask(ctx, l)
			if _, changed := transition(l.Status, s.State); !changed {
				continue
			}
			was, err := d.NoteCardStatus(ctx, l, s)
			switch {
			case fault.Is(err, fault.Unavailable):
				return noted, err
			case err != nil && failed == nil:
				failed = fmt.Errorf("link %s: %w", l.ID, err)
			case was:
				noted++
			}
		}
		if len(links) < page {
			return noted, failed
		}
		after = links[len(links)-1].ID
	}
}

// CardRead notes on the link of a card what its handshake came to, whoever showed
// it: to hold the card and its PIN is what it takes. A responder is asked when a card
// is shown, so where there are no lists this is how a linked card turns up revoked.
// And where nobody is asked or answers, a card whose suspension we have heard of
// stays suspended.
func (d *Directory) CardRead(ctx context.Context, r card.Result) error {
	s := card.Status{Source: "card"}
	switch {
	case r.Holder.Fingerprint == "":
		return nil
	case r.Verdict == card.Revoked:
		s.State = card.WasRevoked
	case r.Verdict == card.Suspended:
		s.State = card.OnHold
	case r.Verdict == card.UntrustedIssuer:
		s.State = card.Untrusted
	case r.Verdict == card.Good:
		s.State = card.NotRevoked
	default:
		return nil
	}
	l, err := d.Store.CardLink(ctx, r.Holder.Fingerprint)
	if fault.Is(err, fault.NotFound) || err == nil && !l.Removed.IsZero() {
		return nil
	}
	if err != nil || s.State == card.NotRevoked && l.Status == card.OnHold && !r.Vouched {
		return err
	}
	_, err = d.NoteCardStatus(ctx, l, s)
	return err
}

// NoteCardStatus keeps what the CA says of a linked card. A card that was revoked or
// suspended ends every session of its holder (S24), who gets a letter; the link
// stays, closed, until an Order removes it (S30). So does one whose CA is not
// accepted any more. A suspension may be lifted and a CA accepted again, which a
// letter tells too; a revocation is for good. Whatever the number of callers, one
// notes a change, and gets true.
func (d *Directory) NoteCardStatus(ctx context.Context, l CardLink, s card.Status) (noted bool, err error) {
	to, changed := transition(l.Status, s.State)
	if !changed {
		return false, nil
	}
	err = d.change(ctx, func(tx Tx) error {
		noted = false
		p, err := tx.Person(l.User)
		if err != nil {
			return err
		}
		if noted, err = tx.SetCardStatus(l, to, d.now()); err != nil || !noted {
			return err
		}
		e := d.event(cardEvents[to], System.Name, "", p.User)
		e.Method, e.Reason = MethodCard.String(), s.Source
		tail := card.Holder{Serial: l.Serial}.Tail()
		e.Details = map[string]string{"link": string(l.ID), "issuer": l.Issuer, "tail": tail}
		if !s.Since.IsZero() {
			e.Details["since"] = s.Since.UTC().Format("2006-01-02T15:04:05Z")
		}
		if err := tx.Record(e); err != nil {
			return err
		}
		if to != "" {
			if err := tx.EndSessions(l.User, ""); err != nil {
				return err
			}
		}
		return d.letter(tx, p, cardLetters[to], "tail", tail)
	})
	return noted && err == nil, err
}

var (
	cardEvents  = map[card.State]audit.Type{card.WasRevoked: audit.CardRevoked, card.OnHold: audit.CardSuspended, card.Untrusted: audit.CardUntrusted, "": audit.CardReinstated}
	cardLetters = map[card.State]mail.Template{card.WasRevoked: mail.CardRevoked, card.OnHold: mail.CardSuspended, card.Untrusted: mail.CardUntrusted, "": mail.CardReinstated}
)

// transition says what a link's status becomes when the CA says s.
func transition(from, s card.State) (to card.State, changed bool) {
	switch {
	case from == card.WasRevoked, from == card.OnHold && s == card.Untrusted:
		return from, false
	case s == card.WasRevoked, s == card.OnHold, s == card.Untrusted:
		return s, s != from
	case s == card.NotRevoked:
		return "", from != ""
	}
	return from, false
}
