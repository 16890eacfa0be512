// Package login is the sign-in: what a person has proved, what comes next, and
// the session at the end. It knows no HTTP; package signin shows its steps.
//
//	flow.go      Step, Event and the table between them; Flow
//	login.go     Service: start, password, code, change password, finish
//	attempt.go   card attempts: tickets to the card host and results back
//	cardstate.go what became of an attempt, also where no result came back (S35)
//
//	             ┌──────────────── AskPassword ───────────────┐
//	   temporary │          right  │          only a card     │ card
//	             ▼                 ▼                 ▼        │
//	 ChangePassword/AskCodeFirst  AskCode         UseCard     │
//	             │                 │                 │        │
//	             ▼                 ▼                 ▼        ▼
//	           Enrol             Done ◀──────────────┴────────┘
//
// Enrol is a session that User Services alone accepts; Done is a full sign-in.
package login

import (
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/trace"
)

// Step is where a sign-in stands.
type Step string

const (
	AskPassword    Step = "password"      // the first page: card, or username and password
	AskCode        Step = "code"          // the password is right: a code is asked (S43)
	AskCodeFirst   Step = "code_first"    // a temporary password is right and an authenticator is linked: the code comes before the change (S57)
	ChangePassword Step = "change"        // a temporary password is right, nothing else is proved (S15)
	ChangeProved   Step = "change_proved" // a temporary password and a code are right
	UseCard        Step = "use_card"      // only the card will do from here (S31, step-up)
	Enrol          Step = "enrol"         // an enrol session may start (S18)
	Done           Step = "done"          // a full session may start
	Finished       Step = "finished"      // the session was started; nothing more happens here
)

// Event is what a person has just proved or asked for.
type Event string

const (
	PasswordProved       Event = "password_proved"        // and a usable authenticator is linked
	PasswordProvedNoLink Event = "password_proved_nolink" // and nothing usable is linked (S18, S30)
	PasswordProvedCard   Event = "password_proved_card"   // and only a card is linked (S31), or only a card will do for this request
	TemporaryProved      Event = "temporary_proved"       // a temporary password, and no authenticator
	TemporaryProvedLink  Event = "temporary_proved_link"  // a temporary password, and an authenticator is linked
	CodeProved           Event = "code_proved"            // of a permitted kind
	CodeProvedBarred     Event = "code_proved_barred"     // of a kind that the employer no longer permits (S8)
	PasswordChanged      Event = "password_changed"       //
	CardProved           Event = "card_proved"            // a linked card, permitted
	CardProvedBarred     Event = "card_proved_barred"     // a linked card, no longer permitted (S8)
	StartOver            Event = "start_over"             // "choose another login method", too many wrong codes
	SessionStarted       Event = "session_started"        //
)

// next is the whole sign-in. What is not here cannot happen.
var next = map[Step]map[Event]Step{
	AskPassword: {
		PasswordProved:       AskCode,
		PasswordProvedNoLink: Enrol,
		PasswordProvedCard:   UseCard,
		TemporaryProved:      ChangePassword,
		TemporaryProvedLink:  AskCodeFirst,
		CardProved:           Done,
		CardProvedBarred:     Enrol,
		StartOver:            AskPassword,
	},
	AskCode: {
		CodeProved:       Done,
		CodeProvedBarred: Enrol,
		StartOver:        AskPassword,
	},
	AskCodeFirst: {
		CodeProved:       ChangeProved,
		CodeProvedBarred: ChangePassword,
		StartOver:        AskPassword,
	},
	ChangePassword: {
		PasswordChanged: Enrol,
		StartOver:       AskPassword,
	},
	ChangeProved: {
		PasswordChanged: Done,
		StartOver:       AskPassword,
	},
	UseCard: {
		CardProved:       Done,
		CardProvedBarred: Enrol,
		StartOver:        AskPassword,
	},
	Enrol: {
		SessionStarted: Finished,
		StartOver:      AskPassword,
	},
	Done: {
		SessionStarted: Finished,
		StartOver:      AskPassword,
	},
}

// Flow is one sign-in, kept in the ephemeral store under its transaction's ID
// and changed by compare-and-swap only.
type Flow struct {
	TX       string          `json:"tx"`      // the authorization request it serves
	Browser  string          `json:"browser"` // SHA-256 of the browser's binding secret
	Step     Step            `json:"step"`
	User     identity.UserID `json:"user,omitempty"`     // whose password or card is proved, or whose session asks for more
	Username string          `json:"username,omitempty"` // as the person typed it
	Epoch    int64           `json:"epoch,omitempty"`    // the user's when something was proved; another one ends the flow
	Hash     string          `json:"hash,omitempty"`     // SHA-256 of the temporary password's stored hash, to see that it is still the one proved
	Method   identity.Method `json:"method,omitempty"`   // the second proof, once given
	Link     identity.LinkID `json:"link,omitempty"`     // the card link or authenticator that gave it
	AuthTime time.Time       `json:"auth_time,omitzero"` // when the last proof was given
	Codes    int             `json:"codes,omitempty"`    // wrong codes so far (five end the transaction)
	Problem  string          `json:"problem,omitempty"`  // what the next page should say, a fault's code
	Notice   string          `json:"notice,omitempty"`   // what the next page should tell, e.g. "linked"
	Over     bool            `json:"over,omitempty"`     // begun again on purpose: what the browser's session proves is not used
	Attempt  string          `json:"attempt,omitempty"`  // the card attempt that may answer now
	Level    string          `json:"level,omitempty"`    // of the session that was started
	Started  time.Time       `json:"started"`
	Trace    []trace.Entry   `json:"trace,omitempty"` // why it came here
}

// after returns the flow one event later; false when the table has no such way.
func (f Flow) after(e Event) (Flow, bool) {
	step, ok := next[f.Step][e]
	if !ok {
		return f, false
	}
	f.Step, f.Problem, f.Notice = step, "", ""
	if step == AskPassword {
		f = Flow{TX: f.TX, Browser: f.Browser, Step: step, Username: f.Username, Over: true, Started: f.Started}
	}
	return f, true
}
