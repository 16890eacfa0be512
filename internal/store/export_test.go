package store

import "context"

// Pragma reads a setting of the writing connection to SQLite.
func Pragma(ctx context.Context, s *Store, name string) (value string) {
	if err := s.write.WithContext(ctx).Raw("pragma " + name).Scan(&value).Error; err != nil {
		return err.Error()
	}
	return value
}
