package store

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"iter"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
)

type checkpointRow struct {
	Sequence  int64
	Link      []byte
	Removed   int64
	At        moment
	Key       string
	Signature []byte
}

const checkpointColumns = "sequence, link, removed, at, key, signature"

func (r checkpointRow) checkpoint(kind string) audit.Checkpoint {
	c := audit.Checkpoint{Kind: kind, Sequence: r.Sequence, Removed: r.Removed, At: r.At.t, Key: r.Key, Signature: r.Signature}
	copy(c.Link[:], r.Link)
	return c
}

func checkpointArgs(c audit.Checkpoint) args {
	return args{"sequence": c.Sequence, "link": c.Link[:], "removed": c.Removed, "at": at(c.At), "key": c.Key, "signature": c.Signature}
}

// Waiting looks without a lock (audit.Chain).
func (s *Store) Waiting(ctx context.Context) (waiting bool, err error) {
	err = s.ask(ctx, "look for events to seal", func(db *gorm.DB) error {
		return db.Raw("select exists (select 1 from audit_unsealed)").Find(&waiting).Error
	})
	return waiting, err
}

// Seal holds the row of the chain's end, and whoever finds it held goes away
// (audit.Chain). Those who write events never look at that row.
func (s *Store) Seal(ctx context.Context, n int, o audit.SealOptions) (done audit.Sealed, err error) {
	err = s.transact(ctx, "seal the audit trail", func(db *gorm.DB) error {
		end, held, err := s.holdEnd(db, o.Key)
		if err != nil || !held {
			return err
		}
		var waiting []struct {
			Row   entryRow `gorm:"embedded"`
			Waits int64
		}
		// A row that waits and is no event any more has been deleted by somebody.
		err = db.Raw("select "+eventColumnsOr+", q.event as waits from audit_unsealed q left join audit_events e on e.id = q.event order by q.event limit @n", args{"n": n}).Find(&waiting).Error
		if err != nil {
			return err
		}
		entries, ids := make([]audit.Entry, 0, len(waiting)), make([]int64, 0, len(waiting))
		for _, w := range waiting {
			ids = append(ids, w.Waits)
			if w.Row.ID == 0 {
				done.Lost++
				continue
			}
			e := w.Row.entry()
			e.Mark = audit.CheckMark(s.marker, e, w.Row.MAC)
			e.Sequence = end.Sequence + 1
			e.Link = audit.LinkOf(end.Link, e.Sequence, e.Mark, e.Content())
			end.Sequence, end.Link = e.Sequence, e.Link
			switch e.Mark {
			case audit.Forged:
				done.Forged = append(done.Forged, e.Sequence)
			case audit.Unmarked:
				done.Unmarked = append(done.Unmarked, e.Sequence)
			}
			entries = append(entries, e)
		}
		if err := seal(db, entries, ids); err != nil {
			return err
		}
		if err := count(db, entries); err != nil {
			return err
		}
		end.Kind, end.At = audit.Reached, s.now()
		end = end.Sign(o.Key)
		if done.Checkpoint, err = leaveCheckpoint(db, end, o); err != nil {
			return err
		}
		done.Events, done.End = len(entries), end
		if len(ids) == 0 && done.Checkpoint.IsZero() {
			return nil // the end stays as it was signed
		}
		return db.Exec("update audit_head set sequence = @sequence, link = @link, removed = @removed, at = @at, key = @key, signature = @signature where id = 1", checkpointArgs(end)).Error
	})
	if err != nil {
		return audit.Sealed{}, err
	}
	return done, nil
}

// holdEnd locks the chain's end, unless somebody else has it. The first caller
// makes it.
func (s *Store) holdEnd(db *gorm.DB, key ed25519.PrivateKey) (end audit.Checkpoint, held bool, err error) {
	var rows []checkpointRow
	read := "select " + checkpointColumns + " from audit_head where id = 1"
	if err := db.Raw(read + s.lock("for update skip locked")).Find(&rows).Error; err != nil {
		return end, false, err
	}
	if len(rows) == 0 {
		first := checkpointArgs(audit.Checkpoint{Kind: audit.Reached, At: s.now()}.Sign(key))
		r := db.Exec("insert into audit_head (id, "+checkpointColumns+") values (1, @sequence, @link, @removed, @at, @key, @signature) on conflict (id) do nothing", first)
		if r.Error != nil || r.RowsAffected == 0 {
			return end, false, r.Error
		}
		if err := db.Raw(read).Find(&rows).Error; err != nil {
			return end, false, err
		}
	}
	end = rows[0].checkpoint(audit.Reached)
	if err := end.Check(key.Public().(ed25519.PublicKey)); err != nil {
		return end, false, fmt.Errorf("%w (%w)", audit.ErrForgedEnd, err)
	}
	return end, true, nil
}

// seal writes the links of events and takes them from those that wait.
func seal(db *gorm.DB, entries []audit.Entry, ids []int64) error {
	if len(entries) > 0 {
		values := make([]any, 0, 4*len(entries))
		for _, e := range entries {
			values = append(values, e.Sequence, e.ID, int64(e.Mark), e.Link[:])
		}
		if err := db.Exec("insert into audit_chain (sequence, event, mark, link) values "+rowsOf(len(entries), "(?, ?, ?, ?)"), values...).Error; err != nil {
			return err
		}
	}
	if len(ids) == 0 {
		return nil
	}
	return db.Exec("delete from audit_unsealed where event in ?", ids).Error
}

func rowsOf(n int, row string) string { return strings.TrimSuffix(strings.Repeat(row+", ", n), ", ") }

// leaveCheckpoint keeps the end for good when it is time.
func leaveCheckpoint(db *gorm.DB, end audit.Checkpoint, o audit.SealOptions) (audit.Checkpoint, error) {
	last, err := newest(db, "audit_checkpoints", audit.Reached)
	events := end.Sequence - last.Sequence
	if err != nil || events <= 0 || events < o.Events && !o.AnyEvents && end.At.Sub(last.At) < o.Every {
		return audit.Checkpoint{}, err
	}
	return end, db.Exec("insert into audit_checkpoints ("+checkpointColumns+") values (@sequence, @link, @removed, @at, @key, @signature)", checkpointArgs(end)).Error
}

// newest is the last row of a table of checkpoints; the zero value when it is empty.
func newest(db *gorm.DB, table, kind string) (audit.Checkpoint, error) {
	var rows []checkpointRow
	if err := db.Raw("select " + checkpointColumns + " from " + table + " order by sequence desc limit 1").Find(&rows).Error; err != nil || len(rows) == 0 {
		return audit.Checkpoint{}, err
	}
	return rows[0].checkpoint(kind), nil
}

// RemoveUpTo writes the marker alone: nothing is deleted before it is committed
// (audit.Chain).
func (s *Store) RemoveUpTo(ctx context.Context, before time.Time, o audit.SealOptions) (marker audit.Checkpoint, err error) {
	err = s.transact(ctx, "remove old audit events", func(db *gorm.DB) error {
		end, held, err := s.holdEnd(db, o.Key)
		if err != nil || !held {
			return err
		}
		var rows []checkpointRow
		err = db.Raw("select "+checkpointColumns+" from audit_checkpoints where at < @before and sequence > @removed order by sequence desc limit 1",
			args{"before": at(before), "removed": end.Removed}).Find(&rows).Error
		if err != nil || len(rows) == 0 {
			return err
		}
		last := rows[0].checkpoint(audit.Reached)
		if err := last.Check(o.Key.Public().(ed25519.PublicKey)); err != nil {
			return fmt.Errorf("the audit checkpoint of sequence %d: %w", last.Sequence, err)
		}
		m := audit.Checkpoint{Kind: audit.Removed, Sequence: last.Sequence, Link: last.Link, Removed: last.Sequence, At: s.now()}.Sign(o.Key)
		if err := db.Exec("insert into audit_removals ("+checkpointColumns+") values (@sequence, @link, @removed, @at, @key, @signature)", checkpointArgs(m)).Error; err != nil {
			return err
		}
		end.Removed, end.At = m.Sequence, s.now()
		marker = m
		return db.Exec("update audit_head set sequence = @sequence, link = @link, removed = @removed, at = @at, key = @key, signature = @signature where id = 1", checkpointArgs(end.Sign(o.Key))).Error
	})
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return marker, nil
}

// DeleteRemoved deletes the oldest first (audit.Chain).
func (s *Store) DeleteRemoved(ctx context.Context, n int) (deleted int64, err error) {
	err = s.transact(ctx, "delete old audit events", func(db *gorm.DB) error {
		var gone []struct{ Sequence, Event int64 }
		err := db.Raw("select sequence, event from audit_chain where sequence <= (select max(sequence) from audit_removals) order by sequence limit @n", args{"n": n}).Find(&gone).Error
		if err != nil || len(gone) == 0 {
			return err
		}
		events := make([]int64, len(gone))
		for i, g := range gone {
			events[i] = g.Event
		}
		if err := db.Exec("delete from audit_events where id in ?", events).Error; err != nil {
			return err
		}
		r := db.Exec("delete from audit_chain where sequence <= ?", gone[len(gone)-1].Sequence)
		deleted = r.RowsAffected
		return r.Error
	})
	return deleted, err
}

// Checkpoints reads them, the oldest first: those of the chain, and those up to
// which events were removed.
func (s *Store) Checkpoints(ctx context.Context) (reached, removed []audit.Checkpoint, err error) {
	err = s.ask(ctx, "read audit checkpoints", func(db *gorm.DB) error {
		for _, t := range []struct {
			table, kind string
			list        *[]audit.Checkpoint
		}{{"audit_checkpoints", audit.Reached, &reached}, {"audit_removals", audit.Removed, &removed}} {
			var rows []checkpointRow
			if err := db.Raw("select " + checkpointColumns + " from " + t.table + " order by sequence").Find(&rows).Error; err != nil {
				return err
			}
			for _, r := range rows {
				*t.list = append(*t.list, r.checkpoint(t.kind))
			}
		}
		return nil
	})
	return reached, removed, err
}

// TrailState is how the chain is.
func (s *Store) TrailState(ctx context.Context) (state audit.State, err error) {
	err = s.ask(ctx, "look at the audit trail", func(db *gorm.DB) error {
		if state.End, err = newest(db, "audit_head", audit.Reached); err != nil {
			return err
		}
		if state.Checkpoint, err = newest(db, "audit_checkpoints", audit.Reached); err != nil {
			return err
		}
		if state.Removed, err = newest(db, "audit_removals", audit.Removed); err != nil {
			return err
		}
		if err := db.Raw("select count(*) from audit_chain where mark <> 0").Find(&state.Doubtful).Error; err != nil {
			return err
		}
		return db.Raw("select count(*) from audit_unsealed").Find(&state.Waiting).Error
	})
	return state, err
}

// Entries walks the chain from one sequence to another, both included.
func (s *Store) Entries(ctx context.Context, from, to int64) iter.Seq2[audit.Entry, error] {
	const page = 1000
	return func(yield func(audit.Entry, error) bool) {
		for from <= to {
			var rows []entryRow
			err := s.ask(ctx, "read the audit trail", func(db *gorm.DB) error {
				// An event that is missing comes as an empty one, which fits no link.
				return db.Raw("select "+entryColumns+" from audit_chain c left join audit_events e on e.id = c.event"+
					" where c.sequence between @from and @to order by c.sequence limit @n", args{"from": from, "to": to, "n": page}).Find(&rows).Error
			})
			if err != nil {
				yield(audit.Entry{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r.entry(), nil) {
					return
				}
			}
			if len(rows) < page {
				return
			}
			from = rows[len(rows)-1].Sequence.Int64 + 1
		}
	}
}

// Astray lists up to n events that are neither in the chain nor wait for it, and
// were there when the chain's end was sealed.
func (s *Store) Astray(ctx context.Context, n int) (events []int64, err error) {
	err = s.ask(ctx, "look for events outside the chain", func(db *gorm.DB) error {
		return db.Raw(`select e.id from audit_events e where not exists (select 1 from audit_chain c where c.event = e.id)
			and not exists (select 1 from audit_unsealed q where q.event = e.id) order by e.id limit @n`, args{"n": n}).Find(&events).Error
	})
	return events, err
}
