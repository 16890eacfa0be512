package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
)

const (
	sweepAtOnce = 1000                     // rows a transaction, so that nobody waits for the broom
	endedKept   = 24 * time.Hour           // longer than any session, and than a code can be on its way
	unseenKept  = 180 * 24 * time.Hour     // issuers that nobody has configured and whose cards come no more
	checksKept  = 2 * 365 * 24 * time.Hour // identity checks with their notes; the trail keeps the rest of them
	noticesKept = 30 * 24 * time.Hour      // dead letters, logout notices and registration tokens, for the operator
)

// Sweep deletes what is long over (openid.Store), a batch at a time. First it
// ends grants that slipped in while their session ended: their tokens are dead
// already, but their clients have not been told.
func (s *Store) Sweep(ctx context.Context, now time.Time) error {
	err := s.transact(ctx, "end late grants", func(db *gorm.DB) error {
		return s.endGrants(db, "session_id in (select id from ended_sessions)", args{"now": at(now)})
	})
	if err != nil {
		return err
	}
	for _, b := range []struct {
		table, key, where string
		before            time.Time
	}{
		{"access_tokens", "hash", "expires < @before", now},
		{"grants", "id", "keep_until < @before and not exists (select 1 from access_tokens t where t.grant_id = grants.id)", now},
		{"ended_sessions", "id", "at < @before", now.Add(-endedKept)},
		{"card_approvals", "id", "expires < @before", now},
		{"mailed_links", "hash", "expires < @before", now},
		{"password_asks", "id", "dead < @before", now.Add(-noticesKept)},
		{"identity_checks", "id", "at < @before", now.Add(-checksKept)},
		{"confirmations", "id", "asked < @before", now.Add(-identity.CheckLasts)},
		{"imports", "id", "expires < @before", now}, // with their rows; nobody has more than one
		{"linking_codes", "user_id", "expires < @before", now},
		{"registration_tokens", "id", "expires < @before", now.Add(-noticesKept)},
		{"card_strangers", "id", "last < @before", now.Add(-unseenKept)},
		{"logout_notices", "id", "dead < @before", now.Add(-noticesKept)},
		{"letters", "id", "dead < @before or dead is null and expires < @before", now.Add(-noticesKept)}, // and those that nobody could send
		{"card_tests", "code", "at < @before", now.Add(-card.TestKept)},
		{"traces", "id", "expires < @before", now},
		{"policy_told", "id", "effective < @before", now.Add(-noticesKept)},
	} {
		if err := s.sweep(ctx, b.table, b.key, b.where, b.before); err != nil {
			return err
		}
	}
	return s.sweepParts(ctx, now)
}

func (s *Store) sweep(ctx context.Context, table, key, where string, before time.Time) error {
	for {
		var swept int64
		err := s.tell(ctx, "sweep "+table, func(db *gorm.DB) error {
			r := db.Exec(`with over as materialized (select `+key+` from `+table+` where `+where+` limit @n `+s.lock("for update skip locked")+`)
				delete from `+table+` where `+key+` in (select `+key+` from over)`, args{"before": at(before), "n": sweepAtOnce})
			swept = r.RowsAffected
			return r.Error
		})
		if err != nil || swept < sweepAtOnce {
			return err
		}
	}
}
