package identity

import (
	"context"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/mail"
)

// Store is what identity needs of SQL. Reads return fault.NotFound
// ("organisation_not_found", "user_not_found", "card_not_linked") when there is
// nothing; every method returns fault.Unavailable when the database is out of reach.
// Every Organisation is given as it is at the moment (Organisation.At).
type Store interface {
	TrailReader
	Imports

	Organisation(ctx context.Context, id OrganisationID) (Organisation, error)
	Organisations(ctx context.Context) ([]Organisation, error) // by name

	// Person and PersonByName are one round trip each. The name is compared as
	// FoldUsername gives it.
	Person(ctx context.Context, id UserID) (Person, error)
	PersonByName(ctx context.Context, folded string) (Person, error)
	// Account is Person without card and authenticator, which are most of it and
	// which only sign-ins and the person's own pages look at.
	Account(ctx context.Context, id UserID) (Person, error)
	People(ctx context.Context, org OrganisationID) ([]Person, error) // by username; all organisations when org is ""

	// AddAsk is one statement. LeaseAsks hands out up to n asks that are due and
	// keeps them from other replicas until the lease ends; AskFailed says when to try
	// one again, a zero next that it is given up.
	AddAsk(ctx context.Context, a Ask) error
	LeaseAsks(ctx context.Context, n int, now time.Time, lease time.Duration) ([]Ask, error)
	AskFailed(ctx context.Context, id string, next time.Time) error

	// MailedLink finds a link by the hash of its secret, expired or not:
	// fault.NotFound "mailed_link_not_found". MailedLinks are a user's.
	MailedLink(ctx context.Context, hash string) (MailedLink, error)
	MailedLinks(ctx context.Context, id UserID) ([]MailedLink, error)

	// FindPeople lists up to s.Limit of those a search is about, by folded username.
	// Pages follow each other without a gap or a repetition whoever is added
	// between them, since usernames never change. CountPeople counts the views.
	FindPeople(ctx context.Context, s Search, now time.Time) ([]Person, error)
	CountPeople(ctx context.Context, org OrganisationID, now time.Time) (Counts, error)
	// LastSignIn is the last full sign-in that the trail knows of; zero for none.
	LastSignIn(ctx context.Context, id UserID) (time.Time, error)

	// CardLink returns the active link of a certificate's fingerprint, or else
	// the one removed last.
	CardLink(ctx context.Context, fingerprint string) (CardLink, error)

	// CardLinks returns up to n active links whose identifiers come after one, in
	// their order; "" is before all of them.
	CardLinks(ctx context.Context, after LinkID, n int) ([]CardLink, error)

	// CardApprovals lists the cards that wait and have not expired by now, the
	// longest first (S29).
	CardApprovals(ctx context.Context, of ApprovalsOf, now time.Time) ([]CardApproval, error)

	Check(ctx context.Context, id CheckID) (Check, error) // fault.NotFound "identity_check_not_found"
	// Confirmations lists those whose check holds at now, the longest asked for first.
	Confirmations(ctx context.Context, of ConfirmationsOf, now time.Time) ([]Confirmation, error)
	LinkingCode(ctx context.Context, user UserID) (LinkingCode, error) // fault.NotFound "linking_code_not_found"; one that has expired may be there

	// ExpiringCards lists up to n active links of open accounts whose next notice
	// (Notices) is due, those that end first before the others.
	ExpiringCards(ctx context.Context, now time.Time, n int) ([]CardLink, error)

	// DuePlans lists up to n organisations whose planned change of policy has begun.
	DuePlans(ctx context.Context, now time.Time, n int) ([]OrganisationID, error)

	// CountAffected counts whom a change of policy touches, and Affected lists up to
	// n of a group, by username, whose folded username comes after one.
	CountAffected(ctx context.Context, c MethodChange) (Effect, error)
	Affected(ctx context.Context, c MethodChange, g Group, after string, n int) ([]Person, error)

	// PolicyNotices lists those whose letters are not all written, the oldest first.
	PolicyNotices(ctx context.Context) ([]PolicyNotice, error)

	// WithdrawalsToTell lists up to n of those who were told of a change that was
	// withdrawn since, and have not heard of that; the longest first.
	WithdrawalsToTell(ctx context.Context, n int) ([]PolicyTold, error)

	// Change runs f in one transaction: everything that f did through tx, or
	// nothing. It commits when f returns nil, and hands f's error back as it
	// is. On SQLite writers queue for the one writing connection. f must be quick
	// and must not call the Store itself.
	Change(ctx context.Context, f func(tx Tx) error) error
}

// Tx is the inside of a Change. Its reads lock the row they return, so that
// what f decides on cannot change before f commits.
type Tx interface {
	ImportsTx

	Organisation(id OrganisationID) (Organisation, error)
	AddOrganisation(o Organisation) error  // fault.Conflict "organisation_exists"
	SaveOrganisation(o Organisation) error // fault.Conflict "changed_meanwhile" when Version is not the stored one; the stored Version becomes Version+1

	AddPolicyNotice(n PolicyNotice) error
	DropPolicyNotices(org OrganisationID, from time.Time) error // those of a change from that time on
	// MovePolicyNotice sets Told of a notice whose Told is still the one in n, or
	// removes it when nobody is left to tell. Of any number of parallel callers one
	// gets true.
	MovePolicyNotice(n PolicyNotice, told string, over bool) (bool, error)

	AddPolicyTold(t PolicyTold) error
	WithdrawPolicyTold(org OrganisationID, from, at time.Time) error // of all who were told of a change from that time on; at is when it was withdrawn
	DropPolicyTold(org OrganisationID, from time.Time) error         // of those who stand there still: the change has come
	// TakePolicyTold deletes one. Of any number of parallel callers one gets true.
	TakePolicyTold(id string) (bool, error)

	Person(id UserID) (Person, error)
	PeopleOf(org OrganisationID) ([]UserID, error)
	AddUser(u User, p Password) error // fault.Conflict "username_taken"
	SaveUser(u User) error            // as SaveOrganisation; never touches Epoch, KeptSession or SignedIn
	SetPassword(id UserID, p Password) error

	TakeAsk(id string) (bool, error) // false when it is gone

	// PutMailedLink takes the place of the user's former link of the same purpose.
	// SpendMailedLink deletes that link and tells whether it was there, was the one
	// of this hash ("": whichever), and had not expired by now. What it does not
	// accept stays.
	PutMailedLink(l MailedLink) error
	SpendMailedLink(id UserID, purpose LinkPurpose, hash string, now time.Time) (bool, error)
	NoteSignIn(id UserID) error // sets SignedIn where it is zero

	// EndSessions adds one to the user's epoch, which ends every session of the
	// user but keep (a sid, "" for none), revokes every grant (openid) that does
	// not belong to keep, and queues the logout notices of what it ended.
	EndSessions(id UserID, keep string) error

	// SetCardStatus sets Status and StatusAt of an active link whose Status is still
	// the one in l. Of any number of parallel callers one gets true; the others,
	// and those who come when the link is gone, get false and change nothing.
	SetCardStatus(l CardLink, status card.State, at time.Time) (bool, error)
	AddCardLink(l CardLink) error                             // fault.Conflict "card_already_linked" (this user has a card) or "card_linked_elsewhere" (another user has this card)
	NoteCardUse(user UserID, link LinkID, at time.Time) error // sets Used
	NoteCardNotice(user UserID, link LinkID, days int) error  // sets Noticed
	RemoveCardLink(id UserID, reason string) (bool, error)    // false when there was none

	CardApproval(id LinkID) (CardApproval, error) // fault.NotFound "card_approval_not_found"
	AddCardApproval(a CardApproval) error         // takes the place of the user's former one; fault.Conflict "card_linked_elsewhere" (another user has this card, or asks for it)
	RemoveCardApproval(id UserID) (bool, error)   // false when there was none

	AddAuthenticator(a Authenticator) error                     // fault.Conflict "totp_already_linked"
	RemoveAuthenticator(id UserID, reason string) (bool, error) // false when there was none

	// UseStep marks a time step of an authenticator as used, sets its drift and
	// clears its failures. It returns false, and changes nothing, when that step
	// or a later one is used already: of any number of parallel callers with one
	// code, one gets true (RFC 6238 §5.2).
	UseStep(id AuthenticatorID, step, drift int64) (bool, error)
	// FailCode adds one to the authenticator's failures and returns the new number.
	FailCode(id AuthenticatorID) (int, error)
	// BlockCodes refuses codes of the authenticator until a time.
	BlockCodes(a Authenticator) error // saves BlockedUntil

	// UnblockCodes clears failures and BlockedUntil of an active authenticator.
	UnblockCodes(id AuthenticatorID) error

	AddCheck(c Check) error
	Check(id CheckID) (Check, error) // as Store.Check
	// AddConfirmation takes the place of the former one of the same check and act.
	AddConfirmation(c Confirmation) error
	Confirmation(id ConfirmationID) (Confirmation, error) // fault.NotFound "confirmation_not_found"; its check may have expired
	// Confirm notes by whom, of one that waits; RefuseConfirmation by whom and why; and
	// WithdrawConfirmation deletes it. Of any number of parallel callers of the three one
	// gets true.
	Confirm(id ConfirmationID, by UserID, at time.Time) (bool, error)
	RefuseConfirmation(id ConfirmationID, by UserID, why string, at time.Time) (bool, error)
	WithdrawConfirmation(id ConfirmationID) (bool, error)
	// SpendConfirmation deletes one that somebody has confirmed, of this reason, and
	// gives who it was: fault.NotFound "confirmation_not_found" when there is none.
	SpendConfirmation(check CheckID, act Right, reason string) (UserID, error)
	CloseLinking(user UserID, since time.Time) error // sets LinkingClosed; zero opens
	SetLinkingCode(c LinkingCode) error              // takes the place of the person's former one
	// TakeLinkingCode deletes the person's code of that hash, or whichever there is
	// where it is "". Of any number of parallel callers one gets true.
	TakeLinkingCode(user UserID, hash string) (bool, error)

	Record(e audit.Event) error
	Send(l mail.Letter) error
}
