package portti

import (
	"context"
	"net/url"
	"time"
)

// NewImport is a file of people. Its first line names the columns: username,
// given_name, family_name, email, language, phone, in English, Finnish or Swedish;
// what else a list of ours has is looked past. A column that is not there stays
// as it is.
type NewImport struct {
	Organisation string `json:"organisation,omitempty"` // of all of them; "": the caller's own
	CSV          string `json:"csv"`                    // UTF-8, comma or semicolon; up to 4 MiB and 20,000 rows
}

// Import is what becomes of a file. It is its maker's alone, and kept for a day.
type Import struct {
	ID           string           `json:"id"`
	Organisation OrganisationName `json:"organisation"`
	State        string           `json:"state"`            // checked, applying, done or stopped
	Reason       string           `json:"reason,omitempty"` // why it was stopped, as a code
	Created      time.Time        `json:"created"`
	Expires      time.Time        `json:"expires"`
	Finished     time.Time        `json:"finished,omitzero"`
	Rows         int              `json:"rows"`
	Done         int              `json:"done"`      // rows with which nothing is to be done any more; the wrong ones among them
	Create       int              `json:"create"`    // rows by verdict, whether Done or not
	Change       int              `json:"change"`    //
	Unchanged    int              `json:"unchanged"` //
	Wrong        int              `json:"wrong"`     //
	Handover     bool             `json:"handover"`  // somebody hands temporary passwords over: those who are created have none until then
}

// ImportRow is a line of the file and its verdict: what would become of it, or what
// has when it is done.
type ImportRow struct {
	Line    int               `json:"line"`
	Cells   map[string]string `json:"cells"`            // by column
	Verdict string            `json:"verdict"`          // wrong, create, change or unchanged
	Fields  []string          `json:"fields,omitempty"` // columns that are wrong, or that change
	Code    string            `json:"code,omitempty"`   // what is wrong
	Done    bool              `json:"done"`
}

// ImportRows is a page of rows.
type ImportRows struct {
	Rows []ImportRow `json:"rows"`
	Next string      `json:"next,omitempty"` // where the next page begins; "" after the last
}

// CheckImport reads a file and gives every row a verdict. Nobody is touched.
func (c *Client) CheckImport(ctx context.Context, token string, in NewImport) (Import, error) {
	var i Import
	err := c.do(ctx, token, "POST", "/api/v1/imports", in, &i)
	return i, err
}

// Import tells how an import goes.
func (c *Client) Import(ctx context.Context, token, id string) (Import, error) {
	var i Import
	err := c.do(ctx, token, "GET", importPath(id), nil, &i)
	return i, err
}

// ImportRows lists rows by line: of a verdict, or all where it is ""; after is Next of
// the page before.
func (c *Client) ImportRows(ctx context.Context, token, id, verdict, after string) (ImportRows, error) {
	q := url.Values{}
	if verdict != "" {
		q.Set("verdict", verdict)
	}
	if after != "" {
		q.Set("after", after)
	}
	path := importPath(id) + "/rows"
	if len(q) > 0 {
		path += "?" + q.Encode()
	}
	var rows ImportRows
	err := c.do(ctx, token, "GET", path, nil, &rows)
	return rows, err
}

// ApplyImport lets the work on an import begin, or go on after it was stopped.
func (c *Client) ApplyImport(ctx context.Context, token, id string) (Import, error) {
	var i Import
	err := c.do(ctx, token, "POST", importPath(id)+"/apply", nil, &i)
	return i, err
}

func importPath(id string) string { return "/api/v1/imports/" + url.PathEscape(id) }
