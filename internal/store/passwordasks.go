package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/identity"
)

type askRow struct {
	ID        string
	Username  string
	Address   string
	Throttled bool
	Created   moment
}

var askColumns = columns(&askRow{}, "", "")

// AddAsk writes an ask down (identity.Store). It looks at nothing.
func (s *Store) AddAsk(ctx context.Context, a identity.Ask) error {
	return s.tell(ctx, "add password ask", func(db *gorm.DB) error {
		return db.Exec(`insert into password_asks (id, username, address, throttled, created, due, attempts, reason)
			values (@id, @username, @address, @throttled, @created, @created, 0, '')`,
			args{"id": a.ID, "username": a.Username, "address": a.Address, "throttled": a.Throttled, "created": at(a.Created)}).Error
	})
}

// LeaseAsks hands out asks that are due.
func (s *Store) LeaseAsks(ctx context.Context, n int, now time.Time, lease time.Duration) ([]identity.Ask, error) {
	rows, err := leaseFrom[askRow](ctx, s, "password_asks", askColumns, plainLease, args{"now": at(now), "until": at(now.Add(lease)), "n": n})
	asks := make([]identity.Ask, len(rows))
	for i, r := range rows {
		asks[i] = identity.Ask{ID: r.ID, Username: r.Username, Address: r.Address, Throttled: r.Throttled, Created: r.Created.t}
	}
	return asks, err
}

// AskFailed notes that an ask could not be decided.
func (s *Store) AskFailed(ctx context.Context, id string, next time.Time) error {
	return s.failed(ctx, "password_asks", id, "not decided", next, plainLease)
}

// TakeAsk waits, on PostgreSQL, for whoever is taking it.
func (c *change) TakeAsk(id string) (bool, error) {
	n, err := c.exec("take password ask", "delete from password_asks where id = ?", id)
	return n > 0, err
}
