package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/portti-id/portti/internal/fault"
)

var (
	errUnavailable = fault.New(fault.Unavailable, "database_unavailable", "The database does not answer just now. Please try again in a moment.")

	errNoOrganisation      = fault.New(fault.NotFound, "organisation_not_found", "There is no such organisation.")
	errNoUser              = fault.New(fault.NotFound, "user_not_found", "There is no such user.")
	errNoClient            = fault.New(fault.NotFound, "client_not_found", "There is no such client.")
	errNoGrant             = fault.New(fault.NotFound, "grant_not_found", "There is no such grant.")
	errCardNotLinked       = fault.New(fault.NotFound, "card_not_linked", "The card works, but it has not been linked to a username.")
	errOrganisationIs      = fault.New(fault.Conflict, "organisation_exists", "There is an organisation with this identifier already.")
	errClientIs            = fault.New(fault.Conflict, "client_exists", "There is a client with this identifier already.")
	errUsernameTaken       = fault.New(fault.Conflict, "username_taken", "This username is taken.")
	errChanged             = fault.New(fault.Conflict, "changed_meanwhile", "Somebody else changed this meanwhile. Look at it again.")
	errCardIs              = fault.New(fault.Conflict, "card_already_linked", "A card is linked to this username already.")
	errCardElsewhere       = fault.New(fault.Conflict, "card_linked_elsewhere", "This card is linked to another username.")
	errNoCardApproval      = fault.New(fault.NotFound, "card_approval_not_found", "No such card waits for an approval: it was decided already, or its time has run out.")
	errAuthenticatorIs     = fault.New(fault.Conflict, "totp_already_linked", "An authenticator is linked to this username already.")
	errKeyIs               = fault.New(fault.Conflict, "signing_key_exists", "There is a signing key of this kind in this state already.")
	errKeysMoved           = fault.New(fault.Conflict, "signing_keys_moved", "Another replica rotated the signing keys first.")
	errKeyInUse            = fault.New(fault.Conflict, "signing_key_in_use", "Only a retired signing key can be deleted.")
	errNoAuthenticator     = fault.New(fault.NotFound, "totp_not_linked", "No such authenticator is linked.")
	errNoConfirmation      = fault.New(fault.NotFound, "confirmation_not_found", "Nothing such waits for a second person: it was decided already, or its time has run out.")
	errNoCheck             = fault.New(fault.NotFound, "identity_check_not_found", "There is no such identity check.")
	errNoLinkingCode       = fault.New(fault.NotFound, "linking_code_not_found", "No linking code is open.")
	errNoConsent           = fault.New(fault.NotFound, "consent_not_found", "Nothing was allowed to this service.")
	errNoPart              = fault.New(fault.NotFound, "crl_part_not_found", "This part of a list is not there any more.")
	errNoRegistrationToken = fault.New(fault.NotFound, "registration_token_not_found", "There is no such registration token, or it is revoked already.")
	errNoStranger          = fault.New(fault.NotFound, "unknown_issuer_not_found", "No card of such an issuer was shown.")
	errNoMailedLink        = fault.New(fault.NotFound, "mailed_link_not_found", "There is no such link.")
	errNoImport            = fault.New(fault.NotFound, "import_not_found", "There is no such import, or it is older than a day.")
	errImportRuns          = fault.New(fault.Conflict, "import_running", "Your last import is still being applied. Wait until it is done.")
	errNoCardTest          = fault.New(fault.NotFound, "card_test_not_found", "There is no such card test, or it was made more than 30 days ago.")
	errDisabled            = fault.New(fault.Denied, "account_disabled", "The account is disabled.")
	errSessionEnded        = fault.New(fault.Denied, "session_ended", "The session has ended. Sign in again.")
	errNotPermitted        = fault.New(fault.Denied, "method_not_permitted_by_employer", "The employer does not permit this login method.")
	errOtherClient         = fault.New(fault.Denied, "other_client", "The grant belongs to another client.")
	errOtherKey            = fault.New(fault.Denied, "other_key", "The refresh token is bound to another key.")
	errRevoked             = fault.New(fault.Gone, "grant_revoked", "The grant has been revoked.")
	errExpired             = fault.New(fault.Gone, "grant_expired", "The grant has expired.")
	errReused              = fault.New(fault.Conflict, "refresh_reused", "This refresh token has been used before.")
	errToken               = fault.New(fault.Unauthenticated, "invalid_token", "The access token is not valid.")
)

// outage is a call that the database did not answer: people see the fault, the
// log sees the cause.
type outage struct {
	shown *fault.Fault
	what  string
	cause error
}

func (o *outage) Error() string   { return o.what + ": " + o.cause.Error() }
func (o *outage) Unwrap() []error { return []error{o.shown, o.cause} }

// unreachable is an outage at Open, which names the setting to look at.
func unreachable(setting, message string, cause error) error {
	shown := *errUnavailable
	shown.Message = setting + ": " + message
	return &outage{shown: shown.In(setting), what: shown.Message, cause: cause}
}

// explain turns a database error into what the caller is promised: faults pass
// as they are, an unanswered call becomes fault.Unavailable, and the rest is
// ours to mend.
func explain(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := fault.Of(err); ok {
		return err
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return fmt.Errorf("store: %s: %w", what, errors.Join(context.Canceled, err)) // the caller went away
	}
	if ctx.Err() != nil || out(err) {
		return &outage{shown: errUnavailable, what: "store: " + what, cause: err}
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// out tells whether the database is out of reach, or so out of shape that
// another attempt later makes sense.
func out(err error) bool {
	var lite *sqlite.Error
	if errors.As(err, &lite) {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN:
			return true
		}
		return false
	}
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch {
		case strings.HasPrefix(pg.Code, "08"), // connection
			strings.HasPrefix(pg.Code, "28"),       // no longer let in
			strings.HasPrefix(pg.Code, "3D"),       // database gone
			strings.HasPrefix(pg.Code, "53"),       // out of connections, disk, memory
			strings.HasPrefix(pg.Code, "57P"),      // shut down, starting up
			pg.Code == "25006",                     // a standby after a failover: read-only
			pg.Code == "40001",                     // serialization failure
			pg.Code == "40P01",                     // deadlock
			pg.Code == "55P03", pg.Code == "57014": // lock or statement timeout
			return true
		}
		return false
	}
	var dial *pgconn.ConnectError
	var network net.Error
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true // another caller's: ours waited for a statement that that one was preparing
	}
	return errors.As(err, &dial) || errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// breaks tells whether err is the violation of a unique constraint: on
// PostgreSQL by the constraint's name, on SQLite by the column it is on.
func breaks(err error, constraint, column string) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return pg.Code == "23505" && pg.ConstraintName == constraint
	}
	var lite *sqlite.Error
	return errors.As(err, &lite) && lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE && strings.Contains(lite.Error(), column)
}
