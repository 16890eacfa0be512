package store

import (
	"context"

	"gorm.io/gorm"
)

// KeepSecret is one statement, so that the database decides who was first. The
// update changes nothing: without it no row comes back when there is one.
func (k signingKeys) KeepSecret(ctx context.Context, name, sealed string) (stored string, err error) {
	err = k.s.tell(ctx, "keep secret", func(db *gorm.DB) error {
		return db.Raw(`insert into secrets (name, sealed, created) values (@name, @sealed, @now)
			on conflict (name) do update set name = excluded.name returning sealed`,
			args{"name": name, "sealed": sealed, "now": at(k.s.now())}).Find(&stored).Error
	})
	return stored, err
}
