package identity

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/portti-id/portti/internal/card"
)

// Match is how well the holder that a card names fits an account (S29).
type Match string

const (
	MatchExact Match = "exact"    // the same names, whatever their case, hyphens and order among the given ones
	MatchNear  Match = "near"     // so alike that a person must look: spelling, a part of a double name, names swapped, another employer
	MatchNone  Match = "mismatch" // somebody else's, as far as names tell
)

// HolderRule is what becomes of a card whose holder is near the person, and not
// exactly the person (S29). A card of somebody else is never linked.
type HolderRule string

const (
	HolderApproved HolderRule = "approve" // it waits until somebody has looked; the default
	HolderRefused  HolderRule = "refuse"  // it is not linked
	HolderAccepted HolderRule = "accept"  // it is linked, with a warning
)

// HolderMatch compares the holder that a card names with the person of an
// account. It decides who has to look at a linking, never whose card it is: that
// the fingerprint alone tells (S26).
//
// A card that names nobody fits nearly. The organisation is compared where the
// employer has said what its cards call it: cards of health professionals, for
// one, name another than the employer, or none.
func HolderMatch(u User, o Organisation, h card.Holder) Match {
	person := names{words(u.GivenName + " " + u.Claims.MiddleName), words(u.FamilyName)}
	match := MatchNone
	for _, reading := range readings(h) {
		match = better(match, person.match(reading.names, reading.sure))
	}
	if match == MatchExact && o.CardNames != "" && h.Organisation != "" && !o.called(h.Organisation) {
		return MatchNear
	}
	return match
}

// names are a person's, as words to be compared.
type names struct{ given, family []string }

// reading is one way to understand the text on a card. One that is not sure
// makes no exact match.
type reading struct {
	names
	sure bool
}

// readings of a holder: the two names as the card tells them apart, and, in case
// that somebody has typed them into each other's field, the other way round. A
// common name alone, "FAMILY GIVEN 99912345X" on the Agency's cards, is read in
// either order and cut at every place.
func readings(h card.Holder) []reading {
	given, family := words(h.GivenName), words(h.FamilyName)
	if len(given) > 0 && len(family) > 0 {
		return []reading{{names{given, family}, true}, {names{family, given}, false}}
	}
	all := slices.DeleteFunc(words(h.Name), func(w string) bool { return strings.ContainsFunc(w, unicode.IsDigit) })
	if len(all) == 0 {
		return []reading{{}}
	}
	var rs []reading
	for i := 1; i < len(all); i++ {
		rs = append(rs, reading{names{all[:i], all[i:]}, true}, reading{names{all[i:], all[:i]}, true})
	}
	return rs
}

func (n names) match(c names, sure bool) Match {
	if len(c.given)+len(c.family) == 0 {
		return MatchNear // nobody is named
	}
	match := worse(given(n.given, c.given), family(n.family, c.family))
	if match == MatchExact && !sure {
		return MatchNear
	}
	return match
}

// given compares first names: of two lists the shorter must be in the longer. A
// card has all of them and the account the one that a person goes by, or the
// other way round.
func given(a, b []string) Match { return within(a, b, MatchExact) }

// family compares surnames. One half of a double name may be another person's.
func family(a, b []string) Match { return within(a, b, MatchNear) }

// within matches every word of the shorter list with one of the longer; partly is
// what it comes to at best when words of the longer are left.
func within(a, b []string, partly Match) Match {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(a) == 0 {
		return MatchNone
	}
	if loose(strings.Join(a, "")) == loose(strings.Join(b, "")) && len(a) != len(b) {
		return MatchNear // Annamaija, Anna-Maija
	}
	match, left := MatchExact, slices.Clone(b)
	for _, word := range a {
		best, at := MatchNone, -1
		for i, other := range left {
			if m := alike(word, other); at < 0 || better(best, m) != best {
				best, at = m, i
			}
		}
		if at >= 0 {
			left = slices.Delete(left, at, at+1)
		}
		match = worse(match, best)
	}
	if len(left) > 0 {
		match = worse(match, partly)
	}
	return match
}

// alike compares two words.
func alike(a, b string) Match {
	if a == b {
		return MatchExact
	}
	return better(near(bare(a), bare(b)), near(loose(a), loose(b)))
}

// near allows for slips of the pen, and for what one alphabet makes of another's
// sounds.
func near(a, b string) Match {
	x, y := []rune(a), []rune(b)
	if len(x) > len(y) {
		x, y = y, x
	}
	allowed := 0
	switch {
	case len(x) == 0:
		return MatchNone
	case len(x) == 1 && x[0] == y[0]:
		return MatchNear // an initial
	case len(y) >= 9:
		allowed = 2
	case len(x) >= 4:
		allowed = 1
	}
	if distance(x, y) <= allowed {
		return MatchNear
	}
	return MatchNone
}

// words are the names in a text: lower-case, one form of each letter, and what a
// hyphen joins apart.
func words(text string) []string {
	text = norm.NFKC.String(strings.ToLower(norm.NFKC.String(text)))
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r):
			return r
		case r == '\'' || r == '’' || r == '´' || r == '`':
			return -1
		}
		return ' '
	}, text)
	return strings.Fields(text)
}

// plain are the letters that people leave out, or write as two.
var plain = strings.NewReplacer("ae", "a", "oe", "o", "ue", "u", "aa", "a", "æ", "a", "ø", "o", "å", "a", "ß", "ss", "þ", "th", "ð", "d", "ł", "l", "đ", "d", "ı", "i",
	"sh", "s", "zh", "z", "w", "v", "ck", "k", "kh", "h")

// bare is a word without the signs above and below its letters.
func bare(word string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsMark(r) {
			return -1
		}
		return r
	}, norm.NFD.String(word))
}

// loose is a word without what spellings of one name differ by.
func loose(word string) string { return plain.Replace(bare(word)) }

// distance is how many letters must be put in, left out, changed, or swapped with
// their neighbour to make one word of the other (optimal string alignment).
func distance(a, b []rune) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// called tells whether a card's organisation is this employer.
func (o Organisation) called(name string) bool {
	want := strings.Join(words(name), " ")
	for own := range strings.SplitSeq(o.Name+";"+o.CardNames, ";") {
		if strings.Join(words(own), " ") == want {
			return true
		}
	}
	return false
}

var ranks = map[Match]int{MatchExact: 2, MatchNear: 1, MatchNone: 0}

func better(a, b Match) Match {
	if ranks[b] > ranks[a] {
		return b
	}
	return a
}

func worse(a, b Match) Match {
	if ranks[b] < ranks[a] {
		return b
	}
	return a
}
