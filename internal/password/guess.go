package password

import (
	_ "embed"
	"math"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// leastGuessed is how many signs of a password must be beyond the patterns
// below: a hundred million guesses when a sign counts ten, the line that zxcvbn
// draws between its scores 2 and 3.
const leastGuessed = 8.0

// What a guesser pays for each piece, in signs (powers of ten of guesses).
const (
	signCost = 1.0 // a sign that follows from nothing
	copyCost = 1.0 // a piece that was there before, as long as it likes: "abcabcabc"
	sameCost = 0.5 // the sign before it, again and again: "aaaa"
	runCost  = 2.0 // three or more neighbours on the keyboard or in the alphabet
	yearCost = 2.0 // 1900 to 2099
	dateCost = 4.0 // a day of those years
)

// guesses estimates how many signs of pw have to be guessed: the cheapest way to
// put it together from signs, words, runs, years and copies. Written for this
// job because the Go ports of zxcvbn see no repeated words, or take seconds over
// a hostile input (docs/adr/0040).
//
// The time is bounded by the length alone: Max² steps and Max·maxWord look-ups.
func guesses(pw string, lists ...*words) float64 {
	views := viewsOf(pw)
	plain := views[0]
	n := len(plain)
	repeats := longestCopies(plain)
	best := make([]float64, n+1) // best[i] is the price of the first i signs
	for i := 1; i <= n; i++ {
		best[i] = math.Inf(1)
	}
	reach := func(from, length int, price float64) {
		best[from+length] = min(best[from+length], best[from]+price)
	}
	for i := range n {
		reach(i, 1, signCost)
		for length := 3; length <= repeats[i]; length++ {
			reach(i, length, copyCost)
		}
		for length := 1; i > 0 && i+length <= n && plain[i+length-1] == plain[i-1]; length++ {
			reach(i, length, sameCost)
		}
		run := runAt(plain, i)
		for length := 3; length <= run; length++ {
			reach(i, length, runCost)
		}
		rest := string(plain[i:min(n, i+len("31.12.1999"))])
		reach(i, len(year.FindString(rest)), yearCost)
		reach(i, len(date.FindString(rest)), dateCost)
		for _, list := range lists {
			list.at(views, i, func(length int) { reach(i, length, list.price()) })
		}
	}
	return best[n]
}

// longestCopies tells for each place how many signs from it on were there
// before; a copy may run into itself, as in "aaaa".
func longestCopies(s []rune) []int {
	longest := make([]int, len(s))
	next := make([]int, len(s)+1) // next[k] is the common length of s[i+1:] and s[k:]
	for i := len(s) - 1; i >= 0; i-- {
		row := make([]int, len(s)+1)
		for k := range i {
			if s[i] == s[k] {
				row[k] = next[k+1] + 1
				longest[i] = max(longest[i], row[k])
			}
		}
		next = row
	}
	return longest
}

// rows of neighbours, on Nordic and plain keyboards and in the alphabet.
var rows = func() [][]rune {
	var both [][]rune
	for _, row := range []string{
		"abcdefghijklmnopqrstuvwxyzåäö", "01234567890", "+1234567890-=", "!\"#¤%&/()=", "!@#$%^&*()_+",
		"qwertyuiopå", "qwertyuiop[]", "asdfghjklöä", "asdfghjkl;'", "zxcvbnm,.-", "<zxcvbnm,./",
		"1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik,9ol.0p", "qazwsxedcrfvtgbyhnujmikolp", "147258369", "13579", "24680",
	} {
		r := []rune(row)
		b := make([]rune, len(r))
		for i, c := range r {
			b[len(r)-1-i] = c
		}
		both = append(both, r, b)
	}
	return both
}()

// runAt returns the length of the longest run that starts at i, 0 when none does.
func runAt(s []rune, i int) int {
	longest := 0
	for _, row := range rows {
		for k := range row {
			n := 0
			for i+n < len(s) && k+n < len(row) && s[i+n] == row[k+n] {
				n++
			}
			longest = max(longest, n)
		}
	}
	return longest
}

// Both match ASCII alone, so that their bytes are signs.
var (
	year = regexp.MustCompile(`^(19|20)\d\d`)
	date = regexp.MustCompile(`^(\d\d?[-./ ]?\d\d?[-./ ]?(19|20)\d\d|(19|20)\d\d[-./ ]?\d\d[-./ ]?\d\d)`)
)

// maxWord bounds the words that are looked up, in code points.
const maxWord = 32

// words is a list that a guesser has. Its words are folded.
type words struct {
	set  map[string]struct{}
	cost float64 // of one word; 0 means from the number of words
}

//go:embed words.txt
var commonText string

// common is a small list of our own of the words that passwords are made of in
// English, Finnish and Swedish. Operators add theirs.
var common = func() *words {
	w := newWords()
	for word := range strings.FieldsSeq(commonText) {
		w.add(fold(word))
	}
	return w
}()

func newWords() *words { return &words{set: make(map[string]struct{})} }

func (w *words) add(word string) {
	if n := utf8.RuneCountInString(word); n >= 3 && n <= maxWord {
		w.set[word] = struct{}{}
		w.set[string(bare([]rune(word)))] = struct{}{}
	}
}

// price of a word is what it takes to try all words of the list, and at least
// half a sign.
func (w *words) price() float64 {
	if w.cost > 0 {
		return w.cost
	}
	return max(0.5, math.Log10(float64(len(w.set))))
}

// at calls found with the length of every word that starts at sign i in any view.
func (w *words) at(views [][]rune, i int, found func(length int)) {
	if len(w.set) == 0 {
		return
	}
	for _, view := range views {
		for length := 3; length <= maxWord && i+length <= len(view); length++ {
			if _, ok := w.set[string(view[i:i+length])]; ok {
				found(length)
			}
		}
	}
}

// covered counts the signs of pw that lie in a word.
func (w *words) covered(pw string) int {
	views := viewsOf(pw)
	in := make([]bool, len(views[0]))
	for i := range in {
		w.at(views, i, func(length int) {
			for k := i; k < i+length; k++ {
				in[k] = true
			}
		})
	}
	n := 0
	for _, is := range in {
		if is {
			n++
		}
	}
	return n
}

// viewsOf reads a password as its writer may have meant it: as it is in lower
// case, without accents, and with signs taken for the letters they look like.
// All views are equally long.
func viewsOf(pw string) [][]rune {
	lower := []rune(fold(pw))
	plain := bare(lower)
	views := [][]rune{lower, plain}
	for _, looks := range []map[rune]rune{lookalikes('i'), lookalikes('l')} {
		view := make([]rune, len(plain))
		for i, r := range plain {
			view[i] = r
			if letter, ok := looks[r]; ok {
				view[i] = letter
			}
		}
		views = append(views, view)
	}
	return views
}

func lookalikes(one rune) map[rune]rune {
	return map[rune]rune{
		'0': 'o', '1': one, '!': one, '|': 'l', '2': 'z', '3': 'e', '€': 'e', '4': 'a', '@': 'a',
		'5': 's', '$': 's', '6': 'g', '7': 't', '+': 't', '8': 'b', '9': 'g',
	}
}

// fold lower-cases sign by sign, so that lengths stay comparable.
func fold(s string) string { return strings.Map(unicode.ToLower, s) }

// bare takes the accents off: ä and å become a, ö becomes o.
func bare(s []rune) []rune {
	out := make([]rune, len(s))
	for i, r := range s {
		out[i] = r
		if first, size := utf8.DecodeRuneInString(norm.NFD.String(string(r))); size > 0 && unicode.IsLetter(first) {
			out[i] = first
		}
	}
	return out
}
