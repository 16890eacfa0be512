package identity

import (
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/card"
)

// S29: whose names are the same, alike, and another's.
func TestHolderMatch(t *testing.T) {
	for _, c := range []struct {
		why                 string
		given, family       string // of the account
		cardGiven, cardName string
		want                Match
	}{
		{"letter for letter", "Liisa", "Meikäläinen", "Liisa", "Meikäläinen", MatchExact},
		{"case", "Liisa", "Meikäläinen", "LIISA", "MEIKÄLÄINEN", MatchExact},
		{"a letter in two signs", "Liisa", "Meika\u0308la\u0308inen", "Liisa", "Meikäläinen", MatchExact},
		{"hyphen or space", "Anna-Maija", "af Heurlin", "Anna Maija", "Af-Heurlin", MatchExact},
		{"the account has one of several given names", "Maria", "Virtanen", "Anna Maria Helena", "Virtanen", MatchExact},
		{"the card has one of several given names", "Anna Maria", "Virtanen", "Maria", "Virtanen", MatchExact},
		{"given names in another order", "Anna Maria", "Virtanen", "Maria Anna", "Virtanen", MatchExact},
		{"apostrophes", "Sean", "O'Brien", "Seán", "O’Brien", MatchNear},
		{"signs above letters left out", "Paivi", "Hamalainen", "Päivi", "Hämäläinen", MatchNear},
		{"ae for ä", "Paeivi", "Haemaelaeinen", "Päivi", "Hämäläinen", MatchNear},
		{"aa for å", "Aake", "Aaberg", "Åke", "Åberg", MatchNear},
		{"ö and ø", "Soren", "Bjork", "Søren", "Björk", MatchNear},
		{"one half of a double surname", "Aino", "Korhonen", "Aino", "Korhonen-Virtanen", MatchNear},
		{"a double surname, a card with one half", "Aino", "Korhonen-Virtanen", "Aino", "Virtanen", MatchNear},
		{"halves in another order", "Aino", "Korhonen-Virtanen", "Aino", "Virtanen-Korhonen", MatchExact},
		{"written as one", "Annamaija", "Virtanen", "Anna-Maija", "Virtanen", MatchNear},
		{"sounds of another alphabet", "Nikita", "Shevchenko", "Nikita", "Ševtšenko", MatchNear},
		{"sounds of another alphabet, given name", "Yelena", "Orlova", "Jelena", "Orlova", MatchNear},
		{"v and w", "Edvard", "Westerlund", "Edward", "Vesterlund", MatchNear},
		{"a slip of the pen", "Matti", "Virtanen", "Matti", "Virtnaen", MatchNear},
		{"an initial", "L.", "Meikäläinen", "Liisa", "Meikäläinen", MatchNear},
		{"typed into each other's field", "Virtanen", "Aino", "Aino", "Virtanen", MatchNear},
		{"nobody is named", "Aino", "Virtanen", "", "", MatchNear},
		{"a family", "Liisa", "Virtanen", "Matti", "Virtanen", MatchNone},
		{"a namesake", "Liisa", "Virtanen", "Liisa", "Korhonen", MatchNone},
		{"another", "Liisa", "Virtanen", "Matti", "Korhonen", MatchNone},
		{"another spelling", "Kristian", "Virtanen", "Christian", "Virtanen", MatchNear},
		{"surnames of one length", "Liisa", "Korhonen", "Liisa", "Korpinen", MatchNone},
		{"short names are not alike", "Pia", "Aho", "Pia", "Alo", MatchNone},
		{"a part of a word", "Ann", "Virtanen", "Annikki", "Virtanen", MatchNone},
		{"brothers", "Mikael", "Virtanen", "Manuel", "Virtanen", MatchNone},
		{"nothing in the account", "", "", "Aino", "Virtanen", MatchNone},
	} {
		u := User{GivenName: c.given, FamilyName: c.family}
		h := card.Holder{GivenName: c.cardGiven, FamilyName: c.cardName, Name: strings.TrimSpace(c.cardGiven + " " + c.cardName)}
		if got := HolderMatch(u, Organisation{Name: "Org"}, h); got != c.want {
			t.Errorf("%s: %s %s and %s %s: %s, want %s", c.why, c.given, c.family, c.cardGiven, c.cardName, got, c.want)
		}
	}
}

// A common name is all that some cards have: "FAMILY GIVEN serial" with the
// Agency, "Given Family" elsewhere.
func TestHolderMatchByCommonName(t *testing.T) {
	u := User{GivenName: "Aino", FamilyName: "von Wright"}
	for name, want := range map[string]Match{
		"VON WRIGHT AINO MARIA 99912345X": MatchExact,
		"Aino von Wright":                 MatchExact,
		"Wright Aino":                     MatchNear,
		"VON WRIGHT MATTI 99912345X":      MatchNone,
		"Wright":                          MatchNone,
		"99912345X":                       MatchNear, // nobody is named
	} {
		if got := HolderMatch(u, Organisation{}, card.Holder{Name: name}); got != want {
			t.Errorf("%q: %s, want %s", name, got, want)
		}
	}
}

// What a person's second name is, the account may know apart.
func TestHolderMatchKnowsTheMiddleName(t *testing.T) {
	u := User{GivenName: "Aino", FamilyName: "Virtanen", Claims: Claims{MiddleName: "Maria"}}
	if got := HolderMatch(u, Organisation{}, card.Holder{GivenName: "Maria", FamilyName: "Virtanen"}); got != MatchExact {
		t.Errorf("by the middle name: %s", got)
	}
}

// The organisation counts where the employer has said what its cards call it.
func TestHolderMatchAndTheOrganisation(t *testing.T) {
	u := User{GivenName: "Aino", FamilyName: "Virtanen"}
	h := card.Holder{GivenName: "Aino", FamilyName: "Virtanen"}
	said := Organisation{Name: "Vantaan kaupunki", CardNames: "Vanda stad; Vantaa"}
	for _, c := range []struct {
		o    Organisation
		on   string
		want Match
	}{
		{Organisation{Name: "Vantaan kaupunki"}, "Valvira", MatchExact},
		{said, "VANDA STAD", MatchExact},
		{said, "Vantaan  kaupunki", MatchExact},
		{said, "", MatchExact},
		{said, "Espoon kaupunki", MatchNear},
	} {
		h.Organisation = c.on
		if got := HolderMatch(u, c.o, h); got != c.want {
			t.Errorf("%q of %q: %s, want %s", c.on, c.o.Name, got, c.want)
		}
	}
	h.GivenName, h.Organisation = "Matti", "Vantaa"
	if got := HolderMatch(u, said, h); got != MatchNone {
		t.Errorf("a colleague's: %s", got)
	}
}

// Names of strangers are as odd as strangers like.
func FuzzHolderMatch(f *testing.F) {
	f.Add("Aino", "Virtanen", "AINO", "VIRTANEN", "VIRTANEN AINO 1")
	f.Add("", "\u0308", "\x00", "\xff\xfe", "\u202e")
	f.Fuzz(func(t *testing.T, given, family, cardGiven, cardFamily, name string) {
		u := User{GivenName: given, FamilyName: family}
		if m := HolderMatch(u, Organisation{}, card.Holder{GivenName: cardGiven, FamilyName: cardFamily, Name: name}); ranks[m] == 0 && m != MatchNone {
			t.Errorf("%q", m)
		}
		if len(words(given)) > 0 && len(words(family)) > 0 {
			if m := HolderMatch(u, Organisation{}, card.Holder{GivenName: strings.ToUpper(given), FamilyName: family}); m == MatchNone {
				t.Errorf("%q %q does not match itself", given, family)
			}
		}
	})
}
