package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"maps"
	"strings"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
)

type eventRow struct {
	At           moment
	Type         string
	Actor        string
	UserID       string
	Organisation string
	Client       string
	SessionID    string
	Method       string
	Reason       string
	Address      string
	Details      doc[map[string]string]
}

func (r eventRow) event() audit.Event {
	return audit.Event{At: r.At.t, Type: audit.Type(r.Type), Actor: r.Actor, User: r.UserID, Organisation: r.Organisation, Client: r.Client,
		Session: r.SessionID, Method: r.Method, Reason: r.Reason, Address: r.Address, Details: r.Details.v}
}

const addEvent = `insert into audit_events (at, type, actor, user_id, organisation, client, session_id, method, reason, address, details, nonce, mac)
	values (@e_at, @e_type, @e_actor, @e_user, @e_organisation, @e_client, @e_session, @e_method, @e_reason, @e_address, @e_details, @e_nonce, @e_mac)`

// eventArgs is an event with the sign-in that the context tells of.
func (s *Store) eventArgs(ctx context.Context, e audit.Event) args {
	if e.At.IsZero() {
		e.At = s.now()
	}
	e = e.In(ctx).Clean()
	nonce := rand.Text()
	return args{"e_at": at(e.At), "e_type": string(e.Type), "e_actor": e.Actor, "e_user": e.User, "e_organisation": e.Organisation,
		"e_client": e.Client, "e_session": e.Session, "e_method": e.Method, "e_reason": e.Reason, "e_address": e.Address,
		"e_details": doc[map[string]string]{e.Details}, "e_nonce": nonce, "e_mac": s.marker.MAC(audit.Entry{Nonce: nonce, Event: e}.Canonical())}
}

// with joins the arguments of statements that go together.
func with(all ...args) args {
	joined := args{}
	for _, a := range all {
		maps.Copy(joined, a)
	}
	return joined
}

// Record writes an event outside a change (audit.Recorder).
func (s *Store) Record(ctx context.Context, e audit.Event) error {
	return s.tell(ctx, "record event", func(db *gorm.DB) error { return db.Exec(addEvent, s.eventArgs(ctx, e)).Error })
}

func (c *change) Record(e audit.Event) error {
	_, err := c.exec("record event", addEvent, c.s.eventArgs(c.db.Statement.Context, e))
	return err
}

// Trail says which events to read (audit.Query).
type Trail = audit.Query

// AuditEvents reads the trail, newest first.
func (s *Store) AuditEvents(ctx context.Context, t Trail) ([]audit.Event, error) {
	entries, err := s.AuditEntries(ctx, t)
	if err != nil {
		return nil, err
	}
	events := make([]audit.Event, len(entries))
	for i, e := range entries {
		events[i] = e.Event
	}
	return events, nil
}

// AuditEntries is AuditEvents with what the chain knows of them.
func (s *Store) AuditEntries(ctx context.Context, t Trail) ([]audit.Entry, error) {
	if t.Limit <= 0 {
		t.Limit = 100
	}
	var rows []entryRow
	err := s.ask(ctx, "read the audit trail", func(db *gorm.DB) error {
		q := db.Table("audit_events e").Select(entryColumns).Joins("left join audit_chain c on c.event = e.id").Order("e.id desc").Limit(t.Limit)
		if t.Before > 0 {
			q = q.Where("e.id < ?", t.Before)
		}
		if t.User != "" {
			q = q.Where("e.user_id = ? and e.user_id <> ''", t.User) // the second half lets the partial index serve
		}
		if t.Organisation != "" {
			q = q.Where("e.organisation = ? and e.organisation <> ''", t.Organisation)
		}
		if t.Actor != "" {
			q = q.Where("e.actor = ? and e.actor <> 'user:' || e.user_id", t.Actor)
		}
		if len(t.Types) > 0 {
			q = q.Where("e.type in ?", t.Types)
		}
		if !t.Since.IsZero() {
			q = q.Where("e.at >= ?", at(t.Since))
		}
		if !t.Until.IsZero() {
			q = q.Where("e.at < ?", at(t.Until))
		}
		return q.Find(&rows).Error
	})
	return entriesOf(rows), err
}

// entryRow is an event with its place in the chain, if it has one.
type entryRow struct {
	Row      eventRow `gorm:"embedded"`
	ID       int64
	Nonce    string
	MAC      string
	Sequence sql.NullInt64
	Mark     sql.NullInt64
	Link     []byte
}

// eventColumnsOr reads an event that may be missing, too.
var eventColumnsOr = strings.Replace(columns(&eventRow{}, "e", ""), "e.details as", "coalesce(e.details, '{}') as", 1) + ", e.id, e.nonce, e.mac"

var entryColumns = eventColumnsOr + ", c.sequence, c.mark, c.link"

func (r entryRow) entry() audit.Entry {
	e := audit.Entry{ID: r.ID, Nonce: r.Nonce, Sequence: r.Sequence.Int64, Mark: audit.Mark(r.Mark.Int64), Event: r.Row.event()}
	copy(e.Link[:], r.Link)
	return e
}

func entriesOf(rows []entryRow) []audit.Entry {
	entries := make([]audit.Entry, len(rows))
	for i, r := range rows {
		entries[i] = r.entry()
	}
	return entries
}
