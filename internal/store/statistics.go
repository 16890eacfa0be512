package store

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
)

// everyone stands for all organisations in audit_daily. No organisation is called so.
const everyone = "*"

type dailyKey struct{ organisation, day, kind, method, reason string }

// count adds events to the days they happened on, so that nobody ever counts the
// trail. It is the sealer's, who works alone: no two writers meet on a row.
func count(db *gorm.DB, entries []audit.Entry) error {
	counts := map[dailyKey]int64{}
	for _, e := range entries {
		if e.Mark == audit.Forged {
			continue
		}
		k := dailyKey{everyone, e.At.UTC().Format(time.DateOnly), string(e.Type), e.Method, ""}
		if e.Type.Counted() {
			k.reason = e.Reason
		}
		counts[k]++
		if k.organisation = e.Organisation; k.organisation != "" {
			counts[k]++
		}
	}
	if len(counts) == 0 {
		return nil
	}
	values := make([]any, 0, 6*len(counts))
	for _, k := range slices.SortedFunc(maps.Keys(counts), func(a, b dailyKey) int {
		return cmp.Or(cmp.Compare(a.organisation, b.organisation), cmp.Compare(a.day, b.day), cmp.Compare(a.kind, b.kind), cmp.Compare(a.method, b.method), cmp.Compare(a.reason, b.reason))
	}) {
		values = append(values, k.organisation, k.day, k.kind, k.method, k.reason, counts[k])
	}
	row := "(?, ?, ?, ?, ?, ?)"
	if db.Name() != SQLite {
		row = "(?, ?::date, ?, ?, ?, ?::bigint)"
	}
	return db.Exec("insert into audit_daily (organisation, day, type, method, reason, events) values "+rowsOf(len(counts), row)+
		" on conflict (organisation, day, type, method, reason) do update set events = audit_daily.events + excluded.events", values...).Error
}

// Statistics reads how many events there were each day, from one day to another,
// both included, of one organisation or ("") of all.
func (s *Store) Statistics(ctx context.Context, organisation string, since, until time.Time, types []audit.Type) ([]audit.Count, error) {
	day := "day"
	if s.postgres {
		day = "to_char(day, 'YYYY-MM-DD')"
	}
	var rows []struct {
		Day, Type, Method, Reason string
		Events                    int64
	}
	err := s.ask(ctx, "read statistics", func(db *gorm.DB) error {
		return db.Raw("select "+day+" as day, type, method, reason, events from audit_daily where organisation = ? and day between ? and ? and type in ? order by day, type, method, reason",
			cmp.Or(organisation, everyone), since.UTC().Format(time.DateOnly), until.UTC().Format(time.DateOnly), types).Find(&rows).Error
	})
	counts := make([]audit.Count, len(rows))
	for i, r := range rows {
		counts[i] = audit.Count{Day: r.Day, Type: audit.Type(r.Type), Method: r.Method, Reason: r.Reason, Events: r.Events}
	}
	return counts, err
}
