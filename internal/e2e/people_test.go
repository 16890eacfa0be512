package e2e

import (
	"context"
	"encoding/base32"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/cardtest"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/totp"
)

// Employee is a person with what she has in her pockets.
type Employee struct {
	ID        identity.UserID
	Username  string
	Email     string
	Temporary string // the first password
	Password  string // her own, "" before the change
	Card      *cardtest.Card

	w    *World
	mu   sync.Mutex
	key  []byte // in her authenticator; nil without
	step int64  // of the last code that she was asked for
}

// cardNumber keeps the names of cards apart.
var cardNumber atomic.Int64

// Newcomer is a person with a temporary password and a card that is not linked yet.
func (w *World) Newcomer(username string, org identity.OrganisationID) *Employee {
	w.T.Helper()
	return w.newcomerAt(username, org, w.Clock.Now())
}

func (w *World) newcomerAt(username string, org identity.OrganisationID, at time.Time) *Employee {
	w.T.Helper()
	given, family, _ := strings.Cut(username, ".")
	e := &Employee{w: w, Username: username, Email: username + "@" + string(org) + ".example"}
	u := identity.User{Username: username, Organisation: org, GivenName: capital(given), FamilyName: capital(family), Email: e.Email, Language: "en"}
	made, temporary, err := w.directoryAt(at).CreateUser(w.T.Context(), operator, u)
	if err != nil {
		w.T.Fatal(err)
	}
	e.ID, e.Temporary = made.ID, temporary
	e.Card = e.NewCard()
	return e
}

func capital(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// NewCard is another card of hers.
func (e *Employee) NewCard(options ...cardtest.Option) *cardtest.Card {
	e.w.T.Helper()
	number := cardNumber.Add(1)
	given, family, _ := strings.Cut(e.Username, ".")
	who := cardtest.Person{Given: capital(given), Family: capital(family), Serial: fmt.Sprintf("9%08dX", number)}
	return e.w.PKI.TestCard(e.w.T, fmt.Sprintf("%s-%d", strings.ReplaceAll(e.Username, ".", "-"), number), who, append([]cardtest.Option{cardtest.WithKey(cardtest.P256)}, options...)...)
}

// directoryAt is the directory as it was at a time, so that what happened then
// spends no code of now.
func (w *World) directoryAt(at time.Time) *identity.Directory {
	d := *w.Replicas[0].Directory
	d.Now = func() time.Time { return at }
	return &d
}

// Settled is a person who has chosen a password an hour ago and linked what is
// named: MethodApp or MethodToken, MethodCard.
func (w *World) Settled(username string, org identity.OrganisationID, methods ...identity.Method) *Employee {
	w.T.Helper()
	e := w.newcomerAt(username, org, w.Clock.Now().Add(-time.Hour))
	e.settle(methods...)
	return e
}

// Holder is a person of the hospital district who has linked a card that was made so.
func (w *World) Holder(username string, options ...cardtest.Option) *Employee {
	w.T.Helper()
	e := w.newcomerAt(username, "saaristo", w.Clock.Now().Add(-time.Hour))
	e.Card = e.NewCard(options...)
	e.settle(identity.MethodCard)
	return e
}

func (e *Employee) settle(methods ...identity.Method) {
	w := e.w
	w.T.Helper()
	at, ctx := w.Clock.Now().Add(-time.Hour), w.T.Context()
	d := w.directoryAt(at)
	person := must(d.Store.Person(ctx, e.ID))(w.T)
	must(d.ReplaceTemporary(ctx, person, ownSecret, ""))(w.T)
	e.Password = ownSecret
	self := identity.Self{User: e.ID, Session: "seed-" + e.Username, AuthTime: at}
	for _, m := range methods {
		var err error
		if m == identity.MethodCard {
			err = d.LinkCard(ctx, self, card.Result{Verdict: card.Good, Holder: card.HolderOf(e.Card.Cert), At: at})
		} else {
			err = e.linkApp(ctx, d, self, m, at)
		}
		if err != nil {
			w.T.Fatalf("%s links %s: %v", e.Username, m, err)
		}
		self.Full, self.Proved = true, m
	}
}

func (e *Employee) linkApp(ctx context.Context, d *identity.Directory, self identity.Self, kind identity.Method, at time.Time) error {
	enrolment, err := d.BeginAuthenticator(ctx, self)
	if err != nil {
		return err
	}
	e.Scan(enrolment.Base32)
	code, err := totp.Code(e.key, totp.Step(at))
	if err != nil {
		return err
	}
	return d.ConfirmAuthenticator(ctx, self, code, identity.Statement{Kind: kind, OwnDevice: true, WorkPhone: true})
}

// Scan puts a key into her authenticator, as User Services shows it.
func (e *Employee) Scan(key string) {
	e.w.T.Helper()
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.Join(strings.Fields(key), ""))
	if err != nil {
		e.w.T.Fatalf("the key %q: %v", key, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.key, e.step = raw, 0
}

// Code is a fresh one. When the current one was asked for already, she waits for
// the next: everybody's clock goes on by a step.
func (e *Employee) Code() string {
	e.w.T.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	if totp.Step(e.w.Clock.Now()) <= e.step {
		e.w.Clock.Advance(30 * time.Second)
	}
	e.step = totp.Step(e.w.Clock.Now())
	return must(totp.Code(e.key, e.step))(e.w.T)
}

// CodeAt is the code of a step before or after now; it is not noted as used.
func (e *Employee) CodeAt(steps int64) string {
	e.w.T.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	return must(totp.Code(e.key, totp.Step(e.w.Clock.Now())+steps))(e.w.T)
}

// LastCode is the code that she was asked for last, also when half a minute has
// ended since.
func (e *Employee) LastCode() string {
	e.w.T.Helper()
	e.mu.Lock()
	defer e.mu.Unlock()
	return must(totp.Code(e.key, e.step))(e.w.T)
}

// Key is what her authenticator holds, in base32; "" for nothing.
func (e *Employee) Key() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(e.key)
}
