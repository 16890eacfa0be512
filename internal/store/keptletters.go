package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
)

type keptRow struct {
	ID           string
	Channel      mail.Channel
	Template     mail.Template
	Organisation string
	Recipient    string
	Created      moment
	Due          moment
	Expires      moment
	Leased       moment
	Attempts     int
	Reason       string
	Dead         moment
}

var keptColumns = columns(&keptRow{}, "", "")

func (r keptRow) kept() mail.Kept {
	return mail.Kept{ID: r.ID, Channel: r.Channel, Template: r.Template, Organisation: r.Organisation, Recipient: r.Recipient, Created: r.Created.t, Due: r.Due.t,
		Expires: r.Expires.t, Attempts: r.Attempts, Reason: r.Reason, Dead: r.Dead.t}
}

// Letters lists letters of the outbox, without what they say.
func (s *Store) Letters(ctx context.Context, w mail.Which) ([]mail.Kept, error) {
	by, order, beyond := "created", "", ">"
	where := "dead is null"
	if w.Dead {
		by, order, beyond, where = "dead", " desc", "<", "dead is not null"
	}
	a := args{"n": w.Limit}
	if w.After != "" {
		moment, id, ok := strings.Cut(w.After, "-")
		micros, err := strconv.ParseInt(moment, 10, 64)
		if !ok || err != nil {
			return nil, fault.New(fault.Invalid, "query_invalid", "after: it is not one that a page before has named.").In("after")
		}
		where += " and (" + by + ", id) " + beyond + " (@at, @id)"
		a["at"], a["id"] = at(time.UnixMicro(micros)), id
	}
	var rows []keptRow
	err := s.ask(ctx, "list letters", func(db *gorm.DB) error {
		return db.Raw("select "+keptColumns+" from letters where "+where+" order by "+by+order+", id"+order+" limit @n", a).Find(&rows).Error
	})
	list := make([]mail.Kept, len(rows))
	for i, r := range rows {
		list[i] = r.kept()
		list[i].Cursor = fmt.Sprintf("%d-%s", r.position(w.Dead).UnixMicro(), r.ID)
	}
	return list, err
}

func (r keptRow) position(dead bool) time.Time {
	if dead {
		return r.Dead.t
	}
	return r.Created.t
}

// Letter is one letter of the outbox, without what it says; letter_not_found.
func (s *Store) Letter(ctx context.Context, id string) (mail.Kept, error) {
	var rows []keptRow
	err := s.ask(ctx, "read letter", func(db *gorm.DB) error {
		return db.Raw("select "+keptColumns+" from letters where id = @id", args{"id": id}).Find(&rows).Error
	})
	if err != nil || len(rows) == 0 {
		return mail.Kept{}, cmp.Or(err, error(errNoLetter))
	}
	return rows[0].kept(), nil
}

// errRehearsed rolls a decision on letters back that went well.
var errRehearsed = errors.New("rehearsed")

// RetryLetter has a letter tried at once: one that was given up from the beginning
// of its attempts, one that waits out of its turn. In a dry run it only says what it
// would. Faults: letter_not_found, letter_expired (fault.Gone) and letter_on_its_way
// (fault.Conflict).
func (s *Store) RetryLetter(ctx context.Context, id string, e audit.Event, dry bool) error {
	return s.decide(ctx, id, e, dry, func(db *gorm.DB, r keptRow) error {
		switch now := s.now(); {
		case !r.Expires.t.IsZero() && !now.Before(r.Expires.t):
			return errLetterOver
		case r.Dead.t.IsZero() && now.Before(r.Leased.t):
			return errLetterOnItsWay
		}
		return db.Exec("update letters set dead = null, due = @now, attempts = case when dead is null then attempts else 0 end where id = @id",
			args{"id": id, "now": at(s.now())}).Error
	})
}

// RetryLetters has all letters tried again that were given up and are still of
// use, and returns how many; in a dry run: how many it would.
func (s *Store) RetryLetters(ctx context.Context, e audit.Event, dry bool) (n int64, err error) {
	err = s.transact(ctx, "retry letters", func(db *gorm.DB) error {
		r := db.Exec("update letters set dead = null, due = @now, attempts = 0 where dead is not null and (expires is null or expires > @now)", args{"now": at(s.now())})
		if n = r.RowsAffected; r.Error != nil || n == 0 {
			return r.Error
		}
		e.Details = map[string]string{"letters": strconv.FormatInt(n, 10)}
		if err := db.Exec(addEvent, s.eventArgs(ctx, e)).Error; err != nil || !dry {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		err = nil
	}
	return n, err
}

// DiscardLetter deletes a letter that was given up. Faults: letter_not_found, and
// letter_waits (fault.Conflict) for one that is still tried.
func (s *Store) DiscardLetter(ctx context.Context, id string, e audit.Event, dry bool) error {
	return s.decide(ctx, id, e, dry, func(db *gorm.DB, r keptRow) error {
		if r.Dead.t.IsZero() {
			return errLetterWaits
		}
		return db.Exec("delete from letters where id = @id", args{"id": id}).Error
	})
}

// decide does something with one letter, and records it.
func (s *Store) decide(ctx context.Context, id string, e audit.Event, dry bool, do func(db *gorm.DB, r keptRow) error) error {
	err := s.transact(ctx, "decide on a letter", func(db *gorm.DB) error {
		var rows []keptRow
		if err := db.Raw("select "+keptColumns+" from letters where id = @id"+s.lock("for update"), args{"id": id}).Find(&rows).Error; err != nil {
			return err
		}
		if len(rows) == 0 {
			return errNoLetter
		}
		if err := do(db, rows[0]); err != nil {
			return err
		}
		e.Organisation = rows[0].Organisation
		e.Details = map[string]string{"letter": id, "template": string(rows[0].Template), "channel": string(rows[0].Channel)}
		if err := db.Exec(addEvent, s.eventArgs(ctx, e)).Error; err != nil || !dry {
			return err
		}
		return errRehearsed
	})
	if errors.Is(err, errRehearsed) {
		return nil
	}
	return err
}

// LetterCounts tells how the outbox is doing.
func (s *Store) LetterCounts(ctx context.Context) (mail.Counts, error) {
	var rows []struct {
		Waiting, Dead int64
		Oldest        moment
	}
	err := s.ask(ctx, "count letters", func(db *gorm.DB) error {
		return db.Raw(`select (select count(*) from letters where dead is null) as waiting, (select count(*) from letters where dead is not null) as dead,
			(select min(created) from letters where dead is null) as oldest`).Find(&rows).Error
	})
	if err != nil || len(rows) == 0 {
		return mail.Counts{}, err
	}
	return mail.Counts{Waiting: rows[0].Waiting, Dead: rows[0].Dead, Oldest: rows[0].Oldest.t}, nil
}

var (
	errNoLetter       = fault.New(fault.NotFound, "letter_not_found", "There is no such letter: it was sent, discarded or deleted after its time.")
	errLetterOver     = fault.New(fault.Gone, "letter_expired", "The temporary password or the link in this letter has expired. The person needs a new one.")
	errLetterOnItsWay = fault.New(fault.Conflict, "letter_on_its_way", "This letter is being sent just now.")
	errLetterWaits    = fault.New(fault.Conflict, "letter_waits", "This letter is still tried. Only one that was given up can be discarded.")
)
