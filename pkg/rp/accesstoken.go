package rp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// accessClaims are those of a JWT (RFC 9068 §2.2) and of an answer about a
// reference (RFC 7662 §2.2).
type accessClaims struct {
	Issuer       string          `json:"iss"`
	Subject      string          `json:"sub"`
	Audience     audience        `json:"aud"`
	Client       string          `json:"client_id"`
	Expires      numericDate     `json:"exp"`
	IssuedAt     numericDate     `json:"iat"`
	NotBefore    numericDate     `json:"nbf"`
	Scope        string          `json:"scope"`
	ACR          string          `json:"acr"`
	AMR          []string        `json:"amr"`
	AuthTime     numericDate     `json:"auth_time"`
	Confirmation json.RawMessage `json:"cnf"` // the key it is bound to (RFC 7800 §3)

	Active    bool   `json:"active"`     // of an answer only
	TokenType string `json:"token_type"` // of an answer only
}

// verify proves a token, or asks the provider about it. A refusal is the token's
// fault; every other error means that nobody could tell.
func (a *Resource) verify(ctx context.Context, raw string) (*Access, error) {
	found, err := a.authority(ctx)
	if err != nil {
		return nil, err
	}
	read, prove := a.ask, a.checkAnswer
	if typ, ok := typeOf(raw); ok && strings.Count(raw, ".") == 2 {
		// An ID token is signed by the same keys, and is no access token (RFC 9068 §4).
		if typ != "at+jwt" {
			return nil, invalid(fmt.Errorf("a JWT of type %q", typ))
		}
		read, prove = a.readJWT, checkJWT
	}
	decode, err := read(ctx, found, raw)
	if err != nil {
		return nil, err
	}
	var c accessClaims
	if err := decode(&c); err != nil {
		return nil, invalid(fmt.Errorf("decode claims: %w", err))
	}
	if err := prove(c); err != nil {
		return nil, err
	}
	if err := a.check(c); err != nil {
		return nil, err
	}
	all, err := claimsOf(decode)
	if err != nil {
		return nil, invalid(err)
	}
	access := &Access{Subject: c.Subject, ClientID: c.Client, Scopes: strings.Fields(c.Scope), ACR: c.ACR, AMR: c.AMR, Claims: all}
	if c.AuthTime != 0 {
		access.AuthTime = time.Unix(int64(c.AuthTime), 0)
	}
	if c.Expires != 0 {
		access.Expires = time.Unix(int64(c.Expires), 0)
	}
	return access, nil
}

// check is what both kinds of token must stand.
func (a *Resource) check(c accessClaims) error {
	now := a.config.Now()
	switch {
	case !slices.Contains(c.Audience, a.config.Audience):
		return invalid(fmt.Errorf("for %q", c.Audience))
	case len(c.Confirmation) > 0:
		return errBound
	case c.Expires != 0 && !now.Before(time.Unix(int64(c.Expires), 0)):
		return invalid(errors.New("expired"))
	case c.IssuedAt != 0 && time.Unix(int64(c.IssuedAt), 0).After(now.Add(skew)),
		c.NotBefore != 0 && time.Unix(int64(c.NotBefore), 0).After(now.Add(skew)):
		return invalid(errors.New("from the future"))
	}
	return nil
}

// readJWT checks the signature and the issuer.
func (a *Resource) readJWT(ctx context.Context, found *authority, raw string) (func(any) error, error) {
	keys := &watchedKeys{KeySet: found.keys}
	verified, err := oidc.NewVerifier(a.config.Issuer, keys, &oidc.Config{
		ClientID: a.config.Audience, SupportedSigningAlgs: found.algorithms, Now: a.config.Now,
	}).Verify(ctx, raw)
	switch {
	case keys.away != nil:
		return nil, keys.away
	case err != nil:
		return nil, invalid(err)
	}
	return verified.Claims, nil
}

func checkJWT(c accessClaims) error {
	if c.Subject == "" || c.Client == "" || c.Expires == 0 || c.IssuedAt == 0 {
		return invalid(errors.New("a claim is missing that RFC 9068 demands"))
	}
	return nil
}

// watchedKeys tells a provider that does not give its keys from a bad signature,
// which the verifier does not.
type watchedKeys struct {
	oidc.KeySet
	away error
}

func (k *watchedKeys) VerifySignature(ctx context.Context, raw string) ([]byte, error) {
	payload, err := k.KeySet.VerifySignature(ctx, raw)
	var failed *url.Error
	if errors.As(err, &failed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		k.away = err
	}
	return payload, err
}

// ask asks the provider about a reference (RFC 7662 §2.1).
func (a *Resource) ask(ctx context.Context, found *authority, raw string) (func(any) error, error) {
	if found.introspection == "" {
		return nil, invalid(errors.New("a reference, and there is no client to ask about it with"))
	}
	form := url.Values{"token": {raw}, "token_type_hint": {"access_token"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, found.introspection, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("introspect: %w", err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Accept", "application/json")
	// RFC 6749 §2.3.1: both are form-encoded first.
	r.SetBasicAuth(url.QueryEscape(a.config.ClientID), url.QueryEscape(a.config.ClientSecret))
	res, err := a.client.Do(r)
	if err != nil {
		return nil, fmt.Errorf("introspect: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK { // our registration is wrong, or the provider is away: not the caller's fault
		return nil, fmt.Errorf("introspect: %s", res.Status)
	}
	var body json.RawMessage
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return nil, fmt.Errorf("introspect: %w", err)
	}
	return func(v any) error { return json.Unmarshal(body, v) }, nil
}

func (a *Resource) checkAnswer(c accessClaims) error {
	switch {
	case !c.Active:
		return invalid(errors.New("not active"))
	case c.Issuer != "" && c.Issuer != a.config.Issuer:
		return invalid(fmt.Errorf("issued by %q", c.Issuer))
	case c.TokenType != "" && !strings.EqualFold(c.TokenType, "Bearer"):
		return errBound
	}
	return nil
}
