package openid

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
)

// clientCredentials gives a client a token in its own name (RFC 6749 §4.4): one
// Store.IssueClient. There is no person in it, so there is no ID token, and no
// refresh token either (§4.4.3).
func (p *Provider) clientCredentials(ctx context.Context, a asking) (*tokens, error) {
	if a.Client.AuthMethod == AuthNone {
		return nil, errClient // it proves nothing
	}
	now := p.Now().UTC()
	g := Grant{ID: newGrantID(), Kind: GrantClient, Client: a.Client.ID, Resources: a.Resources, Created: now, Expires: now.Add(p.accessTTL(a.Client))}
	for _, s := range a.Client.Scopes {
		if !p.needsPerson(s) && (a.Scopes == nil || slices.Contains(a.Scopes, s)) {
			g.Scopes = append(g.Scopes, s)
		}
	}
	switch {
	case a.Scopes != nil && len(g.Scopes) == 0:
		return nil, Error{"invalid_scope", "The client may have none of the scope in its own name."}
	case !within(a.Resources, a.Client.Resources):
		return nil, errTarget
	}
	a.Scopes, a.Resources = nil, nil // they are the grant's
	var out tokens
	t, err := p.newAccessToken(&out, a, g, now)
	if err != nil {
		return nil, err
	}
	if err := p.Store.IssueClient(ctx, g, t); err != nil {
		return nil, err
	}
	return &out, nil
}

// needsPerson tells whether a scope means something only where somebody has
// signed in: those of OpenID Connect, and those of our own API.
func (p *Provider) needsPerson(scope string) bool {
	return slices.Contains(scopesSupported, scope) || scope == p.EnrolScope || scope == "us" || strings.HasPrefix(scope, "us.") || scope == "manage"
}

// newGrantID returns 128 random bits in the form of GrantID.
func newGrantID() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
