package rp

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// PutOnce keeps a value in the session for another page to show once, such as a
// password that was just made: what answers a form shall not be the page itself,
// since whoever loads that again sends the form again. The value, as JSON, lies in
// the Store encrypted like the session, for the time that is given at most, and
// goes with the session. The ticket finds it; alone, in an address or a log, it is
// worth nothing.
func (s *Session) PutOnce(ctx context.Context, v any, keep time.Duration) (ticket string, err error) {
	if s.rp == nil || s.secret == "" {
		return "", errors.New("rp: not a session of a request")
	}
	ticket = newSecret()
	sealed, err := s.rp.seal("once", s.secret+ticket, v)
	if err != nil {
		return "", err
	}
	record := Record{Value: sealed, Expires: s.rp.config.Now().Add(keep), Subject: s.rp.key("sub", s.Subject)}
	if s.SID != "" {
		record.SID = s.rp.key("sid", s.SID)
	}
	if _, err := s.rp.config.Store.Add(ctx, s.rp.key("once", s.secret, ticket), record); err != nil {
		return "", fmt.Errorf("keep a value for once: %w", err)
	}
	return ticket, nil
}

// TakeOnce decodes what PutOnce has kept into v. It is false when the value was
// taken before, its time or the session is over, or it is another session's.
func (s *Session) TakeOnce(ctx context.Context, ticket string, v any) (bool, error) {
	if s.rp == nil || s.secret == "" || len(ticket) != secretLength {
		return false, nil
	}
	record, found, err := s.rp.config.Store.Take(ctx, s.rp.key("once", s.secret, ticket))
	if err != nil {
		return false, fmt.Errorf("take a value that was kept for once: %w", err)
	}
	if !found {
		return false, nil
	}
	return true, s.rp.open("once", s.secret+ticket, record.Value, v)
}
