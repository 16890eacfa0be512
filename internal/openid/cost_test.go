package openid_test

import (
	"context"
	"net/http"
	"net/url"
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

func (c counted) IssueClient(ctx context.Context, g openid.Grant, t openid.AccessToken) error {
	c.n.Add(1)
	return c.Store.IssueClient(ctx, g, t)
}

func (c counted) Grant(ctx context.Context, id string, now time.Time) (openid.Grant, error) {
	c.n.Add(1)
	return c.Store.Grant(ctx, id, now)
}

func (c counted) Exchange(ctx context.Context, subject string, t openid.AccessToken, now time.Time) error {
	c.n.Add(1)
	return c.Store.Exchange(ctx, subject, t, now)
}

func (c counted) DropToken(ctx context.Context, hash string) error {
	c.n.Add(1)
	return c.Store.DropToken(ctx, hash)
}

func (c counted) RevokeGrant(ctx context.Context, id string, at time.Time) error {
	c.n.Add(1)
	return c.Store.RevokeGrant(ctx, id, at)
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

// What clients call for themselves is one round trip, and two where one is asked
// before something is changed.
func TestRoundTripsOfClients(t *testing.T) {
	var n atomic.Int64
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) {
		d.Store, d.Ephemeral = counted{d.Store, &n}, countedEphemeral{d.Ephemeral, &n}
	})
	k.client("rp", asksFor("read"))
	k.client("machine", machine)
	k.client("jwt", func(c *openid.Client) { c.TokenFormat = openid.FormatJWT })
	k.client("api", exchanger)
	k.client("archive", func(c *openid.Client) { resource(c); c.Serves = []string{archive} })
	for _, id := range []string{"rp", "machine", "jwt", "api", "archive"} { // known from here on
		k.about(id, "x")
	}
	subject := k.given("rp", forAPI, withScopes("read"))
	first := k.given("jwt")
	refresh := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.refresh}}
	for _, c := range []struct {
		what string
		do   func() reply
		want int64
	}{
		{"client_credentials", func() reply { return k.post("machine", own("scope", "read")) }, 1},
		{"introspection", func() reply { return k.about("api", subject.access) }, 1},
		{"introspection of a refresh token", func() reply { return k.about("rp", subject.refresh) }, 1},
		{"token exchange", func() reply { return k.post("api", swap(subject.access)) }, 2},
		{"revocation", func() reply { return k.postTo(openid.RevokePath, "rp", url.Values{"token": {subject.access}}) }, 2},
		{"revocation of a refresh token", func() reply { return k.postTo(openid.RevokePath, "rp", url.Values{"token": {subject.refresh}}) }, 2},
		{"refresh to a JWT", func() reply { return k.post("jwt", refresh) }, 2},
	} {
		n.Store(0)
		if r := c.do(); r.status != http.StatusOK || n.Load() != c.want {
			t.Errorf("%s: %d, %d round trips, want %d", c.what, r.status, n.Load(), c.want)
		}
	}
}
