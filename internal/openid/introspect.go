package openid

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

// typIntrospection is a signed answer's typ, and with "application/" before it
// its media type (RFC 9701 §5).
const typIntrospection = "token-introspection+jwt"

// introspection is what a client learns of a token (RFC 7662 §2.2).
type introspection struct {
	Active    bool   `json:"active"`
	TokenType string `json:"token_type,omitempty"`
	*tokenFacts
}

// introspect tells a client about its own tokens, and a resource about those
// that are for it. All others are not active, whatever they are: an answer must
// not help anybody to try tokens out (RFC 7662 §2.2, §4). The hint is not needed,
// as the forms of our tokens differ (§2.1).
func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	c, ok := p.called(w, r)
	if !ok {
		return
	}
	raw := r.PostForm.Get("token")
	switch {
	case c.AuthMethod == AuthNone:
		p.refuseCaller(w, r, errClient) // §2.1: anybody could ask in its name
		return
	case raw == "":
		p.refuseCaller(w, r, Error{"invalid_request", "The token is missing."})
		return
	}
	answer, err := p.about(r.Context(), c, raw)
	if err != nil {
		p.refuseCaller(w, r, err)
		return
	}
	body, kind, err := p.writeIntrospection(r, c, answer)
	if err != nil {
		p.refuseCaller(w, r, err)
		return
	}
	w.Header().Set("Content-Type", kind)
	_, _ = w.Write(body)
}

// about is what a client may know of a token; the zero value for nothing.
func (p *Provider) about(ctx context.Context, c Client, raw string) (introspection, error) {
	if refreshForm(raw) {
		g, live, err := p.refreshGrant(ctx, raw)
		if err != nil || !live || g.Client != c.ID {
			return introspection{}, err
		}
		f := p.facts(c, g, AccessToken{Expires: g.Expires, Issued: g.Created, Binding: g.RefreshBinding})
		f.Audience = audience{p.Issuer} // it is shown to us alone
		return introspection{Active: true, tokenFacts: &f}, nil
	}
	a, err := p.access(ctx, raw)
	if fault.Is(err, fault.Unauthenticated) {
		return introspection{}, nil
	}
	if err != nil {
		return introspection{}, err
	}
	serves := slices.ContainsFunc(a.Grant.Resources, func(r string) bool { return slices.Contains(c.Serves, r) })
	if a.Client.ID != c.ID && !serves {
		p.Log.InfoContext(ctx, "introspection of another's token", "client", c.ID, "of", a.Client.ID)
		return introspection{}, nil
	}
	f := p.facts(a.Client, a.Grant, a.Token)
	f.ID = tokenID(raw, a.Token)
	return introspection{Active: true, TokenType: a.Token.Binding.tokenType(), tokenFacts: &f}, nil
}

// refreshForm tells whether a token has the form of a refresh token: its grant's
// ID and a secret.
func refreshForm(raw string) bool {
	id, secret, ok := strings.Cut(raw, ".")
	return ok && grantID.MatchString(id) && secretForm.MatchString(secret)
}

// refreshGrant finds the grant of a live refresh token; false when it is none, or
// was used.
func (p *Provider) refreshGrant(ctx context.Context, raw string) (Grant, bool, error) {
	id, _, _ := strings.Cut(raw, ".")
	g, err := p.Store.Grant(ctx, id, p.Now().UTC())
	if fault.Is(err, fault.Unauthenticated) {
		return Grant{}, false, nil
	}
	if err != nil {
		return Grant{}, false, err
	}
	right := subtle.ConstantTimeCompare([]byte(digest(raw)), []byte(g.RefreshHash)) == 1
	return g, right, nil
}

// writeIntrospection is the answer with its media type: JSON, or signed for a client
// that is registered so or asks for it (RFC 9701 §4).
func (p *Provider) writeIntrospection(r *http.Request, c Client, answer introspection) (body []byte, kind string, err error) {
	if c.IntrospectionAlg == "" && !accepts(r, "application/"+typIntrospection) {
		body, err = json.Marshal(answer)
		return body, "application/json", err
	}
	payload, err := json.Marshal(struct {
		Issuer   string        `json:"iss"`
		Audience string        `json:"aud"`
		IssuedAt int64         `json:"iat"`
		Answer   introspection `json:"token_introspection"`
	}{p.Issuer, c.ID, p.Now().Unix(), answer})
	if err != nil {
		return nil, "", fmt.Errorf("encode introspection: %w", err)
	}
	alg := c.IntrospectionAlg
	if alg == "" {
		alg = keys.RS256 // the default of §6
	}
	token, err := p.Keys.Sign(alg, typIntrospection, payload)
	if err != nil {
		return nil, "", fmt.Errorf("sign introspection: %w", err)
	}
	return []byte(token), "application/" + typIntrospection, nil
}

// accepts tells whether a request names a media type in Accept.
func accepts(r *http.Request, kind string) bool {
	for _, line := range r.Header.Values("Accept") {
		for one := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(one, ";")
			if strings.EqualFold(strings.TrimSpace(name), kind) {
				return true
			}
		}
	}
	return false
}
