package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

// grantKept is how long a grant stays after its last token: a late replay still
// finds it, and a later logout its client.
const grantKept = 24 * time.Hour

type grantRow struct {
	ID             string
	Kind           string
	Client         string
	UserID         optional // none: a client's own grant, or the mark of a revocation that came first
	SessionID      optional
	Epoch          int64
	Level          string
	Method         string
	Scopes         words
	ACR            string
	AMR            words
	Nonce          string
	AuthTime       moment
	Created        moment
	Expires        moment
	RefreshHash    optional
	RefreshBinding string
	Resources      words
	Claims         string
	Revoked        moment
}

var grantColumns = columns(&grantRow{}, "", "")

func (r grantRow) grant() openid.Grant {
	return openid.Grant{ID: r.ID, Kind: openid.GrantType(r.Kind), Resources: r.Resources, Claims: r.Claims, RefreshBinding: openid.Binding(r.RefreshBinding), Client: r.Client, User: string(r.UserID), Session: string(r.SessionID), Epoch: r.Epoch,
		Level: session.Level(r.Level), Method: session.Method(r.Method), Scopes: r.Scopes, ACR: r.ACR, AMR: r.AMR, Nonce: r.Nonce,
		AuthTime: r.AuthTime.t, Created: r.Created.t, Expires: r.Expires.t, RefreshHash: string(r.RefreshHash), Revoked: r.Revoked.t}
}

// What a grant must meet, over u its user, o the user's organisation and the
// grant's own values. An ended session is as dead as one of another epoch.
const (
	enabled = `u.disabled is null and o.disabled is null`
	alive   = enabled + ` and u.frozen is null and (u.epoch = g.epoch or u.kept_session = g.session_id)
		and not exists (select 1 from ended_sessions e where e.id = g.session_id)`
	// permitted leaves out none: organisations permit at least one method, and
	// level Enrol asks for any (S5).
	permitted = `(` + methodsNow + ` & case when g.level = 'enrol' then 7 when g.method = 'card' then 1
		when g.method = 'app' then 2 when g.method = 'token' then 4 else 0 end) <> 0`
)

// lasting is what a refresh asks of a grant besides: that a session of its age may
// still last under the organisation's limit of now (S72). Offline access outlives
// sessions.
func (s *Store) lasting() string {
	limit, over := `json_extract(o.planned, '$.policy.session_absolute')`, `g.auth_time + %s * 1000000`
	if s.postgres {
		limit, over = `(o.planned #>> '{policy,session_absolute}')::bigint`, `g.auth_time + make_interval(secs => %s)`
	}
	limit = `(case when o.planned_from <= @now then ` + limit + ` / 1000000000 else o.session_absolute end)`
	return `(` + limit + ` = 0 or ` + fmt.Sprintf(over, limit) + ` > @now or ' ' || g.scopes || ' ' like '% offline_access %')`
}

// methodMask is what permitted asks of the organisation's methods, for a grant
// that is not stored yet.
func methodMask(g openid.Grant) int64 {
	if g.Level == session.Enrol {
		return int64(identity.MethodsOf(identity.AllMethods...))
	}
	for _, m := range identity.AllMethods {
		if string(g.Method) == m.String() {
			return int64(m)
		}
	}
	return 0
}

// issueGrant stores the grant if its user still may, completing the mark of an
// earlier RevokeGrant if there is one; it never touches a grant that was issued.
// EndSessions wants the locked row too, and first: it either finds this grant or
// has moved the epoch, which is then looked at again.
func (s *Store) issueGrant() string {
	return `insert into grants (id, kind, client, user_id, session_id, epoch, level, method, scopes, acr, amr, nonce, auth_time, created, expires, refresh_hash, keep_until,
			resources, claims, refresh_binding)
		select @id, @kind, @client, u.id, @session, @epoch, @level, @method, @scopes, @acr, @amr, @nonce, @auth_time, @created, @expires, @refresh, @keep, @resources, @claims, @refresh_binding
		from users u join organisations o on o.id = u.organisation
		where u.id = @user and ` + enabled + ` and u.frozen is null and (u.epoch = @epoch or u.kept_session = @session)
			and (` + methodsNow + ` & @mask) <> 0 and not exists (select 1 from ended_sessions e where e.id = @session) ` + s.lock("for share of u") + `
		on conflict (id) do update set client = excluded.client, user_id = excluded.user_id, session_id = excluded.session_id,
			epoch = excluded.epoch, level = excluded.level, method = excluded.method, scopes = excluded.scopes, acr = excluded.acr,
			amr = excluded.amr, nonce = excluded.nonce, auth_time = excluded.auth_time, created = excluded.created,
			expires = excluded.expires, refresh_hash = excluded.refresh_hash, keep_until = excluded.keep_until, kind = excluded.kind,
			resources = excluded.resources, claims = excluded.claims, refresh_binding = excluded.refresh_binding
			where grants.user_id is null`
}

const (
	addToken    = `insert into access_tokens (hash, grant_id, expires, issued, scopes, resources, binding) `
	tokenValues = `@token_expires, @token_issued, @token_scopes, @token_resources, @token_binding`
)

// withToken adds addToken's arguments.
func withToken(a args, t openid.AccessToken) args {
	a["hash"], a["token_expires"], a["token_issued"] = t.Hash, at(t.Expires), at(t.Issued)
	a["token_scopes"], a["token_resources"], a["token_binding"] = someWords(t.Scopes), someWords(t.Resources), string(t.Binding)
	return a
}

// grantArgs are a new grant's.
func grantArgs(g openid.Grant, t openid.AccessToken) args {
	return withToken(args{
		"id": g.ID, "kind": string(g.Kind), "client": g.Client, "user": g.User, "session": optional(g.Session), "epoch": g.Epoch, "level": string(g.Level), "method": string(g.Method),
		"scopes": words(g.Scopes), "acr": g.ACR, "amr": words(g.AMR), "nonce": g.Nonce, "auth_time": at(g.AuthTime), "created": at(g.Created),
		"expires": at(g.Expires), "refresh": optional(g.RefreshHash), "keep": at(latest(g.Created, g.Expires, t.Expires).Add(grantKept)),
		"resources": words(g.Resources), "claims": g.Claims, "refresh_binding": string(g.RefreshBinding), "mask": methodMask(g), "now": at(g.Created),
	}, t)
}

// Issue stores a grant with its first access token (openid.Store): one
// statement on PostgreSQL, and a second only to find out why it stored nothing.
func (s *Store) Issue(ctx context.Context, g openid.Grant, t openid.AccessToken) error {
	a := grantArgs(g, t)
	if s.postgres {
		return s.tell(ctx, "issue grant", func(db *gorm.DB) error {
			r := db.Exec(`with stored as (`+s.issueGrant()+` returning id) `+addToken+`select @hash, id, `+tokenValues+` from stored`, a)
			if r.Error == nil && r.RowsAffected == 0 {
				return whyNotIssued(db, g)
			}
			return r.Error
		})
	}
	return s.transact(ctx, "issue grant", func(db *gorm.DB) error {
		r := db.Exec(s.issueGrant(), a)
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return whyNotIssued(db, g)
		}
		return db.Exec(addToken+`values (@hash, @id, `+tokenValues+`)`, withToken(args{"id": t.Grant}, t)).Error
	})
}

func whyNotIssued(db *gorm.DB, g openid.Grant) error {
	var there int64
	if err := db.Raw("select count(*) from grants where id = ? and user_id is not null", g.ID).Find(&there).Error; err != nil {
		return err
	}
	if there > 0 {
		return errors.New("a grant with this ID was issued before")
	}
	return whyRefused(db, g, g.Created)
}

// whyRefused says which of Issue's conditions a grant does not meet.
func whyRefused(db *gorm.DB, g openid.Grant, when time.Time) error {
	var now struct {
		Enabled, Alive bool
		Methods        int64
	}
	err := db.Raw(`select `+enabled+` as enabled, `+methodsNow+` as methods,
			u.frozen is null and (u.epoch = @epoch or coalesce(u.kept_session = @session, false))
			and not exists (select 1 from ended_sessions e where e.id = @session) as alive
		from users u join organisations o on o.id = u.organisation where u.id = @user`,
		args{"user": g.User, "epoch": g.Epoch, "session": optional(g.Session), "now": at(when)}).Find(&now).Error
	switch {
	case err != nil:
		return err
	case !now.Enabled:
		return errDisabled
	case now.Alive && now.Methods&methodMask(g) == 0:
		return errNotPermitted
	}
	return errSessionEnded // also when it would be allowed by now: the person signs in again
}

// Rotate exchanges a refresh token (openid.Store). One update decides between
// any number of callers: whoever finds the grant with another token than the
// one it was given revokes it (RFC 9700 §4.14.2).
func (s *Store) Rotate(ctx context.Context, r openid.Rotation, t openid.AccessToken, now time.Time) (openid.Grant, error) {
	a := args{"id": r.Grant, "client": r.Client, "old": r.OldHash, "new": r.NewHash, "key": string(r.Binding), "now": at(now)}
	if s.postgres {
		withToken(a, t)
	}
	turn := `update grants as g set
			refresh_hash = case when g.refresh_hash = @old then @new else g.refresh_hash end,
			revoked = case when g.refresh_hash = @old then g.revoked else @now end
		where g.id = @id and g.client = @client and g.user_id is not null and g.revoked is null and g.expires > @now
			and g.refresh_binding in ('', @key)
			and (coalesce(g.refresh_hash, '') <> @old or exists (select 1 from users u join organisations o on o.id = u.organisation
				where u.id = g.user_id and ` + alive + ` and ` + permitted + ` and ` + s.lasting() + `))
		returning ` + grantColumns
	var row grantRow
	const what = "rotate refresh token"
	var err error
	if s.postgres {
		err = s.tell(ctx, what, func(db *gorm.DB) error {
			return db.Raw(`with turned as (`+turn+`),
				token as (`+addToken+`select @hash, id, `+tokenValues+` from turned where refresh_hash = @new )
				select * from turned`, a).Find(&row).Error
		})
	} else {
		err = s.transact(ctx, what, func(db *gorm.DB) error {
			if err := db.Raw(turn, a).Find(&row).Error; err != nil || string(row.RefreshHash) != r.NewHash {
				return err
			}
			return db.Exec(addToken+`values (@hash, @id, `+tokenValues+`)`, withToken(args{"id": t.Grant}, t)).Error
		})
	}
	switch {
	case err != nil:
		return openid.Grant{}, err
	case row.ID == "":
		var refused openid.Grant
		err := s.ask(ctx, what, func(db *gorm.DB) (err error) {
			refused, err = whyNotRotated(db, r, now)
			return err
		})
		return refused, err
	case string(row.RefreshHash) != r.NewHash:
		return openid.Grant{}, errReused
	}
	return row.grant(), nil
}

// whyNotRotated also gives the grant where the reason is its person or her employer.
func whyNotRotated(db *gorm.DB, r openid.Rotation, now time.Time) (openid.Grant, error) {
	none := openid.Grant{}
	var row grantRow
	found := db.Raw("select "+grantColumns+" from grants where id = ?", r.Grant).Find(&row)
	switch {
	case found.Error != nil:
		return none, found.Error
	case found.RowsAffected == 0:
		return none, errNoGrant
	case row.UserID == "":
		return none, errRevoked
	case row.Client != r.Client:
		return none, errOtherClient
	case row.RefreshBinding != "" && row.RefreshBinding != string(r.Binding):
		return none, errOtherKey
	case !row.Revoked.t.IsZero():
		if ended, err := endedByChange(db, row.grant()); err != nil || !ended {
			return none, cmp.Or(err, error(errRevoked))
		}
		return row.grant(), errRevoked
	case !row.Expires.t.After(now):
		return none, errExpired
	}
	return row.grant(), whyRefused(db, row.grant(), now)
}

// endedByChange tells whether a grant ended with a change to its account, and not by
// a logout or a revocation alone.
func endedByChange(db *gorm.DB, g openid.Grant) (bool, error) {
	var n int64
	err := db.Raw("select count(*) from users u where u.id = @user and u.epoch <> @epoch and coalesce(u.kept_session, '') <> coalesce(@session, '')",
		args{"user": g.User, "epoch": g.Epoch, "session": optional(g.Session)}).Find(&n).Error
	return n > 0, err
}

// IssueClient stores a client's own grant with its token (openid.Store).
func (s *Store) IssueClient(ctx context.Context, g openid.Grant, t openid.AccessToken) error {
	const grant = `insert into grants (id, kind, client, scopes, resources, created, expires, keep_until)
		values (@id, @kind, @client, @scopes, @resources, @created, @expires, @keep)`
	a := grantArgs(g, t)
	a["keep"] = at(latest(g.Created, g.Expires, t.Expires)) // nobody replays it, and no logout asks for it
	if s.postgres {
		return s.tell(ctx, "issue client grant", func(db *gorm.DB) error {
			return db.Exec(`with stored as (`+grant+` returning id) `+addToken+`select @hash, id, `+tokenValues+` from stored`, a).Error
		})
	}
	return s.transact(ctx, "issue client grant", func(db *gorm.DB) error {
		if err := db.Exec(grant, a).Error; err != nil {
			return err
		}
		return db.Exec(addToken+`values (@hash, @id, `+tokenValues+`)`, withToken(args{"id": t.Grant}, t)).Error
	})
}

// RevokeGrant kills a grant, or leaves the mark that kills it at birth.
func (s *Store) RevokeGrant(ctx context.Context, id string, when time.Time) error {
	return s.tell(ctx, "revoke grant", func(db *gorm.DB) error {
		return db.Exec(`insert into grants (id, created, revoked, keep_until) values (@id, @at, @at, @keep)
			on conflict (id) do update set revoked = coalesce(grants.revoked, excluded.revoked)`,
			args{"id": id, "at": at(when), "keep": at(when.Add(grantKept))}).Error
	})
}

func latest(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
