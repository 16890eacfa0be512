package store

import (
	"context"
	"slices"
	"time"

	"github.com/portti-id/portti/internal/identity"
)

// Pragma reads a setting of the writing connection to SQLite.
func Pragma(ctx context.Context, s *Store, name string) (value string) {
	if err := s.write.WithContext(ctx).Raw("pragma " + name).Scan(&value).Error; err != nil {
		return err.Error()
	}
	return value
}

// Exec runs a statement, to make what no method makes.
func Exec(ctx context.Context, s *Store, sql string) error {
	return s.write.WithContext(ctx).Exec(sql).Error
}

// Sealings are the columns of sealings.go, as table.column.
func Sealings() (list []string) {
	for _, s := range sealings {
		list = append(list, s.table+"."+s.column)
	}
	slices.Sort(list)
	return list
}

// SealedColumns are the columns of the schema whose names begin with sealed.
func SealedColumns(ctx context.Context, s *Store) (list []string) {
	sql := "select m.name || '.' || c.name from sqlite_master m, pragma_table_info(m.name) c where m.type = 'table' and c.name like 'sealed%'"
	if s.postgres {
		sql = "select table_name || '.' || column_name from information_schema.columns where table_schema = current_schema() and column_name like 'sealed%'"
	}
	if err := s.read.WithContext(ctx).Raw(sql).Scan(&list).Error; err != nil {
		return []string{err.Error()}
	}
	slices.Sort(list)
	return list
}

// PlanOfPeople is how SQLite would find people, a step a line.
func PlanOfPeople(ctx context.Context, s *Store, q identity.Search, now time.Time) (steps []string, err error) {
	db := s.read.WithContext(ctx)
	statement, a, err := s.search(db, q, now)
	if err != nil {
		return nil, err
	}
	rows, err := db.Raw("explain query plan "+statement, a).Rows()
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id, parent, unused int
		var detail string
		if err := rows.Scan(&id, &parent, &unused, &detail); err != nil {
			return nil, err
		}
		steps = append(steps, detail)
	}
	return steps, rows.Err()
}
