package password

import (
	"crypto/rand"
	"strings"
)

// signs of temporary passwords: lower-case letters and digits without those that
// are mistaken for one another on paper or over the phone (0 o, 1 i l).
const signs = "abcdefghjkmnpqrstuvwxyz23456789"

const (
	temporaryGroups = 4
	temporaryGroup  = 4
)

// Temporary returns a new temporary password such as "k7wp-3mxd-hy9c-tqa2":
// 16 signs of 31, 79 bits, in groups that can be read out (S16).
func Temporary() string { return group(pick(temporaryGroups * temporaryGroup)) }

// pick takes n signs by chance.
func pick(n int) string {
	picked := make([]byte, 0, n)
	for len(picked) < n {
		buf := make([]byte, 2*n)
		_, _ = rand.Read(buf) // never fails (crypto/rand)
		for _, b := range buf {
			// Only whole multiples of the alphabet, so that every sign is as likely.
			if int(b) < 256/len(signs)*len(signs) && len(picked) < n {
				picked = append(picked, signs[int(b)%len(signs)])
			}
		}
	}
	return string(picked)
}

// AsTemporary reads what a person typed as a temporary password: upper case,
// blanks and missing hyphens do not matter, as it came over the phone or on
// paper. What does not look like one is returned unchanged. For a password
// that is stored as temporary only: people's own passwords are compared exactly
// (ASVS 6.2.8).
func AsTemporary(typed string) string { return heard(typed, temporaryGroups*temporaryGroup) }

// heard reads n signs as people type what was read out to them.
func heard(typed string, n int) string {
	bare := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\u00a0', '-', '\u2010', '\u2011', '\u2012', '\u2013', '\u2014':
			return -1
		}
		if r >= 'A' && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, typed)
	if len(bare) != n || strings.Trim(bare, signs) != "" {
		return typed
	}
	return group(bare)
}

func group(bare string) string {
	var b strings.Builder
	for i := 0; i < len(bare); i += temporaryGroup {
		if i > 0 {
			b.WriteByte('-')
		}
		b.WriteString(bare[i : i+temporaryGroup])
	}
	return b.String()
}
