package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/mail"
)

type letterRow struct {
	ID       string
	Channel  mail.Channel
	Sealed   string
	Attempts int
	Created  moment
	Expires  moment
}

var letterColumns = columns(&letterRow{}, "", "")

// Send queues a letter in the transaction of the change that it tells about. Beside
// what is sealed stands what operators may see of it.
func (c *change) Send(l mail.Letter) error {
	return c.did("queue letter", c.s.queue(c.db, l))
}

func (s *Store) queue(db *gorm.DB, l mail.Letter) error {
	if l.ID == "" {
		l.ID = rand.Text()
	}
	plain, err := json.Marshal(l)
	if err != nil {
		return err
	}
	sealed, err := s.seal(plain, l.ID)
	if err != nil {
		return fmt.Errorf("seal letter: %w", err)
	}
	return db.Exec(`insert into letters (id, channel, template, organisation, recipient, sealed, created, due, expires, attempts, reason)
		values (@id, @channel, @template, @organisation, @recipient, @sealed, @now, @now, @expires, 0, '')`,
		args{"id": l.ID, "channel": cmp.Or(l.Channel, mail.ByMail), "template": l.Template, "organisation": l.Organisation, "recipient": mail.Masked(l.To), "sealed": sealed, "now": at(s.now()), "expires": at(l.Expires)}).Error
}

// Tell writes an event with the letters that tell of it (openid.Store).
func (s *Store) Tell(ctx context.Context, e audit.Event, letters ...mail.Letter) error {
	return s.transact(ctx, "tell", func(db *gorm.DB) error { return s.told(db, e, letters) })
}

// told writes the event of a change, and its letters, into the change's transaction.
func (s *Store) told(db *gorm.DB, e audit.Event, letters []mail.Letter) error {
	for _, l := range letters {
		if err := s.queue(db, l); err != nil {
			return err
		}
	}
	return db.Exec(addEvent, s.eventArgs(db.Statement.Context, e)).Error
}

// LeaseLetters hands out letters that are due.
func (s *Store) LeaseLetters(ctx context.Context, n int, now time.Time, lease time.Duration, of ...mail.Channel) ([]mail.Queued, error) {
	if len(of) == 0 {
		of = mail.Channels
	}
	rows, err := leaseFrom[letterRow](ctx, s, "letters", letterColumns, letterLease, args{"now": at(now), "until": at(now.Add(lease)), "n": n, "of": of})
	letters := make([]mail.Queued, len(rows))
	for i, r := range rows {
		letters[i] = mail.Queued{ID: r.ID, Channel: r.Channel, Sealed: r.Sealed, Attempts: r.Attempts, Created: r.Created.t, Expires: r.Expires.t}
	}
	return letters, err
}

// LetterSent removes a delivered letter.
func (s *Store) LetterSent(ctx context.Context, id string) error { return s.sent(ctx, "letters", id) }

// LetterFailed notes a failed attempt.
func (s *Store) LetterFailed(ctx context.Context, id, reason string, next time.Time) error {
	return s.failed(ctx, "letters", id, reason, next, letterLease)
}

// leasing is what a lease does in an outbox beside moving due.
type leasing struct{ which, taken, back string }

var (
	plainLease  = leasing{}
	letterLease = leasing{which: "and channel in @of", taken: ", leased = @until", back: ", leased = null"}
)

// leaseFrom takes up to n rows of an outbox, oldest first. A lease moves due to
// its end: when nobody reports by then, the row is due again. Rows that another
// replica is taking right now are passed over.
//
// a has now, until (the lease's end) and n.
func leaseFrom[Row any](ctx context.Context, s *Store, outbox, columns string, l leasing, a args) (rows []Row, err error) {
	err = s.tell(ctx, "lease "+outbox, func(db *gorm.DB) error {
		return db.Raw(`with ready as materialized (select id from `+outbox+` where dead is null and due <= @now `+l.which+` order by due limit @n `+s.lock("for update skip locked")+`)
			update `+outbox+` set due = @until`+l.taken+` where id in (select id from ready) returning `+columns, a).Find(&rows).Error
	})
	return rows, err
}

func (s *Store) sent(ctx context.Context, outbox, id string) error {
	return s.tell(ctx, "remove from "+outbox, func(db *gorm.DB) error {
		return db.Exec("delete from "+outbox+" where id = ?", id).Error
	})
}

func (s *Store) failed(ctx context.Context, outbox, id, reason string, next time.Time, l leasing) error {
	set, when := "due = @at", next
	if next.IsZero() {
		set, when = "dead = @at", s.now()
	}
	return s.tell(ctx, "note a failure in "+outbox, func(db *gorm.DB) error {
		return db.Exec("update "+outbox+" set attempts = attempts + 1, reason = @reason, "+set+l.back+" where id = @id",
			args{"id": id, "reason": reason, "at": at(when)}).Error
	})
}
