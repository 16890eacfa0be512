// Package audit names the events that the trail keeps: who did what, to whom,
// when, from where and by which method. Never a secret, a code, a token or the
// content of a card.
//
// Events of a change are written in the change's own transaction
// (identity.Tx.Record); events that change nothing, such as a refused sign-in,
// go through a Recorder.
package audit

import (
	"context"
	"time"
)

// Type is what happened, as "thing.happened".
type Type string

const (
	OrganisationCreated  Type = "organisation.created"
	OrganisationChanged  Type = "organisation.changed"
	OrganisationDisabled Type = "organisation.disabled"
	OrganisationEnabled  Type = "organisation.enabled"
	PolicyChanged        Type = "policy.changed" // by hand, or because the day of a plan has come
	PolicyPlanned        Type = "policy.planned"
	PolicyWithdrawn      Type = "policy.withdrawn" // a plan
	UserCreated          Type = "user.created"
	UserChanged          Type = "user.changed"
	UserDisabled         Type = "user.disabled"
	UserEnabled          Type = "user.enabled"
	UserRolesChanged     Type = "user.roles_changed"
	PasswordOrdered      Type = "password.ordered"
	PasswordChanged      Type = "password.changed"
	PasswordAsked        Type = "password.asked"         // by anybody; the reason is what became of it
	PasswordAskCancelled Type = "password.ask_cancelled" // by its person
	AccountFrozen        Type = "account.frozen"         // "this was not me"
	AccountUnfrozen      Type = "account.unfrozen"
	AuthenticatorLinked  Type = "authenticator.linked"
	AuthenticatorRemoved Type = "authenticator.removed"
	AuthenticatorTried   Type = "authenticator.tried"
	AuthenticatorBlocked Type = "authenticator.blocked"
	CardLinked           Type = "card.linked"
	CardLinkRemoved      Type = "card.link_removed"
	CardRefused          Type = "card.refused"
	CardRevoked          Type = "card.revoked"          // by its CA, and linked
	CardSuspended        Type = "card.suspended"        // by its CA, and linked
	CardUntrusted        Type = "card.untrusted"        // its CA is not configured any more
	CardReinstated       Type = "card.reinstated"       // the suspension was lifted
	CardIssuerForgotten  Type = "card.issuer_forgotten" // one that was met and is not configured
	CardApprovalAsked    Type = "card.approval_asked"
	CardApprovalRefused  Type = "card.approval_refused"
	SignInSucceeded      Type = "signin.succeeded"
	SignInRefused        Type = "signin.refused"
	EnrolStarted         Type = "signin.enrol_started"
	SignedOut            Type = "signout"
	CodeReplayed         Type = "token.code_replayed"
	RefreshReused        Type = "token.refresh_reused"
	ConsentGiven         Type = "consent.given"
	ConsentRevoked       Type = "consent.revoked"
	DeviceAllowed        Type = "device.allowed"
	DeviceDenied         Type = "device.denied"
	ClientCreated        Type = "client.created"
	ClientChanged        Type = "client.changed"
	ClientDisabled       Type = "client.disabled"
	ClientEnabled        Type = "client.enabled"
	RegisterTokenMade    Type = "client.token_made"
	RegisterTokenRevoked Type = "client.token_revoked"
	CRLImported          Type = "crl.imported"
	CRLFetched           Type = "crl.fetched" // by hand
	CRLForgotten         Type = "crl.forgotten"
	KeyCreated           Type = "key.created"
	KeyMoved             Type = "key.moved"
	KeysResealed         Type = "key.resealed" // the master key changed
)

// Of letters.
const (
	LetterRetried   Type = "letter.retried"
	LetterDiscarded Type = "letter.discarded"
)

// Of the trail itself.
const (
	TrailExported Type = "audit.exported"
	TrailRemoved  Type = "audit.removed" // what was older than the retention
	TrailLost     Type = "audit.lost"    // events that somebody deleted before they were sealed
)

// People, as those look after them who are responsible for them.
const (
	PeopleExported      Type = "people.exported"
	PasswordFirstIssued Type = "password.first_issued"
	ImportBegun         Type = "import.begun"
	ImportStopped       Type = "import.stopped"
	ImportFinished      Type = "import.finished"
)

// What the help desk does (S60–S64).
const (
	IdentityChecked       Type = "desk.identity_checked"
	LinkingCodeIssued     Type = "desk.linking_code_issued"
	LinkingCodeRefused    Type = "desk.linking_code_refused"
	AuthenticatorUnlocked Type = "authenticator.unlocked"
	AuthenticatorResynced Type = "authenticator.resynced"
	SessionsEnded         Type = "desk.sessions_ended"
	SecondAsked           Type = "desk.second_asked" // for an act that needs another member of the help desk
	SecondConfirmed       Type = "desk.second_confirmed"
	SecondRefused         Type = "desk.second_refused"
	SecondWithdrawn       Type = "desk.second_withdrawn" // by whoever had asked
	PasswordUnlocked      Type = "password.unlocked"     // of somebody without an authenticator
)

// Traces of sign-ins.
const (
	TraceSeen Type = "trace.seen" // by somebody else than the person
)

// Event is one line of the trail.
type Event struct {
	At           time.Time         // UTC; the store fills it when zero
	Type         Type              //
	Actor        string            // "user:ID", "operator:NAME", "client:ID", "letter" (whoever opened its link), "anybody" or "system"
	User         string            // the user it happened to, "" when unknown
	Organisation string            //
	Client       string            // OAuth client_id, when one was involved
	Session      string            // the session's public id (sid): the one that it is about, or in which the actor acts
	Method       string            // card, app, token, password: as Session
	Reason       string            // one of Reasons, "" when there is none
	Address      string            // the browser's address; of operators at the command line that of their SSH connection
	Details      map[string]string // few, short, no secrets
}

// Recorder writes an event outside a change.
type Recorder interface {
	Record(ctx context.Context, e Event) error
}
