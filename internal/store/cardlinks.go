package store

import (
	"context"
	"fmt"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
)

type cardLinkRow struct {
	ID            string
	UserID        string
	Fingerprint   string
	SPKI          string
	Issuer        string
	IssuerDN      string
	Serial        string
	SubjectSerial string
	HolderName    string
	HolderOrg     string
	NotAfter      moment
	Linked        moment
	Used          moment
	Noticed       int64
	Removed       moment
	RemovedReason string
	Status        string
	StatusAt      moment
}

func (cardLinkRow) TableName() string { return "card_links" }

func (r cardLinkRow) link() identity.CardLink {
	return identity.CardLink{ID: identity.LinkID(r.ID), User: identity.UserID(r.UserID), Fingerprint: r.Fingerprint, SPKI: r.SPKI,
		Issuer: r.Issuer, IssuerDN: r.IssuerDN, Serial: r.Serial, SubjectSerial: r.SubjectSerial, HolderName: r.HolderName, HolderOrg: r.HolderOrg,
		NotAfter: r.NotAfter.t, Linked: r.Linked.t, Used: r.Used.t, Noticed: int(r.Noticed), Removed: r.Removed.t, RemovedReason: r.RemovedReason,
		Status: card.State(r.Status), StatusAt: r.StatusAt.t}
}

var selectCardLink = "select " + columns(&cardLinkRow{}, "", "") + " from card_links "

// CardLink finds the link of a certificate: the active one, or the last that was.
func (s *Store) CardLink(ctx context.Context, fingerprint string) (identity.CardLink, error) {
	var row cardLinkRow
	err := s.ask(ctx, "find card link", func(db *gorm.DB) error {
		r := db.Raw(selectCardLink+`where fingerprint = ?
			order by case when removed is null then 0 else 1 end, removed desc limit 1`, fingerprint).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errCardNotLinked
		}
		return r.Error
	})
	return row.link(), err
}

// CardLinks lists active links by their identifiers, a page at a time.
func (s *Store) CardLinks(ctx context.Context, after identity.LinkID, n int) ([]identity.CardLink, error) {
	var rows []cardLinkRow
	err := s.ask(ctx, "list card links", func(db *gorm.DB) error {
		return db.Raw(selectCardLink+"where removed is null and id > ? order by id limit ?", string(after), n).Find(&rows).Error
	})
	links := make([]identity.CardLink, len(rows))
	for i, r := range rows {
		links[i] = r.link()
	}
	return links, err
}

// SetCardStatus compares and swaps, so that of any number of callers one records
// a change and does what follows from it.
func (c *change) SetCardStatus(l identity.CardLink, status card.State, when time.Time) (bool, error) {
	if err := c.hold(l.User); err != nil {
		return false, err
	}
	n, err := c.exec("set card status", "update card_links set status = ?, status_at = ? where id = ? and removed is null and status = ?",
		string(status), at(when), string(l.ID), string(l.Status))
	return n > 0, err
}

// AddCardLink leaves it to the two unique indexes to decide between any number
// of callers (S27).
func (c *change) AddCardLink(l identity.CardLink) error {
	if err := c.hold(l.User); err != nil {
		return err
	}
	row := cardLinkRow{ID: string(l.ID), UserID: string(l.User), Fingerprint: l.Fingerprint, SPKI: l.SPKI,
		Issuer: l.Issuer, IssuerDN: l.IssuerDN, Serial: l.Serial, SubjectSerial: l.SubjectSerial, HolderName: l.HolderName, HolderOrg: l.HolderOrg,
		NotAfter: at(l.NotAfter), Linked: at(l.Linked), Used: at(l.Used), Noticed: int64(l.Noticed), Removed: at(l.Removed), RemovedReason: l.RemovedReason}
	r := c.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
	if r.Error != nil || r.RowsAffected > 0 {
		return c.did("add card link", r.Error)
	}
	var own int64
	if err := c.db.Raw("select count(*) from card_links where user_id = ? and removed is null", row.UserID).Find(&own).Error; err != nil {
		return c.did("add card link", err)
	}
	if own > 0 {
		return errCardIs
	}
	return errCardElsewhere
}

// ExpiringCards compares what was told with what there is to tell: each notice
// is due from its day on, unless it or a later one has gone out.
func (s *Store) ExpiringCards(ctx context.Context, now time.Time, n int) ([]identity.CardLink, error) {
	due, a := "", args{"now": at(now), "n": n}
	for i, days := range identity.Notices {
		day, told := fmt.Sprint("day", i), fmt.Sprint("told", i)
		due += " or not_after <= @" + day + " and (noticed = 0 or noticed > @" + told + ")"
		a[day], a[told] = at(now.AddDate(0, 0, days)), days
	}
	var rows []cardLinkRow
	err := s.ask(ctx, "list expiring cards", func(db *gorm.DB) error {
		return db.Raw(selectCardLink+`where removed is null and not_after > @now and (1 = 0`+due+`)
			and user_id in (select u.id from users u join organisations o on o.id = u.organisation where u.disabled is null and o.disabled is null)
			order by not_after, id limit @n`, a).Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.CardLink, len(rows))
	for i, row := range rows {
		list[i] = row.link()
	}
	return list, nil
}

func (c *change) NoteCardUse(user identity.UserID, link identity.LinkID, when time.Time) error {
	if err := c.hold(user); err != nil {
		return err
	}
	_, err := c.exec("note use of card", "update card_links set used = ? where id = ? and user_id = ?", at(when), string(link), string(user))
	return err
}

func (c *change) NoteCardNotice(user identity.UserID, link identity.LinkID, days int) error {
	if err := c.hold(user); err != nil {
		return err
	}
	_, err := c.exec("note notice of card", "update card_links set noticed = ? where id = ? and user_id = ?", days, string(link), string(user))
	return err
}

func (c *change) RemoveCardLink(id identity.UserID, reason string) (bool, error) {
	return c.removeLink("card_links", id, reason)
}

// removeLink removes a user's active link, holding the user first.
func (c *change) removeLink(table string, id identity.UserID, reason string) (bool, error) {
	if err := c.hold(id); err != nil {
		return false, err
	}
	n, err := c.exec("remove link", "update "+table+" set removed = ?, removed_reason = ? where user_id = ? and removed is null",
		at(c.s.now()), reason, string(id))
	return n > 0, err
}
