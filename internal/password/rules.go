package password

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/portti-id/portti/internal/fault"
)

const (
	DefaultMin = 15  // code points; a password alone opens User Services before linking (NIST SP 800-63B-4 §3.1.1.2)
	FloorMin   = 8   // the least that a deployment may set
	Max        = 128 // code points
)

// Rules decide whether a new password is good enough (S17). They say nothing
// about kinds of signs and nothing about age: both make passwords worse.
type Rules struct {
	min     int
	blocked map[uint64]struct{} // operator's lists: whole passwords
	listed  *words              // operator's lists: what is too short to be a password here
}

// Context is what must not be most of the new password, and the passwords that
// it must differ from.
type Context struct {
	Username     string
	Organisation string
	Services     []string // names of the installation and its services
	Current      string   // the password in use, when the caller has it; "" otherwise. A caller that has its hash only verifies that and adds Same
}

// NewRules reads the operator's lists of common and breached passwords, one a
// line, in UTF-8. min is in code points; 0 means DefaultMin.
func NewRules(min int, lists ...string) (*Rules, error) {
	if min == 0 {
		min = DefaultMin
	}
	if min < FloorMin || min > Max/2 {
		return nil, fmt.Errorf("password rules: the minimum length %d is not between %d and %d", min, FloorMin, Max/2)
	}
	r := &Rules{min: min, blocked: make(map[uint64]struct{}), listed: newWords()}
	for _, path := range lists {
		if err := r.load(path); err != nil {
			return nil, fmt.Errorf("password rules: list of common passwords: %w", err)
		}
	}
	return r, nil
}

func (r *Rules) load(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	entries := 0
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimRight(lines.Text(), "\r")
		if line == "" {
			continue
		}
		if !utf8.ValidString(line) {
			return fmt.Errorf("%s, line %d: not UTF-8", path, n)
		}
		entries++
		line = fold(norm.NFC.String(line))
		if utf8.RuneCountInString(line) >= r.min {
			r.blocked[digest(line)] = struct{}{}
		} else {
			r.listed.add(line)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if entries == 0 {
		return fmt.Errorf("%s: it is empty", path)
	}
	return nil
}

// Min is the least number of code points, for the page that asks for one.
func (r *Rules) Min() int { return r.min }

// Check returns all that is wrong with a new password, or nothing. Codes, all of
// kind fault.Invalid: password_invalid, password_too_short (Args "n"),
// password_too_long (Args "n"), password_same, password_context, password_common.
func (r *Rules) Check(pw string, c Context) []*fault.Fault {
	if len(pw) > MaxBytes {
		return []*fault.Fault{tooLong()}
	}
	if !utf8.ValidString(pw) || strings.ContainsFunc(pw, unicode.IsControl) {
		return []*fault.Fault{fault.New(fault.Invalid, "password_invalid", "The password has signs that cannot be typed.")}
	}
	pw = norm.NFC.String(pw)
	length := utf8.RuneCountInString(pw)
	if length > Max {
		return []*fault.Fault{tooLong()}
	}
	var wrong []*fault.Fault
	if length < r.min {
		wrong = append(wrong, fault.New(fault.Invalid, "password_too_short", "The password is shorter than %d characters.", r.min).With("n", strconv.Itoa(r.min)))
	}
	folded := fold(pw)
	if c.Current != "" && folded == fold(norm.NFC.String(c.Current)) {
		wrong = append(wrong, Same())
	}
	if length < r.min {
		return wrong // what is short is also easy to guess: one reason is enough
	}
	context := c.words()
	if context.covered(pw)*2 > length {
		return append(wrong, fault.New(fault.Invalid, "password_context", "The password is mostly the username, the name of the service or of the organisation."))
	}
	_, blocked := r.blocked[digest(folded)]
	if blocked || guesses(pw, context, common, r.listed) < leastGuessed {
		return append(wrong, fault.New(fault.Invalid, "password_common", "The password is too easy to guess, or has been in a data breach."))
	}
	return wrong
}

// Same is what is wrong with a new password that is the current one.
func Same() *fault.Fault {
	return fault.New(fault.Invalid, "password_same", "The new password is the same as the current one.")
}

func tooLong() *fault.Fault {
	return fault.New(fault.Invalid, "password_too_long", "The password is longer than %d characters.", Max).With("n", strconv.Itoa(Max))
}

// words are the parts of names: "matti.meikalainen@a.fi" is a word as a whole,
// in one piece without its signs, and in its parts.
func (c Context) words() *words {
	w := newWords()
	w.cost = 0.5
	for _, name := range append([]string{c.Username, c.Organisation}, c.Services...) {
		name = fold(norm.NFC.String(name))
		w.add(name)
		parts := strings.FieldsFunc(name, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
		w.add(strings.Join(parts, ""))
		for _, part := range parts {
			if utf8.RuneCountInString(part) >= 4 {
				w.add(part)
			}
		}
	}
	return w
}

// digest keeps a list of a million passwords in 8 bytes each; a password is taken
// for a listed one by mistake once in 10¹³.
func digest(s string) uint64 {
	sum := sha256.Sum256([]byte(s))
	return binary.BigEndian.Uint64(sum[:])
}
