package openid

import (
	"context"
	"regexp"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/fault"
)

// access is a live access token with what it stands on.
type access struct {
	Grant  Grant // with the token's own scopes and resources
	Token  AccessToken
	Client Client // whom it was given to
}

// narrowed is a grant as one of its tokens has it.
func (g Grant) narrowed(t AccessToken) Grant {
	if t.Scopes != nil {
		g.Scopes = t.Scopes
	}
	if t.Resources != nil {
		g.Resources = t.Resources
	}
	return g
}

// under is a grant under its client's registration of this moment: a scope that the
// client may not ask for any more opens nothing any more.
func (g Grant) under(c Client) Grant {
	if !within(g.Scopes, c.Scopes) {
		g.Scopes = slices.DeleteFunc(slices.Clone(g.Scopes), func(s string) bool { return !slices.Contains(c.Scopes, s) })
	}
	return g
}

// access finds a live access token, reference or JWT: both are stored under
// their hash, so that both die at once with what they stand on, and whatever has
// the hash of a token of ours is that token. fault.Unauthenticated
// "invalid_token" otherwise.
func (p *Provider) access(ctx context.Context, raw string) (access, error) {
	if !secretForm.MatchString(raw) && !jwtForm(raw) {
		return access{}, errInvalidToken
	}
	now := p.Now().UTC()
	g, t, err := p.Store.Token(ctx, digest(raw), now)
	if err != nil {
		return access{}, err
	}
	if !now.Before(g.Expires) {
		return access{}, errInvalidToken
	}
	c, err := p.standing(ctx, g.Client)
	if err == nil && t.Client != "" {
		c, err = p.standing(ctx, t.Client)
	}
	if err != nil {
		return access{}, err
	}
	return access{Grant: g.narrowed(t).under(c), Token: t, Client: c}, nil
}

// standing returns the client of a token: a disabled client's tokens stop with it.
func (p *Provider) standing(ctx context.Context, id string) (Client, error) {
	c, err := p.client(ctx, id)
	if err != nil && !unavailable(err) {
		return Client{}, errInvalidToken
	}
	return c, err
}

// forUs tells whether a token may be used at our own endpoints: when it is for
// no resource, or for the issuer alone. One that is also for somebody else could
// be used here by them.
func (p *Provider) forUs(resources []string) bool {
	return len(resources) == 0 || slices.Equal(resources, []string{p.Issuer})
}

var (
	secretForm      = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	errInvalidToken = fault.New(fault.Unauthenticated, "invalid_token", "The access token is wrong or expired.")
)

const longestJWT = 8 << 10

// jwtForm tells whether a token may be a JWT: three parts in base64url.
func jwtForm(raw string) bool {
	return len(raw) <= longestJWT && strings.Count(raw, ".") == 2 && !strings.ContainsFunc(raw, func(r rune) bool {
		return r != '.' && r != '-' && r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// tokenType is what the token response calls a token (RFC 9449 §5, RFC 8705 §3).
func (b Binding) tokenType() string {
	if strings.HasPrefix(string(b), boundToKey) {
		return "DPoP"
	}
	return "Bearer"
}

// confirmation is a cnf claim (RFC 7800 §3.1).
type confirmation struct {
	JKT         string `json:"jkt,omitempty"`      // RFC 9449 §6.1
	Certificate string `json:"x5t#S256,omitempty"` // RFC 8705 §3.1
}

// confirmation is nil for a bearer token.
func (b Binding) confirmation() *confirmation {
	if key, ok := strings.CutPrefix(string(b), boundToKey); ok {
		return &confirmation{JKT: key}
	}
	if print, ok := strings.CutPrefix(string(b), boundToCertificate); ok {
		return &confirmation{Certificate: print}
	}
	return nil
}
