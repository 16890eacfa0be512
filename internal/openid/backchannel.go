package openid

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/outgoing"
)

// Rhythm of the logout notices.
const (
	noticesAtOnce = 8               // workers
	noticesLeased = 32              // taken from the store at once
	noticeLease   = 2 * time.Minute // longer than a batch can take: 32 ÷ 8 × 5 s, with room
	tokenLasts    = 2 * time.Minute // of a logout token (OpenID Connect Back-Channel Logout 1.0 §4)
)

// noticeRetries is how long to wait after each failed attempt; after the last
// one the notice is given up. Sessions at relying parties have ended by then.
var noticeRetries = []time.Duration{2 * time.Second, 10 * time.Second, time.Minute, 5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour}

// backchannel delivers the logout notices that the store has queued, at least
// once each (OpenID Connect Back-Channel Logout 1.0).
type backchannel struct {
	p      *Provider
	http   *http.Client
	kicked chan struct{}
}

func newBackchannel(p *Provider, o Outgoing) *backchannel {
	return &backchannel{p: p, http: o.Client(), kicked: make(chan struct{}, 1)}
}

// Run delivers logout notices until ctx ends. Any number of replicas may run it.
func (p *Provider) Run(ctx context.Context) {
	p.backchannel.run(ctx)
	p.backchannel.http.CloseIdleConnections()
	p.calls.CloseIdleConnections()
}

// Kick makes Run look for notices now. Whoever ends sessions behind this
// package's back calls it (identity.Directory.Ended); EndSession does by itself.
func (p *Provider) Kick() { p.backchannel.kick() }

func (b *backchannel) kick() {
	select {
	case b.kicked <- struct{}{}:
	default: // it is about to look anyway
	}
}

func (b *backchannel) run(ctx context.Context) {
	tick := time.NewTicker(b.p.NoticesEvery)
	defer tick.Stop()
	for {
		for b.batch(ctx) == noticesLeased {
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.kicked:
		}
	}
}

// batch leases and delivers what is due, and returns how many there were.
func (b *backchannel) batch(ctx context.Context) int {
	notices, err := b.p.Store.LeaseLogouts(ctx, noticesLeased, b.p.Now().UTC(), noticeLease)
	if err != nil {
		if ctx.Err() == nil {
			b.p.Log.ErrorContext(ctx, "lease logout notices", "error", err)
		}
		return 0
	}
	var workers sync.WaitGroup
	turn := make(chan struct{}, noticesAtOnce)
	for _, n := range notices {
		turn <- struct{}{}
		workers.Go(func() {
			defer func() { <-turn }()
			b.deliver(ctx, n)
		})
	}
	workers.Wait()
	return len(notices)
}

// deliver makes one attempt and notes how it went. When noting fails the lease
// runs out, and the relying party hears of the logout twice, which is no harm.
func (b *backchannel) deliver(ctx context.Context, n LogoutNotice) {
	reason, err := b.send(ctx, n)
	if ctx.Err() != nil {
		return // stopping; the lease runs out
	}
	if err == nil {
		err = b.p.Store.LogoutSent(ctx, n.ID)
	} else {
		var next time.Time
		if n.Attempts < len(noticeRetries) {
			next = b.p.Now().UTC().Add(noticeRetries[n.Attempts])
		}
		b.p.Log.WarnContext(ctx, "logout notice not delivered", "client", n.Client, "attempt", n.Attempts+1, "given_up", next.IsZero(), "reason", reason, "error", err)
		err = b.p.Store.LogoutFailed(ctx, n.ID, reason, next)
	}
	if err != nil {
		b.p.Log.ErrorContext(ctx, "note logout notice", "client", n.Client, "error", err)
	}
}

// send posts a logout token. The reason of a failure is a word for the store.
func (b *backchannel) send(ctx context.Context, n LogoutNotice) (reason string, err error) {
	c, err := b.p.clients.get(ctx, n.Client) // a disabled client still hears of logouts
	switch {
	case fault.Is(err, fault.NotFound), err == nil && c.BackChannelLogoutURI == "":
		return "", nil // nobody to tell any more
	case err != nil:
		return "client", err
	}
	token, err := b.p.logoutToken(c, n)
	if err != nil {
		return "token", err
	}
	if err := outgoing.CheckURI(c.BackChannelLogoutURI); err != nil {
		return "address", err
	}
	form := url.Values{"logout_token": {token}}.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.BackChannelLogoutURI, strings.NewReader(form))
	if err != nil {
		return "address", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("User-Agent", "portti")
	answer, err := b.http.Do(r)
	if errors.Is(err, outgoing.ErrForbidden) {
		return "forbidden_address", err
	}
	if err != nil {
		return "unreachable", err
	}
	defer func() { _ = answer.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 4<<10)) // so that the connection can be used again
	// 200 by §2.8; 204 is what some frameworks make of an empty answer.
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusNoContent {
		return fmt.Sprintf("status_%d", answer.StatusCode), fmt.Errorf("relying party answered %d", answer.StatusCode)
	}
	return "", nil
}

// logoutToken is a logout token's payload (OpenID Connect Back-Channel Logout
// 1.0 §2.4). It has no nonce, so that it can never pass for an ID token.
type logoutToken struct {
	Issuer   string              `json:"iss"`
	Subject  string              `json:"sub"`
	Audience string              `json:"aud"`
	IssuedAt int64               `json:"iat"`
	Expires  int64               `json:"exp"`
	ID       string              `json:"jti"`
	Events   map[string]struct{} `json:"events"`
	Session  string              `json:"sid"`
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

func (p *Provider) logoutToken(c Client, n LogoutNotice) (string, error) {
	now := p.Now().UTC()
	payload, err := json.Marshal(logoutToken{
		Issuer:   p.Issuer,
		Subject:  p.subject(c, n.User),
		Audience: n.Client,
		IssuedAt: now.Unix(),
		Expires:  now.Add(tokenLasts).Unix(),
		ID:       rand.Text(),
		Events:   map[string]struct{}{logoutEvent: {}},
		Session:  n.Session,
	})
	if err != nil {
		return "", fmt.Errorf("encode logout token: %w", err)
	}
	return p.Keys.Sign(c.algorithm(), "logout+jwt", payload)
}
