package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/mail"
)

type letterRow struct {
	ID       string
	Sealed   string
	Attempts int
	Created  moment
}

var letterColumns = columns(&letterRow{}, "", "")

// Send queues a letter in the transaction of the change that it tells about.
func (c *change) Send(l mail.Letter) error {
	if l.ID == "" {
		l.ID = rand.Text()
	}
	plain, err := json.Marshal(l)
	if err != nil {
		return c.did("write letter", err)
	}
	sealed, err := c.s.seal(plain, l.ID)
	if err != nil {
		return c.did("seal letter", err)
	}
	_, err = c.exec("queue letter", `insert into letters (id, sealed, created, due, attempts, reason) values (@id, @sealed, @now, @now, 0, '')`,
		args{"id": l.ID, "sealed": sealed, "now": at(c.s.now())})
	return err
}

// LeaseLetters hands out letters that are due.
func (s *Store) LeaseLetters(ctx context.Context, n int, now time.Time, lease time.Duration) ([]mail.Queued, error) {
	rows, err := leaseFrom[letterRow](ctx, s, "letters", letterColumns, n, now, lease)
	letters := make([]mail.Queued, len(rows))
	for i, r := range rows {
		letters[i] = mail.Queued{ID: r.ID, Sealed: r.Sealed, Attempts: r.Attempts, Created: r.Created.t}
	}
	return letters, err
}

// LetterSent removes a delivered letter.
func (s *Store) LetterSent(ctx context.Context, id string) error { return s.sent(ctx, "letters", id) }

// LetterFailed notes a failed attempt.
func (s *Store) LetterFailed(ctx context.Context, id, reason string, next time.Time) error {
	return s.failed(ctx, "letters", id, reason, next)
}

// DeadLetters counts the letters that were given up, for the operator to see.
func (s *Store) DeadLetters(ctx context.Context) (n int64, err error) {
	err = s.ask(ctx, "count dead letters", func(db *gorm.DB) error {
		return db.Raw("select count(*) from letters where dead is not null").Find(&n).Error
	})
	return n, err
}

// leaseFrom takes up to n rows of an outbox, oldest first. A lease moves due to
// its end: when nobody reports by then, the row is due again. Rows that another
// replica is taking right now are passed over.
func leaseFrom[Row any](ctx context.Context, s *Store, outbox, columns string, n int, now time.Time, lease time.Duration) (rows []Row, err error) {
	err = s.tell(ctx, "lease "+outbox, func(db *gorm.DB) error {
		return db.Raw(`with ready as materialized (select id from `+outbox+` where dead is null and due <= @now order by due limit @n `+s.lock("for update skip locked")+`)
			update `+outbox+` set due = @until where id in (select id from ready) returning `+columns,
			args{"now": at(now), "until": at(now.Add(lease)), "n": n}).Find(&rows).Error
	})
	return rows, err
}

func (s *Store) sent(ctx context.Context, outbox, id string) error {
	return s.tell(ctx, "remove from "+outbox, func(db *gorm.DB) error {
		return db.Exec("delete from "+outbox+" where id = ?", id).Error
	})
}

func (s *Store) failed(ctx context.Context, outbox, id, reason string, next time.Time) error {
	set, when := "due = @at", next
	if next.IsZero() {
		set, when = "dead = @at", s.now()
	}
	return s.tell(ctx, "note a failure in "+outbox, func(db *gorm.DB) error {
		return db.Exec("update "+outbox+" set attempts = attempts + 1, reason = @reason, "+set+" where id = @id",
			args{"id": id, "reason": reason, "at": at(when)}).Error
	})
}
