package store

import (
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/identity"
)

type authenticatorRow struct {
	ID            string
	UserID        string
	Kind          int64
	SealedKey     string
	Model         string
	Serial        string
	OwnDevice     bool
	PersonalPhone bool
	LastStep      int64
	Drift         int64
	Failures      int64
	BlockedUntil  moment
	Linked        moment
	Removed       moment
	RemovedReason string
}

func (authenticatorRow) TableName() string { return "authenticators" }

func (r authenticatorRow) authenticator() identity.Authenticator {
	return identity.Authenticator{ID: identity.AuthenticatorID(r.ID), User: identity.UserID(r.UserID), Kind: identity.Method(r.Kind),
		SealedKey: r.SealedKey, Model: r.Model, Serial: r.Serial, OwnDevice: r.OwnDevice, PersonalPhone: r.PersonalPhone,
		LastStep: r.LastStep, Drift: r.Drift, Failures: int(r.Failures), BlockedUntil: r.BlockedUntil.t,
		Linked: r.Linked.t, Removed: r.Removed.t, RemovedReason: r.RemovedReason}
}

// AddAuthenticator leaves it to the unique index to decide between any number
// of callers (S41).
func (c *change) AddAuthenticator(a identity.Authenticator) error {
	if err := c.hold(a.User); err != nil {
		return err
	}
	row := authenticatorRow{ID: string(a.ID), UserID: string(a.User), Kind: int64(a.Kind), SealedKey: a.SealedKey, Model: a.Model, Serial: a.Serial,
		OwnDevice: a.OwnDevice, PersonalPhone: a.PersonalPhone, LastStep: a.LastStep, Drift: a.Drift, Failures: int64(a.Failures),
		BlockedUntil: at(a.BlockedUntil), Linked: at(a.Linked), Removed: at(a.Removed), RemovedReason: a.RemovedReason}
	r := c.db.Clauses(clause.OnConflict{DoNothing: true}).Create(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return errAuthenticatorIs
	}
	return c.did("add authenticator", r.Error)
}

func (c *change) RemoveAuthenticator(id identity.UserID, reason string) (bool, error) {
	return c.removeLink("authenticators", id, reason)
}

// UseStep is one conditional update: the database decides who was first (S44).
func (c *change) UseStep(id identity.AuthenticatorID, step, drift int64) (bool, error) {
	if err := c.holdOwner(id); err != nil {
		return false, ignore(err, errNoAuthenticator)
	}
	n, err := c.exec("use time step", `update authenticators set last_step = @step, drift = @drift, failures = 0
		where id = @id and removed is null and last_step < @step`, args{"id": string(id), "step": step, "drift": drift})
	return n == 1, err
}

func (c *change) FailCode(id identity.AuthenticatorID) (int, error) {
	if err := c.holdOwner(id); err != nil {
		return 0, err
	}
	var failures int
	err := c.db.Raw("update authenticators set failures = failures + 1 where id = ? returning failures", string(id)).Find(&failures).Error
	return failures, c.did("count wrong code", err)
}

func (c *change) BlockCodes(a identity.Authenticator) error {
	if err := c.holdOwner(a.ID); err != nil {
		return err
	}
	_, err := c.exec("block codes", "update authenticators set blocked_until = ? where id = ?", at(a.BlockedUntil), string(a.ID))
	return err
}
