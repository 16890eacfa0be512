package identity

import (
	"context"
	"fmt"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

// Notices are how many days before the end of a linked card its holder gets a
// letter: to order a new card takes weeks.
var Notices = []int{60, 30, 7}

// ExpiresSoon tells whether pages should say that the card is about to end.
func (l CardLink) ExpiresSoon(now time.Time) bool {
	return now.Before(l.NotAfter) && !now.Before(l.NotAfter.AddDate(0, 0, -Notices[0]))
}

// notice is the one that is due, or 0. Who links a card that ends in a month
// gets one letter at once, and not two.
func (l CardLink) notice(now time.Time) int {
	due := 0
	for _, days := range Notices {
		if !now.Before(l.NotAfter.AddDate(0, 0, -days)) && now.Before(l.NotAfter) && (l.Noticed == 0 || days < l.Noticed) {
			due = days
		}
	}
	return due
}

// noticesAtOnce bounds one look; the rest are due at the next.
const noticesAtOnce = 500

// NoticeExpiringCards writes the letters that are due, and returns how many cards
// it has told of. Any number of replicas may do so at once: each letter is written
// in the transaction that notes it. One that fails keeps nobody else from theirs:
// the error holds the first of those failures.
func (d *Directory) NoticeExpiringCards(ctx context.Context) (int, error) {
	now := d.now()
	links, err := d.Store.ExpiringCards(ctx, now, noticesAtOnce)
	if err != nil {
		return 0, err
	}
	told := 0
	var failed error
	for _, link := range links {
		tell := false
		err := d.change(ctx, func(tx Tx) error {
			p, err := tx.Person(link.User)
			if err != nil {
				return err
			}
			if p.Card == nil || p.Card.ID != link.ID || !p.Enabled() || p.Card.notice(now) == 0 {
				return nil // another replica was first, or the card is no longer linked
			}
			if err := tx.NoteCardNotice(p.User.ID, link.ID, p.Card.notice(now)); err != nil {
				return err
			}
			tell = true
			return d.letter(tx, p, mail.CardExpires, "tail", link.Tail(), "date", dateIn(p.User.Language, link.NotAfter))
		})
		switch {
		case fault.Is(err, fault.Unavailable):
			return told, err
		case err != nil && failed == nil:
			failed = fmt.Errorf("link %s: %w", link.ID, err)
		case err == nil && tell:
			told++
		}
	}
	return told, failed
}

// dateIn writes a day as people of a language do.
func dateIn(language string, t time.Time) string {
	if language == "en" {
		return t.Local().Format("2 January 2006")
	}
	return t.Local().Format("2.1.2006")
}
