package store

import (
	"cmp"
	"context"
	"math"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/identity"
)

type confirmationRow struct {
	ID          string
	CheckID     string
	Act         string
	Reason      string
	Asked       moment
	ConfirmedBy optional
	Confirmed   moment
	RefusedBy   optional
	Refused     moment
	Refusal     string
}

func (confirmationRow) TableName() string { return "confirmations" }

// askedRow is a confirmation with the check it is asked on.
type askedRow struct {
	Confirmation confirmationRow `gorm:"embedded;embeddedPrefix:f_"`
	Check        checkRow        `gorm:"embedded;embeddedPrefix:k_"`
}

func (r askedRow) confirmation() identity.Confirmation {
	f := r.Confirmation
	return identity.Confirmation{ID: identity.ConfirmationID(f.ID), Check: r.Check.check(), Act: identity.Right(f.Act), Reason: f.Reason, Asked: f.Asked.t,
		By: identity.UserID(f.ConfirmedBy), At: f.Confirmed.t, RefusedBy: identity.UserID(f.RefusedBy), Refused: f.Refused.t, Refusal: f.Refusal}
}

var selectConfirmation = "select " + columns(&confirmationRow{}, "f", "f_") + ", " + columns(&checkRow{}, "k", "k_") + `
	from confirmations f join identity_checks k on k.id = f.check_id `

// Confirmations lists acts that wait for a second person, or that one has confirmed or refused
// (identity.Store).
func (s *Store) Confirmations(ctx context.Context, of identity.ConfirmationsOf, now time.Time) ([]identity.Confirmation, error) {
	var rows []askedRow
	err := s.ask(ctx, "list confirmations", func(db *gorm.DB) error {
		return db.Raw(selectConfirmation+`where k.expires > @now and (@id = '' or f.id = @id) and (@check = '' or f.check_id = @check)
			and (@decided or f.confirmed_by is null and f.refused_by is null)
			and (@after = '' or f.asked > @asked or f.asked = @asked and f.id > @after)
			and (@org = '' or k.user_id in (select id from users where organisation = @org)) order by f.asked, f.id limit @limit`,
			args{"now": at(now), "id": string(of.ID), "check": string(of.Check), "org": string(of.Organisation), "decided": !of.Waiting,
				"after": string(of.After), "asked": at(of.AfterAsked), "limit": cmp.Or(of.Limit, math.MaxInt32)}).Find(&rows).Error
	})
	list := make([]identity.Confirmation, len(rows))
	for i, r := range rows {
		list[i] = r.confirmation()
	}
	return list, err
}

// Confirmation holds the person whom it is about, and then reads: whoever decides at
// the same time has done so, or waits.
func (c *change) Confirmation(id identity.ConfirmationID) (identity.Confirmation, error) {
	if err := c.holdWho("(select k.user_id from confirmations f join identity_checks k on k.id = f.check_id where f.id = @id)", string(id), errNoConfirmation); err != nil {
		return identity.Confirmation{}, err
	}
	var row askedRow
	r := c.db.Raw(selectConfirmation+"where f.id = ?", string(id)).Find(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return identity.Confirmation{}, errNoConfirmation
	}
	return row.confirmation(), c.did("find confirmation", r.Error)
}

func (c *change) AddConfirmation(f identity.Confirmation) error {
	if err := c.hold(f.Check.User); err != nil {
		return err
	}
	if _, err := c.exec("clear confirmation", "delete from confirmations where check_id = ? and act = ?", string(f.Check.ID), string(f.Act)); err != nil {
		return err
	}
	row := confirmationRow{ID: string(f.ID), CheckID: string(f.Check.ID), Act: string(f.Act), Reason: f.Reason, Asked: at(f.Asked), ConfirmedBy: optional(f.By), Confirmed: at(f.At), RefusedBy: optional(f.RefusedBy), Refused: at(f.Refused), Refusal: f.Refusal}
	return c.did("add confirmation", c.db.Create(&row).Error)
}

// Confirm is one statement: the database decides who was first.
func (c *change) Confirm(id identity.ConfirmationID, by identity.UserID, when time.Time) (bool, error) {
	n, err := c.exec("confirm", "update confirmations set confirmed_by = ?, confirmed = ? where id = ? and confirmed_by is null and refused_by is null", string(by), at(when), string(id))
	return n > 0, err
}

// RefuseConfirmation is one statement, as Confirm.
func (c *change) RefuseConfirmation(id identity.ConfirmationID, by identity.UserID, why string, when time.Time) (bool, error) {
	n, err := c.exec("refuse", "update confirmations set refused_by = ?, refused = ?, refusal = ? where id = ? and confirmed_by is null and refused_by is null", string(by), at(when), why, string(id))
	return n > 0, err
}

// WithdrawConfirmation is one statement, as Confirm.
func (c *change) WithdrawConfirmation(id identity.ConfirmationID) (bool, error) {
	n, err := c.exec("withdraw confirmation", "delete from confirmations where id = ? and confirmed_by is null and refused_by is null", string(id))
	return n > 0, err
}

// SpendConfirmation is one statement as well.
func (c *change) SpendConfirmation(check identity.CheckID, act identity.Right, reason string) (identity.UserID, error) {
	var by []identity.UserID
	err := c.db.Raw("delete from confirmations where check_id = ? and act = ? and reason = ? and confirmed_by is not null returning confirmed_by",
		string(check), string(act), reason).Find(&by).Error
	if err == nil && len(by) == 0 {
		return "", errNoConfirmation
	}
	if err != nil {
		return "", c.did("spend confirmation", err)
	}
	return by[0], nil
}
