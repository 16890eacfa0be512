package audit

import (
	"maps"
	"strings"
)

// Reasons are the codes that Event.Reason may hold, each with what it means. What
// staff have typed is no reason in this sense: it is kept as Note, and events from
// before this table may have it in Reason. Codes outlive the program: none changes
// its meaning, and each has a text con.reason.CODE.
var Reasons = map[string]string{
	// signin.refused, by a password
	"unknown_username": "nobody has this username; of password.asked, too",
	"wrong_password":   "the password is not the person's",
	"account_disabled": "the account, or its organisation, is disabled; of cards and password.asked, too",
	"session_expired":  "whoever had an import worked on has another session or another role by now, and it stopped",
	"account_frozen":   "the password was right, and the account is frozen (S59); of cards and password.asked, too",
	"temp_expired":     "the temporary password was right, and too old (S15)",

	// signin.refused and authenticator.blocked, by a code
	"otp_wrong":            "the code is none of the authenticator's now",
	"otp_used":             "the code was right, and had been used (S45)",
	"too_many_wrong_codes": "the authenticator is blocked until user support unlocks it",

	// card.refused: "card_" and the card's verdict
	"card_never_reached":                "no connection came to the card host",
	"card_handshake_broken":             "connections came and broke (S35)",
	"card_no_certificate":               "no certificate was chosen",
	"card_signature_certificate_chosen": "the certificate is for signatures",
	"card_expired":                      "the certificate is too old",
	"card_not_yet_valid":                "the certificate is not valid yet",
	"card_untrusted_issuer":             "no configured CA has issued it",
	"card_card_kind_not_accepted":       "its CA issues a kind of card that is not accepted",
	"card_revoked":                      "its CA has revoked it",
	"card_suspended":                    "its CA has suspended it",
	"card_revocation_unavailable":       "its CA could not be asked",
	"card_weak_or_malformed":            "the certificate is broken, or its key too weak",

	// card.refused: a good card that signs nobody in, or is not linked
	"card_not_linked":            "it is linked to nobody",
	"card_awaits_approval":       "it waits until somebody has approved it",
	"card_link_removed_by_order": "an Order has removed its link (S54)",
	"card_holder_differs":        "its holder has another name than the account (S29)",
	"other_card_linked":          "it is another card than the one of the sign-in's person",

	// card.revoked, card.suspended, card.untrusted, card.reinstated: who said so
	"card": "the card host, when the card was read",
	"ocsp": "the CA's responder",
	"crl":  "the CA's list",

	// password.asked: what became of it
	"link_mailed":       "a letter with a link has gone out",
	"by_support":        "the organisation hands passwords over",
	"no_contact":        "there is no address to write to",
	"contact_changed":   "the address is too new to be trusted (S55)",
	"throttled":         "the name was asked for too often",
	"throttled_address": "the browser's address asked too often; one event an hour",
	"too_late":          "it could not be decided within an hour",

	// password.ordered, account.frozen
	"asked":         "by the link of a letter that the person had asked for",
	"card_replaced": "by the person, whose card was replaced (S58)",
	"not_me":        "the person says that the Order was somebody else's (S59)",

	// signout
	"logout":               "the person has logged out",
	"other_user_signed_in": "somebody else has signed in with the same browser",

	// client.created, audit.removed
	"dynamic_registration": "the client has registered itself (RFC 7591)",
	"retention":            "the events were older than the trail keeps them",
}

// Note names the detail that holds what staff have typed, in words of their own.
const Note = "note"

// Noted keeps with an event what somebody has typed of why it was done.
func (e Event) Noted(words string) Event {
	if words = strings.TrimSpace(words); words == "" {
		return e
	}
	e.Details = maps.Clone(e.Details)
	if e.Details == nil {
		e.Details = map[string]string{}
	}
	e.Details[Note] = words
	return e
}
