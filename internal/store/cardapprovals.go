package store

import (
	"cmp"
	"context"
	"math"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/identity"
)

type cardApprovalRow struct {
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
	Proved        int64
	Asked         moment
	Expires       moment
}

func (cardApprovalRow) TableName() string { return "card_approvals" }

func (r cardApprovalRow) approval() identity.CardApproval {
	return identity.CardApproval{Card: identity.CardLink{ID: identity.LinkID(r.ID), User: identity.UserID(r.UserID), Fingerprint: r.Fingerprint, SPKI: r.SPKI,
		Issuer: r.Issuer, IssuerDN: r.IssuerDN, Serial: r.Serial, SubjectSerial: r.SubjectSerial, HolderName: r.HolderName, HolderOrg: r.HolderOrg, NotAfter: r.NotAfter.t},
		Proved: identity.Method(r.Proved), Asked: r.Asked.t, Expires: r.Expires.t}
}

var selectCardApproval = "select " + columns(&cardApprovalRow{}, "", "") + " from card_approvals "

// CardApprovals lists the cards that wait, the longest first.
func (s *Store) CardApprovals(ctx context.Context, of identity.ApprovalsOf, now time.Time) ([]identity.CardApproval, error) {
	var rows []cardApprovalRow
	err := s.ask(ctx, "list card approvals", func(db *gorm.DB) error {
		return db.Raw(selectCardApproval+`where expires > @now and (@user = '' or user_id = @user) and (@card = '' or fingerprint = @card) and (@id = '' or id = @id)
			and (@after = '' or asked > @asked or asked = @asked and id > @after)
			and (@org = '' or user_id in (select id from users where organisation = @org)) order by asked, id limit @limit`,
			args{"now": at(now), "user": string(of.User), "card": of.Fingerprint, "org": string(of.Organisation), "id": string(of.ID),
				"after": string(of.After), "asked": at(of.AfterAsked), "limit": cmp.Or(of.Limit, math.MaxInt32)}).Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.CardApproval, len(rows))
	for i, r := range rows {
		list[i] = r.approval()
	}
	return list, nil
}

// CardApproval holds the user and then reads: whoever decides at the same time
// has done so, or waits.
func (c *change) CardApproval(id identity.LinkID) (identity.CardApproval, error) {
	if err := c.holdWho("(select user_id from card_approvals where id = @id)", string(id), errNoCardApproval); err != nil {
		return identity.CardApproval{}, err
	}
	var row cardApprovalRow
	r := c.db.Raw(selectCardApproval+"where id = ?", string(id)).Find(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return identity.CardApproval{}, errNoCardApproval
	}
	return row.approval(), c.did("find card approval", r.Error)
}

// AddCardApproval leaves it to the unique indexes to decide between any number of
// callers, as AddCardLink does (S27). What has expired is out of the way.
func (c *change) AddCardApproval(a identity.CardApproval) error {
	l := a.Card
	if err := c.hold(l.User); err != nil {
		return err
	}
	if _, err := c.exec("clear card approvals", "delete from card_approvals where user_id = @user or fingerprint = @card and expires <= @now",
		args{"user": string(l.User), "card": l.Fingerprint, "now": at(a.Asked)}); err != nil {
		return err
	}
	var linked int64
	if err := c.db.Raw("select count(*) from card_links where fingerprint = ? and removed is null", l.Fingerprint).Find(&linked).Error; err != nil {
		return c.did("add card approval", err)
	}
	if linked > 0 {
		return errCardElsewhere
	}
	row := cardApprovalRow{ID: string(l.ID), UserID: string(l.User), Fingerprint: l.Fingerprint, SPKI: l.SPKI, Issuer: l.Issuer, IssuerDN: l.IssuerDN,
		Serial: l.Serial, SubjectSerial: l.SubjectSerial, HolderName: l.HolderName, HolderOrg: l.HolderOrg, NotAfter: at(l.NotAfter),
		Proved: int64(a.Proved), Asked: at(a.Asked), Expires: at(a.Expires)}
	r := c.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return errCardElsewhere
	}
	return c.did("add card approval", r.Error)
}

func (c *change) RemoveCardApproval(id identity.UserID) (bool, error) {
	if err := c.hold(id); err != nil {
		return false, err
	}
	n, err := c.exec("remove card approval", "delete from card_approvals where user_id = ?", string(id))
	return n > 0, err
}
