package store

import (
	"context"
	"slices"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/trace"
)

type traceRow struct {
	Trace     string
	Reference string
	At        moment
	Expires   moment
	UserID    string
	Proved    bool
	Client    string
	Network   string
	Entries   doc[[]trace.Entry]
	SignIn    bool
}

func (traceRow) TableName() string { return "traces" }

var selectTraces = "select " + columns(&traceRow{}, "", "") + " from traces "

func (r traceRow) leg() trace.Leg {
	return trace.Leg{Trace: r.Trace, Reference: r.Reference, At: r.At.t, Expires: r.Expires.t, User: r.UserID, Proved: r.Proved, Client: r.Client,
		Network: r.Network, Entries: r.Entries.v}
}

// AddTraces adds legs (trace.Store).
func (s *Store) AddTraces(ctx context.Context, legs []trace.Leg) error {
	if len(legs) == 0 {
		return nil
	}
	rows := make([]traceRow, len(legs))
	for i, l := range legs {
		rows[i] = traceRow{l.Trace, l.Reference, at(l.At), at(l.Expires), l.User, l.Proved, l.Client, l.Network, doc[[]trace.Entry]{l.Entries}, l.SignIn()}
	}
	return s.tell(ctx, "keep traces", func(db *gorm.DB) error { return db.Create(&rows).Error })
}

// Trace finds a sign-in by the reference of one of its requests (trace.Store).
func (s *Store) Trace(ctx context.Context, reference string, now time.Time) ([]trace.Leg, trace.Leg, error) {
	if reference == "" {
		return nil, trace.Leg{}, trace.ErrNone
	}
	var rows []traceRow
	err := s.ask(ctx, "find trace", func(db *gorm.DB) error {
		return db.Raw(selectTraces+"where trace in (select trace from traces where reference = @reference and reference <> '' and expires > @now) and expires > @now order by id",
			args{"reference": reference, "now": at(now)}).Find(&rows).Error
	})
	if err != nil {
		return nil, trace.Leg{}, err
	}
	legs := legsOf(rows)
	i := slices.IndexFunc(legs, func(l trace.Leg) bool { return l.Reference == reference })
	if i < 0 {
		return nil, trace.Leg{}, trace.ErrNone
	}
	return legs, legs[i], nil
}

// TracesOf lists sign-ins about a person (trace.Store).
func (s *Store) TracesOf(ctx context.Context, user string, before, now time.Time, n int) ([]trace.Leg, error) {
	if user == "" {
		return nil, nil
	}
	older := ""
	if !before.IsZero() {
		older = "having max(at) < @before "
	}
	var rows []traceRow
	err := s.ask(ctx, "list traces", func(db *gorm.DB) error {
		return db.Raw(selectTraces+`where trace in (
				select trace from traces where user_id = @user and user_id <> '' and sign_in and expires > @now group by trace `+older+`order by max(at) desc limit @n)
			and (user_id = @user or user_id = '') and expires > @now order by id`,
			args{"user": user, "before": at(before), "now": at(now), "n": n}).Find(&rows).Error
	})
	return legsOf(rows), err
}

// TracesFor lists sign-ins to a service (trace.Store).
func (s *Store) TracesFor(ctx context.Context, client string, now time.Time, n int) ([]trace.Leg, error) {
	if client == "" {
		return nil, nil
	}
	var rows []traceRow
	err := s.ask(ctx, "list traces of a client", func(db *gorm.DB) error {
		return db.Raw(selectTraces+"where client = @client and client <> '' and sign_in and expires > @now order by at desc, id desc limit @n",
			args{"client": client, "now": at(now), "n": n}).Find(&rows).Error
	})
	return legsOf(rows), err
}

func legsOf(rows []traceRow) []trace.Leg {
	legs := make([]trace.Leg, len(rows))
	for i, r := range rows {
		legs[i] = r.leg()
	}
	return legs
}
