package store

import (
	"context"
	"slices"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/identity"
)

type importRow struct {
	ID           string
	UserID       string
	Organisation string
	State        string
	Reason       string
	Address      string
	Epoch        int64
	Created      moment
	Expires      moment
	Finished     moment
}

func (importRow) TableName() string { return "imports" }

var importColumns = columns(&importRow{}, "", "")

func (r importRow) imported() identity.Import {
	return identity.Import{ID: identity.ImportID(r.ID), User: identity.UserID(r.UserID), Organisation: identity.OrganisationID(r.Organisation), State: identity.ImportState(r.State),
		Reason: r.Reason, Address: r.Address, Epoch: r.Epoch, Created: r.Created.t, Expires: r.Expires.t, Finished: r.Finished.t}
}

type importLineRow struct {
	Line    int
	Cells   doc[map[string]string]
	Verdict string
	Fields  words
	Code    string
	Done    bool
}

func (importLineRow) TableName() string { return "import_rows" }

var importLineColumns = columns(&importLineRow{}, "", "")

// Import finds an import and counts its rows (identity.Imports).
func (s *Store) Import(ctx context.Context, id identity.ImportID) (i identity.Import, err error) {
	err = s.ask(ctx, "find import", func(db *gorm.DB) error {
		var row importRow
		r := db.Raw("select "+importColumns+" from imports where id = ?", string(id)).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoImport
		}
		i = row.imported()
		if r.Error != nil {
			return r.Error
		}
		return countImport(db, &i)
	})
	return i, err
}

func countImport(db *gorm.DB, i *identity.Import) error {
	var counts []struct {
		Verdict string
		Done    bool
		N       int
	}
	err := db.Raw("select verdict, done, count(*) as n from import_rows where import_id = ? group by verdict, done", string(i.ID)).Find(&counts).Error
	i.Counts = map[identity.ImportVerdict]int{}
	for _, c := range counts {
		i.Counts[identity.ImportVerdict(c.Verdict)] += c.N
		if c.Done {
			i.Done += c.N
		}
	}
	return err
}

// ImportRows lists rows of an import by line.
func (s *Store) ImportRows(ctx context.Context, of identity.RowsOf) ([]identity.ImportRow, error) {
	where := "import_id = @import and line > @after"
	if of.Verdict != "" {
		where += " and verdict = @verdict"
	}
	if of.Pending {
		where += " and done = @false"
	}
	var rows []importLineRow
	err := s.ask(ctx, "list rows of an import", func(db *gorm.DB) error {
		return db.Raw("select "+importLineColumns+" from import_rows where "+where+" order by line limit @n",
			args{"import": string(of.Import), "after": of.After, "verdict": string(of.Verdict), "false": false, "n": of.Limit}).Find(&rows).Error
	})
	list := make([]identity.ImportRow, len(rows))
	for i, r := range rows {
		list[i] = identity.ImportRow{Line: r.Line, Cells: r.Cells.v, Verdict: identity.ImportVerdict(r.Verdict), Fields: r.Fields, Code: r.Code, Done: r.Done}
	}
	return list, err
}

// LeaseImport hands out an import with its counts.
func (s *Store) LeaseImport(ctx context.Context, now time.Time, lease time.Duration) (i identity.Import, ok bool, err error) {
	err = s.tell(ctx, "lease an import", func(db *gorm.DB) error {
		var rows []importRow
		err := db.Raw(`with ready as materialized (select id from imports where state = @applying and due <= @now order by due limit 1 `+s.lock("for update skip locked")+`)
			update imports set due = @until where id in (select id from ready) returning `+importColumns,
			args{"applying": string(identity.ImportApplying), "now": at(now), "until": at(now.Add(lease))}).Find(&rows).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		i, ok = rows[0].imported(), true
		return countImport(db, &i)
	})
	return i, ok && err == nil, err
}

// ReleaseImport ends a lease.
func (s *Store) ReleaseImport(ctx context.Context, id identity.ImportID, now time.Time) error {
	return s.tell(ctx, "release an import", func(db *gorm.DB) error {
		return db.Exec("update imports set due = ? where id = ? and state = ?", at(now), string(id), string(identity.ImportApplying)).Error
	})
}

// PeopleByName finds people by their folded usernames.
func (s *Store) PeopleByName(ctx context.Context, folded []string) ([]identity.Person, error) {
	var rows []personRow
	if len(folded) == 0 {
		return nil, nil
	}
	err := s.ask(ctx, "find people by name", func(db *gorm.DB) error {
		return db.Raw(selectPerson+"where u.username_folded in ?", folded).Find(&rows).Error
	})
	list := make([]identity.Person, len(rows))
	for i, row := range rows {
		list[i] = row.person(s.now())
	}
	return list, err
}

// rowsAStatement is how many rows one insert adds: seven values each, far from what
// either database takes.
const rowsAStatement = 500

func (c *change) AddImport(i identity.Import, rows []identity.ImportRow) error {
	if _, err := c.exec("forget the last import", "delete from imports where user_id = ? and state <> ?", string(i.User), string(identity.ImportApplying)); err != nil {
		return err
	}
	n, err := c.exec("add import", `insert into imports (id, user_id, organisation, state, reason, address, epoch, created, expires, due)
		values (@id, @user, @organisation, @state, @reason, @address, @epoch, @created, @expires, @created) on conflict (user_id) do nothing`,
		args{"id": string(i.ID), "user": string(i.User), "organisation": string(i.Organisation), "state": string(i.State), "reason": i.Reason, "address": i.Address,
			"epoch": i.Epoch, "created": at(i.Created), "expires": at(i.Expires)})
	if err != nil {
		return err
	}
	if n == 0 {
		return errImportRuns
	}
	for chunk := range slices.Chunk(rows, rowsAStatement) {
		values := make([]any, 0, 7*len(chunk))
		for _, r := range chunk {
			values = append(values, string(i.ID), r.Line, doc[map[string]string]{r.Cells}, string(r.Verdict), words(r.Fields), r.Code, r.Done)
		}
		if _, err := c.exec("add rows of an import", "insert into import_rows (import_id, line, cells, verdict, fields, code, done) values (?, ?, ?, ?, ?, ?, ?)"+
			strings.Repeat(", (?, ?, ?, ?, ?, ?, ?)", len(chunk)-1), values...); err != nil {
			return err
		}
	}
	return nil
}

func (c *change) MoveImport(i identity.Import, from identity.ImportState) (bool, error) {
	n, err := c.exec("move import", "update imports set state = @state, reason = @reason, address = @address, epoch = @epoch, finished = @finished, due = created where id = @id and state = @from",
		args{"id": string(i.ID), "from": string(from), "state": string(i.State), "reason": i.Reason, "address": i.Address, "epoch": i.Epoch, "finished": at(i.Finished)})
	return n > 0, err
}

func (c *change) SettleImportRow(id identity.ImportID, r identity.ImportRow) (bool, error) {
	n, err := c.exec("settle a row", "update import_rows set verdict = @verdict, fields = @fields, code = @code, done = @true where import_id = @import and line = @line and done = @false",
		args{"import": string(id), "line": r.Line, "verdict": string(r.Verdict), "fields": words(r.Fields), "code": r.Code, "true": true, "false": false})
	return n > 0, err
}
