package portti

import (
	"context"
	"time"
)

// NewPassword tells of a new password that perhaps somebody else wanted.
type NewPassword struct {
	Asked   time.Time `json:"asked,omitzero"`   // it was asked for and not confirmed yet: CancelAsk
	Ordered time.Time `json:"ordered,omitzero"` // it was ordered, within the last 24 hours: Freeze
}

// CancelAsk cancels a new password that somebody has asked for.
func (c *Client) CancelAsk(ctx context.Context, token string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/order/cancel", struct{}{}, nil)
}

// Freeze says of an Order that it was somebody else's: the account is frozen until
// user support has checked, and every session ends, this one too.
func (c *Client) Freeze(ctx context.Context, token string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/freeze", struct{}{}, nil)
}
