package openid

import (
	"time"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

// verdict is what to do with an authorization request.
type verdict uint8

const (
	showSignIn verdict = iota // show the sign-in pages
	issueCode                 // the session is enough
	tellClient                // tell the client why not
)

func (v verdict) String() string {
	return [...]string{"sign in", "issue", "refuse"}[v]
}

// Why a session is not enough. Pages and logs know these words.
const (
	ReasonNoSession  = "no_session"
	ReasonAgain      = "sign_in_again"                    // prompt=login, prompt=select_account, max_age
	ReasonOtherUser  = "other_user"                       // id_token_hint names somebody else
	ReasonClosed     = "account_disabled"                 //
	ReasonTemporary  = "password_temporary"               // S15
	ReasonEnrolOnly  = "enrol_only"                       // S19
	ReasonStepUp     = "step_up"                          // a stronger method, or another one, is demanded
	ReasonByEmployer = "method_not_permitted_by_employer" // S5
	ReasonConsent    = "consent_required"                 // a third-party client asks for what the person has not allowed it
)

// demand is what an authorization request asks of a session.
type demand struct {
	Silent  bool             // prompt=none
	Again   bool             // prompt=login or select_account
	MaxAge  time.Duration    // negative: any age
	Since   time.Time        // when the request came
	Waited  bool             // the request has been to the sign-in pages
	Need    strength         // worthless: any full sign-in
	Methods identity.Methods // that the client accepts; 0: all
	User    string           // only this user will do; "" for anybody
	Enrol   bool             // the enrol client asks for its restricted scope (S19)
	Wants   Wish             // what needs the person's consent; nothing for first-party clients
	Given   Wish             // what the person has allowed already
	Anew    bool             // prompt=consent: that does not count
}

// decision is the outcome of decide.
type decision struct {
	Verdict verdict
	Reason  string // why not issueCode, one of the Reason words; "" for issueCode
	By      string // what of the demand decided: prompt, max_age, level or methods; "" for nothing of it
	Error   Error  // of tellClient
}

// decide says whether a session answers a request. It is a pure function: s is
// nil when nobody is signed in, and p is the person behind s, whose standing
// the caller has checked.
func decide(d demand, s *session.Session, p identity.Person, now time.Time) decision {
	switch {
	case s == nil:
		return d.ask(ReasonNoSession)
	case d.Again && !d.fresh(s):
		return d.ask(ReasonAgain).by("prompt")
	case d.User != "" && d.User != s.User:
		// OpenID Connect Core §3.1.2.2: whoever is signed in is not whom the
		// client means, and only the client can say what should happen now.
		return decision{Verdict: tellClient, Reason: ReasonOtherUser, Error: LoginRequired}
	case !p.Open() || string(p.User.ID) != s.User:
		return d.ask(ReasonClosed)
	case p.Password.Temporary:
		return d.ask(ReasonTemporary)
	}
	have := strengthOf(*s)
	switch {
	case have == worthless:
		return d.ask(ReasonNoSession)
	case have == passwordOnly && !d.Enrol:
		return d.ask(ReasonEnrolOnly)
	case d.MaxAge >= 0 && !d.fresh(s) && (d.MaxAge == 0 || now.Sub(s.AuthTime) > d.MaxAge):
		return d.ask(ReasonAgain).by("max_age")
	case have == passwordOnly: // neither level nor method is asked of it
	case d.Silent && d.Need == certificate && have < d.Need && !p.Permits(identity.MethodCard):
		// A page could not help this person either.
		return decision{Verdict: tellClient, Reason: ReasonByEmployer, Error: Unmet}
	case have < d.Need:
		return d.ask(ReasonStepUp).by("level")
	case d.Methods != 0 && !d.Methods.Has(methodOf(s.Method)):
		return d.ask(ReasonStepUp).by("methods")
	case !p.Permits(methodOf(s.Method)):
		return d.ask(ReasonByEmployer)
	}
	if len(d.Wants.Scopes) > 0 && (d.Anew || !d.Wants.within(d.Given)) {
		return d.ask(ReasonConsent)
	}
	return decision{Verdict: issueCode}
}

func (d decision) by(part string) decision {
	d.By = part
	return d
}

// fresh tells whether the proof was given for this very request. Seconds, as
// auth_time has them: proof and request may come from clocks of two replicas.
func (d demand) fresh(s *session.Session) bool {
	return d.Waited && !s.AuthTime.Before(d.Since.Truncate(time.Second))
}

// ask is showSignIn, or the error that says so to a client that wants no page.
func (d demand) ask(reason string) decision {
	if !d.Silent {
		return decision{Verdict: showSignIn, Reason: reason}
	}
	switch reason {
	case ReasonEnrolOnly, ReasonTemporary:
		// Signed in, but with something to do first (S18).
		return decision{Verdict: tellClient, Reason: reason, Error: InteractionRequired}
	case ReasonConsent:
		return decision{Verdict: tellClient, Reason: reason, Error: ConsentRequired}
	}
	return decision{Verdict: tellClient, Reason: reason, Error: LoginRequired}
}
