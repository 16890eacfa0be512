// Package session keeps browser sessions at the provider: start, find, touch,
// rotate, end. It knows neither cookies nor people: a session says who signed
// in, how and when, and the callers decide what that is worth.
//
// The browser holds a 256-bit secret; the ephemeral store holds the session
// under the secret's SHA-256. The session's public ID is another value, the
// "sid" of ID tokens (OpenID Connect Front-Channel Logout 1.0 §3).
//
// A session lives only while identity says so: Epoch is compared with the
// user's at every use, so that one SQL transaction ends every session of a user
// on every replica (identity.Directory.Standing).
package session

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
)

// Level is what the person proved.
type Level string

const (
	Enrol Level = "enrol" // a password alone: opens User Services and nothing else (S19)
	Full  Level = "full"  // a card, or a password and a code
)

// Method is how the person signed in.
type Method string

const (
	Password Method = "password" // Enrol only
	App      Method = "app"      // password + code of an authenticator app
	Token    Method = "token"    // password + code of a programmable token
	Card     Method = "card"
)

// Limits of a session (S19, S72).
const (
	EnrolAbsolute  = 30 * time.Minute
	FullAbsolute   = 12 * time.Hour
	FullIdle       = 60 * time.Minute
	SharedIdle     = 15 * time.Minute // organisations with shared workstations
	LeastIdle      = 5 * time.Minute  // the shortest idle limit that an organisation may choose; FullIdle is the longest
	LeastAbsolute  = time.Hour        // as above, of the absolute limit and FullAbsolute
	touchNoOftener = time.Minute
)

// Session is one signed-in browser.
type Session struct {
	ID           string    `json:"id"` // public: the sid of ID tokens
	User         string    `json:"user"`
	Organisation string    `json:"org"`
	Level        Level     `json:"level"`
	Method       Method    `json:"method"`
	Link         string    `json:"link,omitempty"` // the card link or authenticator that was used
	Epoch        int64     `json:"epoch"`          // the user's epoch at the start
	AuthTime     time.Time `json:"auth_time"`      // when the last proof was given
	Started      time.Time `json:"started"`
	Seen         time.Time `json:"seen"`
	Idle         int64     `json:"idle"`              // seconds without use after which it ends; 0: absolute limit only
	Ends         time.Time `json:"ends"`              // absolute end
	Waiting      string    `json:"waiting,omitempty"` // the sign-in transaction that waits while the person enrols (S20)
	WaitingUntil time.Time `json:"waiting_until,omitzero"`

	key, raw string // where it was found, and as what; "" for one that was not
}

// Limits are those that an organisation has for sessions of one level at the moment.
type Limits struct {
	Idle     time.Duration // 0: absolute limit only
	Absolute time.Duration
}

// Sessions starts, finds and ends them.
type Sessions struct {
	Store ephemeral.Store
	Now   func() time.Time
}

// Start stores a new session and returns the secret for the browser's cookie
// (43 characters, base64url of 256 bits) with the session as stored: ID,
// Started, Seen and, where zero, Idle and Ends are filled in. A sign-in always
// starts a new session; the caller ends the one that the browser had (ASVS
// 7.2.4), or calls Renew.
func (s *Sessions) Start(ctx context.Context, n Session) (secret string, _ Session, err error) {
	return s.start(ctx, rand.Text(), n)
}

func (s *Sessions) start(ctx context.Context, id string, n Session) (secret string, _ Session, err error) {
	now := s.Now().UTC()
	n.ID, n.Started, n.Seen = id, now, now
	if n.Ends.IsZero() {
		n.Ends = now.Add(FullAbsolute)
		if n.Level == Enrol {
			n.Ends = now.Add(EnrolAbsolute)
		}
	}
	if n.Idle == 0 && n.Level == Full {
		n.Idle = int64(FullIdle / time.Second)
	}
	secret = newSecret()
	key := ephemeral.Key("session", secret)
	value, ttl, err := encode(n, now)
	if err != nil {
		return "", Session{}, err
	}
	if err := s.Store.Put(ctx, key, value, ttl); err != nil {
		return "", Session{}, err
	}
	if err := s.Store.Put(ctx, "sid:"+n.ID, []byte(key), n.Ends.Sub(now)); err != nil {
		return "", Session{}, err
	}
	n.key, n.raw = key, string(value)
	return secret, n, nil
}

// Renew replaces a session of the same person by a new one under the same
// public ID, with another secret: relying parties that know the sid stay signed
// in, and the old cookie opens nothing. For a step-up, a repeated sign-in, and
// an enrol session that becomes a full one.
func (s *Sessions) Renew(ctx context.Context, former, n Session) (secret string, _ Session, err error) {
	if former.ID == "" || former.User != n.User {
		return "", Session{}, fmt.Errorf("renew a session of another user")
	}
	if err := s.End(ctx, former.ID); err != nil {
		return "", Session{}, err
	}
	return s.start(ctx, former.ID, n)
}

// Find returns the session of a cookie's secret, if it stands under the limits that
// it began with. What the limits are now is known with its person: whoever lets
// somebody do anything calls Use as well. fault.Unauthenticated "session_expired"
// when there is none.
func (s *Sessions) Find(ctx context.Context, secret string) (Session, error) {
	if secret == "" {
		return Session{}, errNone
	}
	return s.get(ctx, ephemeral.Key("session", secret))
}

// ByID is Find by the public ID, for what a person does at a relying party of ours,
// which asks us in her name, and for logout with an id_token_hint from a browser
// that lost its cookie.
func (s *Sessions) ByID(ctx context.Context, id string) (Session, error) {
	key, err := s.Store.Get(ctx, "sid:"+id)
	if fault.Is(err, fault.NotFound) {
		return Session{}, errNone
	}
	if err != nil {
		return Session{}, err
	}
	return s.get(ctx, string(key))
}

// Use notes, at most once a minute, that a session is used which Start, Find or ByID
// has just given (S72). Where the organisation's limits have become tighter since it
// began, it takes them over: fault.Unauthenticated "session_expired" when it is over
// under them. They never prolong it.
func (s *Sessions) Use(ctx context.Context, n Session, l Limits) (Session, error) {
	now, held := s.Now().UTC(), n.within(l)
	if held.ttl(now) <= 0 {
		if err := s.End(ctx, n.ID); err != nil {
			return Session{}, err
		}
		return Session{}, errNone
	}
	if held == n && now.Sub(n.Seen) < touchNoOftener {
		return n, nil
	}
	held.Seen = now
	value, ttl, err := encode(held, now)
	if err != nil {
		return Session{}, err
	}
	// A parallel request that used or ended the session first is right: its value
	// stands.
	switch err := s.Store.Replace(ctx, n.key, []byte(n.raw), value, ttl); {
	case fault.Is(err, fault.NotFound):
		return Session{}, errNone
	case err != nil && !fault.Is(err, fault.Conflict):
		return Session{}, err
	}
	held.raw = string(value)
	return held, nil
}

// within is the session under limits, where they are tighter than its own.
func (n Session) within(l Limits) Session {
	if idle := int64(l.Idle / time.Second); idle > 0 && (n.Idle == 0 || idle < n.Idle) {
		n.Idle = idle
	}
	if ends := n.Started.Add(l.Absolute); l.Absolute > 0 && ends.Before(n.Ends) {
		n.Ends = ends
	}
	return n
}

// Wait notes the sign-in transaction that waits while the person enrols (S20),
// or clears it when tx is empty. A parallel use of the session does not lose it.
func (s *Sessions) Wait(ctx context.Context, id, tx string, until time.Time) error {
	key, err := s.Store.Get(ctx, "sid:"+id)
	if fault.Is(err, fault.NotFound) {
		return errNone
	}
	if err != nil {
		return err
	}
	for range 10 {
		n, err := s.get(ctx, string(key))
		if err != nil {
			return err
		}
		n.Waiting, n.WaitingUntil = tx, until
		value, ttl, err := encode(n, s.Now().UTC())
		if err != nil {
			return err
		}
		if err = s.Store.Replace(ctx, string(key), []byte(n.raw), value, ttl); !fault.Is(err, fault.Conflict) {
			return err
		}
	}
	return fault.New(fault.Conflict, "busy", "The session is in use by other requests. Try again.")
}

// End ends the session with this public ID; one that is gone already is no error.
func (s *Sessions) End(ctx context.Context, id string) error {
	key, err := s.Store.Take(ctx, "sid:"+id)
	if fault.Is(err, fault.NotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	return s.Store.Delete(ctx, string(key))
}

var errNone = fault.New(fault.Unauthenticated, "session_expired", "The session has expired. Sign in again.")

func (s *Sessions) get(ctx context.Context, key string) (Session, error) {
	raw, err := s.Store.Get(ctx, key)
	if fault.Is(err, fault.NotFound) {
		return Session{}, errNone
	}
	if err != nil {
		return Session{}, err
	}
	var n Session
	if err := json.Unmarshal(raw, &n); err != nil {
		return Session{}, fmt.Errorf("decode session: %w", err)
	}
	if n.ttl(s.Now().UTC()) <= 0 {
		return Session{}, errNone
	}
	n.key, n.raw = key, string(raw)
	return n, nil
}

func encode(n Session, now time.Time) ([]byte, time.Duration, error) {
	ttl := n.ttl(now)
	if ttl <= 0 {
		return nil, 0, errNone
	}
	value, err := json.Marshal(n)
	if err != nil {
		return nil, 0, fmt.Errorf("encode session: %w", err)
	}
	return value, ttl, nil
}

// ttl is the time the session has left: the nearer of its idle and absolute ends.
func (n Session) ttl(now time.Time) time.Duration {
	left := n.Ends.Sub(now)
	if n.Idle > 0 {
		if idle := n.Seen.Add(time.Duration(n.Idle) * time.Second).Sub(now); idle < left {
			return idle
		}
	}
	return left
}

func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}
