package openid

import (
	"cmp"
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
	"github.com/portti-id/portti/internal/identity"
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
	IssuedType   string `json:"issued_token_type,omitempty"` // RFC 8693 §2.2.1
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope,omitempty"`
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
	if reason := c.mismatch(a, redirectURI, verifier, now); reason != "" {
		p.Log.WarnContext(ctx, "code refused", "client", client.ID, "reason", reason)
		return nil, errCode
	}
	return p.mint(ctx, a, c.grant(id, GrantCode, now))
}

// grant is what the record of a code, or of a device, becomes when it is redeemed.
func (c codeRecord) grant(id string, kind GrantType, now time.Time) Grant {
	return Grant{
		ID:        id,
		Kind:      kind,
		Client:    c.Client,
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
}

// mint issues a grant of a person with its first tokens.
func (p *Provider) mint(ctx context.Context, a asking, g Grant) (*tokens, error) {
	client, now := a.Client, g.Created
	a.Scopes = nil // asked for and granted at the authorization endpoint
	if !within(a.Resources, g.Resources) {
		return nil, errTarget
	}
	var out tokens
	if g.Level == session.Full && client.may(GrantRefresh) {
		if slices.Contains(g.Scopes, "offline_access") {
			g.Expires = now.Add(p.OfflineTTL)
		}
		out.RefreshToken, g.RefreshHash = newRefreshToken(g.ID)
		if client.AuthMethod == AuthNone {
			g.RefreshBinding = a.Binding // other clients prove themselves at each refresh (RFC 9449 §5)
		}
	}
	access, err := p.newAccessToken(&out, a, g, now)
	if err != nil {
		return nil, err
	}
	if err := p.newIDToken(ctx, &out, client, g, now); err != nil {
		return nil, err
	}
	// Issue is the last word on the person: epoch, account and what the employer
	// permits are read in the transaction that stores the grant (S5, S36).
	if err := p.Store.Issue(ctx, g, access); err != nil {
		noteRenewal(ctx, client.ID, g, err)
		return nil, denied(err, errCode)
	}
	if err := p.stands(ctx, client, g, errCode); err != nil {
		return nil, err
	}
	return &out, nil
}

// stands revokes a grant that was just issued, or refreshed, if what it stood on
// has gone: a registration that admits it, a consent that covers it. After the
// store's word, and not before it: whoever takes the consent back comes either
// sooner, and is seen here, or later, and finds the grant.
func (p *Provider) stands(ctx context.Context, client Client, g Grant, otherwise Error) error {
	why := p.lost(client, g)
	if why == "" {
		allowed, err := p.stillAllowed(ctx, client, g)
		if allowed {
			return nil
		}
		if err != nil {
			return cmp.Or(p.end(ctx, g), err)
		}
		why = "consent"
	}
	p.Log.InfoContext(ctx, "grant ended", "client", client.ID, "grant", g.ID, "lost", why)
	return cmp.Or(p.end(ctx, g), error(otherwise))
}

func (p *Provider) end(ctx context.Context, g Grant) error {
	if err := p.Store.RevokeGrant(ctx, g.ID, p.Now().UTC()); err != nil {
		return fmt.Errorf("revoke a grant that does not stand: %w", err)
	}
	return nil
}

// lost says what a grant has that its client's registration does not admit any
// more, and that its tokens cannot simply leave out; "" for nothing.
func (p *Provider) lost(c Client, g Grant) string {
	need, _ := p.ACR.strength(c.MinimumACR)
	have := strengthOf(session.Session{Level: g.Level, Method: g.Method})
	methods := identity.Methods(c.Methods)
	switch {
	case !c.may(g.Kind):
		return "grant_types"
	case have < need:
		return "minimum_acr"
	case have != passwordOnly && methods != 0 && !methods.Has(methodOf(g.Method)):
		return "methods"
	case slices.Contains(g.Scopes, "offline_access") && !slices.Contains(c.Scopes, "offline_access"):
		return "offline_access" // without it the grant would have ended with its session
	case !within(g.Resources, c.Resources):
		return "resources" // a token for none is one for us
	}
	return ""
}

// mismatch says what is wrong with a code in these hands, or "".
func (c codeRecord) mismatch(a asking, redirectURI, verifier string, now time.Time) string {
	switch {
	case !now.Before(c.Expires), !now.Before(c.Session.Ends):
		return "expired"
	case c.Client != a.Client.ID:
		return "another client's"
	case c.JKT != "" && a.Binding != Binding(boundToKey+c.JKT):
		return "another key"
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

// refresh exchanges a refresh token: one Store.Rotate, and before it a look at the
// grant where the new access token says more than the grant's ID, or where the
// refresh token may stay. What the client's registration has lost since then, the
// new tokens do not have.
func (p *Provider) refresh(ctx context.Context, a asking, token string) (*tokens, error) {
	client := a.Client
	id, _, ok := strings.Cut(token, ".")
	if !ok || !grantID.MatchString(id) {
		return nil, errRefresh
	}
	now := p.Now().UTC()
	r := Rotation{Grant: id, Client: client.ID, OldHash: digest(token), NewHash: digest(token), Binding: a.Binding}
	g, keeps := Grant{ID: id}, client.keepsRefreshToken(a.Binding)
	if a.Scopes != nil || a.Resources != nil || client.TokenFormat == FormatJWT || keeps && client.AuthMethod == AuthNone {
		var err error
		if g, err = p.Store.Grant(ctx, id, now); fault.Is(err, fault.Unauthenticated) {
			return nil, p.whyDead(ctx, r, now)
		} else if err != nil {
			return nil, err
		}
		g = g.under(client)
		if e := narrows(a, g); e != nil {
			return nil, e
		}
		// Who proves nothing else keeps only what is worth nothing without its key: a
		// token from before the client had to have one is worth something to a thief.
		keeps = keeps && (client.AuthMethod != AuthNone || g.RefreshBinding != "")
	}
	if client.IDTokenEncAlg != "" {
		// Asked before the old token is spent: the keys may be out of reach.
		if _, err := p.encryptionKeys(ctx, client); err != nil {
			return nil, err
		}
	}
	var out tokens
	if !keeps {
		out.RefreshToken, r.NewHash = newRefreshToken(id)
	}
	access, err := p.newAccessToken(&out, a, g, now)
	if err != nil {
		return nil, err
	}
	if g, err = p.rotate(ctx, r, access, now); err != nil {
		return nil, err
	}
	if err := p.stands(ctx, client, g.narrowed(AccessToken{Resources: a.Resources}), errRefresh); err != nil {
		return nil, err
	}
	g = g.under(client).narrowed(AccessToken{Scopes: a.Scopes})
	out.Scope = strings.Join(g.Scopes, " ")
	out.ExpiresIn = min(out.ExpiresIn, int64(g.Expires.Sub(now)/time.Second)) // see access
	g.Nonce = ""                                                              // of the first ID token only (OpenID Connect Core §12.2)
	if err := p.newIDToken(ctx, &out, client, g, now); err != nil {
		return nil, err
	}
	return &out, nil
}

// narrows holds what a refresh asks for against what its grant has (RFC 6749 §6,
// RFC 8707 §2.2).
func narrows(a asking, g Grant) error {
	switch {
	case g.Client != a.Client.ID:
		return errRefresh
	case !within(a.Scopes, g.Scopes):
		return Error{"invalid_scope", "The refresh token was not granted all of the scope."}
	case !within(a.Resources, g.Resources), !within(a.Resources, a.Client.Resources):
		return errTarget
	}
	return nil
}

// keepsRefreshToken tells whether a refresh gives no new refresh token: where
// the old one is worth nothing without a key (FAPI 2.0 Security Profile §5.3.2.1).
func (c Client) keepsRefreshToken(b Binding) bool {
	return b != "" && (c.KeepRefreshToken || c.fapi())
}

func (p *Provider) rotate(ctx context.Context, r Rotation, t AccessToken, now time.Time) (Grant, error) {
	g, err := p.Store.Rotate(ctx, r, t, now)
	if err == nil {
		return g, nil
	}
	noteRenewal(ctx, r.Client, g, err)
	if fault.Code(err) != "refresh_reused" {
		return Grant{}, denied(err, errRefresh)
	}
	// Thief or owner, one of them holds a token that was used: neither may go on
	// (RFC 9700 §4.14.2). Rotate has revoked the family.
	p.Log.WarnContext(ctx, "refresh token reused", "client", r.Client, "grant", r.Grant)
	if err := p.record(ctx, audit.RefreshReused, r.Client, r.Grant); err != nil {
		return Grant{}, err
	}
	return Grant{}, errRefresh
}

// whyDead has the store say why no refresh token of a grant works any more: a
// rotation to the token that is there already, with an access token that is over.
func (p *Provider) whyDead(ctx context.Context, r Rotation, now time.Time) error {
	if _, err := p.rotate(ctx, r, AccessToken{Hash: digest(newSecret()), Grant: r.Grant, Expires: now, Issued: now}, now); err != nil {
		return err
	}
	return errRefresh
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

// newAccessToken makes an access token in the client's format. It never outlives
// its grant; see access.
func (p *Provider) newAccessToken(out *tokens, a asking, g Grant, now time.Time) (AccessToken, error) {
	t := AccessToken{Grant: g.ID, Expires: now.Add(p.accessTTL(a.Client)), Issued: now, Scopes: a.Scopes, Resources: a.Resources, Binding: a.Binding}
	if !g.Expires.IsZero() && g.Expires.Before(t.Expires) {
		t.Expires = g.Expires
	}
	g = g.narrowed(t)
	switch a.Client.TokenFormat {
	case FormatJWT:
		var err error
		if out.AccessToken, err = p.newJWT(a.Client, g, t); err != nil {
			return AccessToken{}, err
		}
	default:
		out.AccessToken = newSecret()
	}
	t.Hash = digest(out.AccessToken)
	out.TokenType, out.Scope = a.Binding.tokenType(), strings.Join(g.Scopes, " ")
	out.ExpiresIn = int64(t.Expires.Sub(now) / time.Second)
	return t, nil
}

// newRefreshToken carries its grant's ID, so that one call finds and rotates it.
func newRefreshToken(grant string) (token, hash string) {
	token = grant + "." + newSecret()
	return token, digest(token)
}

// idToken is an ID token's payload (OpenID Connect Core §2): these claims, and
// those of the claims parameter; names and addresses are at userinfo.
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
	AtHash   string   `json:"at_hash,omitempty"` // only a Preview has none
	Session  string   `json:"sid"`
}

func (p *Provider) newIDToken(ctx context.Context, out *tokens, c Client, g Grant, now time.Time) error {
	if !slices.Contains(g.Scopes, "openid") {
		return nil
	}
	payload, err := p.idTokenPayload(ctx, c, g, out.AccessToken, now)
	if err != nil {
		return err
	}
	signed, err := p.Keys.Sign(c.algorithm(), "JWT", payload)
	if err != nil {
		return fmt.Errorf("sign ID token: %w", err)
	}
	out.IDToken, err = p.encrypted(ctx, c, c.IDTokenEncAlg, c.IDTokenEnc, []byte(signed), "JWT")
	return err
}

// idTokenPayload is what an ID token says that comes with an access token; "" for none.
func (p *Provider) idTokenPayload(ctx context.Context, c Client, g Grant, accessToken string, now time.Time) ([]byte, error) {
	claims := idToken{
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
		Session:  g.Session,
	}
	if accessToken != "" {
		claims.AtHash = halfHash(c.algorithm(), accessToken)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return nil, fmt.Errorf("encode ID token: %w", err)
	}
	if asked := askedClaims(g).IDToken; len(asked) > 0 {
		return p.withClaims(ctx, payload, c, g, asked)
	}
	return payload, nil
}

// withClaims adds what is known of the asked claims to an ID token's payload. The
// claims of the token itself are not the asker's to change.
func (p *Provider) withClaims(ctx context.Context, payload []byte, client Client, g Grant, asked map[string]claimAsk) ([]byte, error) {
	person, err := p.People.Standing(ctx, identity.UserID(g.User), g.Epoch, g.Session)
	if err != nil {
		return nil, denied(err, errCode)
	}
	return told(&person, func(c *personClaim) bool { return client.mayAsk(c) && asks(asked, c.name) }).into(payload)
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
