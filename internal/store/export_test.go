package store

import "context"

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
