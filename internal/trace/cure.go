package trace

import "slices"

// Owner is who can do something about what went wrong (S71).
type Owner string

const (
	Nobody      Owner = ""            // nothing went wrong, or nothing is to be done
	Person      Owner = "person"      // by what the page says
	Responsible Owner = "responsible" // the organisation's responsible user
	IT          Owner = "it"          // the organisation's own IT: reader, card software, network
	HelpDesk    Owner = "helpdesk"    //
	Operator    Owner = "operator"    // of this installation
	Service     Owner = "service"     // whoever makes the service
)

// owners says who; what is not here the person can do something about, by what the
// page told.
var owners = map[Owner][]string{
	Responsible: {"unknown_username", "account_disabled", "temp_expired", "method_not_permitted_by_employer", "card_not_linked_by_responsible", "card_awaits_approval"},
	IT:          {"never_reached", "handshake_broken", "no_certificate", "revocation_unavailable", "weak_or_malformed"},
	HelpDesk:    {"otp_blocked", "card_link_removed_by_order", "revoked", "suspended", "account_frozen", "other_card_linked", "totp_not_linked"},
	Operator:    {"internal", "untrusted_issuer", "enrol_unavailable", "card_unavailable", "store_unavailable", "database_unavailable", "busy"},
	Service:     {"other_user", "client_disabled", "service_request"},
}

// fine are the entries that tell of nothing wrong.
var fine = []What{Asked, Had, Decided, Stepped, Started, Issued, Device, Called}

// Owner is who can do something about an entry.
func (e Entry) Owner() Owner {
	if slices.Contains(fine, e.What) && !e.refusal() {
		return Nobody
	}
	for o, codes := range owners {
		if slices.Contains(codes, e.Code) {
			return o
		}
	}
	return Person
}

// Owners is all of them, for the catalogues.
var Owners = []Owner{Person, Responsible, IT, HelpDesk, Operator, Service}

// Trouble is the last thing that went wrong in a trace, if it has ended with it:
// what a caller calls about. False when it ended well.
func (t Trace) Trouble() (Entry, bool) {
	for _, e := range slices.Backward(t.Entries) {
		switch {
		case e.What == Issued, e.What == Started, e.What == Device && e.Code != "entered":
			return Entry{}, false
		case e.What == Shown && generic(e.Code):
			// The page says the same for all of several causes.
		case e.Owner() != Nobody:
			return e, true
		}
	}
	return Entry{}, false
}

// generic are codes of pages that do not tell the cause.
func generic(code string) bool { return code == "wrong_credentials" || code == "otp_wrong" }
