package identity

import (
	"strings"
	"time"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/fault"
)

// AllMethods is every method, in the order in which pages show them.
var AllMethods = []Method{MethodCard, MethodApp, MethodToken}

func (m Method) String() string {
	switch m {
	case MethodCard:
		return "card"
	case MethodApp:
		return "app"
	case MethodToken:
		return "token"
	}
	return "none"
}

// ParseMethod reads "card", "app" or "token".
func ParseMethod(s string) (Method, error) {
	for _, m := range AllMethods {
		if s == m.String() {
			return m, nil
		}
	}
	return 0, fault.New(fault.Invalid, "method_unknown", "methods: %q is not one of card, app, token.", s).In("methods")
}

// ParseMethods reads a set of names: card, app, token. fault.Invalid as ParseMethod.
func ParseMethods(names []string) (Methods, error) {
	var set Methods
	for _, name := range names {
		m, err := ParseMethod(name)
		if err != nil {
			return 0, err
		}
		set |= Methods(m)
	}
	return set, nil
}

// MethodsOf makes a set.
func MethodsOf(ms ...Method) Methods {
	var set Methods
	for _, m := range ms {
		set |= Methods(m)
	}
	return set
}

// Has tells whether m is in the set.
func (s Methods) Has(m Method) bool { return m != 0 && s&Methods(m) != 0 }

// List returns the methods of the set in the order of AllMethods.
func (s Methods) List() []Method {
	var ms []Method
	for _, m := range AllMethods {
		if s.Has(m) {
			ms = append(ms, m)
		}
	}
	return ms
}

func (s Methods) String() string {
	var names []string
	for _, m := range s.List() {
		names = append(names, m.String())
	}
	return strings.Join(names, ",")
}

// ReauthenticateAfter is how old a sign-in may be to change a way of signing in (ASVS 7.5.1).
const ReauthenticateAfter = 5 * time.Minute

// UsableCard tells whether the linked card can sign in today; one that has
// expired, that its CA has revoked or suspended as far as we have heard, or whose CA
// is not accepted any more, counts as no valid link (S30). What is true this minute is known at the card's door.
func (p Person) UsableCard(now time.Time) bool {
	return p.Card != nil && p.Card.State(now) == ""
}

// State says why a link is no good any more: expired, revoked, suspended or untrusted; "" when it is good.
func (l CardLink) State(now time.Time) string {
	switch {
	case l.Status == card.WasRevoked:
		return "revoked"
	case !now.Before(l.NotAfter):
		return "expired"
	case l.Status == card.Untrusted:
		return "untrusted"
	case l.Status != "":
		return "suspended"
	}
	return ""
}

// Permits tells whether the person's employer permits a method (S5).
func (p Person) Permits(m Method) bool { return p.Organisation.Methods.Has(m) }

// MayLink says whether the person may add a link of this method now; nil when
// so (S4, S5, S27, S28, S30, S41).
//
// An enrol session, which stands on a password alone, may link only while there
// is no link at all: otherwise a stolen password would be enough to add a way in.
//
// A full sign-in must be fresh to begin; whoever began in time may finish.
//
// The fault linking_code_required says that the person may, with a code of user
// support (S61), which is asked for when it links: MayBegin.
func MayLink(p Person, self Self, m Method, now time.Time) error {
	if err := mayAdd(p, self, m, now); err != nil {
		return err
	}
	switch {
	case self.Full && now.Sub(self.AuthTime) > ReauthenticateAfter:
		return errReauth
	case needsCode(p, self):
		return errCodeNeeded
	}
	return nil
}

// MayBegin is MayLink for whoever begins: a linking code comes at the end.
func MayBegin(p Person, self Self, m Method, now time.Time) error {
	if err := MayLink(p, self, m, now); fault.Code(err) != errCodeNeeded.Code {
		return err
	}
	return nil
}

// NewAddress is how long a contact that has changed is not trusted with a
// temporary password (S55).
const NewAddress = 72 * time.Hour

// NewContact tells whether e-mail or phone changed so lately that neither is
// trusted with a temporary password (S55).
func (p Person) NewContact(now time.Time) bool {
	return !p.User.ContactChanged.IsZero() && now.Sub(p.User.ContactChanged) < NewAddress
}

// MayOrder says whether the person may order a new password alone now; nil when
// so (S55, S58).
func MayOrder(p Person, self Self, now time.Time) error {
	way, _ := p.delivery(now)
	switch {
	case !p.Enabled():
		return errDisabled
	case !p.User.Frozen.IsZero():
		return errFrozen
	case !self.Full || p.Password.Temporary:
		return fault.New(fault.Denied, "full_signin_required", "Sign in with your card, or with your password and a code, to order a new password.")
	case way == ByHandover:
		return errBySupport
	case now.Sub(self.AuthTime) > ReauthenticateAfter:
		return errReauth
	}
	return nil
}

var errBySupport = fault.New(fault.Denied, "order_by_support", "A new password cannot be sent to you. Order it from user support.")

// mayAdd is MayLink for a linking that has begun: the key and the card's reading
// are bound to the session that began and expire by themselves.
func mayAdd(p Person, self Self, m Method, now time.Time) error {
	switch {
	case !p.Enabled():
		return errDisabled
	case !p.User.Frozen.IsZero():
		return errFrozen
	case p.Password.Temporary:
		return fault.New(fault.Denied, "password_change_required", "Change the temporary password first.")
	case !p.Permits(m):
		return errPolicy
	case m == MethodCard && p.Card != nil && p.UsableCard(now):
		return fault.New(fault.Conflict, "card_already_linked", "A card is linked to this username already. Order a new password to remove the link.")
	case m == MethodCard && p.Card != nil:
		return fault.New(fault.Denied, "link_closed", "The linked card is no longer valid. Order a new password, then link the new card.")
	case m != MethodCard && p.Authenticator != nil:
		return fault.New(fault.Conflict, "totp_already_linked", "An authenticator is linked to this username already. Only user support can remove it.")
	case self.Proved == 0 && p.Card != nil:
		return fault.New(fault.Denied, "link_closed", "A card is linked to this username. Sign in with it, or order a new password, before linking anything else.")
	case self.Proved == 0 && p.Authenticator != nil:
		return fault.New(fault.Denied, "code_required", "Sign in with your password and a code before linking anything else.")
	}
	return nil
}
