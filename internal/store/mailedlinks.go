package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/identity"
)

type mailedLinkRow struct {
	Hash    string
	UserID  string
	Purpose string
	Created moment
	Expires moment
}

func (mailedLinkRow) TableName() string { return "mailed_links" }

var selectMailedLink = "select " + columns(&mailedLinkRow{}, "", "") + " from mailed_links "

func (r mailedLinkRow) link() identity.MailedLink {
	return identity.MailedLink{Hash: r.Hash, User: identity.UserID(r.UserID), Purpose: identity.LinkPurpose(r.Purpose), Created: r.Created.t, Expires: r.Expires.t}
}

// MailedLink finds a link by its hash (identity.Store).
func (s *Store) MailedLink(ctx context.Context, hash string) (identity.MailedLink, error) {
	var row mailedLinkRow
	err := s.ask(ctx, "find mailed link", func(db *gorm.DB) error {
		r := db.Raw(selectMailedLink+"where hash = ?", hash).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoMailedLink
		}
		return r.Error
	})
	return row.link(), err
}

// MailedLinks lists a user's.
func (s *Store) MailedLinks(ctx context.Context, id identity.UserID) ([]identity.MailedLink, error) {
	var rows []mailedLinkRow
	err := s.ask(ctx, "list mailed links", func(db *gorm.DB) error {
		return db.Raw(selectMailedLink+"where user_id = ? order by purpose", string(id)).Find(&rows).Error
	})
	links := make([]identity.MailedLink, len(rows))
	for i, r := range rows {
		links[i] = r.link()
	}
	return links, err
}

func (c *change) PutMailedLink(l identity.MailedLink) error {
	if err := c.hold(l.User); err != nil {
		return err
	}
	_, err := c.exec("put mailed link", `insert into mailed_links (hash, user_id, purpose, created, expires) values (@hash, @user, @purpose, @created, @expires)
		on conflict (user_id, purpose) do update set hash = excluded.hash, created = excluded.created, expires = excluded.expires`,
		args{"hash": l.Hash, "user": string(l.User), "purpose": string(l.Purpose), "created": at(l.Created), "expires": at(l.Expires)})
	return err
}

func (c *change) SpendMailedLink(id identity.UserID, purpose identity.LinkPurpose, hash string, now time.Time) (bool, error) {
	if err := c.hold(id); err != nil {
		return false, err
	}
	n, err := c.exec("spend mailed link", "delete from mailed_links where user_id = @user and purpose = @purpose and (@hash = '' or hash = @hash) and expires > @now",
		args{"user": string(id), "purpose": string(purpose), "hash": hash, "now": at(now)})
	return n > 0, err
}
