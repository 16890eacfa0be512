package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/openid"
)

type tokenRow struct {
	Grant          grantRow `gorm:"embedded"`
	TokenExpires   moment
	TokenIssued    moment
	TokenScopes    someWords
	TokenResources someWords
	TokenBinding   string
	TokenClient    optional
}

// A client's own grant has no user to ask about. What the employer permits counts
// at every use (S5), and not at the next sign-in only.
const standing = `left join users u on u.id = g.user_id
	left join organisations o on o.id = u.organisation
	where g.revoked is null and (g.kind = 'client_credentials' or u.id is not null and ` + alive + ` and ` + permitted + `)`

var selectToken = `select ` + columns(&grantRow{}, "g", "") + `, t.expires as token_expires, t.issued as token_issued, t.scopes as token_scopes,
	t.resources as token_resources, t.binding as token_binding, t.client as token_client
	from access_tokens t
	join grants g on g.id = t.grant_id
	` + standing + ` and t.hash = @hash and t.expires > @now`

// Token returns the grant of a live access token.
func (s *Store) Token(ctx context.Context, hash string, now time.Time) (openid.Grant, openid.AccessToken, error) {
	var row tokenRow
	err := s.ask(ctx, "find access token", func(db *gorm.DB) error {
		r := db.Raw(selectToken, args{"hash": hash, "now": at(now)}).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errToken
		}
		return r.Error
	})
	if err != nil {
		return openid.Grant{}, openid.AccessToken{}, err
	}
	return row.Grant.grant(), openid.AccessToken{Hash: hash, Grant: row.Grant.ID, Expires: row.TokenExpires.t, Issued: row.TokenIssued.t,
		Scopes: row.TokenScopes, Resources: row.TokenResources, Binding: openid.Binding(row.TokenBinding), Client: string(row.TokenClient)}, nil
}

var selectGrant = `select ` + columns(&grantRow{}, "g", "") + ` from grants g
	` + standing + ` and g.id = @id and g.expires > @now and g.refresh_hash is not null and `

// Grant returns a grant that a refresh token still works for.
func (s *Store) Grant(ctx context.Context, id string, now time.Time) (openid.Grant, error) {
	var row grantRow
	err := s.ask(ctx, "find grant", func(db *gorm.DB) error {
		r := db.Raw(selectGrant+s.lasting(), args{"id": id, "now": at(now)}).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errToken
		}
		return r.Error
	})
	return row.grant(), err
}

// Exchange adds a token beside a live one of the same grant (openid.Store). The
// lock makes a DropToken of the other wait, or be seen: what came in between goes
// with it, by the foreign key.
func (s *Store) Exchange(ctx context.Context, subject string, t openid.AccessToken, now time.Time) error {
	a := withToken(args{"subject": subject, "client": optional(t.Client), "now": at(now)}, t)
	return s.tell(ctx, "exchange access token", func(db *gorm.DB) error {
		r := db.Exec(`insert into access_tokens (hash, grant_id, expires, issued, scopes, resources, binding, client, subject)
			select @hash, g.id, `+tokenValues+`, @client, t.hash
			from access_tokens t
			join grants g on g.id = t.grant_id
			join users u on u.id = g.user_id
			join organisations o on o.id = u.organisation
			where t.hash = @subject and t.expires > @now and t.expires >= @token_expires and g.revoked is null
				and `+alive+` and `+permitted+` `+s.lock("for key share of t"), a)
		if r.Error == nil && r.RowsAffected == 0 {
			return whyNotExchanged(db, a, now)
		}
		return r.Error
	})
}

func whyNotExchanged(db *gorm.DB, a args, now time.Time) error {
	var row grantRow
	r := db.Raw(`select `+columns(&grantRow{}, "g", "")+` from access_tokens t join grants g on g.id = t.grant_id
		where t.hash = @subject and t.expires > @now and t.expires >= @token_expires and g.revoked is null and g.user_id is not null`, a).Find(&row)
	switch {
	case r.Error != nil:
		return r.Error
	case r.RowsAffected == 0:
		return errToken
	}
	return whyRefused(db, row.grant(), now)
}

// DropToken deletes an access token, and by the foreign key what hangs under it.
func (s *Store) DropToken(ctx context.Context, hash string) error {
	return s.tell(ctx, "drop access token", func(db *gorm.DB) error {
		return db.Exec("delete from access_tokens where hash = ?", hash).Error
	})
}
