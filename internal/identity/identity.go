// Package identity knows organisations, people, their credentials and links,
// and who may change what.
//
//	identity.go       the words: Organisation, User, Person, Method, CardLink, Authenticator
//	store.go          what it needs of SQL: reads, and one Change
//	directory.go      Directory, the only way to change people: rights, audit, letters
//	organisation.go   create, change, disable organisations
//	plan.go           Policy: what an employer decides, now or from a day on (S5, S8)
//	affected.go       who has no way in after a change of policy, and letters to them
//	user.go           create, change, disable users; Standing
//	people.go         find people, views, counts; peoplecsv.go  a list as a file
//	import.go         people from a file: verdicts, rows      importcsv.go  the file      importing.go  the work on it
//	firstpassword.go  another first password (S65)
//	claims.go         what else relying parties may learn of a person
//	role.go           Role: operator, responsible user, help desk, auditor
//	right.go          Right, Actor: what a role may do for others, and for whom
//	password.go       verify, change, Order (S54)
//	ask.go            asking for a new password without signing in (S51–S53)
//	freeze.go         frozen by "this was not me", and opened again (S59)      mailedlink.go  the links in letters
//	delivery.go       by which way a temporary password reaches its owner (S55)
//	told.go           what people hear of besides: their contacts and names changed (S59)
//	authenticator.go  link, verify, try (S37–S47)
//	check.go          how the help desk has recognised a caller (S64)
//	second.go         a second member of it, who confirms an act (S64)
//	desk.go           its acts: remove, resync an authenticator, end sessions (S47, S60)      unlock.go  after too many wrong codes or passwords
//	linkingcode.go    the code that linking asks for after a removal (S61)
//	cardlink.go       link and look up (S25–S28)
//	cardstatus.go     what their CA says of linked cards: revoked, suspended (S24)
//	holder.go         whether a card's holder is the person (S29, pure)
//	approval.go       cards that wait until somebody has looked (S29)
//	trace.go          how sign-ins went: for the person, and for the help desk
//	policy.go         what an employer permits and what a person may link (pure)
//
// It leaves the steps of a sign-in to package login and tokens to openid.
package identity

import (
	"time"

	"github.com/portti-id/portti/internal/card"
)

type (
	OrganisationID  string // chosen by the operator: lower-case letters, digits and hyphens
	UserID          string // random; the sub of ID tokens, never reassigned
	LinkID          string // random
	AuthenticatorID = LinkID
)

// Method is a way to sign in that an employer may permit (S1). Values are bits,
// so that SQL can test a set.
type Method uint8

const (
	MethodCard  Method = 1 << iota // certificate card and PIN
	MethodApp                      // password and a code from an authenticator app
	MethodToken                    // password and a code from a programmable token
)

// Methods is a set of them. A permitted set is never empty (S5).
type Methods uint8

// Organisation is an employer.
type Organisation struct {
	ID                 OrganisationID
	Name               string
	Methods            Methods // what it permits
	PersonalPhones     bool    // may employees use their own phones (S10)
	SharedWorkstations bool    // shorter idle limit (S72)

	// Limits of its people's sessions, in whole minutes; 0: the usual ones. See Idle and Absolute.
	SessionIdle, SessionAbsolute time.Duration

	Delivery           Delivery   // how temporary passwords reach people (S55)
	ITContact          string     // own IT, shown on failures; "" when not told
	ResponsibleContact string     // the responsible users', shown after it (S71)
	SupportPhone       string     // where it has user support of its own; "": the installation's
	SupportHours       string     // of that phone, as people say it
	HolderRule         HolderRule // what becomes of a card whose holder is nearly the person (S29); "": HolderApproved
	SecondPerson       bool       // whatever opens an account needs two members of the help desk (S64)
	CardNames          string     // what its cards call it besides Name, apart by semicolons; "": the organisation on a card is not compared
	Planned            Plan       // the change of its policy that is to come; the zero value: none
	Disabled           time.Time
	Created            time.Time
	Version            int64 // for compare-and-swap saves
}

// Delivery is how a temporary password reaches its owner.
type Delivery string

const (
	ByLetter   Delivery = "letter"   // the letter carries it
	ByHandover Delivery = "handover" // whoever created it hands it over; the letter only tells of it
)

// User is a person's account in one organisation (S9).
type User struct {
	ID             UserID
	Username       string // unique; compared after NFC and lower-casing
	Organisation   OrganisationID
	GivenName      string
	FamilyName     string
	Email          string
	Language       string // fi, sv or en
	Claims         Claims // what else relying parties may learn
	Roles          Roles  // what the person may do for others
	Disabled       time.Time
	Frozen         time.Time // "this was not me": nobody signs in until user support has checked (S59)
	Created        time.Time
	Updated        time.Time // when names, e-mail, language or claims changed last; the employer's name is not among them
	ContactChanged time.Time // when e-mail or phone changed last; zero: never (S55)
	SignedIn       time.Time // first full sign-in (S14); zero before
	Epoch          int64     // sessions and grants of another epoch are dead
	KeptSession    string    // the one session that outlived the last epoch change (S58)
	Version        int64

	LinkingClosed time.Time // when user support removed an authenticator, or a closed account that was in use was opened again; zero when neither was, or something was linked since (S61)
}

// Name is how a person is called on pages.
func (u User) Name() string { return u.GivenName + " " + u.FamilyName }

// Password is a user's password as stored.
type Password struct {
	Hash      string    // PHC string, Argon2id; "" means no password works
	Temporary bool      // must be changed before anything else (S15)
	Expires   time.Time // of a temporary one (S16)
	Changed   time.Time
}

// CardLink binds one card to one username (S26, S27).
type CardLink struct {
	ID            LinkID
	User          UserID
	Fingerprint   string // SHA-256 over the certificate without its signature (card.Fingerprint); unique among active links
	SPKI          string
	Issuer        string
	IssuerDN      string
	Serial        string
	SubjectSerial string
	HolderName    string
	HolderOrg     string
	NotAfter      time.Time
	Linked        time.Time
	Used          time.Time // last sign-in, as far as a sign-in within an hour before did not note it already; zero before the first
	Noticed       int       // the last notice of its end: 60, 30 or 7 days before; 0 for none yet
	Removed       time.Time // zero while active
	RemovedReason string    // "order", "user_disabled"

	// Status is what the card's CA says of it: card.WasRevoked, card.OnHold, or ""
	// while we have heard of neither; or card.Untrusted, when that CA was not
	// configured any more. StatusAt is when we heard.
	Status   card.State
	StatusAt time.Time
}

// Authenticator binds one TOTP key to one username (S41).
type Authenticator struct {
	ID            AuthenticatorID
	User          UserID
	Kind          Method // MethodApp or MethodToken, as declared (S4)
	SealedKey     string // 20 bytes, sealed with "totp:"+User+":"+ID as additional data
	Model         string // of a token, optional
	Serial        string // of a token, optional
	OwnDevice     bool   // the tick of S42 and S48
	PersonalPhone bool   // declared a personal phone, where permitted (S10)
	LastStep      int64  // the last time step used; a code of it or an earlier one is spent (S44)
	Drift         int64  // learnt offset of its clock in seconds, fast is positive (S47)
	Failures      int    // wrong codes since the last right one
	BlockedUntil  time.Time
	Linked        time.Time
	Removed       time.Time
	RemovedReason string
}

// Person is a user with everything that a sign-in decides on, read at once.
type Person struct {
	User          User
	Organisation  Organisation
	Password      Password
	Card          *CardLink      // the active one, or nil
	Authenticator *Authenticator // the active one, or nil
}

// Enabled tells whether the account and its organisation are open.
func (p Person) Enabled() bool {
	return p.User.Disabled.IsZero() && p.Organisation.Disabled.IsZero()
}

// Open tells whether the person may sign in: Enabled, and not frozen.
func (p Person) Open() bool { return p.Enabled() && p.User.Frozen.IsZero() }
