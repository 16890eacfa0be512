// Package mail sends the letters that people get: a new account, a new
// password, a change of their sign-in.
//
// A letter is queued in the transaction of the change that it tells about
// (identity.Tx.Send) and leaves later, from the outbox: at least once, with
// retries and back-off, by SMTP or onto the demo's desk.
//
//	mail.go     Letter, what may be sent
//	outbox.go   Outbox: the background work that delivers what is due
//	smtp.go     SMTP: delivery through a mail server
//	render.go   subject and text in the reader's language, from templates
package mail

import (
	"context"
	"time"
)

// Template names a letter; its texts are "mail.<name>.subject" and
// "mail.<name>.body" in the catalogues.
type Template string

const (
	Welcome              Template = "welcome"               // username, and the temporary password where the organisation has letters carry it
	PasswordOrdered      Template = "password_ordered"      // as above, and what an Order did
	PasswordChanged      Template = "password_changed"      //
	AuthenticatorLinked  Template = "authenticator_linked"  //
	AuthenticatorRemoved Template = "authenticator_removed" //
	CardLinked           Template = "card_linked"           // with the last four of the card's serial number
	CardRevoked          Template = "card_revoked"          // as above: by its CA
	CardSuspended        Template = "card_suspended"        // as above: by its CA, for the time being
	CardWaits            Template = "card_waits"            // it is linked when somebody has approved it
	CardNotApproved      Template = "card_not_approved"     //
	CardExpires          Template = "card_expires"          // with the date
	AccountDisabled      Template = "account_disabled"      //
	PasswordAsked        Template = "password_asked"        // with the link that confirms or cancels
	AccountFrozen        Template = "account_frozen"        //
	AccountUnfrozen      Template = "account_unfrozen"      //
)

// Templates is every letter; a test holds the catalogues to it.
var Templates = []Template{Welcome, PasswordOrdered, PasswordChanged, AuthenticatorLinked, AuthenticatorRemoved, CardLinked, CardRevoked, CardSuspended, CardWaits, CardNotApproved, CardExpires, AccountDisabled, PasswordAsked, AccountFrozen, AccountUnfrozen}

// Letter is one message to one person. Args are the placeholders of its text
// ("username", "password", "organisation", "support"…); they may hold a
// temporary password and are therefore sealed at rest.
type Letter struct {
	ID       string // unique; filled by the store when empty
	To       string // an e-mail address
	Language string // fi, sv or en
	Template Template
	Args     map[string]string
}

// Queued is a letter in the outbox.
type Queued struct {
	ID       string
	Sealed   string // the Letter as JSON, sealed with its ID as additional data
	Attempts int
	Created  time.Time
}

// Store is what the outbox needs of SQL.
type Store interface {
	// LeaseLetters hands out up to n letters that are due and keeps them from
	// other replicas until the lease ends.
	LeaseLetters(ctx context.Context, n int, now time.Time, lease time.Duration) ([]Queued, error)
	// LetterSent removes a delivered letter.
	LetterSent(ctx context.Context, id string) error
	// LetterFailed notes a failed attempt and when to try again; a zero next
	// means never: the letter stays as a dead one for the operator to see.
	LetterFailed(ctx context.Context, id, reason string, next time.Time) error
}

// Carrier delivers one rendered message: SMTP, or the demo's desk. An error that
// no later attempt can mend wraps ErrRefused. Errors must not quote the letter:
// they are kept and logged.
type Carrier interface {
	Deliver(ctx context.Context, m Message) error
}

// Message is a letter as the reader sees it. Plain text: no picture, no link
// that a mail scanner could follow into a change.
type Message struct {
	ID                          string // the letter's; the same in every attempt, so that a duplicate can be told
	To, Subject, Body, Language string
}
