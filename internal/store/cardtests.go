package store

import (
	"context"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/card"
)

type cardTestRow struct {
	Code    string
	Verdict string
	Failed  string
	Kind    string
	Mode    string
	TLS     string
	At      moment
}

func (cardTestRow) TableName() string { return "card_tests" }

var selectCardTest = "select " + columns(&cardTestRow{}, "", "") + " from card_tests "

// KeepCardTest keeps the result of a card test until card.TestKept has passed.
func (s *Store) KeepCardTest(ctx context.Context, t card.Tested) error {
	row := cardTestRow{t.Code, string(t.Verdict), string(t.Failed), string(t.Kind), string(t.Mode), t.TLS, at(t.At)}
	return s.tell(ctx, "keep card test", func(db *gorm.DB) error { return db.Create(&row).Error })
}

// CardTest finds the result of a card test by its support code:
// fault.NotFound "card_test_not_found" when there is none.
func (s *Store) CardTest(ctx context.Context, code string) (card.Tested, error) {
	var row cardTestRow
	err := s.ask(ctx, "find card test", func(db *gorm.DB) error {
		r := db.Raw(selectCardTest+"where code = ?", code).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoCardTest
		}
		return r.Error
	})
	return card.Tested{Code: row.Code, Verdict: card.Verdict(row.Verdict), Failed: card.Check(row.Failed), Kind: card.Kind(row.Kind),
		Mode: card.Mode(row.Mode), TLS: row.TLS, At: row.At.t}, err
}
