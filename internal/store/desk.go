package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/identity"
)

type checkRow struct {
	ID      string
	UserID  string
	Actor   string
	Method  string
	Ticket  string
	Note    string
	At      moment
	Expires moment
}

func (checkRow) TableName() string { return "identity_checks" }

type linkingCodeRow struct {
	UserID  string
	Hash    string
	Actor   string
	Issued  moment
	Expires moment
}

func (linkingCodeRow) TableName() string { return "linking_codes" }

var (
	selectCheck       = "select " + columns(&checkRow{}, "", "") + " from identity_checks where id = ?"
	selectLinkingCode = "select " + columns(&linkingCodeRow{}, "", "") + " from linking_codes where user_id = ?"
)

func findCheck(db *gorm.DB, id identity.CheckID) (identity.Check, error) {
	var row checkRow
	r := db.Raw(selectCheck, string(id)).Find(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return identity.Check{}, errNoCheck
	}
	return row.check(), r.Error
}

func (r checkRow) check() identity.Check {
	return identity.Check{ID: identity.CheckID(r.ID), User: identity.UserID(r.UserID), By: r.Actor, Method: identity.CheckMethod(r.Method),
		Ticket: r.Ticket, Note: r.Note, At: r.At.t, Expires: r.Expires.t}
}

// Check finds an identity check (identity.Store).
func (s *Store) Check(ctx context.Context, id identity.CheckID) (c identity.Check, err error) {
	err = s.ask(ctx, "find identity check", func(db *gorm.DB) error {
		c, err = findCheck(db, id)
		return err
	})
	return c, err
}

// LinkingCode finds a person's linking code (identity.Store).
func (s *Store) LinkingCode(ctx context.Context, user identity.UserID) (identity.LinkingCode, error) {
	var row linkingCodeRow
	err := s.ask(ctx, "find linking code", func(db *gorm.DB) error {
		r := db.Raw(selectLinkingCode, string(user)).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoLinkingCode
		}
		return r.Error
	})
	return identity.LinkingCode{User: identity.UserID(row.UserID), Hash: row.Hash, By: row.Actor, Issued: row.Issued.t, Expires: row.Expires.t}, err
}

func (c *change) Check(id identity.CheckID) (identity.Check, error) {
	check, err := findCheck(c.db, id)
	return check, c.did("find identity check", err)
}

func (c *change) AddCheck(k identity.Check) error {
	if err := c.hold(k.User); err != nil {
		return err
	}
	row := checkRow{string(k.ID), string(k.User), k.By, string(k.Method), k.Ticket, k.Note, at(k.At), at(k.Expires)}
	return c.did("add identity check", c.db.Create(&row).Error)
}

func (c *change) CloseLinking(user identity.UserID, since time.Time) error {
	if err := c.hold(user); err != nil {
		return err
	}
	_, err := c.exec("close linking", "update users set linking_closed = ? where id = ?", at(since), string(user))
	return err
}

func (c *change) SetLinkingCode(l identity.LinkingCode) error {
	if err := c.hold(l.User); err != nil {
		return err
	}
	row := linkingCodeRow{string(l.User), l.Hash, l.By, at(l.Issued), at(l.Expires)}
	return c.did("set linking code", c.db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "user_id"}}, UpdateAll: true}).Create(&row).Error)
}

// TakeLinkingCode is one statement: the database decides who was first.
func (c *change) TakeLinkingCode(user identity.UserID, hash string) (bool, error) {
	if err := c.hold(user); err != nil {
		return false, err
	}
	n, err := c.exec("take linking code", "delete from linking_codes where user_id = @user and (@hash = '' or hash = @hash)", args{"user": string(user), "hash": hash})
	return n > 0, err
}

func (c *change) UnblockCodes(id identity.AuthenticatorID) error {
	if err := c.holdOwner(id); err != nil {
		return err
	}
	_, err := c.exec("unblock codes", "update authenticators set failures = 0, blocked_until = null where id = ?", string(id))
	return err
}
