package store

import (
	"context"
	"errors"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
)

// Change runs f in one transaction (identity.Store).
func (s *Store) Change(ctx context.Context, f func(tx identity.Tx) error) error {
	var own error // f's error goes back as it is
	err := s.transact(ctx, "change", func(db *gorm.DB) error {
		c := &change{s: s, db: db, held: map[identity.UserID]bool{}}
		own = f(c)
		return errors.Join(own, c.broken)
	})
	if own != nil {
		return own
	}
	return err
}

// change is the inside of a Change: identity.Tx.
type change struct {
	s  *Store
	db *gorm.DB
	// broken is the first failed statement. PostgreSQL commits nothing after
	// one, so SQLite must not either, even when f went on and returned nil.
	broken error
	held   map[identity.UserID]bool
}

// did explains the error of a statement and remembers it.
func (c *change) did(what string, err error) error {
	err = explain(c.db.Statement.Context, what, err)
	if _, ok := fault.Of(err); err != nil && c.broken == nil && (!ok || fault.Is(err, fault.Unavailable)) {
		c.broken = err
	}
	return err
}

// exec runs a statement and returns how many rows it touched.
func (c *change) exec(what, sql string, args ...any) (int64, error) {
	r := c.db.Exec(sql, args...)
	return r.RowsAffected, c.did(what, r.Error)
}

// lock is the clause with which a read keeps others from changing its rows;
// nothing on SQLite, whose transactions follow one another.
func (c *change) lock(clause string) string { return c.s.lock(clause) }

func (s *Store) lock(clause string) string {
	if s.postgres {
		return " " + clause
	}
	return ""
}

// hold locks a user for the rest of the change, once: first the organisation,
// shared, then the user, whose row stands for everything that hangs on it. So
// a Person stays as it was read, and changes that meet wait for each other in
// one order, whatever they call first. errNoUser when there is none.
func (c *change) hold(id identity.UserID) error {
	if c.held[id] {
		return nil
	}
	return c.holdWho("@id", string(id), errNoUser)
}

// holdOwner holds the user of an active authenticator.
func (c *change) holdOwner(id identity.AuthenticatorID) error {
	return c.holdWho("(select user_id from authenticators where id = @id and removed is null)", string(id), errNoAuthenticator)
}

func (c *change) holdWho(who, id string, missing *fault.Fault) error {
	var held []identity.UserID
	err := c.db.Raw(`with o as `+c.lock("materialized")+` (select id from organisations
			where id = (select organisation from users where id = `+who+` ) `+c.lock("for share")+`)
		select u.id from users u, o where u.id = `+who+c.lock("for no key update of u"), args{"id": id}).Find(&held).Error
	if err != nil {
		return c.did("hold user", err)
	}
	if len(held) == 0 {
		return missing
	}
	c.held[held[0]] = true
	return nil
}

// ignore is err unless it is that one.
func ignore(err error, that *fault.Fault) error {
	if errors.Is(err, that) {
		return nil
	}
	return err
}
