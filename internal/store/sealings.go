package store

import (
	"context"
	"fmt"
	"slices"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/keys"
)

// sealing is a column of sealed values. aad is SQL for what a value is bound to,
// by those who seal it.
type sealing struct{ of, table, key, column, aad string }

// sealings are all of them: a test finds a sealed column that is not here.
var sealings = []sealing{
	{"signing keys", "signing_keys", "id", "sealed", "id"},
	{"secrets", "secrets", "name", "sealed", "'secret:' || name"},
	{"authenticators", "authenticators", "id", "sealed_key", "'totp:' || user_id || ':' || id"},
	{"letters", "letters", "id", "sealed", "id"},
}

type sealingRow struct{ ID, AAD, Value string }

func (k signingKeys) KindsOfSealings() []string {
	kinds := make([]string, len(sealings))
	for i, s := range sealings {
		kinds[i] = s.of
	}
	return kinds
}

func (k signingKeys) SealingsWithout(ctx context.Context, of, prefix, behind string, n int) ([]keys.Sealing, error) {
	c, err := sealingOf(of)
	if err != nil {
		return nil, err
	}
	var rows []sealingRow
	err = k.s.ask(ctx, "list sealed values", func(db *gorm.DB) error {
		return db.Raw("select "+c.key+" as id, "+c.aad+" as aad, "+c.column+" as value from "+c.table+
			" where "+c.key+" > @behind and substr("+c.column+", 1, @length) <> @prefix order by "+c.key+" limit @n",
			args{"behind": behind, "prefix": prefix, "length": len(prefix), "n": n}).Find(&rows).Error
	})
	list := make([]keys.Sealing, len(rows))
	for i, r := range rows {
		list[i] = keys.Sealing{Of: of, ID: r.ID, AAD: r.AAD, Value: r.Value}
	}
	return list, err
}

// Reseal compares and swaps in one statement. It takes no lock on the user of an
// authenticator: the value means the same before and after.
func (k signingKeys) Reseal(ctx context.Context, s keys.Sealing, fresh string) (written bool, err error) {
	c, err := sealingOf(s.Of)
	if err != nil {
		return false, err
	}
	err = k.s.tell(ctx, "reseal", func(db *gorm.DB) error {
		r := db.Exec("update "+c.table+" set "+c.column+" = @fresh where "+c.key+" = @id and "+c.column+" = @value",
			args{"fresh": fresh, "id": s.ID, "value": s.Value})
		written = r.RowsAffected == 1
		return r.Error
	})
	return written, err
}

func sealingOf(of string) (sealing, error) {
	i := slices.IndexFunc(sealings, func(s sealing) bool { return s.of == of })
	if i < 0 {
		return sealing{}, fmt.Errorf("store: nothing sealed is called %q", of)
	}
	return sealings[i], nil
}
