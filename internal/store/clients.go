package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

type clientRow struct {
	ID                     string
	Name                   doc[map[string]string]
	SecretHash             string
	OldSecretHash          string
	OldSecretUntil         moment
	AuthMethod             string
	Native                 bool
	RedirectURIs           doc[[]string] `gorm:"column:redirect_uris"`
	PostLogoutRedirectURIs doc[[]string] `gorm:"column:post_logout_redirect_uris"`
	BackChannelLogoutURI   string        `gorm:"column:back_channel_logout_uri"`
	GrantTypes             doc[[]openid.GrantType]
	Scopes                 doc[[]string]
	MinimumACR             string
	Methods                int64
	Algorithm              string
	RequirePKCE            bool   `gorm:"column:require_pkce"`
	AccessTokenTTL         int64  `gorm:"column:access_token_ttl"`
	HomeURI                string `gorm:"column:home_uri"`
	Options                doc[openid.Options]
	Disabled               moment
	Created                moment
	Version                int64
}

func (clientRow) TableName() string { return "clients" }

var selectClient = "select " + columns(&clientRow{}, "", "") + " from clients "

func rowOfClient(c openid.Client) clientRow {
	return clientRow{ID: c.ID, Name: doc[map[string]string]{c.Name}, SecretHash: c.SecretHash,
		OldSecretHash: c.OldSecretHash, OldSecretUntil: at(c.OldSecretUntil), Options: doc[openid.Options]{c.Options}, AuthMethod: string(c.AuthMethod), Native: c.Native,
		RedirectURIs: doc[[]string]{c.RedirectURIs}, PostLogoutRedirectURIs: doc[[]string]{c.PostLogoutRedirectURIs}, BackChannelLogoutURI: c.BackChannelLogoutURI,
		GrantTypes: doc[[]openid.GrantType]{c.GrantTypes}, Scopes: doc[[]string]{c.Scopes}, MinimumACR: c.MinimumACR, Methods: int64(c.Methods),
		Algorithm: string(c.Algorithm), RequirePKCE: c.RequirePKCE, AccessTokenTTL: int64(c.AccessTokenTTL), HomeURI: c.HomeURI,
		Disabled: at(c.Disabled), Created: at(c.Created), Version: c.Version}
}

func (r clientRow) client() openid.Client {
	return openid.Client{ID: r.ID, Name: r.Name.v, SecretHash: r.SecretHash,
		OldSecretHash: r.OldSecretHash, OldSecretUntil: r.OldSecretUntil.t, Options: r.Options.v, AuthMethod: openid.AuthMethod(r.AuthMethod), Native: r.Native,
		RedirectURIs: r.RedirectURIs.v, PostLogoutRedirectURIs: r.PostLogoutRedirectURIs.v, BackChannelLogoutURI: r.BackChannelLogoutURI,
		GrantTypes: r.GrantTypes.v, Scopes: r.Scopes.v, MinimumACR: r.MinimumACR, Methods: uint8(r.Methods),
		Algorithm: keys.Algorithm(r.Algorithm), RequirePKCE: r.RequirePKCE, AccessTokenTTL: time.Duration(r.AccessTokenTTL), HomeURI: r.HomeURI,
		Disabled: r.Disabled.t, Created: r.Created.t, Version: r.Version}
}

// Client finds a registered client.
func (s *Store) Client(ctx context.Context, id string) (openid.Client, error) {
	var row clientRow
	err := s.ask(ctx, "find client", func(db *gorm.DB) error {
		r := db.Raw(selectClient+"where id = ?", id).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoClient
		}
		return r.Error
	})
	if err != nil {
		return openid.Client{}, err
	}
	return row.client(), nil
}

// Clients lists every client by ID.
func (s *Store) Clients(ctx context.Context) ([]openid.Client, error) {
	var rows []clientRow
	err := s.ask(ctx, "list clients", func(db *gorm.DB) error { return db.Raw(selectClient + "order by id").Find(&rows).Error })
	if err != nil {
		return nil, err
	}
	list := make([]openid.Client, len(rows))
	for i, row := range rows {
		list[i] = row.client()
	}
	return list, nil
}

// ChangeClient adds or saves a client with its event (openid.Store).
func (s *Store) ChangeClient(ctx context.Context, c openid.Client, e audit.Event) error {
	if c.Created.IsZero() {
		c.Created = s.now() // kept from the first time on
	}
	row := rowOfClient(c)
	row.Version++
	return s.transact(ctx, "change client", func(db *gorm.DB) error {
		write, missed := addClient, errClientIs
		if c.Version > 0 {
			write, missed = saveClient, errChanged
		}
		r := write(db, &row)
		if r.Error != nil {
			return r.Error
		}
		if r.RowsAffected == 0 {
			return missed
		}
		return db.Exec(addEvent, s.eventArgs(ctx, e)).Error
	})
}

func addClient(db *gorm.DB, row *clientRow) *gorm.DB {
	return db.Clauses(clause.OnConflict{DoNothing: true}).Create(row)
}

func saveClient(db *gorm.DB, row *clientRow) *gorm.DB {
	return db.Model(&clientRow{}).Where("id = ? and version = ?", row.ID, row.Version-1).Select("*").Omit("id", "created").Updates(row)
}
