package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/openid"
)

// ending names the grants that end because their session is over. They are locked
// in order and before anything else, so that two callers who end the same grants
// wait for each other and not both at once.
func (s *Store) ending(which string) string {
	return `ending as ` + s.lock("materialized") + ` (select id, client, user_id, session_id from grants
		where ` + which + ` and ended is null order by id ` + s.lock("for no key update") + `)`
}

const (
	// noteEnding tells their clients, once for a session and client: the notice's
	// ID sees to it. Grants that were revoked or have expired count too, since the
	// client's own session may outlive them.
	noteEnding = `insert into logout_notices (id, client, user_id, session_id, created, due, attempts, reason)
		select g.session_id || '/' || g.client, g.client, min(g.user_id), g.session_id, @now, @now, 0, ''
		from ending g join clients k on k.id = g.client
		where k.back_channel_logout_uri <> ''
		group by g.session_id, g.client order by g.session_id, g.client
		on conflict (id) do nothing`
	revokeEnding = `update grants set ended = @now, revoked = coalesce(revoked, @now) where id in (select id from ending)`

	// markEnded makes a code of the session that is still on its way worthless.
	markEnded = `insert into ended_sessions (id, at) values (@session, @now) on conflict (id) do nothing`
)

// endGrants revokes grants and queues the notices.
func (s *Store) endGrants(db *gorm.DB, which string, a args) error {
	if s.postgres {
		return db.Exec(`with `+s.ending(which)+`, noted as (`+noteEnding+`) `+revokeEnding, a).Error
	}
	if err := db.Exec(`with `+s.ending(which)+` `+noteEnding, a).Error; err != nil {
		return err
	}
	return db.Exec(`with `+s.ending(which)+` `+revokeEnding, a).Error
}

// EndSession ends a session's grants and marks the session (openid.Store).
func (s *Store) EndSession(ctx context.Context, sid string, when time.Time, e audit.Event) error {
	const which = "session_id = @session"
	a := with(s.eventArgs(ctx, e), args{"session": sid, "now": at(when)})
	if s.postgres {
		return s.tell(ctx, "end session", func(db *gorm.DB) error {
			return db.Exec(`with `+s.ending(which)+`, noted as (`+noteEnding+`), revoked as (`+revokeEnding+`), marked as (`+markEnded+`) `+addEvent, a).Error
		})
	}
	return s.transact(ctx, "end session", func(db *gorm.DB) error {
		if err := db.Exec(markEnded, a).Error; err != nil {
			return err
		}
		if err := s.endGrants(db, which, a); err != nil {
			return err
		}
		return db.Exec(addEvent, a).Error
	})
}

// SessionClients names the clients that got something in a session (openid.Store).
func (s *Store) SessionClients(ctx context.Context, sid string) ([]string, error) {
	var ids []string
	err := s.ask(ctx, "list the session's clients", func(db *gorm.DB) error {
		return db.Raw("select distinct client from grants where session_id = ? and user_id is not null order by client", sid).Scan(&ids).Error
	})
	return ids, err
}

type noticeRow struct {
	ID        string
	Client    string
	UserID    string
	SessionID string
	Attempts  int
	Created   moment
}

var noticeColumns = columns(&noticeRow{}, "", "")

// LeaseLogouts hands out logout notices that are due.
func (s *Store) LeaseLogouts(ctx context.Context, n int, now time.Time, lease time.Duration) ([]openid.LogoutNotice, error) {
	rows, err := leaseFrom[noticeRow](ctx, s, "logout_notices", noticeColumns, plainLease, args{"now": at(now), "until": at(now.Add(lease)), "n": n})
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
	return s.failed(ctx, "logout_notices", id, reason, next, plainLease)
}
