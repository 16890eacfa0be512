package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/openid"
)

// queueNotices tells the clients of grants that are about to end, once for a
// session and client: the notice's ID sees to it. Grants that were revoked or
// have expired count too, since the client's own session may outlive them.
func queueNotices(which string) string {
	return `insert into logout_notices (id, client, user_id, session_id, created, due, attempts, reason)
		select g.session_id || '/' || g.client, g.client, min(g.user_id), g.session_id, @now, @now, 0, ''
		from grants g join clients k on k.id = g.client
		where k.back_channel_logout_uri <> '' and ` + which + ` and ended is null
		group by g.session_id, g.client
		on conflict (id) do nothing`
}

// endGrants revokes grants because their session is over. Rows are locked in
// order, so that two that end the same grants do not wait for each other.
func (s *Store) revokeEnded(which string) string {
	if s.postgres {
		which = `id in (select id from grants where ` + which + ` and ended is null order by id for no key update)`
	}
	return `update grants set ended = @now, revoked = coalesce(revoked, @now) where ` + which + ` and ended is null`
}

// endGrants does both, for grants that a transaction's lock keeps still.
func (s *Store) endGrants(db *gorm.DB, which string, a args) error {
	for _, sql := range []string{queueNotices(which), s.revokeEnded(which)} {
		if err := db.Exec(sql, a).Error; err != nil {
			return err
		}
	}
	return nil
}

// EndSession ends a session's grants (openid.Store) and leaves a mark of the
// session, so that a code which is on its way brings nothing any more.
func (s *Store) EndSession(ctx context.Context, sid string, when time.Time, e audit.Event) error {
	const which = "session_id = @session"
	mark := `insert into ended_sessions (id, at) values (@session, @now) on conflict (id) do nothing`
	a := with(s.eventArgs(e), args{"session": sid, "now": at(when)})
	if s.postgres {
		return s.tell(ctx, "end session", func(db *gorm.DB) error {
			return db.Exec(`with marked as (`+mark+`), noted as (`+queueNotices(which)+`), revoked as (`+s.revokeEnded(which)+`) `+addEvent, a).Error
		})
	}
	return s.transact(ctx, "end session", func(db *gorm.DB) error {
		if err := db.Exec(mark, a).Error; err != nil {
			return err
		}
		if err := s.endGrants(db, which, a); err != nil {
			return err
		}
		return db.Exec(addEvent, a).Error
	})
}

type noticeRow struct {
	ID        string
	Client    string
	UserID    string
	SessionID string
	Attempts  int
	Created   moment
}

// LeaseLogouts hands out logout notices that are due.
func (s *Store) LeaseLogouts(ctx context.Context, n int, now time.Time, lease time.Duration) ([]openid.LogoutNotice, error) {
	rows, err := leaseFrom[noticeRow](ctx, s, "logout_notices", n, now, lease)
	notices := make([]openid.LogoutNotice, len(rows))
	for i, r := range rows {
		notices[i] = openid.LogoutNotice{ID: r.ID, Client: r.Client, User: r.UserID, Session: r.SessionID, Attempts: r.Attempts, Created: r.Created.t}
	}
	return notices, err
}

// LogoutSent removes a notice that its client has taken.
func (s *Store) LogoutSent(ctx context.Context, id string) error {
	return s.sent(ctx, "logout_notices", id)
}

// LogoutFailed notes a failed attempt.
func (s *Store) LogoutFailed(ctx context.Context, id, reason string, next time.Time) error {
	return s.failed(ctx, "logout_notices", id, reason, next)
}
