package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/keys"
)

// Keys is the store of signing keys, and of what else package keys has. It is a view, since keys.Store and
// openid.Store each have a Rotate.
func (s *Store) Keys() keys.Store { return signingKeys{s} }

type signingKeys struct{ s *Store }

type signingKeyRow struct {
	ID      string
	Kind    string
	State   string
	Sealed  string
	Created moment
	Moved   moment
}

var selectSigningKey = "select " + columns(&signingKeyRow{}, "", "") + " from signing_keys "

// SigningKeys lists all keys, oldest first.
func (k signingKeys) SigningKeys(ctx context.Context) ([]keys.Stored, error) {
	var rows []signingKeyRow
	err := k.s.ask(ctx, "list signing keys", func(db *gorm.DB) error {
		return db.Raw(selectSigningKey + "order by created, id").Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]keys.Stored, len(rows))
	for i, r := range rows {
		list[i] = keys.Stored{ID: r.ID, Kind: keys.Kind(r.Kind), State: keys.State(r.State), Sealed: r.Sealed, Created: r.Created.t, Moved: r.Moved.t}
	}
	return list, nil
}

// AddSigningKey leaves it to the unique indexes to decide between replicas that
// start at once.
func (k signingKeys) AddSigningKey(ctx context.Context, key keys.Stored, e audit.Event) error {
	return k.s.transact(ctx, "add signing key", func(db *gorm.DB) error {
		added, err := insertKey(db, key)
		if err != nil {
			return err
		}
		if !added {
			return errKeyIs
		}
		return k.tell(db, e)
	})
}

func insertKey(db *gorm.DB, key keys.Stored) (bool, error) {
	r := db.Exec(`insert into signing_keys (id, kind, state, sealed, created, moved) values (@id, @kind, @state, @sealed, @created, @moved)
		on conflict do nothing`, args{"id": key.ID, "kind": string(key.Kind), "state": string(key.State), "sealed": key.Sealed,
		"created": at(key.Created), "moved": at(key.Moved)})
	return r.RowsAffected == 1, r.Error
}

// tell writes the events of a change.
func (k signingKeys) tell(db *gorm.DB, events ...audit.Event) error {
	for _, e := range events {
		if err := db.Exec(addEvent, k.s.eventArgs(db.Statement.Context, e)).Error; err != nil {
			return err
		}
	}
	return nil
}

// Rotate retires the current key first: of any number of replicas one finds it
// current. An empty current says that there is none yet.
func (k signingKeys) Rotate(ctx context.Context, kind keys.Kind, next, current string, when time.Time, events ...audit.Event) error {
	return k.s.transact(ctx, "rotate signing keys", func(db *gorm.DB) error {
		if current != "" {
			if err := move(db, kind, current, keys.Current, keys.Retired, when); err != nil {
				return err
			}
		}
		if err := move(db, kind, next, keys.Next, keys.Current, when); err != nil {
			return err
		}
		return k.tell(db, events...)
	})
}

// Replace makes way for the new key first, by the same statement that decides
// between those who rotate.
func (k signingKeys) Replace(ctx context.Context, key keys.Stored, current string, withdrawn []string, events ...audit.Event) error {
	return k.s.transact(ctx, "replace signing key", func(db *gorm.DB) error {
		if err := move(db, key.Kind, current, keys.Current, keys.Retired, key.Moved); err != nil {
			return err
		}
		if len(withdrawn) > 0 {
			if err := db.Exec("delete from signing_keys where kind = ? and id in ?", string(key.Kind), withdrawn).Error; err != nil {
				return err
			}
		}
		added, err := insertKey(db, key)
		if err != nil {
			return err
		}
		if !added {
			return errKeysMoved
		}
		return k.tell(db, events...)
	})
}

func move(db *gorm.DB, kind keys.Kind, id string, from, to keys.State, when time.Time) error {
	r := db.Exec("update signing_keys set state = @to, moved = @at where id = @id and kind = @kind and state = @from",
		args{"id": id, "kind": string(kind), "from": string(from), "to": string(to), "at": at(when)})
	if breaks(r.Error, "signing_keys_one_current", "signing_keys.kind") || r.Error == nil && r.RowsAffected == 0 {
		return errKeysMoved
	}
	return r.Error
}

// DropSigningKey deletes a retired key; one that is gone is no error.
func (k signingKeys) DropSigningKey(ctx context.Context, id string, e audit.Event) (dropped bool, err error) {
	err = k.s.transact(ctx, "drop signing key", func(db *gorm.DB) error {
		r := db.Exec("delete from signing_keys where id = ? and state = 'retired'", id)
		if r.Error != nil {
			return r.Error
		}
		if dropped = r.RowsAffected > 0; dropped {
			return k.tell(db, e)
		}
		var there int64
		if err := db.Raw("select count(*) from signing_keys where id = ?", id).Find(&there).Error; err != nil {
			return err
		}
		if there > 0 {
			return errKeyInUse
		}
		return nil
	})
	return dropped && err == nil, err
}
