package portti

import (
	"context"
	"net/url"
	"time"
)

// SigningKeys is every signing key of the provider, by kind; never a private half.
type SigningKeys struct {
	Kinds []KeyKind `json:"kinds"`
}

// KeyKind is the keys of one kind, and what becomes of them.
type KeyKind struct {
	Kind      string       `json:"kind"`                // RSA-2048, P-256, Ed25519
	Scheduled bool         `json:"scheduled"`           // the provider rotates them itself
	Prepares  time.Time    `json:"prepares,omitzero"`   // when it makes the next key
	Promotes  time.Time    `json:"promotes,omitzero"`   // when it lets the next key sign
	Ready     time.Time    `json:"ready,omitzero"`      // from when the next key may sign: before that not every service has fetched it; absent without one
	Keys      []SigningKey `json:"keys"`                // oldest first
	Droppable bool         `json:"droppable,omitempty"` // a retired key's last token has expired
}

// SigningKey is one key.
type SigningKey struct {
	ID      string    `json:"id"`    // kid
	State   string    `json:"state"` // next, current, retired
	Created time.Time `json:"created"`
	Since   time.Time `json:"since"`          // when it came into this state
	Drops   time.Time `json:"drops,omitzero"` // of a retired one: when its last token has expired
}

// SigningKeys lists the signing keys.
func (c *Client) SigningKeys(ctx context.Context, token string) (SigningKeys, error) {
	var k SigningKeys
	err := c.do(ctx, token, "GET", "/api/v1/keys", nil, &k)
	return k, err
}

// PrepareKey publishes the next key of a kind, PromoteKey lets it sign and retires
// the current one, RetireKeys drops the retired ones whose last token has expired.
// Errors "key_kind_unknown", "key_not_prepared", "key_too_new", "key_moved_meanwhile".
func (c *Client) PrepareKey(ctx context.Context, token, kind string) (KeyKind, error) {
	return c.moveKey(ctx, token, kind, "prepare")
}

// PromoteKey lets the next key of a kind sign: see PrepareKey.
func (c *Client) PromoteKey(ctx context.Context, token, kind string) (KeyKind, error) {
	return c.moveKey(ctx, token, kind, "promote")
}

// RetireKeys drops retired keys of a kind: see PrepareKey.
func (c *Client) RetireKeys(ctx context.Context, token, kind string) (KeyKind, error) {
	return c.moveKey(ctx, token, kind, "retire")
}

func (c *Client) moveKey(ctx context.Context, token, kind, to string) (KeyKind, error) {
	var k KeyKind
	err := c.do(ctx, token, "POST", "/api/v1/keys/"+url.PathEscape(kind)+"/"+to, nil, &k)
	return k, err
}
