package openid_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/openid"
)

// counted counts the round trips that a request makes.
type counted struct {
	openid.Store
	n *atomic.Int64
}

func (c counted) Client(ctx context.Context, id string) (openid.Client, error) {
	c.n.Add(1)
	return c.Store.Client(ctx, id)
}

func (c counted) Issue(ctx context.Context, g openid.Grant, t openid.AccessToken) error {
	c.n.Add(1)
	return c.Store.Issue(ctx, g, t)
}

func (c counted) Rotate(ctx context.Context, r openid.Rotation, t openid.AccessToken, now time.Time) (openid.Grant, error) {
	c.n.Add(1)
	return c.Store.Rotate(ctx, r, t, now)
}

func (c counted) Token(ctx context.Context, hash string, now time.Time) (openid.Grant, openid.AccessToken, error) {
	c.n.Add(1)
	return c.Store.Token(ctx, hash, now)
}

type countedEphemeral struct {
	ephemeral.Store
	n *atomic.Int64
}

func (c countedEphemeral) Put(ctx context.Context, key string, value []byte, ttl time.Duration) error {
	c.n.Add(1)
	return c.Store.Put(ctx, key, value, ttl)
}

func (c countedEphemeral) Get(ctx context.Context, key string) ([]byte, error) {
	c.n.Add(1)
	return c.Store.Get(ctx, key)
}

func (c countedEphemeral) Take(ctx context.Context, key string) ([]byte, error) {
	c.n.Add(1)
	return c.Store.Take(ctx, key)
}

func (c countedEphemeral) Swap(ctx context.Context, key string, value []byte, ttl time.Duration) ([]byte, error) {
	c.n.Add(1)
	return c.Store.Swap(ctx, key, value, ttl)
}

func (c countedEphemeral) Delete(ctx context.Context, key string) error {
	c.n.Add(1)
	return c.Store.Delete(ctx, key)
}

// A code exchange is one ephemeral call and one transaction; a refresh is one
// transaction (zitadel-oidc 5.1: the library makes eight calls and seven).
func TestRoundTrips(t *testing.T) {
	var n atomic.Int64
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) {
		d.Store, d.Ephemeral = counted{d.Store, &n}, countedEphemeral{d.Ephemeral, &n}
	})
	k.client("rp")
	code := k.code(k.browser(), request()) // the client is known from here on
	n.Store(0)
	r := k.post("rp", redeem(code))
	if r.status != http.StatusOK || n.Load() != 2 {
		t.Errorf("code exchange: %d, %d round trips", r.status, n.Load())
	}
	n.Store(0)
	if k.userinfo(r.text("access_token")).status != http.StatusOK || n.Load() != 1 {
		t.Errorf("userinfo: %d round trips to find the token", n.Load())
	}
	n.Store(0)
	r = k.post("rp", map[string][]string{"grant_type": {"refresh_token"}, "refresh_token": {r.text("refresh_token")}})
	if r.status != http.StatusOK || n.Load() != 1 {
		t.Errorf("refresh: %d, %d round trips", r.status, n.Load())
	}
}
