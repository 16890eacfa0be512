package portti

import (
	"context"
	"io"
	"net/url"
	"time"
)

// Event is one line of the audit trail.
type Event struct {
	ID           int64             `json:"id"`                 // for paging
	Sequence     int64             `json:"sequence,omitempty"` // its place in the chain; 0: not sealed yet
	Mark         string            `json:"mark"`               // genuine, unmarked or forged, once it is sealed
	At           time.Time         `json:"at"`                 // UTC
	Type         string            `json:"type"`               // such as signin.refused
	Actor        string            `json:"actor"`              // user:ID, operator:NAME, client:ID, letter, anybody or system
	User         string            `json:"user,omitempty"`     // to whom it happened
	Organisation string            `json:"organisation,omitempty"`
	Client       string            `json:"client,omitempty"`
	Session      string            `json:"session,omitempty"`
	Method       string            `json:"method,omitempty"` // card, app, token or password
	Reason       string            `json:"reason,omitempty"` // a stable code; what staff have typed is the detail "note"
	Address      string            `json:"address,omitempty"`
	Details      map[string]string `json:"details,omitempty"`
	Sentence     string            `json:"sentence"` // all of this in words, in the language that was asked for
}

// Events is a page of the trail, newest first.
type Events struct {
	Events []Event           `json:"events"`
	Names  map[string]string `json:"names,omitempty"` // by ID, of the people in Events whom the caller may see
	Next   int64             `json:"next,omitempty"`  // after this the next page begins; absent on the last
}

// EventQuery says which events; zero values leave nothing out.
type EventQuery struct {
	User, Organisation, Type, Actor string
	Since, Until                    string // a time (RFC 3339), or a day, which is whole
	After                           string // Events.Next of the page before
	Format                          string // of a file: csv or jsonl
	Lang                            string // of sentences: fi, sv or en (also when empty)
}

func (q EventQuery) query() string {
	values := url.Values{}
	for name, value := range map[string]string{"user": q.User, "organisation": q.Organisation, "type": q.Type, "actor": q.Actor, "since": q.Since, "until": q.Until, "after": q.After, "format": q.Format, "lang": q.Lang} {
		if value != "" {
			values.Set(name, value)
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}

// Audit reads the trail.
func (c *Client) Audit(ctx context.Context, token string, q EventQuery) (Events, error) {
	var e Events
	err := c.do(ctx, token, "GET", "/api/v1/audit"+q.query(), nil, &e)
	return e, err
}

// AuditFile reads the trail as a file, in the Format of the query, which the caller
// closes. Reading it is an event itself.
func (c *Client) AuditFile(ctx context.Context, token string, q EventQuery) (io.ReadCloser, error) {
	return c.file(ctx, token, "/api/v1/audit/file"+q.query())
}

// EventsOf reads what happened to a person. Of the query only After and Lang count.
func (c *Client) EventsOf(ctx context.Context, token, user string, q EventQuery) (Events, error) {
	var e Events
	err := c.do(ctx, token, "GET", "/api/v1/people/"+url.PathEscape(user)+"/events"+EventQuery{After: q.After, Lang: q.Lang}.query(), nil, &e)
	return e, err
}

// TrailState is how the chain of the trail is.
type TrailState struct {
	Sequence   int64     `json:"sequence"`              // how many events were ever sealed
	Sealed     time.Time `json:"sealed,omitzero"`       // when the last was
	Checkpoint int64     `json:"checkpoint"`            // the sequence of the last checkpoint
	Checked    time.Time `json:"checkpointed,omitzero"` // when it was signed
	Removed    int64     `json:"removed"`               // how many of the oldest are not kept any more
	Waiting    int64     `json:"waiting"`               // events that are not sealed yet
	Doubtful   int64     `json:"doubtful"`              // sealed events without a right MAC
	Key        string    `json:"key"`                   // ID of the key that signs
}

// TrailState tells how the chain is.
func (c *Client) TrailState(ctx context.Context, token string) (TrailState, error) {
	var s TrailState
	err := c.do(ctx, token, "GET", "/api/v1/audit/state", nil, &s)
	return s, err
}

// Statistics are counts of events by day.
type Statistics struct {
	Since        string  `json:"since"` // the first day (UTC): 2026-01-31
	Until        string  `json:"until"` // the last one
	Organisation string  `json:"organisation,omitempty"`
	Counts       []Count `json:"counts"`
}

// Count is how often something happened on a day.
type Count struct {
	Day    string `json:"day"`
	Type   string `json:"type"`
	Method string `json:"method,omitempty"`
	Reason string `json:"reason,omitempty"` // of refusals
	Events int64  `json:"events"`
}

// Statistics counts sign-ins, refusals, links and orders, from one day to another,
// both included; "" for the last 30 days, and for every organisation in reach.
func (c *Client) Statistics(ctx context.Context, token, organisation, since, until string) (Statistics, error) {
	var s Statistics
	err := c.do(ctx, token, "GET", "/api/v1/statistics"+EventQuery{Organisation: organisation, Since: since, Until: until}.query(), nil, &s)
	return s, err
}
