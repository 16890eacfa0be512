package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/openid"
)

type registrationTokenRow struct {
	ID      string
	Hash    string
	Note    string
	Uses    int64
	Used    int64
	Created moment
	Expires moment
	Revoked moment
}

func (registrationTokenRow) TableName() string { return "registration_tokens" }

var selectRegistrationToken = "select " + columns(&registrationTokenRow{}, "", "") + " from registration_tokens "

// works is what a token must be to register a client.
const works = "hash = @hash and revoked is null and expires > @now and used < uses"

func (r registrationTokenRow) token() openid.RegistrationToken {
	return openid.RegistrationToken{ID: r.ID, Hash: r.Hash, Note: r.Note, Uses: r.Uses, Used: r.Used, Created: r.Created.t, Expires: r.Expires.t, Revoked: r.Revoked.t}
}

// RegistrationToken finds a token that still works (openid.Store).
func (s *Store) RegistrationToken(ctx context.Context, hash string, now time.Time) (openid.RegistrationToken, error) {
	var row registrationTokenRow
	err := s.ask(ctx, "find registration token", func(db *gorm.DB) error {
		r := db.Raw(selectRegistrationToken+"where "+works, args{"hash": hash, "now": at(now)}).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errToken
		}
		return r.Error
	})
	return row.token(), err
}

// RegistrationTokens lists every token, newest first (openid.Store).
func (s *Store) RegistrationTokens(ctx context.Context) ([]openid.RegistrationToken, error) {
	var rows []registrationTokenRow
	err := s.ask(ctx, "list registration tokens", func(db *gorm.DB) error {
		return db.Raw(selectRegistrationToken + "order by created desc, id").Find(&rows).Error
	})
	list := make([]openid.RegistrationToken, len(rows))
	for i, r := range rows {
		list[i] = r.token()
	}
	return list, err
}

// AddRegistrationToken adds a token with its event (openid.Store).
func (s *Store) AddRegistrationToken(ctx context.Context, t openid.RegistrationToken, e audit.Event) error {
	row := registrationTokenRow{t.ID, t.Hash, t.Note, t.Uses, t.Used, at(t.Created), at(t.Expires), at(t.Revoked)}
	return s.transact(ctx, "add registration token", func(db *gorm.DB) error {
		if err := db.Create(&row).Error; err != nil {
			return err
		}
		return db.Exec(addEvent, s.eventArgs(ctx, e)).Error
	})
}

// RevokeRegistrationToken stops a token with its event (openid.Store).
func (s *Store) RevokeRegistrationToken(ctx context.Context, id string, when time.Time, e audit.Event) error {
	return s.transact(ctx, "revoke registration token", func(db *gorm.DB) error {
		r := db.Exec("update registration_tokens set revoked = @at where id = @id and revoked is null", args{"id": id, "at": at(when)})
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return errNoRegistrationToken
		}
		return db.Exec(addEvent, s.eventArgs(ctx, e)).Error
	})
}

// RegisterClient spends a use of the token and adds the client (openid.Store).
// The row of the token is locked first, so that of any number of callers no more
// than uses get through.
func (s *Store) RegisterClient(ctx context.Context, c openid.Client, hash string, now time.Time, e audit.Event) error {
	row := rowOfClient(c)
	row.Version = 1
	return s.transact(ctx, "register client", func(db *gorm.DB) error {
		r := db.Exec("update registration_tokens set used = used + 1 where "+works, args{"hash": hash, "now": at(now)})
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return errToken
		}
		if r = addClient(db, &row); r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return errClientIs
		}
		return db.Exec(addEvent, s.eventArgs(ctx, e)).Error
	})
}
