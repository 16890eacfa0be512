package trace

import "slices"

// Word is what an entry means to the makers of a service, in terms of the
// protocol. Texts for people are in the catalogues, as "doctor.why." and the word;
// Explain has the English one.
type Word string

const (
	// What the request asked, with what is registered added.
	AskedAny   Word = "asked_any"
	AskedCode  Word = "asked_pwd_otp"
	AskedCard  Word = "asked_card"
	AskedEnrol Word = "asked_enrol"

	// The session that the browser had.
	SessionNone  Word = "session_none"
	SessionOver  Word = "session_over"
	SessionEnded Word = "session_ended"
	SessionFull  Word = "session_full"
	SessionEnrol Word = "session_enrol"

	// Whether that was enough, and what decided.
	Enough        Word = "enough"
	NoSession     Word = "no_session"
	ByPrompt      Word = "prompt"
	ByMaxAge      Word = "max_age"
	ByACRValues   Word = "acr_values"
	ByClaims      Word = "claims"
	ByMinimum     Word = "minimum_acr"
	ByMethods     Word = "methods"
	ByPerson      Word = "other_user"
	ByPolicy      Word = "policy"
	ByEnd         Word = "ended"
	ByPassword    Word = "enrol_only"
	ByInteraction Word = "interaction"
	ByConsent     Word = "consent"
	Cancelled     Word = "cancelled"
	OtherReason   Word = "other"

	// What the pages then asked for.
	StepCode     Word = "step_code"
	StepCard     Word = "step_card"
	StepAccount  Word = "step_account"
	StepServices Word = "step_services"
	StepProved   Word = "step_proved"
	StepOver     Word = "step_over"

	// What became of a device that asked to be let in (RFC 8628).
	DeviceEntered  Word = "device_entered"
	DeviceAllowed  Word = "device_allowed"
	DeviceDenied   Word = "device_denied"
	DeviceRedeemed Word = "device_redeemed"
	DeviceLate     Word = "device_late"
	DeviceHurried  Word = "device_hurried"

	// What the service was told.
	Answered      Word = "answered"
	RenewalPolicy Word = "renewal_policy"
	RenewalEnded  Word = "renewal_ended"
)

var explained = map[Word]string{
	AskedAny:   "The request asks for any full sign-in, and so does the registration.",
	AskedCode:  "A sign-in with a card, or with a password and a code, is demanded; by says where: acr_values (or default_acr_values of the registration), claims, or minimum_acr of the registration.",
	AskedCard:  "A sign-in with a card is demanded; by says where: acr_values (or default_acr_values of the registration), claims, or minimum_acr or methods of the registration.",
	AskedEnrol: "The client is User Services, which a password alone opens.",

	SessionNone:  "The browser brought no session.",
	SessionOver:  "The browser brought a session that is over: it was logged out, was not used for too long, or reached its limit.",
	SessionEnded: "The browser brought a session that was ended: the account, its password or its links have changed since.",
	SessionFull:  "The browser brought a session of a full sign-in.",
	SessionEnrol: "The browser brought a session with a password alone.",

	Enough:        "The session was enough: nobody was asked anything.",
	NoSession:     "There was no session to answer with: a sign-in was needed. With prompt=none that is login_required.",
	ByPrompt:      "The request has prompt=login or prompt=select_account: a new proof was needed, whatever the session.",
	ByMaxAge:      "The proof behind the session is older than max_age (or default_max_age of the registration) permits.",
	ByACRValues:   "The session did not reach the level that acr_values (or default_acr_values of the registration) demands.",
	ByClaims:      "The session did not reach the acr that the claims parameter demands as essential.",
	ByMinimum:     "The session did not reach minimum_acr of the registration.",
	ByMethods:     "The session was opened by a method that the registration does not accept.",
	ByPerson:      "Somebody else is signed in than id_token_hint, or the sub in claims, says.",
	ByPolicy:      "The person's employer does not permit the method of the session, or the one that is demanded.",
	ByEnd:         "The session was ended: the account, its password or its links have changed since.",
	ByPassword:    "The session is of a password alone, which opens no service. With prompt=none that is interaction_required.",
	ByInteraction: "The person has something to settle with the account first. With prompt=none that is interaction_required.",
	ByConsent:     "The person has to allow what the request asks for. With prompt=none that is consent_required.",
	Cancelled:     "The person cancelled, or did not allow it: access_denied.",
	OtherReason:   "It was decided what to ask.",

	StepCode:     "A password was proved, or had been; a code was asked: no service is opened by a password alone.",
	StepCard:     "A card was asked: it is what is demanded, or what this account signs in with.",
	StepAccount:  "The account had something to settle first.",
	StepServices: "What was proved opens User Services alone; the request waits for an hour while the person links a way of signing in.",
	StepProved:   "What was asked was proved: a card, or the code after the password.",
	StepOver:     "The sign-in began again from its first page.",

	DeviceEntered:  "Somebody typed the code that the device showed, into a browser.",
	DeviceAllowed:  "The person let the device in: its next poll gets the tokens.",
	DeviceDenied:   "The device was not let in: access_denied at its next poll.",
	DeviceRedeemed: "The device fetched its tokens.",
	DeviceLate:     "The device polled after its time was over: expired_token. It has to ask for new codes.",
	DeviceHurried:  "The device polled sooner than its interval: slow_down, and five seconds more between polls from then on. This is noted the first time.",

	Answered:      "The client was given a code.",
	RenewalPolicy: "The client was refused tokens: the employer no longer permits the method of that sign-in. A new sign-in finds out what is left.",
	RenewalEnded:  "The client was refused tokens: the sign-in that they stood on was ended, or the account closed.",
}

// Explain says a word in English, for programs and the command line.
func (w Word) Explain() string { return explained[w] }

var (
	sessionWords = map[string]Word{"none": SessionNone, "over": SessionOver, "ended": SessionEnded, "full": SessionFull, "enrol": SessionEnrol}

	// decidedWords are the Reasons of package openid. Why an account does not stand
	// any more is not a service's to know.
	decidedWords = map[string]Word{
		"issue": Enough, "no_session": NoSession, "sign_in_again": ByPrompt, "other_user": ByPerson, "account_disabled": ByEnd, "password_temporary": ByInteraction,
		"enrol_only": ByPassword, "method_not_permitted_by_employer": ByPolicy, "consent_required": ByConsent, "cancelled": Cancelled,
	}
	demandedBy = map[string]Word{"client": ByMinimum, "claims": ByClaims, "methods": ByMethods}

	// stepWords are the Events of package login. What somebody has linked, and whether
	// a password was a temporary one, is not a service's to know.
	stepWords = map[string]Word{
		"password_proved": StepCode, "session_code": StepCode, "password_proved_card": StepCard, "session_card": StepCard,
		"temporary_proved": StepAccount, "temporary_proved_link": StepAccount, "password_changed": StepProved,
		"password_proved_nolink": StepServices, "code_proved_barred": StepServices, "card_proved_barred": StepServices,
		"code_proved": StepProved, "card_proved": StepProved, "start_over": StepOver,
	}
	deviceWords  = map[string]Word{"entered": DeviceEntered, "allowed": DeviceAllowed, "denied": DeviceDenied, "redeemed": DeviceRedeemed, "late": DeviceLate, "hurried": DeviceHurried}
	renewalWords = map[string]Word{"method_not_permitted_by_employer": RenewalPolicy, "account_disabled": RenewalEnded, "session_ended": RenewalEnded}
)

// Line is an entry as the makers of a service read it.
type Line struct {
	Entry // Details are those that the service has sent, or may be told
	Word  Word
}

// Protocol is what the makers of a service may read of entries: what their request
// asked, what there was, what was decided by which parameter, and what they were
// told. What a person typed wrongly, showed or has linked is not in it; nor anything
// of the session of somebody whom the request did not mean.
func Protocol(all []Entry) []Line {
	var lines []Line
	var asked Entry
	other := slices.ContainsFunc(all, func(e Entry) bool { return e.What == Decided && e.Code == "other_user" })
	for _, e := range all {
		var word Word
		var keep []string
		switch e.What {
		case Asked:
			asked, word, keep = e, Word("asked_"+e.Code), []string{"from", "prompt", "max_age", "methods", "person", "grant"}
		case Had:
			if word = sessionWords[e.Code]; !other {
				keep = []string{"method"}
				if _, aged := asked.Details["max_age"]; aged {
					keep = append(keep, "age") // it decided; otherwise nobody asked for it
				}
			}
		case Decided:
			word, keep = decidedWord(e, asked), []string{"verdict", "error"}
		case Stepped:
			word = stepWords[e.Code]
		case Issued:
			word, keep = Answered, []string{"acr", "amr"}
		case Device:
			word, keep = deviceWords[e.Code], []string{"acr", "amr"}
		case Renewal:
			word, keep = renewalWords[e.Code], nil
		}
		if explained[word] == "" {
			continue
		}
		line := Line{Word: word, Entry: Entry{At: e.At, What: e.What, Details: map[string]string{}}}
		for _, name := range keep {
			if value := e.Details[name]; value != "" {
				line.Details[name] = value
			}
		}
		if n := len(lines); n > 0 && word == StepProved && lines[n-1].Word == StepProved {
			continue // the code, and then the change of a password, which the service need not know of
		}
		lines = append(lines, line)
	}
	return lines
}

// decidedWord names the parameter that decided.
func decidedWord(e, asked Entry) Word {
	switch by := e.Details["by"]; {
	case by == "max_age", by == "methods":
		return Word(by)
	case by == "level" || e.Code == "step_up":
		if w, ok := demandedBy[asked.Details["from"]]; ok {
			return w
		}
		return ByACRValues
	}
	if w, ok := decidedWords[e.Code]; ok {
		return w
	}
	return OtherReason
}
