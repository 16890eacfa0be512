package identity

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

const (
	rowsAtOnce  = 50              // rows between two looks at the rights: some seconds of hashing
	importLease = 5 * time.Minute // far longer than a batch takes
)

// WorkImports works on what was applied, a batch of each import at a time, and
// returns how many rows it has settled. Any number of replicas may do so at once: a
// lease keeps them apart, and should it fail, whoever settles a row first is the
// one who touches the person. A row that fails by our own fault keeps no other from
// being settled: the error holds the first of those failures.
func (d *Directory) WorkImports(ctx context.Context) (int, error) {
	settled := 0
	var failed error
	for {
		i, ok, err := d.Store.LeaseImport(ctx, d.now(), importLease)
		if err != nil {
			return settled, err
		}
		if !ok {
			return settled, failed
		}
		n, err := d.importBatch(ctx, i)
		settled += n
		switch {
		case err == nil:
		case fault.Is(err, fault.Unavailable), ctx.Err() != nil:
			// Somebody goes on soon, or when the lease ends.
			return settled, errors.Join(err, d.Store.ReleaseImport(context.WithoutCancel(ctx), i.ID, d.now()))
		case failed == nil:
			failed = fmt.Errorf("import %s: %w", i.ID, err)
		}
		if n == 0 {
			continue // nothing came of it: once more when the lease ends, or never
		}
		if err := d.Store.ReleaseImport(ctx, i.ID, d.now()); err != nil {
			return settled, err
		}
	}
}

// importBatch settles some rows, or ends the import when none is left.
func (d *Directory) importBatch(ctx context.Context, i Import) (int, error) {
	by, org, err := d.importer(ctx, i)
	if f, ok := fault.Of(err); ok && f.Kind != fault.Unavailable {
		i.State, i.Reason = ImportStopped, f.Code
		return 0, d.endImport(ctx, i, audit.ImportStopped, by)
	}
	if err != nil {
		return 0, err
	}
	rows, err := d.Store.ImportRows(ctx, RowsOf{Import: i.ID, Pending: true, Limit: rowsAtOnce})
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		i.State, i.Finished = ImportDone, d.now()
		return 0, d.endImport(ctx, i, audit.ImportFinished, by)
	}
	if err := d.judge(ctx, by, org, rows); err != nil {
		return 0, err
	}
	settled, err := d.settleRows(ctx, i.ID, slices.DeleteFunc(slices.Clone(rows), ImportRow.touches))
	if err != nil {
		return settled, err
	}
	var failed error
	for _, r := range rows {
		if !r.touches() {
			continue
		}
		done, err := d.importRow(ctx, by, org, i.ID, r)
		f, ok := fault.Of(err)
		switch {
		case done:
			settled++
			continue
		case err == nil:
			continue // another replica was first
		case ctx.Err() != nil, ok && f.Kind == fault.Unavailable:
			return settled, err
		case ok && f.Code == errChangedMeanwhile.Code:
			continue // judged anew with the next batch
		case !ok && failed == nil:
			failed = fmt.Errorf("line %d: %w", r.Line, err)
		}
		r.blame(err)
		n, err := d.settleRows(ctx, i.ID, []ImportRow{r})
		if err != nil {
			return settled, err
		}
		settled += n
	}
	return settled, failed
}

// importer is the import's owner with the rights of now, as far as the import needs
// them: an account that is closed or frozen, a role that was taken, sessions that
// were ended stop it.
func (d *Directory) importer(ctx context.Context, i Import) (Actor, Organisation, error) {
	p, err := d.Store.Account(ctx, i.User)
	if err != nil {
		return Actor{}, Organisation{}, err
	}
	by := ActorOf(p, i.Address)
	if _, err := standing(p, nil, i.Epoch, ""); err != nil {
		return by, Organisation{}, err
	}
	if err := first(by.In(PeopleCreate, i.Organisation), by.In(PeopleChange, i.Organisation)); err != nil {
		return by, Organisation{}, err
	}
	org, err := d.Store.Organisation(ctx, i.Organisation)
	if err == nil && !org.Disabled.IsZero() {
		err = errOrganisationDisabled(org)
	}
	return by, org, err
}

func (d *Directory) endImport(ctx context.Context, i Import, t audit.Type, by Actor) error {
	return d.change(ctx, func(tx Tx) error {
		moved, err := tx.MoveImport(i, ImportApplying)
		if err != nil || !moved {
			return err // another replica was first
		}
		e := i.event(d.now(), t, by)
		for verdict, n := range i.Counts {
			e.Details[string(verdict)] = strconv.Itoa(n)
		}
		return tx.Record(e)
	})
}

// touches tells whether a row creates or changes somebody.
func (r ImportRow) touches() bool { return r.Verdict == RowCreates || r.Verdict == RowChanges }

// settleRows settles rows that touch nobody.
func (d *Directory) settleRows(ctx context.Context, id ImportID, rows []ImportRow) (int, error) {
	if len(rows) == 0 {
		return 0, nil
	}
	n := 0
	err := d.change(ctx, func(tx Tx) error {
		n = 0
		for _, r := range rows {
			settled, err := tx.SettleImportRow(id, r)
			if err != nil {
				return err
			}
			if settled {
				n++
			}
		}
		return nil
	})
	return n, err
}

// importRow creates or changes the person of a row in the transaction that settles it:
// after a crash it has happened once, or not at all and waits. It returns false
// when another replica has settled the row.
func (d *Directory) importRow(ctx context.Context, by Actor, org Organisation, id ImportID, r ImportRow) (bool, error) {
	if r.Verdict == RowChanges {
		p, err := d.Store.PersonByName(ctx, FoldUsername(r.Cells[colUsername]))
		if err != nil {
			return false, err
		}
		return d.claimed(ctx, id, r, func(tx Tx) error {
			_, err := d.changeIn(tx, by, p.User.ID, 0, r.edit, from(id))
			return err
		})
	}
	u, err := d.begun(r.user(org.ID))
	if err != nil {
		return false, err
	}
	// Where somebody hands passwords over, the first one is made when that happens
	// (FirstPassword): a list of thousands of them would have to be kept somewhere.
	temporary, stored := "", Password{Changed: u.Created}
	if way, _ := (Person{User: u, Organisation: org}).delivery(u.Created); way != ByHandover {
		if temporary, stored, err = d.temporary(ctx, FirstPasswordLasts); err != nil {
			return false, err
		}
	}
	return d.claimed(ctx, id, r, func(tx Tx) error { return d.addUser(tx, by, u, temporary, stored, from(id)) })
}

// claimed runs f in a transaction if this caller is the one that settles the row.
func (d *Directory) claimed(ctx context.Context, id ImportID, r ImportRow, f func(tx Tx) error) (bool, error) {
	settled := false
	err := d.change(ctx, func(tx Tx) (err error) {
		if settled, err = tx.SettleImportRow(id, r); err != nil || !settled {
			return err
		}
		return f(tx)
	})
	return settled && err == nil, err
}

// from are the details of an audit event by which a change leads to its import.
func from(id ImportID) map[string]string { return map[string]string{"import": string(id)} }

func merged(a, b map[string]string) map[string]string {
	if len(b) == 0 {
		return a
	}
	if a = maps.Clone(a); a == nil {
		a = map[string]string{}
	}
	maps.Copy(a, b)
	return a
}
