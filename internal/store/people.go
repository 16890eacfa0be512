package store

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gorm.io/gorm"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/identity"
)

// wordedRow is a user whose words are made with it.
type wordedRow struct {
	User   userRow `gorm:"embedded"`
	Worded int64   // the version that the words are of
}

func (wordedRow) TableName() string { return "users" }

// setWords makes what a user is found by, and forgets what the user is found by
// no more.
func (c *change) setWords(u identity.User, again bool) error {
	words := identity.Words(u)
	if again {
		if _, err := c.exec("forget words", "delete from user_words where user_id = ? and word not in ?", string(u.ID), words); err != nil {
			return err
		}
	}
	values := make([]any, 0, 3*len(words))
	for _, w := range words {
		values = append(values, w, string(u.ID), string(u.Organisation))
	}
	_, err := c.exec("add words", "insert into user_words (word, user_id, organisation) values (?, ?, ?)"+strings.Repeat(", (?, ?, ?)", len(words)-1)+" on conflict do nothing", values...)
	return err
}

// IndexPeople makes the words of up to n users who were written by a program that
// did not know of them, and returns how many there were.
func (s *Store) IndexPeople(ctx context.Context, n int) (int, error) {
	var done int
	err := s.transact(ctx, "index people", func(db *gorm.DB) error {
		var rows []userRow
		// Who is being changed will have words with that, or is met the next time.
		err := db.Raw("select "+columns(&userRow{}, "", "")+" from users where worded is null or worded <> version order by id limit ? "+s.lock("for no key update skip locked"), n).Find(&rows).Error
		if err != nil {
			return err
		}
		c := &change{s: s, db: db, held: map[identity.UserID]bool{}}
		for _, row := range rows {
			if err := c.setWords(row.user(), true); err != nil {
				return err
			}
			if _, err := c.exec("index user", "update users set worded = version where id = ?", row.ID); err != nil {
				return err
			}
		}
		done = len(rows)
		return nil
	})
	return done, err
}

// views say of a row of users u, and of its organisation o, whether it is in a view.
var views = map[identity.View]string{
	identity.ViewUnlinked: "u.disabled is null and (" + methodsNow + " & u.totp) = 0 and ((" + methodsNow + " & 1) = 0 or u.card_ends is null or u.card_ends <= @now)",
	identity.ViewExpiring: "u.disabled is null and u.card_ends > @now and u.card_ends <= @soon",
	identity.ViewUnused:   "u.disabled is null and u.password_temporary = @true",
	identity.ViewBlocked:  "u.disabled is null and u.codes_blocked > @now",
	identity.ViewFrozen:   "u.disabled is null and u.frozen is not null",
	identity.ViewDisabled: "u.disabled is not null",
}

// A word that finds no more rows than this leads to the people, who are looked at one
// by one. What finds more is met soon on a walk in the order of names: sooner where
// another word or a view is looked at as well.
const (
	fewHits      = 10_000
	fewHitsAlone = 40_000 // of the one thing that is asked
)

// FindPeople lists people by username (identity.Store). A word that few have is
// looked up; otherwise a walk along the names stops when the page is full
// (docs/adr/0130).
func (s *Store) FindPeople(ctx context.Context, q identity.Search, now time.Time) ([]identity.Person, error) {
	var rows []personRow
	err := s.ask(ctx, "find people", func(db *gorm.DB) error {
		statement, a, err := s.search(db, q, now)
		if err != nil {
			return err
		}
		return db.Raw(statement, a).Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.Person, len(rows))
	for i, row := range rows {
		list[i] = row.person(now)
	}
	return list, nil
}

// search is the statement of a search, and its arguments.
func (s *Store) search(db *gorm.DB, q identity.Search, now time.Time) (string, args, error) {
	a := args{"now": at(now), "soon": at(now.Add(identity.ExpiresSoon)), "true": true, "org": string(q.Organisation), "after": q.After, "n": q.Limit}
	words := identity.SearchWords(q.Text)
	if len(words) == 0 && strings.TrimSpace(q.Text) != "" {
		a["n"] = 0 // nothing but separators: nobody
	}
	few := fewHits
	if len(words) == 1 && q.View == "" {
		few = fewHitsAlone
	}
	rarest, fewest := -1, few+1
	for i, w := range words {
		a[fmt.Sprint("from", i)], a[fmt.Sprint("to", i)] = w, w+"\U0010ffff"
		var hits int
		if err := db.Raw("select count(*) from (select 1 from user_words w where "+begins(i)+ofOrganisation("w", q)+" limit @most) hits",
			with(a, args{"most": few + 1})).Find(&hits).Error; err != nil {
			return "", nil, err
		}
		if hits < fewest {
			rarest, fewest = i, hits
		}
	}
	// Cross joins are made in the order in which they stand (SQLite): the walk begins
	// at the few hits or at the names, never at the organisations.
	from, where := "users u", "u.username_folded > @after"+ofOrganisation("u", q)
	has := "is not null" // PostgreSQL takes it that nearly all have the word, and walks the names
	if rarest >= 0 {
		from = "(select distinct user_id from user_words w where " + begins(rarest) + ofOrganisation("w", q) + ") hits cross join users u"
		where += " and u.id = hits.user_id"
		has = "= 1" // PostgreSQL takes it that nearly none has it, and begins at the hits
	}
	if q.View == identity.ViewUnlinked {
		from, where = from+" cross join organisations o", where+" and o.id = u.organisation"
	}
	for i := range words {
		if i != rarest {
			where += " and (select 1 from user_words w where w.user_id = u.id and " + begins(i) + " limit 1) " + has // SQLite would make a join of an exists, and begin at it
		}
	}
	if in := views[q.View]; in != "" {
		where += " and " + in
	}
	return strings.Replace(selectPerson, "from users u\n", "from (select u.id from "+from+" where "+where+" order by u.username_folded limit @n) page join users u on u.id = page.id\n", 1) +
		"order by u.username_folded", a, nil
}

func begins(i int) string { return fmt.Sprintf("w.word >= @from%d and w.word < @to%d", i, i) }

func ofOrganisation(table string, q identity.Search) string {
	if q.Organisation == "" {
		return ""
	}
	return " and " + table + ".organisation = @org"
}

// CountPeople counts the views in one walk along the index of lists.
func (s *Store) CountPeople(ctx context.Context, org identity.OrganisationID, now time.Time) (identity.Counts, error) {
	statement := "select count(*) as n0"
	for i, v := range identity.Views[1:] {
		statement += fmt.Sprintf(", count(case when %s then 1 end) as n%d", views[v], i+1)
	}
	statement += " from users u join organisations o on o.id = u.organisation"
	if org != "" {
		statement += " where u.organisation = @org"
	}
	counts := identity.Counts{}
	err := s.ask(ctx, "count people", func(db *gorm.DB) error {
		n := make([]int, len(identity.Views))
		into := make([]any, len(n))
		for i := range n {
			into[i] = &n[i]
		}
		err := db.Raw(statement, args{"now": at(now), "soon": at(now.Add(identity.ExpiresSoon)), "true": true, "org": string(org)}).Row().Scan(into...)
		for i, v := range identity.Views {
			counts[v] = n[i]
		}
		return err
	})
	return counts, err
}

// LastSignIn asks the trail (identity.Store), the person's newest events first.
func (s *Store) LastSignIn(ctx context.Context, id identity.UserID) (time.Time, error) {
	var last struct{ At moment }
	err := s.ask(ctx, "find last sign-in", func(db *gorm.DB) error {
		return db.Raw("select at from audit_events where user_id = ? and user_id <> '' and type = ? order by id desc limit 1", string(id), string(audit.SignInSucceeded)).Find(&last).Error
	})
	return last.At.t, err
}
