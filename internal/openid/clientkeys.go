package openid

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/portti-id/portti/internal/clientjwt"
)

// clientKeys finds the keys that clients registered. It is safe for any number of
// callers.
type clientKeys struct {
	fetcher *clientjwt.Fetcher

	mu     sync.RWMutex
	parsed map[string]parsedKeys // by client; mostClients at a time
}

// parsedKeys is a registered set, read once.
type parsedKeys struct {
	jwks []byte
	keys *clientjwt.Keys
}

// keysOf returns the keys that a client registered, itself or behind its
// jwks_uri. A client without keys has none to give: errNoKeys.
func (p *Provider) keysOf(c Client) (clientjwt.Source, error) {
	switch {
	case len(c.JWKS) > 0:
		return p.clientKeys.registered(c)
	case c.JWKSURI != "":
		return p.clientKeys.fetcher.At(c.JWKSURI), nil
	}
	return nil, errNoKeys
}

var errNoKeys = &clientjwt.Error{Reason: "no_keys", Description: "The client has registered no keys."}

// registered reads a set again only when the registration has another one.
func (k *clientKeys) registered(c Client) (clientjwt.Source, error) {
	k.mu.RLock()
	known, ok := k.parsed[c.ID]
	k.mu.RUnlock()
	if ok && bytes.Equal(known.jwks, c.JWKS) {
		return known.keys, nil
	}
	keys, err := clientjwt.ParseKeys(c.JWKS)
	if err != nil {
		return nil, fmt.Errorf("registered keys of client %s: %w", c.ID, err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.parsed == nil {
		k.parsed = make(map[string]parsedKeys)
	}
	if len(k.parsed) >= mostClients {
		clear(k.parsed) // those that are in use are soon read again
	}
	k.parsed[c.ID] = parsedKeys{c.JWKS, keys}
	return keys, nil
}
