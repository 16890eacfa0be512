package throttle

import "time"

// Limit is how often something may happen to one subject: Max times in a
// Window that begins with the first of them.
type Limit struct {
	Name   string // part of the key: two limits never share a counter
	Max    int64
	Window time.Duration
}

// All the limits there are. Passwords and codes are counted apart: a stranger
// who tries passwords must not use up the codes of a person, and a code is only
// ever asked after a right password (S43, standards.md 4).
var (
	// PasswordPerAccountAndAddress is what one guesser meets. It is checked
	// before PasswordPerAccount, so that whoever has reached it no longer fills
	// that one: from one address or two nobody can lock a person out elsewhere.
	PasswordPerAccountAndAddress = Limit{"password-account-address", 10, 15 * time.Minute}

	// PasswordPerAccount bounds guessing from many addresses at once to the
	// hundred consecutive failures of NIST SP 800-63B-4 §3.2.2. A person whom
	// many addresses lock out waits at most an hour, and a card still opens the
	// door meanwhile.
	PasswordPerAccount = Limit{"password-account", 100, time.Hour}

	// PasswordPerAddress stops one password being tried on every name. A whole
	// agency may stand behind one address, hence the size, and hence only
	// failures should count.
	PasswordPerAddress = Limit{"password-address", 200, 15 * time.Minute}

	// CodePerTransaction ends a sign-in: the password is asked again
	// (standards.md 4). The window is the life of a sign-in.
	CodePerTransaction = Limit{"code-transaction", 5, 15 * time.Minute}

	// CodePerAccount bounds what somebody who knows the password gains from
	// starting over. At three codes in a million right at any moment (S45), ten
	// guesses each quarter of an hour find one in about a year of unbroken
	// trying; the authenticator's own count of failures ends it long before.
	CodePerAccount = Limit{"code-account", 10, 15 * time.Minute}

	// ClockHints keeps "your clock is fast" from becoming an oracle for codes
	// of other times (S46).
	ClockHints = Limit{"clock-hint", 2, 15 * time.Minute}

	// CardPerAddress is a brake on machines, not on people: a hospital's whole
	// shift may sign in through one address in ten minutes.
	CardPerAddress = Limit{"card-address", 600, time.Minute}

	// CardPollPerSignIn is three times what the page of a card attempt asks, which it
	// does every second and a half: two tabs of one sign-in fit.
	CardPollPerSignIn = Limit{"card-poll", 120, time.Minute}

	// CardTestPerAddress bounds what the public card test keeps: a row a result. A
	// training day of an office stays below it.
	CardTestPerAddress = Limit{"card-test-address", 100, 10 * time.Minute}

	// LinkingCodePerAccount bounds guessing at the code that user support has given
	// a caller: 120 tries in the longest life of one (password.LinkingCode).
	LinkingCodePerAccount = Limit{"linking-code-account", 5, time.Hour}

	// DeskActPerActor is how often one person of the help desk does one thing in an
	// hour, each thing counted apart, whatever comes of it (S64): more than the
	// busiest day needs, and little for whoever has stolen such a session.
	// DeskActPerPerson is how often it is done to one person by all of them.
	DeskActPerActor  = Limit{"desk-act-actor", 30, time.Hour}
	DeskActPerPerson = Limit{"desk-act-person", 10, time.Hour}

	// LinkingPerAccount leaves room for every mistake of a first day.
	LinkingPerAccount = Limit{"linking-account", 20, time.Hour}

	// RegistrationPerAddress bounds what a stranger can fill the database with
	// where anybody may register a client.
	RegistrationPerAddress = Limit{"registration-address", 100, time.Hour}

	// DeviceCodePerBrowser and DeviceCodePerAddress bound the tries at codes that
	// devices show (RFC 8628 §5.1), the right ones too: there are 2.5·10¹⁰ codes,
	// so that an address which tries all day finds one of a thousand waiting
	// devices in about two years.
	DeviceCodePerBrowser = Limit{"device-code-browser", 10, 10 * time.Minute}
	DeviceCodePerAddress = Limit{"device-code-address", 200, 10 * time.Minute}

	// DeviceStartPerAddress keeps strangers from filling the store with devices
	// that wait. A building's worth of them may start at once.
	DeviceStartPerAddress = Limit{"device-start-address", 300, 10 * time.Minute}

	// RefusalPerAddress bounds what is kept of refused requests for operators: with
	// a broken service behind it the first of an hour are as good as all.
	RefusalPerAddress = Limit{"refusal-address", 30, time.Hour}

	// RequestsPerAddress bounds what a stranger leaves waiting for a sign-in that
	// nobody makes. A shift that signs in with cards fits (CardPerAddress), ten
	// minutes of it at once: everybody may come in the same minute when services
	// come back. Who has a session already leaves nothing.
	RequestsPerAddress = Limit{"request-address", 6000, 10 * time.Minute}

	// LargeRequestsPerAddress counts those of them that take much room, which
	// hardly any service's do; with it one address fills some 300 MB in the life
	// of a request, and never more.
	LargeRequestsPerAddress = Limit{"large-request-address", 600, 10 * time.Minute}

	// PushesPerAddress bounds what software that proves nothing has kept. It waits
	// for a minute, so the window is one, and as many may push as sign in.
	PushesPerAddress = Limit{"push-address", 600, time.Minute}

	// FetchesPerAddress and FetchesPerClient bound the calls that strangers make us
	// make to a service's server. Most people's requests need none, for one call
	// serves all of a second; the first is well below the other, so that from one
	// address nobody keeps a service's people out.
	FetchesPerAddress = Limit{"fetch-address", 300, time.Minute}
	FetchesPerClient  = Limit{"fetch-client", 900, time.Minute}

	// AskPerAccount and AskPerAddress keep "I forgot my password" from flooding
	// a person's mailbox. The page is the same when they are reached (S51).
	AskPerAccount = Limit{"ask-account", 3, 24 * time.Hour}
	AskPerAddress = Limit{"ask-address", 10, time.Hour}

	// AskRefusalNoted is how often the trail tells that an address asks on and on.
	AskRefusalNoted = Limit{"ask-refusal-noted", 1, time.Hour}

	// TracesPerSignIn, TracesPerPerson and TracesPerAddress bound what is kept of
	// sign-ins that go wrong: the first of many failures tell as much as all. The
	// first is a person who tries everything twice, the last an agency's morning
	// after a change of passwords. QuietTracesPerPerson is for sign-ins that nobody
	// sees, where a session was enough; WaitingTracesPerClient for those that have only
	// begun: what the makers of a service try out, and little of a morning's rush.
	TracesPerSignIn        = Limit{"trace-signin", 20, 15 * time.Minute}
	TracesPerPerson        = Limit{"trace-person", 100, time.Hour}
	TracesPerAddress       = Limit{"trace-address", 300, 15 * time.Minute}
	QuietTracesPerPerson   = Limit{"trace-quiet", 100, 24 * time.Hour}
	WaitingTracesPerClient = Limit{"trace-waiting", 20, 5 * time.Minute}

	// CoursesPerClient is how often a service may ask why its requests went as they
	// did: a page that asks every few seconds.
	CoursesPerClient = Limit{"course-client", 300, 15 * time.Minute}

	// TraceLookups is a help desk's busiest quarter of an hour. A reference has 40
	// bits: whoever guessed as fast would meet one of a million in three months, and
	// each look is in the audit trail.
	TraceLookups = Limit{"trace-lookup", 120, 15 * time.Minute}
)
