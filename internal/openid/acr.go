package openid

import (
	"slices"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

// strength orders what a sign-in is worth. The zero value is worth nothing, so a
// session that we cannot place opens nothing.
type strength uint8

const (
	worthless    strength = iota
	passwordOnly          // an enrol session (S19)
	passwordCode          // password and one-time code
	certificate           // card and PIN; satisfies a demand for passwordCode
)

// ACRs are the names of the levels in acr, acr_values and client registrations.
type ACRs struct {
	Card         string
	PasswordCode string
	Enrol        string // only ever issued to the enrol client
	// Aliases are other names for Card or PasswordCode, e.g. {"phrh": Card's name}.
	// A client that asks for an alias gets the alias back.
	Aliases map[string]string
}

// NewACRs makes the names under a prefix such as "urn:portti:acr:".
func NewACRs(prefix string) ACRs {
	return ACRs{Card: prefix + "card", PasswordCode: prefix + "pwd-otp", Enrol: prefix + "enrol"}
}

// Supported is every name that may be asked for, the strongest first.
func (a ACRs) Supported() []string {
	names := []string{a.Card, a.PasswordCode}
	aliases := make([]string, 0, len(a.Aliases))
	for alias := range a.Aliases {
		aliases = append(aliases, alias)
	}
	slices.Sort(aliases)
	return append(names, aliases...)
}

// strength is the level of a name; false for one that we do not know, or that
// nobody may ask for.
func (a ACRs) strength(name string) (strength, bool) {
	if canonical, ok := a.Aliases[name]; ok {
		name = canonical
	}
	switch name {
	case "":
		return worthless, false
	case a.Card:
		return certificate, true
	case a.PasswordCode:
		return passwordCode, true
	}
	return worthless, false
}

// known keeps the names that we know. The others say nothing, and need not wait.
func (a ACRs) known(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { _, ok := a.strength(name); return !ok })
}

// demanded is the level that a request must reach: the client's minimum, and of
// acr_values the least that the client would be content with. Names that we do
// not know say nothing.
//
// acr_values are taken at their word (RFC 9470 §5): an app that asks for the
// card alone is asking for a step-up, and a weaker sign-in would only send it
// round again.
func (a ACRs) demanded(minimum string, values []string) strength {
	need, _ := a.strength(minimum)
	least := worthless
	for _, v := range values {
		if s, ok := a.strength(v); ok && (least == worthless || s < least) {
			least = s
		}
	}
	return max(need, least)
}

// name is the true acr of a level, in the word that the client asked with.
func (a ACRs) name(s strength, values []string) string {
	var canonical string
	switch s {
	case certificate:
		canonical = a.Card
	case passwordCode:
		canonical = a.PasswordCode
	case passwordOnly:
		return a.Enrol
	default:
		return ""
	}
	for _, v := range values {
		if v == canonical || a.Aliases[v] == canonical {
			return v
		}
	}
	return canonical
}

// strengthOf places a session. One that claims to be full on a password alone
// is worth nothing (S1).
func strengthOf(s session.Session) strength {
	switch {
	case s.Level == session.Enrol:
		return passwordOnly
	case s.Level != session.Full:
		return worthless
	case s.Method == session.Card:
		return certificate
	case s.Method == session.App, s.Method == session.Token:
		return passwordCode
	}
	return worthless
}

// amrOf is the amr of a level (RFC 8176 §2), exactly (S1).
func amrOf(s strength) []string {
	switch s {
	case certificate:
		return []string{"sc", "pin", "hwk", "mfa"}
	case passwordCode:
		return []string{"pwd", "otp", "mfa"}
	case passwordOnly:
		return []string{"pwd"}
	}
	return nil
}

// methodOf is the employer's word for how a session was opened.
func methodOf(m session.Method) identity.Method {
	switch m {
	case session.Card:
		return identity.MethodCard
	case session.App:
		return identity.MethodApp
	case session.Token:
		return identity.MethodToken
	}
	return 0
}
