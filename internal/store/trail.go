package store

import (
	"context"
	"maps"
	"time"

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

var eventColumns = columns(&eventRow{}, "", "")

func (r eventRow) event() audit.Event {
	return audit.Event{At: r.At.t, Type: audit.Type(r.Type), Actor: r.Actor, User: r.UserID, Organisation: r.Organisation, Client: r.Client,
		Session: r.SessionID, Method: r.Method, Reason: r.Reason, Address: r.Address, Details: r.Details.v}
}

const addEvent = `insert into audit_events (at, type, actor, user_id, organisation, client, session_id, method, reason, address, details)
	values (@e_at, @e_type, @e_actor, @e_user, @e_organisation, @e_client, @e_session, @e_method, @e_reason, @e_address, @e_details)`

func (s *Store) eventArgs(e audit.Event) args {
	if e.At.IsZero() {
		e.At = s.now()
	}
	return args{"e_at": at(e.At), "e_type": string(e.Type), "e_actor": e.Actor, "e_user": e.User, "e_organisation": e.Organisation,
		"e_client": e.Client, "e_session": e.Session, "e_method": e.Method, "e_reason": e.Reason, "e_address": e.Address,
		"e_details": doc[map[string]string]{e.Details}}
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
	return s.tell(ctx, "record event", func(db *gorm.DB) error { return db.Exec(addEvent, s.eventArgs(e)).Error })
}

func (c *change) Record(e audit.Event) error {
	_, err := c.exec("record event", addEvent, c.s.eventArgs(e))
	return err
}

// Trail says which events to read; zero values leave nothing out.
type Trail struct {
	User         string
	Organisation string
	Types        []audit.Type
	Since        time.Time // events at this time and later
	Until        time.Time // events before this time
	Limit        int       // 0: 100
}

// AuditEvents reads the trail, newest first.
func (s *Store) AuditEvents(ctx context.Context, t Trail) ([]audit.Event, error) {
	if t.Limit <= 0 {
		t.Limit = 100
	}
	var rows []eventRow
	err := s.ask(ctx, "read the audit trail", func(db *gorm.DB) error {
		q := db.Table("audit_events").Select(eventColumns).Order("id desc").Limit(t.Limit)
		if t.User != "" {
			q = q.Where("user_id = ? and user_id <> ''", t.User) // the second half lets the partial index serve
		}
		if t.Organisation != "" {
			q = q.Where("organisation = ? and organisation <> ''", t.Organisation)
		}
		if len(t.Types) > 0 {
			q = q.Where("type in ?", t.Types)
		}
		if !t.Since.IsZero() {
			q = q.Where("at >= ?", at(t.Since))
		}
		if !t.Until.IsZero() {
			q = q.Where("at < ?", at(t.Until))
		}
		return q.Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	events := make([]audit.Event, len(rows))
	for i, row := range rows {
		events[i] = row.event()
	}
	return events, nil
}
