package identity_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

// S54: whatever stops an Order, and wherever: all of it or nothing.

var errBroken = errors.New("the machine stopped here")

// breaks is a store whose transactions come to an end after their nth step.
type breaks struct {
	identity.Store
	after, n int
	stop     func() error
}

func (b *breaks) Change(ctx context.Context, f func(tx identity.Tx) error) error {
	b.n = 0
	return b.Store.Change(ctx, func(tx identity.Tx) error { return f(breaking{tx, b}) })
}

func (b *breaks) step() error {
	if b.n++; b.n == b.after {
		return b.stop()
	}
	return nil
}

// breaking breaks after each step that an Order takes.
type breaking struct {
	identity.Tx
	b *breaks
}

func (t breaking) Person(id identity.UserID) (identity.Person, error) {
	p, err := t.Tx.Person(id)
	return p, errors.Join(err, t.b.step())
}

func (t breaking) SetPassword(id identity.UserID, p identity.Password) error {
	return errors.Join(t.Tx.SetPassword(id, p), t.b.step())
}

func (t breaking) RemoveCardLink(id identity.UserID, reason string) (bool, error) {
	removed, err := t.Tx.RemoveCardLink(id, reason)
	return removed, errors.Join(err, t.b.step())
}

func (t breaking) RemoveCardApproval(id identity.UserID) (bool, error) {
	removed, err := t.Tx.RemoveCardApproval(id)
	return removed, errors.Join(err, t.b.step())
}

func (t breaking) EndSessions(id identity.UserID, keep string) error {
	return errors.Join(t.Tx.EndSessions(id, keep), t.b.step())
}

func (t breaking) PutMailedLink(l identity.MailedLink) error {
	return errors.Join(t.Tx.PutMailedLink(l), t.b.step())
}

func (t breaking) SpendMailedLink(id identity.UserID, purpose identity.LinkPurpose, hash string, now time.Time) (bool, error) {
	spent, err := t.Tx.SpendMailedLink(id, purpose, hash, now)
	return spent, errors.Join(err, t.b.step())
}

func (t breaking) SaveUser(u identity.User) error {
	return errors.Join(t.Tx.SaveUser(u), t.b.step())
}

func (t breaking) TakeAsk(id string) (bool, error) {
	taken, err := t.Tx.TakeAsk(id)
	return taken, errors.Join(err, t.b.step())
}

func (t breaking) Record(e audit.Event) error { return errors.Join(t.Tx.Record(e), t.b.step()) }

func (t breaking) Send(l mail.Letter) error { return errors.Join(t.Tx.Send(l), t.b.step()) }

// state is all that an Order touches.
type state struct {
	Password      identity.Password
	Card          bool
	Epoch         int64
	Frozen        bool
	Links         string
	Letters       string
	Events        int
	Authenticator identity.Authenticator
}

func (h *house) state(id identity.UserID) state {
	h.t.Helper()
	p := h.person(id)
	links, err := h.Store.MailedLinks(h.t.Context(), id)
	h.must(err)
	hashes := ""
	for _, l := range links {
		hashes += string(l.Purpose) + l.Hash + " "
	}
	events, err := h.db.AuditEvents(h.t.Context(), store.Trail{User: string(id), Limit: 1000})
	h.must(err)
	return state{p.Password, p.Card != nil, p.User.Epoch, !p.User.Frozen.IsZero(), hashes, fmt.Sprint(h.letters()), len(events), *p.Authenticator}
}

func TestAllOrNothing(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		ways := map[string]func(cancel func()) error{
			"error":     func(func()) error { return errBroken },
			"panic":     func(func()) error { panic(errBroken) },
			"cancelled": func(cancel func()) error { cancel(); return nil },
		}
		if c.Driver == store.Postgres {
			ways["cut"] = func(func()) error { storetest.Cut(t, c); return nil }
		}
		for way, stop := range ways {
			t.Run(way, func(t *testing.T) {
				h := newHouse(t, storetest.Connect(t, c))
				org := h.organisation("org-"+way, identity.MethodApp, identity.MethodCard)
				acts := map[string]struct {
					before func(id identity.UserID) string
					do     func(ctx context.Context, d *identity.Directory, id identity.UserID, secret string) error
					least  int
				}{
					"order": {func(identity.UserID) string { return "" }, func(ctx context.Context, d *identity.Directory, id identity.UserID, _ string) error {
						_, err := d.Order(ctx, operator, id, lost)
						return err
					}, 10},
					"confirm": {h.mailed, func(ctx context.Context, d *identity.Directory, _ identity.UserID, secret string) error {
						return d.ConfirmOrder(ctx, secret, "")
					}, 10},
					"freeze": {func(id identity.UserID) string {
						_, err := h.Order(t.Context(), operator, id, lost)
						h.must(err)
						return h.link(mail.PasswordOrdered)
					}, func(ctx context.Context, d *identity.Directory, _ identity.UserID, secret string) error {
						return d.FreezeByLink(ctx, secret, "")
					}, 7},
				}
				for name, act := range acts {
					id := h.settled(org, name+"."+way)
					h.withApp(id)
					self := h.enrol(id)
					self.Full, self.Proved, self.AuthTime = true, identity.MethodApp, h.now()
					link := h.seen("fp-" + way + name)
					link.Holder.Serial = name + way
					h.must(h.LinkCard(t.Context(), self, link))
					h.clearLetters()
					secret := act.before(id)
					before := h.state(id)
					for n := 1; ; n++ {
						ctx, cancel := context.WithCancel(t.Context())
						broken := *h.Directory
						b := &breaks{Store: h.db, after: n, stop: func() error { return stop(cancel) }}
						broken.Store = b
						err := survive(func() error { return act.do(ctx, &broken, id, secret) })
						cancel()
						if b.n < n {
							h.must(err)
							if n <= act.least {
								t.Fatalf("%s: only %d points to break at", name, n-1)
							}
							break // it got through: every point before was broken once
						}
						if err == nil {
							t.Fatalf("%s, point %d: it went well", name, n)
						}
						if now := h.settle(id); now != before {
							t.Fatalf("%s, point %d left half of it (%v):\n%+v\n%+v", name, n, err, before, now)
						}
					}
					after := h.state(id)
					if after == before || after.Epoch != before.Epoch+1 || after.Authenticator != before.Authenticator || after.Events <= before.Events {
						t.Errorf("%s: %+v became %+v", name, before, after)
					}
					h.clearLetters()
				}
			})
		}
	})
}

// survive is what a panic that the web server catches leaves behind.
func survive(f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return f()
}

// settle is the state when the database answers again.
func (h *house) settle(id identity.UserID) state {
	h.t.Helper()
	for {
		if _, err := h.Store.Person(h.t.Context(), id); !fault.Is(err, fault.Unavailable) {
			return h.state(id)
		}
	}
}

// mailed asks for a person and returns the letter's secret.
func (h *house) mailed(id identity.UserID) string {
	h.t.Helper()
	h.must(h.Ask(h.t.Context(), h.person(id).User.Username, here))
	h.decide()
	return h.link(mail.PasswordAsked)
}

func (h *house) decide() {
	h.t.Helper()
	_, err := h.DecideAsks(h.t.Context())
	h.must(err)
}
