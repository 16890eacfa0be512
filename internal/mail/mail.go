// Package mail sends the letters that people get: a new account, a new
// password, a change of their sign-in.
//
// A letter is queued in the transaction of the change that it tells about
// (identity.Tx.Send) and leaves later, from the outbox: at least once, with
// retries and back-off, by SMTP, as a text message or onto the demo's desk. One
// that was given up stays for a while, for operators to see and to send again.
//
//	mail.go      Letter, what may be sent
//	outbox.go    Outbox: the background work that delivers what is due
//	kept.go      Kept: a letter of the outbox as operators see it
//	smtp.go      SMTP: delivery through a mail server
//	gateway.go   Gateway: delivery of text messages over HTTP
//	render.go    subject and text in the reader's language, from templates
package mail

import (
	"context"
	"time"
)

// Template names a letter; its texts are "mail.<name>.subject" and
// "mail.<name>.body" in the catalogues.
type Template string

const (
	Welcome              Template = "welcome"                // username, and the temporary password where the organisation has letters carry it
	PasswordOrdered      Template = "password_ordered"       // as above, and what an Order did
	PasswordChanged      Template = "password_changed"       //
	AuthenticatorLinked  Template = "authenticator_linked"   //
	AuthenticatorRemoved Template = "authenticator_removed"  //
	CardLinked           Template = "card_linked"            // with the last four of the card's serial number
	CardRevoked          Template = "card_revoked"           // as above: by its CA
	CardSuspended        Template = "card_suspended"         // as above: by its CA, for the time being
	CardWaits            Template = "card_waits"             // it is linked when somebody has approved it
	CardNotApproved      Template = "card_not_approved"      //
	CardExpires          Template = "card_expires"           // with the date
	AccountDisabled      Template = "account_disabled"       //
	PasswordAsked        Template = "password_asked"         // with the link that confirms or cancels
	PasswordAskedSupport Template = "password_asked_support" // only user support can order it
	AccountFrozen        Template = "account_frozen"         //
	AccountUnfrozen      Template = "account_unfrozen"       //
	AccountEnabled       Template = "account_enabled"        // as Welcome
	RolesChanged         Template = "roles_changed"          //
	ContactChanged       Template = "contact_changed"        // to the former address and to the new one
	AuthenticatorBlocked Template = "authenticator_blocked"  // after too many wrong codes
	PolicyTightened      Template = "policy_tightened"       // with the date from which the employer does not permit what is linked
	CardReinstated       Template = "card_reinstated"        // with the last four of the card's serial number: it is good again
	CardUntrusted        Template = "card_untrusted"         // as above: its issuer is not accepted any more
	PolicyWithdrawn      Template = "policy_withdrawn"       // with the date of a PolicyTightened that is not to come
	NameChanged          Template = "name_changed"           //
	ConsentGiven         Template = "consent_given"          // with the service's name, to which data may go from now on
	DeviceAllowed        Template = "device_allowed"         // with the service's name, for which a device was let in

	LinkingCodeIssued     Template = "linking_code_issued"    // that there is one, never the code
	AuthenticatorUnlocked Template = "authenticator_unlocked" //
	AuthenticatorResynced Template = "authenticator_resynced" //
	SessionsEnded         Template = "sessions_ended"         // by user support
	PasswordUnlocked      Template = "password_unlocked"      // of somebody without an authenticator
)

// Channel is by which way a letter leaves.
type Channel string

const (
	ByMail Channel = "mail"
	ByText Channel = "text" // a text message; it is no proof of anything (S12)
)

// Channels is every way.
var Channels = []Channel{ByMail, ByText}

// Passwords are the letters that tell of a temporary password. Each has a "text"
// besides, and bodies for whom it reaches by another way (Render).
var Passwords = []Template{Welcome, PasswordOrdered, AccountEnabled}

// Templates is every letter; a test holds the catalogues to it.
var Templates = []Template{Welcome, PasswordOrdered, PasswordChanged, AuthenticatorLinked, AuthenticatorRemoved, CardLinked, CardRevoked, CardSuspended, CardWaits, CardNotApproved, CardExpires, AccountDisabled, PasswordAsked, PasswordAskedSupport, AccountFrozen, AccountUnfrozen,
	AccountEnabled, RolesChanged, ContactChanged, NameChanged, AuthenticatorBlocked, CardReinstated, CardUntrusted, PolicyTightened, PolicyWithdrawn, ConsentGiven, DeviceAllowed,
	LinkingCodeIssued, AuthenticatorUnlocked, AuthenticatorResynced, SessionsEnded, PasswordUnlocked}

// Letter is one message to one person. Args are the placeholders of its text
// ("username", "password", "organisation", "support"…); they may hold a
// temporary password or a link, and are therefore sealed at rest.
type Letter struct {
	ID           string  // unique; filled by the store when empty
	Channel      Channel // "": ByMail
	To           string  // an e-mail address, or a phone number (E.164)
	Language     string  // fi, sv or en
	Template     Template
	Organisation string    // the reader's, for operators who look for the reason of a failure
	Expires      time.Time // after that it is of no use and is not sent any more; zero: never
	Args         map[string]string
}

// Queued is a letter in the outbox.
type Queued struct {
	ID       string
	Channel  Channel
	Sealed   string // the Letter as JSON, sealed with its ID as additional data
	Attempts int
	Created  time.Time
	Expires  time.Time // zero: never
}

// Store is what the outbox needs of SQL.
type Store interface {
	// LeaseLetters hands out up to n letters that are due and keeps them from
	// other replicas until the lease ends; of these channels, or of all.
	LeaseLetters(ctx context.Context, n int, now time.Time, lease time.Duration, of ...Channel) ([]Queued, error)
	// LetterSent removes a delivered letter.
	LetterSent(ctx context.Context, id string) error
	// LetterFailed notes a failed attempt and when to try again; a zero next
	// means never: the letter stays as a dead one for operators to see.
	LetterFailed(ctx context.Context, id, reason string, next time.Time) error
}

// Carrier delivers one rendered message: SMTP, a Gateway, or the demo's desk. An error that
// no later attempt can mend wraps ErrRefused. Errors must not quote the letter:
// they are kept and logged.
type Carrier interface {
	Deliver(ctx context.Context, m Message) error
}

// Message is a letter as the reader sees it. Plain text: no picture, no link
// that a mail scanner could follow into a change.
type Message struct {
	ID                          string // the letter's; the same in every attempt, so that a duplicate can be told
	To, Subject, Body, Language string // a text message has no subject
}
