package identity

import (
	"strings"
	"time"
)

// PeopleColumns are those of a list of people as a file. The first ones are what a
// file for an import may have; an import takes the others and looks past them, so
// that a list can be changed and read back.
var PeopleColumns = []string{"username", "given_name", "family_name", "email", "language", "phone",
	"organisation", "roles", "state", "password", "password_expires", "card", "card_tail", "card_ends", "authenticator", "blocked_until", "usable", "created", "first_sign_in"}

// Cells is a person as a line of such a file, times in UTC (RFC 3339).
func (p Person) Cells(now time.Time) []string {
	state, card, tail, ends, app, blocked := "open", "", "", "", "", ""
	switch {
	case !p.Enabled():
		state = "disabled"
	case !p.Open():
		state = "frozen"
	}
	if c := p.Card; c != nil {
		card, tail, ends = c.State(now), c.Tail(), stamp(c.NotAfter)
		if card == "" {
			card = "good"
		}
	}
	if a := p.Authenticator; a != nil {
		app = a.Kind.String()
		if now.Before(a.BlockedUntil) {
			blocked = stamp(a.BlockedUntil)
		}
	}
	usable := "no"
	if p.Open() && !p.In(ViewUnlinked, now) {
		usable = "yes"
	}
	expires := ""
	if p.Password.Temporary {
		expires = stamp(p.Password.Expires)
	}
	return []string{p.User.Username, p.User.GivenName, p.User.FamilyName, p.User.Email, p.User.Language, p.User.Claims.Phone,
		string(p.User.Organisation), strings.ReplaceAll(p.User.Roles.String(), ",", " "), state, p.PasswordState(now), expires, card, tail, ends, app, blocked, usable,
		stamp(p.User.Created), stamp(p.User.SignedIn)}
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// PasswordState says what password the person has: own, temporary, expired (a
// temporary one) or none (none works until one is issued).
func (p Person) PasswordState(now time.Time) string {
	switch {
	case p.Password.Hash == "":
		return "none"
	case !p.Password.Temporary:
		return "own"
	case !now.Before(p.Password.Expires):
		return "expired"
	}
	return "temporary"
}

// formula begins what a spreadsheet takes for a formula.
const formula = "=+-@\t\r"

// SafeCell is a cell that no spreadsheet takes for a formula: an apostrophe stands
// before it. PlainCell takes that away again.
func SafeCell(s string) string {
	if rest := strings.TrimLeft(s, "'"); rest != "" && strings.ContainsRune(formula, rune(rest[0])) {
		return "'" + s
	}
	return s
}

// PlainCell is what SafeCell was made of.
func PlainCell(s string) string {
	if rest := strings.TrimLeft(s, "'"); rest != s && rest != "" && strings.ContainsRune(formula, rune(rest[0])) {
		return s[1:]
	}
	return s
}
