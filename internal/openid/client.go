package openid

import (
	"context"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/keys"
)

// clientsKnownFor is how long a client is taken from memory: a disabled one
// stops within it, on every replica.
const clientsKnownFor = 5 * time.Second

// mostClients bounds what is kept of clients: where anybody may register, there can
// be any number.
const mostClients = 10000

// clientCache keeps registered clients for a moment. Unknown ones are not kept.
type clientCache struct {
	store Store
	now   func() time.Time

	mu      sync.RWMutex
	clients map[string]cachedClient
}

type cachedClient struct {
	client Client
	until  time.Time
}

var clientID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$`)

func (c *clientCache) get(ctx context.Context, id string) (Client, error) {
	if !clientID.MatchString(id) {
		return Client{}, errNotFound
	}
	now := c.now()
	c.mu.RLock()
	known, ok := c.clients[id]
	c.mu.RUnlock()
	if ok && now.Before(known.until) {
		return known.client, nil
	}
	client, err := c.store.Client(ctx, id)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.clients, id)
		return Client{}, err
	}
	if c.clients == nil {
		c.clients = make(map[string]cachedClient)
	}
	if len(c.clients) >= mostClients {
		maps.DeleteFunc(c.clients, func(_ string, old cachedClient) bool { return !now.Before(old.until) })
	}
	c.clients[id] = cachedClient{client, now.Add(clientsKnownFor)}
	return client, nil
}

// forget has the next look-up on this replica ask the store.
func (c *clientCache) forget(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.clients, id)
}

// may tells whether the client is registered for a grant.
func (c Client) may(g GrantType) bool { return slices.Contains(c.GrantTypes, g) }

// algorithm is what the client's ID tokens are signed with.
func (c Client) algorithm() keys.Algorithm {
	if c.Algorithm == "" {
		return keys.RS256
	}
	return c.Algorithm
}

// redirectsTo tells whether an address is registered, character by character
// (RFC 9700 §4.1.3). A native app's loopback address may have any port, since
// the app learns its port at run time (RFC 8252 §7.3).
func (c Client) redirectsTo(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return true
	}
	if !c.Native {
		return false
	}
	bare, ok := withoutPort(uri)
	return ok && slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		r, ok := withoutPort(registered)
		return ok && r == bare
	})
}

var loopback = regexp.MustCompile(`^(http://(?:127\.0\.0\.1|\[::1\]|localhost))(?::[0-9]{1,5})?((?:[/?].*)?)$`)

// withoutPort cuts the port out of a loopback address, and changes nothing else:
// parsing it would let two spellings of one address meet.
func withoutPort(uri string) (string, bool) {
	m := loopback.FindStringSubmatch(uri)
	if m == nil {
		return "", false
	}
	_, err := url.Parse(uri)
	return m[1] + m[2], err == nil && readable(uri)
}
