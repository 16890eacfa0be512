package identity

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
	"github.com/portti-id/portti/internal/throttle"
	"github.com/portti-id/portti/internal/totp"
	"github.com/portti-id/portti/internal/trace"
)

// Directory is the only way to change people. Every method checks who may do
// it, and commits the data, its audit event and its letter together.
type Directory struct {
	Store     Store
	Hasher    Hasher
	Rules     Rules
	Sealer    Sealer
	Ephemeral ephemeral.Store
	Throttle  *throttle.Throttle
	Audit     audit.Recorder
	Traces    trace.Store
	Now       func() time.Time

	Names    totp.Names // what the authenticator app shows (S39)
	Support  string     // help desk phone, for letters
	Links    string     // address of the page behind a letter's link, before the link's secret
	Services []string   // names of the installation and its services, which a password may not lean on

	// Ended is called after each change that has ended sessions: there are services
	// to tell (openid.Provider.Kick). Nil: they hear of it at the next look.
	Ended func()

	// DryRun makes every change do all its work and checks, then roll back. The
	// operator's tool sets it unless told otherwise.
	DryRun bool
}

// Hasher is package password's Hasher.
type Hasher interface {
	// Hash returns a PHC string.
	Hash(ctx context.Context, pw string) (string, error)
	// Verify compares. An empty phc takes as long as a real one and is never ok,
	// so that an unknown name cannot be told by time (S43).
	Verify(ctx context.Context, phc, pw string) (ok, rehash bool, err error)
}

// Rules say what is wrong with a new password (S17): package password's Rules.
type Rules interface {
	Check(pw string, about password.Context) []*fault.Fault
	Min() int
}

// Sealer encrypts small secrets at rest: package keys' Master.
type Sealer interface {
	Seal(plaintext []byte, aad string) (string, error)
	Open(sealed, aad string) ([]byte, error)
}

// Self is a signed-in person acting on himself, through User Services.
type Self struct {
	User     UserID
	Session  string    // sid
	Full     bool      // a full sign-in; false in an enrol session (S19)
	Proved   Method    // the second proof that was given; 0 for a password alone
	AuthTime time.Time // of the last proof
	Address  string

	LinkingCode string // that user support has given, as typed (S61); "" for none
}

func (s Self) actor() string { return "user:" + string(s.User) }

// anybody is who acts that has proved to be nobody, for the trail.
const anybody = "anybody"

// actorOf is the person of an event that is about a sign-in, or anybody: a name that
// nobody has is not kept, for it may be a password.
func actorOf(user UserID) string {
	if user == "" {
		return anybody
	}
	return Self{User: user}.actor()
}

// errDryRun rolls a change back that went well.
var errDryRun = errors.New("dry run")

// change is Store.Change, or its rehearsal.
func (d *Directory) change(ctx context.Context, f func(tx Tx) error) error {
	var ends *ending
	err := d.Store.Change(ctx, func(tx Tx) error {
		ends = &ending{Tx: tx}
		if err := f(ends); err != nil {
			return err
		}
		if d.DryRun {
			return errDryRun
		}
		return nil
	})
	if errors.Is(err, errDryRun) {
		return nil
	}
	if err == nil && ends.any && d.Ended != nil {
		d.Ended()
	}
	return err
}

// ending is a transaction that knows whether it ends sessions.
type ending struct {
	Tx
	any bool
}

func (e *ending) EndSessions(id UserID, keep string) error {
	e.any = true
	return e.Tx.EndSessions(id, keep)
}

func (d *Directory) now() time.Time { return d.Now().UTC() }

// event starts an audit event about a person.
func (d *Directory) event(t audit.Type, actor, address string, u User) audit.Event {
	return audit.Event{At: d.now(), Type: t, Actor: actor, User: string(u.ID), Organisation: string(u.Organisation), Address: address}
}

// letter addresses a letter to a person. Users without a contact get none:
// whoever looks after them tells them.
func (d *Directory) letter(tx Tx, p Person, t mail.Template, args ...string) error {
	l, ok := d.Letter(p, t, args...)
	if !ok {
		return nil
	}
	return tx.Send(l)
}

// Letter makes a letter to a person, for whoever sends it in the transaction of what
// it tells; false when there is no contact.
func (d *Directory) Letter(p Person, t mail.Template, args ...string) (mail.Letter, bool) {
	by, to := p.contact()
	l := mail.Letter{Channel: by, To: to, Language: p.User.Language, Template: t, Organisation: string(p.Organisation.ID), Args: map[string]string{
		"name": p.User.Name(), "username": p.User.Username, "organisation": p.Organisation.Name, "support": d.Support,
	}}
	for i := 0; i+1 < len(args); i += 2 {
		l.Args[args[i]] = args[i+1]
	}
	return l, to != ""
}

// FoldUsername gives the form in which usernames are compared and must be
// unique: NFC, lower-case, without surrounding space. What no username can hold,
// and some databases refuse to look for, becomes a sign that is in none.
func FoldUsername(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\x00", "\ufffd")
	return norm.NFC.String(strings.ToLower(norm.NFC.String(strings.TrimSpace(s))))
}

// Faults that many methods share.
var (
	errDisabled = fault.New(fault.Denied, "account_disabled", "The account is disabled.")
	errFrozen   = fault.New(fault.Denied, "account_frozen", "The account is frozen, because somebody said: this was not me. Call user support.")
	errPolicy   = fault.New(fault.Denied, "policy_denied", "The organisation does not permit this login method.")
	errReauth   = fault.New(fault.Denied, "reauthentication_required", "Sign in again to change how you sign in.")
)

// text is what a name or a contact must be: not empty unless optional, of
// limited length, without control characters.
func text(field, s string, limit int, optional bool) error {
	s = strings.TrimSpace(s)
	switch {
	case s == "" && !optional:
		return fault.New(fault.Invalid, "required", "%s: give a value.", field).In(field)
	case len([]rune(s)) > limit:
		return fault.New(fault.Invalid, "too_long", "%s: at most %d characters.", field, limit).In(field)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, unreadable):
		return fault.New(fault.Invalid, "control_characters", "%s: remove line breaks and control characters.", field).In(field)
	}
	return nil
}

// unreadable are control characters, line separators, and those that turn the
// direction of what follows and so show one text as another.
func unreadable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func address(field, s string) error {
	if s == "" {
		return nil
	}
	local, domain, ok := strings.Cut(s, "@")
	if !ok || local == "" || !strings.Contains(domain, ".") && domain != "localhost" || strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || strings.ContainsRune("<>,;\"()", r)
	}) || strings.Contains(domain, "@") || len(s) > 254 {
		return fault.New(fault.Invalid, "email_invalid", "%s: %q is not an e-mail address.", field, s).In(field)
	}
	return nil
}

func language(field, s string) error {
	switch s {
	case "fi", "sv", "en":
		return nil
	}
	return fault.New(fault.Invalid, "language_unknown", "%s: %q is not one of fi, sv, en.", field, s).In(field)
}

func wrap(what string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}
