package portti

import (
	"context"
	"net/url"
	"time"
)

// Letter is a letter or text message that waits or was given up: never what it
// says, nor the whole address.
type Letter struct {
	ID           string    `json:"id"`
	Channel      string    `json:"channel"`                // mail, text
	Template     string    `json:"template,omitempty"`     // welcome, password_ordered…
	Organisation string    `json:"organisation,omitempty"` // the reader's
	Recipient    string    `json:"recipient,omitempty"`    // a…@example.fi, …67
	Created      time.Time `json:"created"`
	Due          time.Time `json:"due"`              // when it is tried next, while it waits
	Expires      time.Time `json:"expires,omitzero"` // with the temporary password or the link in it: after that it is not sent
	Attempts     int       `json:"attempts"`
	Reason       string    `json:"reason,omitempty"` // why the last attempt failed, in English
	Dead         time.Time `json:"dead,omitzero"`    // when it was given up; absent while it waits
}

// Letters is a page of them, and how the outbox is doing.
type Letters struct {
	Letters []Letter  `json:"letters"`
	Next    string    `json:"next,omitempty"` // takes the next page; absent on the last one
	Waiting int64     `json:"waiting"`
	Dead    int64     `json:"dead"`
	Oldest  time.Time `json:"oldest,omitzero"` // when the oldest that waits was written
}

// RetriedLetters tells how many are tried again.
type RetriedLetters struct {
	Retried int64 `json:"retried"`
}

// Letters lists letters that were given up, the newest first, or those that wait,
// the oldest first. after is Next of the page before, "" for the first one.
func (c *Client) Letters(ctx context.Context, token string, dead bool, after string) (Letters, error) {
	q := url.Values{"state": {"waiting"}}
	if dead {
		q.Set("state", "dead")
	}
	if after != "" {
		q.Set("after", after)
	}
	var l Letters
	err := c.do(ctx, token, "GET", "/api/v1/letters?"+q.Encode(), nil, &l)
	return l, err
}

// RetryLetter has a letter tried at once. Errors "letter_not_found",
// "letter_expired", "letter_on_its_way".
func (c *Client) RetryLetter(ctx context.Context, token, id string) error {
	return c.do(ctx, token, "POST", "/api/v1/letters/"+url.PathEscape(id)+"/retry", nil, nil)
}

// RetryLetters has all letters tried again that were given up and are still of use.
func (c *Client) RetryLetters(ctx context.Context, token string) (RetriedLetters, error) {
	var n RetriedLetters
	err := c.do(ctx, token, "POST", "/api/v1/letters/retry", nil, &n)
	return n, err
}

// DiscardLetter deletes a letter that was given up. Errors "letter_not_found",
// "letter_waits".
func (c *Client) DiscardLetter(ctx context.Context, token, id string) error {
	return c.do(ctx, token, "POST", "/api/v1/letters/"+url.PathEscape(id)+"/discard", nil, nil)
}
