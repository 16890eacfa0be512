package rp

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/oauth2"
)

const (
	renewBefore    = 30 * time.Second       // an access token this close to its end is renewed
	refreshTimeout = 15 * time.Second       // of the call, shorter than
	refreshLock    = 30 * time.Second       // the lock around it
	refreshPoll    = 20 * time.Millisecond  // how often the others look for its result,
	refreshPollMax = 250 * time.Millisecond // at most and in the end
)

// ErrNoAccessToken: the access token has expired, and there is no refresh token.
// The session goes on; to call the provider's API the person signs in again.
var ErrNoAccessToken = errors.New("rp: access token expired, no refresh token")

// tokens are the OAuth tokens of a session.
type tokens struct {
	Access  string    `json:"access"`
	Expires time.Time `json:"expires,omitzero"` // zero: the provider does not say
	Refresh string    `json:"refresh,omitempty"`
}

func (t tokens) fresh(now time.Time) bool {
	return t.Expires.IsZero() || now.Before(t.Expires.Add(-renewBefore))
}

func (p *RP) tokensOf(t *oauth2.Token) tokens {
	out := tokens{Access: t.AccessToken, Refresh: t.RefreshToken}
	if t.ExpiresIn > 0 {
		out.Expires = p.config.Now().Add(time.Duration(t.ExpiresIn) * time.Second)
	}
	return out
}

// AccessToken returns a live access token for the provider's API, renewed when
// needed. However many requests of however many replicas ask at once, one of
// them uses the refresh token: providers that rotate it take a second use for a
// theft and revoke everything (RFC 9700 §4.14.2).
//
// ErrNoSession means that the provider has ended the sign-in; the session is then
// gone here, too.
func (s *Session) AccessToken(ctx context.Context) (string, error) {
	p := s.rp
	if s.tokens.fresh(p.config.Now()) {
		return s.tokens.Access, nil
	}
	lock := p.key("refresh", s.secret)
	for wait := refreshPoll; ; wait = min(2*wait, refreshPollMax) {
		k, _, err := p.load(ctx, s.secret)
		if err != nil {
			return "", err
		}
		now := p.config.Now()
		if k.Tokens.fresh(now) {
			return k.Tokens.Access, nil
		}
		if k.Tokens.Refresh == "" {
			return "", ErrNoAccessToken
		}
		ours, err := p.config.Store.Add(ctx, lock, Record{Value: []byte("1"), Expires: now.Add(refreshLock)})
		if err != nil {
			return "", fmt.Errorf("lock session for refresh: %w", err)
		}
		if ours {
			return p.refreshLocked(ctx, lock, s.secret)
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (p *RP) refreshLocked(ctx context.Context, lock, secret string) (string, error) {
	// The browser may go away while the provider rotates: the new token must be
	// kept all the same, or the session is lost.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), refreshTimeout)
	defer cancel()
	defer func() { _, _, _ = p.config.Store.Take(ctx, lock) }()

	// Whoever held the lock before may have finished between our look and our lock.
	k, _, err := p.load(ctx, secret)
	if err != nil {
		return "", err
	}
	if k.Tokens.fresh(p.config.Now()) {
		return k.Tokens.Access, nil
	}
	renewed, idToken, err := p.refresh(ctx, k)
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) && refused.ErrorCode == "invalid_grant" {
		// Signed out, disabled, or the method is no longer permitted: here, too.
		p.config.Log.InfoContext(ctx, "session ended by the provider", "sub", k.Subject, "sid", k.SID)
		if _, _, err := p.config.Store.Take(ctx, p.key("session", secret)); err != nil {
			return "", fmt.Errorf("end session: %w", err)
		}
		return "", ErrNoSession
	}
	if err != nil {
		return "", err
	}
	return renewed.Access, p.keep(ctx, secret, renewed, idToken)
}

// refresh uses the refresh token. The ID token that may come along must be the
// same person's (OpenID Connect Core §12.2).
func (p *RP) refresh(ctx context.Context, k kept) (_ tokens, idToken string, _ error) {
	prov, err := p.provider(ctx)
	if err != nil {
		return tokens{}, "", err
	}
	ctx = context.WithValue(ctx, oauth2.HTTPClient, p.client)
	token, err := prov.oauth.TokenSource(ctx, &oauth2.Token{RefreshToken: k.Tokens.Refresh}).Token()
	if err != nil {
		return tokens{}, "", fmt.Errorf("refresh: %w", err)
	}
	renewed := p.tokensOf(token)
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return renewed, k.IDToken, nil
	}
	id, err := p.verify(ctx, prov, raw, token.AccessToken)
	if err != nil {
		return tokens{}, "", fmt.Errorf("refresh: %w", err)
	}
	if id.Subject != k.Subject {
		return tokens{}, "", errors.New("refresh: ID token of another person")
	}
	return renewed, raw, nil
}

// keep saves renewed tokens over whatever other requests did to the session
// meanwhile, unless it has ended.
func (p *RP) keep(ctx context.Context, secret string, renewed tokens, idToken string) error {
	for range 20 {
		k, old, err := p.load(ctx, secret)
		if err != nil {
			return err
		}
		k.Tokens, k.IDToken = renewed, idToken
		record, err := p.record(secret, k)
		if err != nil {
			return err
		}
		done, err := p.config.Store.Replace(ctx, p.key("session", secret), old, record)
		if err != nil {
			return fmt.Errorf("keep renewed tokens: %w", err)
		}
		if done {
			return nil
		}
	}
	return errors.New("keep renewed tokens: the session is in use without pause")
}
