package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/openid"
)

type consentRow struct {
	UserID  string
	Client  string
	Scopes  words
	Claims  words
	Created moment
	Updated moment
}

var selectConsent = "select " + columns(&consentRow{}, "", "") + " from consents "

func (r consentRow) consent() openid.Consent {
	return openid.Consent{User: r.UserID, Client: r.Client, Scopes: r.Scopes, Claims: r.Claims, Created: r.Created.t, Updated: r.Updated.t}
}

// Consent finds what a user allowed a client (openid.Store).
func (s *Store) Consent(ctx context.Context, user, client string) (openid.Consent, error) {
	var row consentRow
	err := s.ask(ctx, "find consent", func(db *gorm.DB) error {
		r := db.Raw(selectConsent+"where user_id = ? and client = ?", user, client).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoConsent
		}
		return r.Error
	})
	return row.consent(), err
}

// Consents lists what a user allowed, by client (openid.Store).
func (s *Store) Consents(ctx context.Context, user string) ([]openid.Consent, error) {
	var rows []consentRow
	err := s.ask(ctx, "list consents", func(db *gorm.DB) error {
		return db.Raw(selectConsent+"where user_id = ? order by client", user).Find(&rows).Error
	})
	list := make([]openid.Consent, len(rows))
	for i, r := range rows {
		list[i] = r.consent()
	}
	return list, err
}

// SaveConsent adds or replaces a consent (openid.Store).
func (s *Store) SaveConsent(ctx context.Context, c openid.Consent, e audit.Event, letters ...mail.Letter) error {
	return s.transact(ctx, "save consent", func(db *gorm.DB) error {
		err := db.Exec(`insert into consents (user_id, client, scopes, claims, created, updated) values (@user, @client, @scopes, @claims, @created, @updated)
			on conflict (user_id, client) do update set scopes = excluded.scopes, claims = excluded.claims, updated = excluded.updated`,
			args{"user": c.User, "client": c.Client, "scopes": words(c.Scopes), "claims": words(c.Claims), "created": at(c.Created), "updated": at(c.Updated)}).Error
		if err != nil {
			return err
		}
		return s.told(db, e, letters)
	})
}

// RevokeConsent takes a consent back, with every token that stands on it
// (openid.Store). Issue holds the user's row until it has committed: with the lock
// here, a grant is either found below, or its issuer finds the consent gone.
func (s *Store) RevokeConsent(ctx context.Context, user, client string, when time.Time, e audit.Event) error {
	a := args{"user": user, "client": client, "at": at(when)}
	return s.transact(ctx, "revoke consent", func(db *gorm.DB) error {
		if s.postgres {
			if err := db.Exec("select 1 from users where id = @user for no key update", a).Error; err != nil {
				return err
			}
		}
		r := db.Exec("delete from consents where user_id = @user and client = @client", a)
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return errNoConsent
		}
		if err := db.Exec("update grants set revoked = @at where user_id = @user and client = @client and revoked is null", a).Error; err != nil {
			return err
		}
		return db.Exec(addEvent, s.eventArgs(ctx, e)).Error
	})
}
