package rp

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"
)

// ErrNoSession: nobody is signed in in this browser, or no longer.
var ErrNoSession = errors.New("rp: no session")

// Session is a signed-in person in one browser.
type Session struct {
	Subject  string         // sub: who, for ever; never shown to people
	SID      string         // the provider's session, "" if it does not say
	ACR      string         // how strongly the person signed in
	AMR      []string       // with what (RFC 8176)
	AuthTime time.Time      // when they proved it; zero if the provider does not say
	Claims   map[string]any // all claims of ID token and userinfo; numbers are json.Number
	IDToken  string         `json:"-"`
	Started  time.Time
	Expires  time.Time // at the latest

	rp     *RP
	secret string
	issued time.Time // iat of the ID token
	tokens tokens
}

// Claim returns a claim that is a string, such as "name", or "".
func (s *Session) Claim(name string) string {
	v, _ := s.Claims[name].(string)
	return v
}

// Decode puts the claims into a struct with json tags.
func (s *Session) Decode(v any) error {
	raw, err := json.Marshal(s.Claims)
	if err != nil {
		return fmt.Errorf("encode claims: %w", err)
	}
	return json.Unmarshal(raw, v)
}

// String keeps tokens and claims out of logs and error messages.
func (s *Session) String() string { return "session of " + s.Subject + " at " + s.ACR }

// LogValue is String for slog.
func (s *Session) LogValue() slog.Value {
	return slog.GroupValue(slog.String("sub", s.Subject), slog.String("sid", s.SID), slog.String("acr", s.ACR))
}

// kept is what the store holds of a session, encrypted.
type kept struct {
	Subject  string         `json:"sub"`
	SID      string         `json:"sid,omitempty"`
	ACR      string         `json:"acr,omitempty"`
	AMR      []string       `json:"amr,omitempty"`
	AuthTime time.Time      `json:"auth_time,omitzero"`
	Claims   map[string]any `json:"claims"`
	IDToken  string         `json:"id_token"`
	Tokens   tokens         `json:"tokens"`
	Started  time.Time      `json:"started"`
	Seen     time.Time      `json:"seen"`
}

// Session returns the session of the request's browser, or ErrNoSession. Any
// other error means that the store did not answer.
func (p *RP) Session(r *http.Request) (*Session, error) {
	secret := cookie(r, p.session)
	if secret == "" {
		return nil, ErrNoSession
	}
	ctx := r.Context()
	k, record, err := p.load(ctx, secret)
	if err != nil {
		return nil, err
	}
	if err := p.touch(ctx, secret, k, record); err != nil {
		return nil, err
	}
	return p.sessionOf(secret, k), nil
}

func (p *RP) load(ctx context.Context, secret string) (kept, Record, error) {
	record, ok, err := p.config.Store.Get(ctx, p.key("session", secret))
	if err != nil {
		return kept{}, Record{}, fmt.Errorf("load session: %w", err)
	}
	if !ok {
		return kept{}, Record{}, ErrNoSession
	}
	var k kept
	if err := p.open("session", secret, record.Value, &k); err != nil {
		return kept{}, Record{}, err
	}
	return k, record, nil
}

// touch notes that the session is used, now and then: often enough for the idle
// limit, seldom enough for the store.
func (p *RP) touch(ctx context.Context, secret string, k kept, old Record) error {
	now := p.config.Now()
	if p.config.SessionIdle < 0 || now.Sub(k.Seen) < min(time.Minute, p.config.SessionIdle/4) {
		return nil
	}
	k.Seen = now
	record, err := p.record(secret, k)
	if err != nil {
		return err
	}
	if _, err := p.config.Store.Replace(ctx, p.key("session", secret), old, record); err != nil {
		return fmt.Errorf("touch session: %w", err)
	}
	return nil // if somebody was faster, the session was touched, refreshed or ended: all right
}

// record is a session as the store keeps it.
func (p *RP) record(secret string, k kept) (Record, error) {
	sealed, err := p.seal("session", secret, k)
	if err != nil {
		return Record{}, err
	}
	expires := k.Started.Add(p.config.SessionTTL)
	if idle := k.Seen.Add(p.config.SessionIdle); p.config.SessionIdle > 0 && idle.Before(expires) {
		expires = idle
	}
	record := Record{Value: sealed, Expires: expires, Subject: p.key("sub", k.Subject)}
	if k.SID != "" {
		record.SID = p.key("sid", k.SID)
	}
	return record, nil
}

func (p *RP) sessionOf(secret string, k kept) *Session {
	return &Session{
		rp: p, secret: secret, tokens: k.Tokens,
		Subject: k.Subject, SID: k.SID, ACR: k.ACR, AMR: k.AMR, AuthTime: k.AuthTime,
		Claims: k.Claims, IDToken: k.IDToken, Started: k.Started, Expires: k.Started.Add(p.config.SessionTTL),
	}
}

// begin stores a new session under a new secret and gives it to the browser. The
// one that the browser had ends: a secret from before a sign-in is worth nothing
// after it.
func (p *RP) begin(w http.ResponseWriter, r *http.Request, s *Session) error {
	ctx := r.Context()
	s.secret, s.Started = newSecret(), p.config.Now()
	s.Expires = s.Started.Add(p.config.SessionTTL)
	record, err := p.record(s.secret, kept{
		Subject: s.Subject, SID: s.SID, ACR: s.ACR, AMR: s.AMR, AuthTime: s.AuthTime,
		Claims: s.Claims, IDToken: s.IDToken, Tokens: s.tokens, Started: s.Started, Seen: s.Started,
	})
	if err != nil {
		return err
	}
	key := p.key("session", s.secret)
	if _, err := p.config.Store.Add(ctx, key, record); err != nil {
		return fmt.Errorf("store session: %w", err)
	}
	// After it is stored, so that a logout which came while the code was exchanged
	// is seen here, and one that comes now finds the session.
	if err := p.over(ctx, s); err != nil {
		_, _, _ = p.config.Store.Take(ctx, key)
		return err
	}
	if old := cookie(r, p.session); old != "" {
		if _, _, err := p.config.Store.Take(ctx, p.key("session", old)); err != nil {
			return fmt.Errorf("end former session: %w", err)
		}
	}
	p.setCookie(w, p.session, s.secret)
	return nil
}

type sessionInContext struct{}

// FromContext returns the session that Require found, or nil.
func FromContext(ctx context.Context) *Session {
	s, _ := ctx.Value(sessionInContext{}).(*Session)
	return s
}
