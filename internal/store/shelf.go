package store

import (
	"context"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/card/crl"
)

// partsKept is for how long parts that nothing names may still be on their way to
// the shelf, or be read by a replica.
const partsKept = time.Hour

// clocksDiffer is how far the clocks of replicas may be apart.
const clocksDiffer = time.Minute

// shelf is crl.Shelf.
type shelf struct{ s *Store }

// Shelf keeps the lists of revoked certificates.
func (s *Store) Shelf() crl.Shelf { return shelf{s} }

type listRow struct {
	CA           string
	Scope        string
	Number       string
	Digest       string
	Name         string
	Parts        string
	Count        int
	Size         int64
	ThisUpdate   moment
	NextUpdate   moment
	Entries      int
	Source       string
	Fetched      moment
	Checked      moment
	ETag         string `gorm:"column:etag"`
	LastModified string
}

func (listRow) TableName() string { return "crl_lists" }

var selectLists = "select " + columns(&listRow{}, "", "") + " from crl_lists "

func (h shelf) Shelved(ctx context.Context) ([]crl.Shelved, error) {
	var rows []listRow
	err := h.s.ask(ctx, "look at the shelf", func(db *gorm.DB) error {
		return db.Raw(selectLists + "order by ca, scope").Find(&rows).Error
	})
	all := make([]crl.Shelved, len(rows))
	for i, r := range rows {
		all[i] = crl.Shelved{CA: crl.Authority(r.CA), Scope: crl.Scope(r.Scope), Number: crl.Number(r.Number), Digest: r.Digest, Name: r.Name, Parts: r.Parts, Count: r.Count,
			Size: r.Size, ThisUpdate: r.ThisUpdate.t, NextUpdate: r.NextUpdate.t, Entries: r.Entries, Source: r.Source, Fetched: r.Fetched.t, Checked: r.Checked.t,
			ETag: r.ETag, LastModified: r.LastModified}
	}
	return all, err
}

func (h shelf) Part(ctx context.Context, parts string, n int) ([]byte, error) {
	var row struct{ Data []byte }
	err := h.s.ask(ctx, "read a part of a list", func(db *gorm.DB) error {
		r := db.Raw("select data from crl_parts where parts = ? and n = ?", parts, n).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoPart
		}
		return r.Error
	})
	return row.Data, err
}

func (h shelf) PutPart(ctx context.Context, parts string, n int, data []byte) error {
	return h.s.tell(ctx, "write a part of a list", func(db *gorm.DB) error {
		return db.Exec("insert into crl_parts (parts, n, data, added) values (@parts, @n, @data, @now)",
			args{"parts": parts, "n": n, "data": data, "now": at(h.s.now())}).Error
	})
}

// Shelve is one statement, so that the database compares: of numbers that come at
// once the highest stays.
func (h shelf) Shelve(ctx context.Context, l crl.Shelved) (shelved bool, err error) {
	err = h.s.tell(ctx, "shelve a list", func(db *gorm.DB) error {
		r := db.Exec(`insert into crl_lists (ca, scope, number, digest, name, parts, count, size, this_update, next_update, entries, source, fetched, checked, etag, last_modified)
			values (@ca, @scope, @number, @digest, @name, @parts, @count, @size, @this, @next, @entries, @source, @fetched, @checked, @etag, @modified)
			on conflict (ca, scope) do update set number = excluded.number, digest = excluded.digest, name = excluded.name, parts = excluded.parts, count = excluded.count,
				size = excluded.size, this_update = excluded.this_update, next_update = excluded.next_update, entries = excluded.entries, source = excluded.source,
				fetched = excluded.fetched, checked = excluded.checked, etag = excluded.etag, last_modified = excluded.last_modified
			where excluded.number > crl_lists.number`,
			args{"ca": string(l.CA), "scope": string(l.Scope), "number": string(l.Number), "digest": l.Digest, "name": l.Name, "parts": l.Parts, "count": l.Count, "size": l.Size,
				"this": at(l.ThisUpdate), "next": at(l.NextUpdate), "entries": l.Entries, "source": l.Source, "fetched": at(l.Fetched), "checked": at(l.Checked),
				"etag": l.ETag, "modified": l.LastModified})
		shelved = r.RowsAffected == 1
		return r.Error
	})
	return shelved, err
}

func (h shelf) NoteChecked(ctx context.Context, l crl.Shelved) error {
	return h.s.tell(ctx, "note that a list is the newest", func(db *gorm.DB) error {
		return db.Exec(`update crl_lists set checked = @checked, source = @source, etag = @etag, last_modified = @modified
			where ca = @ca and scope = @scope and digest = @digest and (checked < @checked or checked > @soon)`,
			args{"soon": at(l.Checked.Add(clocksDiffer)), "ca": string(l.CA), "scope": string(l.Scope), "digest": l.Digest, "checked": at(l.Checked), "source": l.Source, "etag": l.ETag, "modified": l.LastModified}).Error
	})
}

func (h shelf) Forget(ctx context.Context, ca crl.Authority) (gone bool, err error) {
	err = h.s.tell(ctx, "forget the lists of a CA", func(db *gorm.DB) error {
		r := db.Exec("delete from crl_lists where ca = ?", string(ca))
		gone = r.RowsAffected > 0
		return r.Error
	})
	return gone, err
}

func (h shelf) DropParts(ctx context.Context, parts string) error {
	return h.s.tell(ctx, "drop parts of a list", func(db *gorm.DB) error {
		return db.Exec("delete from crl_parts where parts = @parts and not exists (select 1 from crl_lists l where l.parts = @parts)", args{"parts": parts}).Error
	})
}

// sweepParts deletes the parts of lists that newer ones have replaced, and of those
// that never got to the shelf. It finds them by the index alone.
func (s *Store) sweepParts(ctx context.Context, now time.Time) error {
	return s.tell(ctx, "sweep parts of lists", func(db *gorm.DB) error {
		return db.Exec("delete from crl_parts where parts in (select parts from crl_parts except select parts from crl_lists) and added < @before",
			args{"before": at(now.Add(-partsKept))}).Error
	})
}
