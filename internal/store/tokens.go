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
}

// A client's own grant has no user to ask about.
const standing = `left join users u on u.id = g.user_id
	left join organisations o on o.id = u.organisation
	where g.revoked is null and (g.kind = 'client_credentials' or u.id is not null and ` + alive + `)`

var selectToken = `select ` + columns(&grantRow{}, "g", "") + `, t.expires as token_expires, t.issued as token_issued, t.scopes as token_scopes,
	t.resources as token_resources, t.binding as token_binding
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
		Scopes: row.TokenScopes, Resources: row.TokenResources, Binding: openid.Binding(row.TokenBinding)}, nil
}

var selectGrant = `select ` + columns(&grantRow{}, "g", "") + ` from grants g
	` + standing + ` and g.id = @id and g.expires > @now and g.refresh_hash is not null`

// Grant returns a grant that a refresh token still works for.
func (s *Store) Grant(ctx context.Context, id string, now time.Time) (openid.Grant, error) {
	var row grantRow
	err := s.ask(ctx, "find grant", func(db *gorm.DB) error {
		r := db.Raw(selectGrant, args{"id": id, "now": at(now)}).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errToken
		}
		return r.Error
	})
	return row.grant(), err
}

// DropToken deletes an access token.
func (s *Store) DropToken(ctx context.Context, hash string) error {
	return s.tell(ctx, "drop access token", func(db *gorm.DB) error {
		return db.Exec("delete from access_tokens where hash = ?", hash).Error
	})
}
