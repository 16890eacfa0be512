package portti

import (
	"context"
	"net/url"
	"time"
)

// Trace is how a sign-in went: its entries in the order of time. It holds no secret
// and nothing that somebody typed.
type Trace struct {
	References  []string          `json:"references,omitempty"` // that its pages have shown
	At          time.Time         `json:"at"`                   // when it began
	Until       time.Time         `json:"until"`                // when something of it was kept last; what the next page of a list begins after
	Person      *TracePerson      `json:"person,omitempty"`     // whom it is about; not there for the person herself, nor when nobody is known
	Proved      bool              `json:"proved"`               // whoever it was has proved to be that person
	Client      string            `json:"client_id,omitempty"`
	ClientNames map[string]string `json:"client_names,omitempty"` // by language
	Network     string            `json:"network,omitempty"`      // roughly where the browser was, such as 192.0.2.0/24
	Entries     []TraceEntry      `json:"entries"`
	Trouble     *TraceEntry       `json:"trouble,omitempty"` // what it ended with, when that is nothing good
}

// TracePerson is whom a trace is about.
type TracePerson struct {
	ID           string           `json:"id"`
	Username     string           `json:"username"`
	Name         string           `json:"name"`
	Organisation OrganisationName `json:"organisation"`
}

// TraceEntry is one thing that happened.
type TraceEntry struct {
	At      time.Time         `json:"at"`
	What    string            `json:"what"`           // asked, had, decided, stepped, refused, card, shown, started, issued, device, renewal, called, failed
	Code    string            `json:"code,omitempty"` // why, or how; e.g. wrong_password
	Details map[string]string `json:"details,omitempty"`
	Owner   string            `json:"owner,omitempty"` // who can do something about it: person, responsible, it, helpdesk, operator, service
}

// Method is how the person signed in: card, app, token or password; "" when nobody
// did.
func (t Trace) Method() string {
	method := ""
	for _, e := range t.Entries {
		if e.What == "started" || e.What == "had" && e.Details["method"] != "" {
			method = e.Details["method"]
		}
	}
	return method
}

// Trace returns the sign-in whose page has shown this reference, for user support and
// operators; ticket is the call's, for the audit trail, and may be empty. A token with
// scope "manage".
func (c *Client) Trace(ctx context.Context, token, reference, ticket string) (Trace, error) {
	var t Trace
	path := "/api/v1/traces/" + url.PathEscape(reference)
	if ticket != "" {
		path += "?" + url.Values{"ticket": {ticket}}.Encode()
	}
	err := c.do(ctx, token, "GET", path, nil, &t)
	return t, err
}

// TracesOf lists a person's sign-ins, 50 at a time, the newest first; after is the
// Until of the last one that was seen, or zero. A token with scope "manage".
func (c *Client) TracesOf(ctx context.Context, token, user string, after time.Time) ([]Trace, error) {
	return c.traces(ctx, token, "/api/v1/people/"+url.PathEscape(user)+"/traces", after)
}

// OwnTraces lists the sign-ins of the person herself, as TracesOf does. It takes a full
// sign-in, and a token with scope "us".
func (c *Client) OwnTraces(ctx context.Context, token string, after time.Time) ([]Trace, error) {
	return c.traces(ctx, token, "/api/v1/me/traces", after)
}

func (c *Client) traces(ctx context.Context, token, path string, after time.Time) ([]Trace, error) {
	if !after.IsZero() {
		path += "?" + url.Values{"after": {after.UTC().Format(time.RFC3339Nano)}}.Encode()
	}
	var all []Trace
	err := c.do(ctx, token, "GET", path, nil, &all)
	return all, err
}
