package openid

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/session"
)

// asking is a request to the token endpoint whose client has proved itself.
type asking struct {
	Client    Client
	Binding   Binding  // that the request proves: what its tokens will be bound to
	Scopes    []string // of the scope parameter; nil without one
	Resources []string // of the resource parameters (RFC 8707 §2.2); nil without one
}

// codeRecord is what an authorization code stands for, kept under the code's
// hash. It holds everything the tokens need, so that the exchange looks
// nothing up.
type codeRecord struct {
	Client      string          `json:"client"`
	RedirectURI string          `json:"redirect_uri"`
	Challenge   string          `json:"challenge,omitempty"`
	Nonce       string          `json:"nonce,omitempty"`
	Claims      string          `json:"claims,omitempty"`
	Resources   []string        `json:"resources,omitempty"`
	JKT         string          `json:"jkt,omitempty"` // RFC 9449 §10
	Scopes      []string        `json:"scopes"`
	ACR         string          `json:"acr"`
	AMR         []string        `json:"amr"`
	Session     session.Session `json:"session"`
	Expires     time.Time       `json:"expires"`
}

// tombstone lies where a code was, for as long as its tokens may live.
const tombstone = "spent"

// GrantID derives the grant's ID from the code, so that a replayed code names
// what must be revoked without another look-up. It tells nothing of the code.
func GrantID(code string) string {
	sum := sha256.Sum256([]byte("grant\x00" + code))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

var grantID = regexp.MustCompile(`^[A-Za-z0-9_-]{22}$`)

// tokens is a successful token response (RFC 6749 §5.1, OpenID Connect Core §3.1.3.3).
type tokens struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
}

// Errors of the token endpoint. One description for every way in which a code
// or a refresh token is wrong: which it was is for the log.
var (
	errCode    = Error{"invalid_grant", "The code is wrong, expired or used."}
	errRefresh = Error{"invalid_grant", "The refresh token is wrong, expired, used or revoked."}
)

// exchange redeems a code: one ephemeral Swap, one Store.Issue.
//
// The code is consumed before anything about it is checked. Whoever presents it
// with the wrong client, redirect URI or verifier has got hold of what is not
// theirs, so a second try must not succeed, not even the owner's (RFC 9700
// §4.5); and a signature that fails leaves the code spent, which is the safe side.
func (p *Provider) exchange(ctx context.Context, a asking, code, redirectURI, verifier string) (*tokens, error) {
	client, id := a.Client, GrantID(code)
	raw, err := p.Ephemeral.Swap(ctx, ephemeral.Key("code", code), []byte(tombstone), p.longestLife(client))
	if fault.Is(err, fault.NotFound) {
		return nil, errCode
	}
	if err != nil {
		return nil, err
	}
	if string(raw) == tombstone {
		return nil, p.replayed(ctx, client, id)
	}
	var c codeRecord
	if err := json.Unmarshal(raw, &c); err != nil {
		return nil, fmt.Errorf("decode code: %w", err)
	}
	now := p.Now().UTC()
	if reason := c.mismatch(client, redirectURI, verifier, now); reason != "" {
		p.Log.WarnContext(ctx, "code refused", "client", client.ID, "reason", reason)
		return nil, errCode
	}
	g := Grant{
		ID:        id,
		Kind:      GrantCode,
		Client:    client.ID,
		User:      c.Session.User,
		Session:   c.Session.ID,
		Epoch:     c.Session.Epoch,
		Level:     c.Session.Level,
		Method:    c.Session.Method,
		Scopes:    c.Scopes,
		Resources: c.Resources,
		Claims:    c.Claims,
		ACR:       c.ACR,
		AMR:       c.AMR,
		Nonce:     c.Nonce,
		AuthTime:  c.Session.AuthTime,
		Created:   now,
		Expires:   c.Session.Ends,
	}
	out := tokens{TokenType: "Bearer", Scope: strings.Join(g.Scopes, " ")}
	if g.Level == session.Full && client.may(GrantRefresh) {
		if slices.Contains(g.Scopes, "offline_access") {
			g.Expires = now.Add(p.OfflineTTL)
		}
		out.RefreshToken, g.RefreshHash = newRefreshToken(g.ID)
	}
	access := p.newAccessToken(&out, a, g, now)
	if err := p.newIDToken(&out, client, g, now); err != nil {
		return nil, err
	}
	// Issue is the last word on the person: epoch, account and what the employer
	// permits are read in the transaction that stores the grant (S5, S36).
	if err := p.Store.Issue(ctx, g, access); err != nil {
		return nil, denied(err, errCode)
	}
	return &out, nil
}

// mismatch says what is wrong with a code in these hands, or "".
func (c codeRecord) mismatch(client Client, redirectURI, verifier string, now time.Time) string {
	switch {
	case !now.Before(c.Expires), !now.Before(c.Session.Ends):
		return "expired"
	case c.Client != client.ID:
		return "another client's"
	case c.RedirectURI != redirectURI:
		return "another redirect_uri"
	case c.Challenge == "" && verifier != "":
		// A verifier where no challenge was sent: somebody took the challenge out
		// of the request on its way (RFC 9700 §4.8.2).
		return "verifier without challenge"
	case c.Challenge != "" && !provesChallenge(verifier, c.Challenge):
		return "wrong code_verifier"
	}
	return ""
}

var codeVerifier = regexp.MustCompile(`^[A-Za-z0-9._~-]{43,128}$`) // RFC 7636 §4.1

func provesChallenge(verifier, challenge string) bool {
	if !codeVerifier.MatchString(verifier) {
		return false
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// replayed revokes what was issued for the code, or is about to be (RFC 6749
// §4.1.2). The client has proved itself, so a stranger cannot get here.
func (p *Provider) replayed(ctx context.Context, client Client, grant string) error {
	now := p.Now().UTC()
	if err := p.Store.RevokeGrant(ctx, grant, now); err != nil {
		return fmt.Errorf("revoke grant of a replayed code: %w", err)
	}
	p.Log.WarnContext(ctx, "code replayed", "client", client.ID, "grant", grant)
	if err := p.record(ctx, audit.CodeReplayed, client.ID, grant); err != nil {
		return err
	}
	return errCode
}

func (p *Provider) record(ctx context.Context, t audit.Type, client, grant string) error {
	return p.Audit.Record(ctx, audit.Event{At: p.Now().UTC(), Type: t, Actor: "system", Client: client,
		Address: addressOf(ctx), Details: map[string]string{"grant": grant}})
}

// refresh exchanges a refresh token: one Store.Rotate. A scope parameter is not
// needed: the new token has the grant's scopes, and the response says which.
func (p *Provider) refresh(ctx context.Context, a asking, token string) (*tokens, error) {
	client := a.Client
	id, _, ok := strings.Cut(token, ".")
	if !ok || !grantID.MatchString(id) {
		return nil, errRefresh
	}
	now := p.Now().UTC()
	out := tokens{TokenType: "Bearer"}
	next, hash := newRefreshToken(id)
	access := p.newAccessToken(&out, a, Grant{ID: id}, now)
	g, err := p.Store.Rotate(ctx, Rotation{Grant: id, Client: client.ID, OldHash: digest(token), NewHash: hash, Binding: a.Binding}, access, now)
	switch code := fault.Code(err); {
	case err == nil:
	case code == "refresh_reused":
		// Thief or owner, one of them holds a token that was used: neither may go
		// on (RFC 9700 §4.14.2). Rotate has revoked the family.
		p.Log.WarnContext(ctx, "refresh token reused", "client", client.ID, "grant", id)
		if err := p.record(ctx, audit.RefreshReused, client.ID, id); err != nil {
			return nil, err
		}
		return nil, errRefresh
	default:
		return nil, denied(err, errRefresh)
	}
	out.RefreshToken, out.Scope = next, strings.Join(g.Scopes, " ")
	out.ExpiresIn = min(out.ExpiresIn, int64(g.Expires.Sub(now)/time.Second)) // see Token
	g.Nonce = ""                                                              // of the first ID token only (OpenID Connect Core §12.2)
	if err := p.newIDToken(&out, client, g, now); err != nil {
		return nil, err
	}
	return &out, nil
}

// denied turns what the store says about a grant into an answer for the client.
// The person's standing and the employer's policy have codes of their own, as
// the client may want to tell its user (S5).
func denied(err error, otherwise Error) error {
	f, ok := fault.Of(err)
	if !ok {
		return err
	}
	switch f.Kind {
	case fault.Denied, fault.Unauthenticated:
		switch f.Code {
		case "method_not_permitted_by_employer", "account_disabled", "session_ended":
			return Error{"invalid_grant", f.Code}
		}
		return otherwise
	case fault.Gone, fault.NotFound, fault.Conflict:
		return otherwise
	}
	return err
}

// longestLife is how long a tombstone must lie: as long as anything issued to
// this client for one code.
func (p *Provider) longestLife(c Client) time.Duration {
	life := p.accessTTL(c)
	if c.may(GrantRefresh) {
		life = max(life, session.FullAbsolute)
		if slices.Contains(c.Scopes, "offline_access") {
			life = max(life, p.OfflineTTL)
		}
	}
	return life + p.CodeTTL
}

func (p *Provider) accessTTL(c Client) time.Duration {
	if c.AccessTokenTTL > 0 {
		return c.AccessTokenTTL
	}
	return p.AccessTokenTTL
}

// newAccessToken makes a reference token. It never outlives its grant; see Token.
func (p *Provider) newAccessToken(out *tokens, a asking, g Grant, now time.Time) AccessToken {
	out.AccessToken = newSecret()
	expires := now.Add(p.accessTTL(a.Client))
	if !g.Expires.IsZero() && g.Expires.Before(expires) {
		expires = g.Expires
	}
	out.ExpiresIn = int64(expires.Sub(now) / time.Second)
	return AccessToken{Hash: digest(out.AccessToken), Grant: g.ID, Expires: expires, Issued: now, Binding: a.Binding}
}

// newRefreshToken carries its grant's ID, so that one call finds and rotates it.
func newRefreshToken(grant string) (token, hash string) {
	token = grant + "." + newSecret()
	return token, digest(token)
}

// idToken is an ID token's payload (OpenID Connect Core §2): these claims and
// no others; names and addresses are at userinfo.
type idToken struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	Expires  int64    `json:"exp"`
	IssuedAt int64    `json:"iat"`
	AuthTime int64    `json:"auth_time"`
	Nonce    string   `json:"nonce,omitempty"`
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	Party    string   `json:"azp"`
	AtHash   string   `json:"at_hash"`
	Session  string   `json:"sid"`
}

func (p *Provider) newIDToken(out *tokens, c Client, g Grant, now time.Time) error {
	if !slices.Contains(g.Scopes, "openid") {
		return nil
	}
	alg := c.algorithm()
	payload, err := json.Marshal(idToken{
		Issuer:   p.Issuer,
		Subject:  p.subject(c, g.User),
		Audience: c.ID,
		Expires:  now.Add(p.IDTokenTTL).Unix(),
		IssuedAt: now.Unix(),
		AuthTime: g.AuthTime.Unix(),
		Nonce:    g.Nonce,
		ACR:      g.ACR,
		AMR:      g.AMR,
		Party:    c.ID,
		AtHash:   halfHash(alg, out.AccessToken),
		Session:  g.Session,
	})
	if err != nil {
		return fmt.Errorf("encode ID token: %w", err)
	}
	if out.IDToken, err = p.Keys.Sign(alg, "JWT", payload); err != nil {
		return fmt.Errorf("sign ID token: %w", err)
	}
	return nil
}

// halfHash is the left half of the hash that belongs to the algorithm (OpenID
// Connect Core §3.1.3.6); Ed25519's is SHA-512.
func halfHash(alg keys.Algorithm, token string) string {
	if alg == keys.EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

// Token returns the grant of a live access token, for userinfo and the JSON
// API. fault.Unauthenticated "invalid_token" otherwise.
func (p *Provider) Token(ctx context.Context, raw string) (Grant, error) {
	if !secretForm.MatchString(raw) {
		return Grant{}, errInvalidToken
	}
	now := p.Now().UTC()
	g, t, err := p.Store.Token(ctx, digest(raw), now)
	if err != nil {
		return Grant{}, err
	}
	if !now.Before(g.Expires) || t.Binding != "" {
		return Grant{}, errInvalidToken
	}
	// A disabled client's tokens stop with it.
	if _, err := p.client(ctx, g.Client); err != nil {
		if unavailable(err) {
			return Grant{}, err
		}
		return Grant{}, errInvalidToken
	}
	return g, nil
}

// Bearer is Token, for tokens of persons and of clients themselves.
func (p *Provider) Bearer(ctx context.Context, raw string) (Grant, error) {
	g, err := p.Token(ctx, raw)
	if err != nil {
		return Grant{}, err
	}
	_, t, err := p.Store.Token(ctx, digest(raw), p.Now().UTC())
	switch {
	case err != nil:
		return Grant{}, err
	case t.Binding != "" || len(g.Resources)+len(t.Resources) > 0:
		return Grant{}, errInvalidToken
	case t.Scopes != nil:
		g.Scopes = t.Scopes
	}
	return g, nil
}

var (
	secretForm      = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`)
	errInvalidToken = fault.New(fault.Unauthenticated, "invalid_token", "The access token is wrong or expired.")
)
