package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
)

// MostStrangers is how many CAs that nobody has configured are kept.
const MostStrangers = 200

type strangerRow struct {
	ID          string
	Issuer      string
	KeyID       string
	Certificate string
	SHA256      string `gorm:"column:sha256"`
	Root        string
	Seen        int64
	First       moment
	Last        moment
}

func (strangerRow) TableName() string { return "card_strangers" }

var selectStranger = "select " + columns(&strangerRow{}, "", "") + " from card_strangers "

func (r strangerRow) stranger() card.Stranger {
	return card.Stranger{ID: r.ID, Issuer: r.Issuer, KeyID: r.KeyID, Certificate: r.Certificate, SHA256: r.SHA256, Root: r.Root, Seen: r.Seen, First: r.First.t, Last: r.Last.t}
}

// MetStranger counts a stranger (card.Strangers). Nearly all of them are known
// already, and cost one statement.
func (s *Store) MetStranger(ctx context.Context, m card.Stranger, now time.Time) error {
	known := false
	err := s.tell(ctx, "count unknown issuer", func(db *gorm.DB) error {
		r := db.Exec("update card_strangers set "+metAgain+" where id = @id", args{"id": m.ID, "root": m.Root, "now": at(now)})
		known = r.RowsAffected > 0
		return r.Error
	})
	if err != nil || known {
		return err
	}
	return s.addStranger(ctx, m, now)
}

// The clocks of replicas differ: last never goes back.
const metAgain = `seen = card_strangers.seen + 1, root = @root,
	last = case when card_strangers.last < @now then @now else card_strangers.last end`

// addStranger adds one and lets the least seen go that makes it one too many.
// Those that a configured root has signed are genuine and go last; whoever sends
// many invented ones drives out invented ones. The lock lets one at a time
// count the rows (SQLite has one writer anyway).
func (s *Store) addStranger(ctx context.Context, m card.Stranger, now time.Time) error {
	return s.transact(ctx, "add unknown issuer", func(db *gorm.DB) error {
		if s.postgres {
			if err := db.Exec("lock table card_strangers in share row exclusive mode").Error; err != nil {
				return err
			}
		}
		a := args{"id": m.ID, "issuer": m.Issuer, "key": m.KeyID, "certificate": m.Certificate, "sha256": m.SHA256, "root": m.Root, "now": at(now), "most": MostStrangers}
		err := db.Exec(`insert into card_strangers (id, issuer, key_id, certificate, sha256, root, seen, first, last)
			values (@id, @issuer, @key, @certificate, @sha256, @root, 1, @now, @now)
			on conflict (id) do update set `+metAgain, a).Error
		if err != nil {
			return err
		}
		return db.Exec(`delete from card_strangers where id <> @id and id not in (
			select id from card_strangers where id <> @id order by case when root = '' then 1 else 0 end, seen desc, last desc, id limit @most - 1)`, a).Error
	})
}

// Strangers lists them: those that a configured root has signed first, then by
// how often they were seen.
func (s *Store) Strangers(ctx context.Context) ([]card.Stranger, error) {
	var rows []strangerRow
	err := s.ask(ctx, "list unknown issuers", func(db *gorm.DB) error {
		return db.Raw(selectStranger + "order by case when root = '' then 1 else 0 end, seen desc, last desc, id").Find(&rows).Error
	})
	list := make([]card.Stranger, len(rows))
	for i, r := range rows {
		list[i] = r.stranger()
	}
	return list, err
}

// ForgetStranger deletes one, with its event: it is counted anew when it is seen
// again. Who is not there gives fault.NotFound.
func (s *Store) ForgetStranger(ctx context.Context, id string, e audit.Event) error {
	return s.transact(ctx, "forget unknown issuer", func(db *gorm.DB) error {
		r := db.Exec("delete from card_strangers where id = @id", args{"id": id})
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return errNoStranger
		}
		return db.Exec(addEvent, s.eventArgs(ctx, e)).Error
	})
}
