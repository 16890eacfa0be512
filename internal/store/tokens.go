package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/openid"
)

type tokenRow struct {
	Grant        grantRow `gorm:"embedded"`
	TokenExpires moment
}

var selectToken = `select ` + columns(&grantRow{}, "g", "") + `, t.expires as token_expires
	from access_tokens t
	join grants g on g.id = t.grant_id
	join users u on u.id = g.user_id
	join organisations o on o.id = u.organisation
	where t.hash = @hash and t.expires > @now and g.revoked is null and ` + alive

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
	return row.Grant.grant(), openid.AccessToken{Hash: hash, Grant: row.Grant.ID, Expires: row.TokenExpires.t}, nil
}
