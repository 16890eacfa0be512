//go:build cgo

package pkcs11

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	p11 "github.com/miekg/pkcs11"
)

// line is the way to the token: the module, and while it answers a connection.
type line struct {
	c   Config
	ctx *p11.Ctx

	// mu is held for reading by those who use the connection, and for writing by
	// the one who makes another: C_Finalize must meet nobody (§5.4).
	mu      sync.RWMutex
	now     *connection // nil: the token is away
	closed  bool
	tried   time.Time
	refused [sha256.Size]byte // of the PIN that the token refused last
}

// connection is a login and its sessions. Handles are good as long as it is.
type connection struct {
	slot     uint
	sessions chan p11.SessionHandle
	keys     sync.Map // name → p11.ObjectHandle of the private key
}

// pause is between two attempts to reach a token that is away.
const pause = time.Second

var (
	errAway = errors.New("the PKCS #11 token is away")
	errPIN  = errors.New("the PKCS #11 token refused the PIN; it is not tried again, since tokens lock themselves")
)

func openLine(c Config) (*line, error) {
	c.Sessions = cmp.Or(c.Sessions, 16)
	c.Log = cmp.Or(c.Log, slog.Default())
	if c.Now == nil {
		c.Now = time.Now
	}
	l := &line{c: c, ctx: p11.New(c.Module)}
	if l.ctx == nil {
		return nil, fmt.Errorf("the PKCS #11 module %s cannot be loaded", c.Module)
	}
	var err error
	if l.now, err = l.connect(); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

func (l *line) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.closed = nil, true
	err := l.ctx.Finalize() // the module stays loaded: some do not survive being unloaded
	if err != nil && !is(err, p11.CKR_CRYPTOKI_NOT_INITIALIZED) {
		return fmt.Errorf("PKCS #11 module: %w", err)
	}
	return nil
}

// use runs f with a session. When the token says no, whatever the reason, the
// connection is made anew and f runs once more: modules differ too much in what
// they say of a token that was away.
func (l *line) use(f func(c *connection, s p11.SessionHandle) error) error {
	c, err := l.once(f)
	if err == nil || !errors.As(err, new(p11.Error)) && !errors.Is(err, errAway) {
		return err
	}
	if again := l.reconnect(c, err); again != nil {
		return again
	}
	_, err = l.once(f)
	return err
}

func (l *line) once(f func(c *connection, s p11.SessionHandle) error) (*connection, error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := l.now
	if c == nil {
		return nil, errAway
	}
	s := <-c.sessions
	defer func() { c.sessions <- s }()
	return c, f(c, s)
}

// reconnect replaces a connection that failed, unless another caller has. why is
// the answer while it is too early for another attempt.
func (l *line) reconnect(failed *connection, why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.now != failed {
		return nil
	}
	if l.closed {
		return errAway
	}
	if now := l.c.Now(); now.Sub(l.tried) >= 0 && now.Sub(l.tried) < pause {
		return why
	}
	l.tried = l.c.Now()
	l.now = nil
	_ = l.ctx.Finalize() // whatever state it is in
	c, err := l.connect()
	if err != nil {
		l.c.Log.Error("PKCS #11 token away", "token", l.c.Token, "error", err)
		return fmt.Errorf("%w: %w", errAway, err)
	}
	l.c.Log.Warn("PKCS #11 token reconnected", "token", l.c.Token, "after", why)
	l.now = c
	return nil
}

func (l *line) connect() (*connection, error) {
	// Locks of the operating system, as Go's threads are (§5.4).
	if err := l.ctx.Initialize(); err != nil && !is(err, p11.CKR_CRYPTOKI_ALREADY_INITIALIZED) {
		return nil, fmt.Errorf("PKCS #11 module: %w", err)
	}
	slot, err := l.slot()
	if err != nil {
		return nil, err
	}
	c := &connection{slot: slot, sessions: make(chan p11.SessionHandle, l.c.Sessions)}
	for n := range l.c.Sessions {
		s, err := l.ctx.OpenSession(slot, p11.CKF_SERIAL_SESSION)
		if n > 0 && is(err, p11.CKR_SESSION_COUNT) {
			l.c.Log.Warn("PKCS #11 token permits fewer sessions", "token", l.c.Token, "sessions", n)
			break
		}
		if err != nil {
			return nil, fmt.Errorf("open a session with the token %s: %w", l.c.Token, err)
		}
		c.sessions <- s
		if n == 0 {
			if err := l.login(s); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

func (l *line) slot() (uint, error) {
	slots, err := l.ctx.GetSlotList(true)
	if err != nil {
		return 0, fmt.Errorf("PKCS #11 module: %w", err)
	}
	var found []uint
	for _, slot := range slots {
		info, err := l.ctx.GetTokenInfo(slot)
		if err == nil && strings.TrimRight(info.Label, " \x00") == l.c.Token { // one that fails is another's
			found = append(found, slot)
		}
	}
	switch len(found) {
	case 0:
		return 0, fmt.Errorf("the PKCS #11 module has no token with the label %q", l.c.Token)
	case 1:
		return found[0], nil
	}
	return 0, fmt.Errorf("the PKCS #11 module has %d tokens with the label %q", len(found), l.c.Token)
}

// login is the whole process's, so one session is enough.
func (l *line) login(s p11.SessionHandle) error {
	pin, err := l.c.PIN()
	if err != nil {
		return err
	}
	sum := sha256.Sum256([]byte(pin))
	if sum == l.refused {
		return errPIN
	}
	err = l.ctx.Login(s, p11.CKU_USER, pin)
	switch {
	case err == nil || is(err, p11.CKR_USER_ALREADY_LOGGED_IN):
		return nil
	case is(err, p11.CKR_PIN_INCORRECT), is(err, p11.CKR_PIN_INVALID), is(err, p11.CKR_PIN_LEN_RANGE), is(err, p11.CKR_PIN_LOCKED), is(err, p11.CKR_PIN_EXPIRED):
		l.refused = sum
		return fmt.Errorf("%w: %w", errPIN, err)
	}
	return fmt.Errorf("log in to the token %s: %w", l.c.Token, err)
}

// writing opens a session in which objects may be made and deleted.
func (l *line) writing(c *connection) (p11.SessionHandle, error) {
	return l.ctx.OpenSession(c.slot, p11.CKF_SERIAL_SESSION|p11.CKF_RW_SESSION)
}

// written closes a session of writing; one that stays open is closed with the
// connection.
func (l *line) written(s p11.SessionHandle) { _ = l.ctx.CloseSession(s) }

func is(err error, code uint) bool {
	var e p11.Error
	return errors.As(err, &e) && uint(e) == code
}
