package openid

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// typAccess is an access token's typ (RFC 9068 §2.1).
const typAccess = "at+jwt"

// tokenFacts are what a resource may know of an access token: the payload of one
// that is a JWT (RFC 9068 §2.2), and what introspection says of either kind.
type tokenFacts struct {
	Issuer       string        `json:"iss"`
	Subject      string        `json:"sub"` // as the token's client sees the person; the client itself where there is none
	Audience     audience      `json:"aud"`
	Client       string        `json:"client_id"`
	Expires      int64         `json:"exp"`
	IssuedAt     int64         `json:"iat"`
	ID           string        `json:"jti,omitempty"`
	Scope        string        `json:"scope,omitempty"`
	ACR          string        `json:"acr,omitempty"` // how the person signed in, for RFC 9470
	AMR          []string      `json:"amr,omitempty"`
	AuthTime     int64         `json:"auth_time,omitempty"`
	Confirmation *confirmation `json:"cnf,omitempty"`
}

// facts are those of a token of a client; g is narrowed to the token.
func (p *Provider) facts(c Client, g Grant, t AccessToken) tokenFacts {
	f := tokenFacts{
		Issuer:       p.Issuer,
		Subject:      c.ID,
		Audience:     p.audienceOf(g.Resources),
		Client:       c.ID,
		Expires:      t.Expires.Unix(),
		IssuedAt:     t.Issued.Unix(),
		Scope:        strings.Join(g.Scopes, " "),
		Confirmation: t.Binding.confirmation(),
	}
	if g.User != "" {
		f.Subject, f.ACR, f.AMR, f.AuthTime = p.subject(c, g.User), g.ACR, g.AMR, g.AuthTime.Unix()
	}
	return f
}

// newJWT makes an access token that its resource can read without asking us,
// signed as the client's ID tokens are.
func (p *Provider) newJWT(c Client, g Grant, t AccessToken) (string, error) {
	f := p.facts(c, g, t)
	f.ID = rand.Text()
	payload, err := json.Marshal(f)
	if err != nil {
		return "", fmt.Errorf("encode access token: %w", err)
	}
	token, err := p.Keys.Sign(c.algorithm(), typAccess, payload)
	if err != nil {
		return "", fmt.Errorf("sign access token: %w", err)
	}
	return token, nil
}

// tokenID is a live access token's jti: the one in a JWT, and for a reference
// half of its hash, which leads nobody to the token.
func tokenID(raw string, t AccessToken) string {
	_, rest, ok := strings.Cut(raw, ".")
	if !ok {
		return t.Hash[:32]
	}
	body, _, _ := strings.Cut(rest, ".")
	var claims struct {
		ID string `json:"jti"`
	}
	payload, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return "" // it is ours, so it can be read
	}
	return claims.ID
}
