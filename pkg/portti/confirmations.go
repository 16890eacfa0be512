package portti

import (
	"context"
	"net/url"
	"time"
)

// NewConfirmation asks a second person to confirm an act.
type NewConfirmation struct {
	Act    string `json:"act"`    // the right that it takes: one of Case.Seconds
	Reason string `json:"reason"` // the act is then done for this reason, and no other
}

// AskedConfirmation is an act that waits for a second person, or that one has
// confirmed or refused. Who has asked for it does it once when it is confirmed.
type AskedConfirmation struct {
	ID        string    `json:"id"`
	Act       string    `json:"act"`
	Reason    string    `json:"reason"`
	Asked     time.Time `json:"asked"`
	Confirmed time.Time `json:"confirmed,omitzero"` // zero: nobody has
	Refused   time.Time `json:"refused,omitzero"`   // zero: nobody has
	Refusal   string    `json:"refusal,omitempty"`  // why
	Refuser   string    `json:"refuser,omitempty"`  // name of who has, to whoever has asked
}

// WaitingConfirmation is an act that waits, as the second person sees it.
type WaitingConfirmation struct {
	AskedConfirmation
	User         string           `json:"user"`
	Username     string           `json:"username"`
	Name         string           `json:"name"` // of the person whom it is about
	Organisation OrganisationName `json:"organisation"`
	Check        Check            `json:"check"`
	Asker        string           `json:"asker"` // name of who asks

	PasswordHours int    `json:"password_hours"` // that an ordered password is good for
	May           string `json:"may"`            // why the caller may not confirm, as a fault code; "" when she may
}

// WaitingConfirmations is a page of those that wait.
type WaitingConfirmations struct {
	Confirmations []WaitingConfirmation `json:"confirmations"` // the longest waiting first
	Next          string                `json:"next,omitempty"`
}

// AskSecond asks for one, on a check of the caller's own.
func (c *Client) AskSecond(ctx context.Context, token, user, check string, in NewConfirmation) (AskedConfirmation, error) {
	var out AskedConfirmation
	err := c.do(ctx, token, "POST", person(user, "/checks/"+url.PathEscape(check)+"/confirmations"), in, &out)
	return out, err
}

// Confirmations lists those that wait, 50 a page; after is Next of the page before.
func (c *Client) Confirmations(ctx context.Context, token, after string) (WaitingConfirmations, error) {
	path := "/api/v1/confirmations"
	if after != "" {
		path += "?after=" + url.QueryEscape(after)
	}
	var out WaitingConfirmations
	err := c.do(ctx, token, "GET", path, nil, &out)
	return out, err
}

// Confirmation finds one.
func (c *Client) Confirmation(ctx context.Context, token, id string) (WaitingConfirmation, error) {
	var out WaitingConfirmation
	err := c.do(ctx, token, "GET", "/api/v1/confirmations/"+url.PathEscape(id), nil, &out)
	return out, err
}

// Confirm confirms one.
func (c *Client) Confirm(ctx context.Context, token, id string) error {
	return c.do(ctx, token, "POST", "/api/v1/confirmations/"+url.PathEscape(id)+"/confirm", nil, nil)
}

// RefuseConfirmation refuses one, or withdraws one that the caller has asked for.
func (c *Client) RefuseConfirmation(ctx context.Context, token, id, reason string) error {
	return c.do(ctx, token, "POST", "/api/v1/confirmations/"+url.PathEscape(id)+"/refuse", map[string]string{"reason": reason}, nil)
}
