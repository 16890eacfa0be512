package identity

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
)

// View is a list of people who have something in common: those of S11 and S65 for
// whom somebody should do something.
type View string

const (
	ViewAll      View = ""
	ViewUnlinked View = "unlinked" // open accounts without a link that could sign in: none, not permitted, or a card that is no good
	ViewExpiring View = "expiring" // open accounts whose card ends within 60 days
	ViewUnused   View = "unused"   // open accounts with a temporary password that was not changed yet; it may have expired
	ViewBlocked  View = "blocked"  // open accounts whose authenticator is blocked after too many wrong codes
	ViewFrozen   View = "frozen"   // open accounts that "this was not me" has frozen
	ViewDisabled View = "disabled"
)

// Views is every view, in the order in which pages show them.
var Views = []View{ViewAll, ViewUnlinked, ViewExpiring, ViewUnused, ViewBlocked, ViewFrozen, ViewDisabled}

// ParseView reads a view's name; "" is everybody.
func ParseView(s string) (View, error) {
	if v := View(s); slices.Contains(Views, v) {
		return v, nil
	}
	return "", fault.New(fault.Invalid, "query_invalid", "view: %q is not a list of people.", s).In("view")
}

// ExpiresSoon is how long before a card's end lists show it (S11).
const ExpiresSoon = 60 * 24 * time.Hour

// Search says whom a list is about.
type Search struct {
	Organisation OrganisationID // "": every one
	Text         string         // what somebody typed: beginnings of names, of parts of the username or e-mail, in any order
	View         View
	After        string // the folded username of the last one seen; "": from the beginning
	Limit        int
}

// PageSize is how many people a page of a list has, and MostPeople the longest
// page that anybody gets.
const (
	PageSize   = 50
	MostPeople = 500
)

// longestWord bounds a word, in code points; mostWords those of one search.
const (
	longestWord = 64
	mostWords   = 6
)

// Words are what a person is found by, sorted: the names, the username and the
// e-mail address, whole and in their parts, folded as SearchWords folds what is
// looked for.
func Words(u User) []string {
	var all []string
	local, _, _ := strings.Cut(u.Email, "@") // the rest is everybody's
	for _, s := range []string{u.Username, u.GivenName, u.FamilyName, local} {
		s = foldWord(s)
		all = append(all, strings.Fields(s)...)
		all = append(all, strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsNumber(r) })...)
		all = append(all, strings.FieldsFunc(s, func(r rune) bool { return !unicode.IsNumber(r) })...) // an employee's number: ab12345
	}
	all = append(all, strings.Fields(foldWord(u.Email))...)
	for i, w := range all {
		all[i] = cut(w)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// SearchWords are the words that somebody typed, each of which must begin a word
// of the person: "virtanen m". Nothing but signs between is nobody's.
func SearchWords(typed string) []string {
	list := strings.FieldsFunc(foldWord(typed), func(r rune) bool { return unicode.IsSpace(r) || r == ',' || r == ';' })
	for i, w := range list {
		list[i] = cut(w)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	return list[:min(len(list), mostWords)]
}

// foldWord takes accents and case off, so that makela finds Mäkelä.
func foldWord(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFD.String(FoldUsername(s)))
}

func cut(w string) string {
	if r := []rune(w); len(r) > longestWord {
		return string(r[:longestWord])
	}
	return w
}

// Counts says how many people each view has.
type Counts map[View]int

// People lists people whom the actor may see: a page of those that the search is
// about, by username, and where the next page begins, "" after the last.
func (d *Directory) People(ctx context.Context, by Actor, s Search) ([]Person, string, error) {
	s, err := d.reached(by, s)
	if err != nil {
		return nil, "", err
	}
	if s.Limit <= 0 {
		s.Limit = PageSize
	}
	s.Limit = min(s.Limit, MostPeople)
	page := s
	page.Limit++
	list, err := d.Store.FindPeople(ctx, page, d.now())
	if err != nil || len(list) <= s.Limit {
		return list, "", err
	}
	list = list[:s.Limit]
	return list, FoldUsername(list[s.Limit-1].User.Username), nil
}

// CountPeople tells how many each view has of the people whom the actor may see.
func (d *Directory) CountPeople(ctx context.Context, by Actor, org OrganisationID) (Counts, error) {
	s, err := d.reached(by, Search{Organisation: org})
	if err != nil {
		return nil, err
	}
	return d.Store.CountPeople(ctx, s.Organisation, d.now())
}

// reached narrows a search to what the actor may see.
func (d *Directory) reached(by Actor, s Search) (Search, error) {
	if s.Organisation != "" {
		return s, by.In(PeopleSee, s.Organisation)
	}
	own, err := by.Of(PeopleSee)
	s.Organisation = own
	return s, err
}

// Seen is a person as those see who may look: with the last sign-in that the
// trail still knows of.
type Seen struct {
	Person
	LastSignIn time.Time // zero: none
}

// See reads a person whom the actor may see.
func (d *Directory) See(ctx context.Context, by Actor, id UserID) (Seen, error) {
	if err := by.May(PeopleSee); err != nil {
		return Seen{}, err
	}
	p, err := d.Store.Person(ctx, id)
	if err != nil {
		return Seen{}, err
	}
	if err := by.Sees(PeopleSee, p.User); err != nil {
		return Seen{}, err
	}
	last, err := d.Store.LastSignIn(ctx, id)
	return Seen{Person: p, LastSignIn: last}, err
}

// EachPerson calls f with everybody whom a search is about, by username, a page at
// a time, so that a file of all of them is never in memory whole. The trail tells
// who took it.
func (d *Directory) EachPerson(ctx context.Context, by Actor, s Search, f func(p Person) error) error {
	s, err := d.reached(by, s)
	if err != nil {
		return err
	}
	if err := d.Audit.Record(ctx, audit.Event{At: d.now(), Type: audit.PeopleExported, Actor: by.Name, Organisation: string(s.Organisation), Address: by.Address,
		Details: map[string]string{"view": string(s.View), "searched": strconv.FormatBool(s.Text != "")}}); err != nil {
		return err
	}
	s.After, s.Limit = "", MostPeople
	for {
		list, err := d.Store.FindPeople(ctx, s, d.now())
		if err != nil {
			return err
		}
		for _, p := range list {
			if err := f(p); err != nil {
				return err
			}
		}
		if len(list) < s.Limit {
			return nil
		}
		s.After = FoldUsername(list[len(list)-1].User.Username)
	}
}

// In tells whether a person is in a view now: what the store's views do with the
// rows of everybody.
func (p Person) In(v View, now time.Time) bool {
	open, card, app := p.User.Disabled.IsZero(), p.Card, p.Authenticator
	switch v {
	case ViewUnlinked:
		return open && !(p.Permits(MethodCard) && p.UsableCard(now)) && !(app != nil && p.Permits(app.Kind))
	case ViewExpiring:
		return open && card != nil && card.State(now) == "" && !now.Add(ExpiresSoon).Before(card.NotAfter)
	case ViewUnused:
		return open && p.Password.Temporary
	case ViewBlocked:
		return open && app != nil && now.Before(app.BlockedUntil)
	case ViewFrozen:
		return open && !p.User.Frozen.IsZero()
	case ViewDisabled:
		return !open
	}
	return v == ViewAll
}
