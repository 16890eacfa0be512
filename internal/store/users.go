package store

import (
	"context"
	"time"

	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/portti-id/portti/internal/identity"
)

// userRow is a user with the password, which is always wanted together.
type userRow struct {
	ID                string
	Username          string
	UsernameFolded    string
	Organisation      string
	GivenName         string
	FamilyName        string
	Email             string
	Language          string
	Claims            maybe[identity.Claims]
	Roles             int64
	Disabled          moment
	Frozen            moment
	ContactChanged    moment
	Created           moment
	Updated           moment // none: not since it was created
	SignedIn          moment
	Epoch             int64
	KeptSession       optional
	Version           int64
	PasswordHash      string
	PasswordTemporary bool
	PasswordExpires   moment
	PasswordChanged   moment
	LinkingClosed     moment
}

func (userRow) TableName() string { return "users" }

func rowOfUser(u identity.User, p identity.Password) userRow {
	return userRow{ID: string(u.ID), Username: u.Username, UsernameFolded: identity.FoldUsername(u.Username), Organisation: string(u.Organisation),
		GivenName: u.GivenName, FamilyName: u.FamilyName, Email: u.Email, Language: u.Language,
		Claims: maybe[identity.Claims]{u.Claims}, Roles: int64(u.Roles), Disabled: at(u.Disabled), Frozen: at(u.Frozen), ContactChanged: at(u.ContactChanged), Created: at(u.Created), Updated: at(u.Updated), SignedIn: at(u.SignedIn),
		Epoch: u.Epoch, KeptSession: optional(u.KeptSession), Version: u.Version,
		PasswordHash: p.Hash, PasswordTemporary: p.Temporary, PasswordExpires: at(p.Expires), PasswordChanged: at(p.Changed)}
}

func (r userRow) user() identity.User {
	u := identity.User{ID: identity.UserID(r.ID), Username: r.Username, Organisation: identity.OrganisationID(r.Organisation),
		GivenName: r.GivenName, FamilyName: r.FamilyName, Email: r.Email, Language: r.Language,
		Claims: r.Claims.v, Roles: identity.Roles(r.Roles), Disabled: r.Disabled.t, Frozen: r.Frozen.t, ContactChanged: r.ContactChanged.t, Created: r.Created.t, Updated: r.Updated.t, SignedIn: r.SignedIn.t,
		Epoch: r.Epoch, KeptSession: string(r.KeptSession), Version: r.Version, LinkingClosed: r.LinkingClosed.t}
	if u.Updated.IsZero() {
		u.Updated = u.Created
	}
	return u
}

func (r userRow) password() identity.Password {
	return identity.Password{Hash: r.PasswordHash, Temporary: r.PasswordTemporary, Expires: r.PasswordExpires.t, Changed: r.PasswordChanged.t}
}

// personRow is everything that a sign-in decides on, of one select. Card and
// authenticator come by outer joins and have no ID when there is none.
type personRow struct {
	User          userRow          `gorm:"embedded;embeddedPrefix:u_"`
	Organisation  organisationRow  `gorm:"embedded;embeddedPrefix:o_"`
	Card          cardLinkRow      `gorm:"embedded;embeddedPrefix:c_"`
	Authenticator authenticatorRow `gorm:"embedded;embeddedPrefix:a_"`
}

var selectPerson = "select " + columns(&userRow{}, "u", "u_") + ", " + columns(&organisationRow{}, "o", "o_") + ", " +
	columns(&cardLinkRow{}, "c", "c_") + ", " + columns(&authenticatorRow{}, "a", "a_") + `
	from users u
	join organisations o on o.id = u.organisation
	left join card_links c on c.user_id = u.id and c.removed is null
	left join authenticators a on a.user_id = u.id and a.removed is null `

// accountRow is personRow without card and authenticator.
type accountRow struct {
	User         userRow         `gorm:"embedded;embeddedPrefix:u_"`
	Organisation organisationRow `gorm:"embedded;embeddedPrefix:o_"`
}

var selectAccount = "select " + columns(&userRow{}, "u", "u_") + ", " + columns(&organisationRow{}, "o", "o_") + `
	from users u
	join organisations o on o.id = u.organisation
	where u.id = ?`

func (r personRow) person(now time.Time) identity.Person {
	p := identity.Person{User: r.User.user(), Organisation: r.Organisation.organisation(now), Password: r.User.password()}
	if r.Card.ID != "" {
		card := r.Card.link()
		p.Card = &card
	}
	if r.Authenticator.ID != "" {
		a := r.Authenticator.authenticator()
		p.Authenticator = &a
	}
	return p
}

func findPerson(db *gorm.DB, now time.Time, where string, arg string) (identity.Person, error) {
	var row personRow
	r := db.Raw(selectPerson+where, arg).Find(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return identity.Person{}, errNoUser
	}
	return row.person(now), r.Error
}

// Person finds a user by ID.
func (s *Store) Person(ctx context.Context, id identity.UserID) (identity.Person, error) {
	return s.person(ctx, "where u.id = ?", string(id))
}

// Account finds a user by ID, without card and authenticator (identity.Store).
func (s *Store) Account(ctx context.Context, id identity.UserID) (identity.Person, error) {
	var row accountRow
	err := s.ask(ctx, "find account", func(db *gorm.DB) error {
		r := db.Raw(selectAccount, string(id)).Find(&row)
		if r.Error == nil && r.RowsAffected == 0 {
			return errNoUser
		}
		return r.Error
	})
	if err != nil {
		return identity.Person{}, err
	}
	return identity.Person{User: row.User.user(), Organisation: row.Organisation.organisation(s.now()), Password: row.User.password()}, nil
}

// PersonByName finds a user by the folded username.
func (s *Store) PersonByName(ctx context.Context, folded string) (identity.Person, error) {
	return s.person(ctx, "where u.username_folded = ?", folded)
}

func (s *Store) person(ctx context.Context, where, arg string) (p identity.Person, err error) {
	err = s.ask(ctx, "find person", func(db *gorm.DB) error {
		p, err = findPerson(db, s.now(), where, arg)
		return err
	})
	return p, err
}

// People lists the users of an organisation, or all of them, by username.
func (s *Store) People(ctx context.Context, org identity.OrganisationID) ([]identity.Person, error) {
	var rows []personRow
	err := s.ask(ctx, "list people", func(db *gorm.DB) error {
		if org == "" {
			return db.Raw(selectPerson + "order by u.username_folded").Find(&rows).Error
		}
		return db.Raw(selectPerson+"where u.organisation = ? order by u.username_folded", string(org)).Find(&rows).Error
	})
	if err != nil {
		return nil, err
	}
	list := make([]identity.Person, len(rows))
	for i, row := range rows {
		list[i] = row.person(s.now())
	}
	return list, nil
}

// Person locks before it reads: a statement sees what was committed when it
// started, and a link may have been added while it waited for the lock.
func (c *change) Person(id identity.UserID) (identity.Person, error) {
	if err := c.hold(id); err != nil {
		return identity.Person{}, err
	}
	p, err := findPerson(c.db, c.s.now(), "where u.id = ?", string(id))
	return p, c.did("find person", err)
}

func (c *change) PeopleOf(org identity.OrganisationID) ([]identity.UserID, error) {
	var ids []identity.UserID
	if _, err := c.Organisation(org); err != nil {
		return nil, err
	}
	err := c.db.Raw("select id from users where organisation = ? order by id"+c.lock("for no key update"), string(org)).Find(&ids).Error
	for _, id := range ids {
		c.held[id] = true
	}
	return ids, c.did("list users", err)
}

func (c *change) AddUser(u identity.User, p identity.Password) error {
	row := wordedRow{rowOfUser(u, p), u.Version}
	r := c.db.Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "username_folded"}}, DoNothing: true}).Create(&row)
	if r.Error == nil && r.RowsAffected == 0 {
		return errUsernameTaken
	}
	if r.Error != nil {
		return c.did("add user", r.Error)
	}
	return c.setWords(u, false)
}

func (c *change) SaveUser(u identity.User) error {
	if err := c.hold(u.ID); err != nil {
		return err
	}
	row := wordedRow{rowOfUser(u, identity.Password{}), u.Version + 1}
	row.User.Version++
	r := c.db.Model(&wordedRow{}).Where("id = ? and version = ?", row.User.ID, u.Version).
		Select("username", "username_folded", "organisation", "given_name", "family_name", "email", "language", "claims", "roles", "disabled", "frozen", "contact_changed", "updated", "version", "worded").Updates(&row)
	switch {
	case breaks(r.Error, "users_username", "users.username_folded"):
		c.broken = errUsernameTaken
		return errUsernameTaken
	case r.Error == nil && r.RowsAffected == 0:
		return errChanged
	}
	if r.Error != nil {
		return c.did("save user", r.Error)
	}
	return c.setWords(u, true)
}

func (c *change) SetPassword(id identity.UserID, p identity.Password) error {
	if err := c.hold(id); err != nil {
		return err
	}
	_, err := c.exec("set password", "update users set password_hash = ?, password_temporary = ?, password_expires = ?, password_changed = ? where id = ?",
		p.Hash, p.Temporary, at(p.Expires), at(p.Changed), string(id))
	return err
}

func (c *change) NoteSignIn(id identity.UserID) error {
	if err := c.hold(id); err != nil {
		return err
	}
	_, err := c.exec("note sign-in", "update users set signed_in = ? where id = ? and signed_in is null", at(c.s.now()), string(id))
	return err
}

// EndSessions moves the user's epoch on. The row is locked from then on, so that
// Issue, which wants it too, comes before, and is ended here, or after, and sees the
// new epoch.
func (c *change) EndSessions(id identity.UserID, keep string) error {
	if err := c.hold(id); err != nil {
		return err
	}
	if _, err := c.exec("end sessions", "update users set epoch = epoch + 1, kept_session = ? where id = ?", optional(keep), string(id)); err != nil {
		return err
	}
	return c.did("end sessions", c.s.endGrants(c.db, "user_id = @user and session_id <> @keep",
		args{"user": string(id), "keep": keep, "now": at(c.s.now())}))
}

// args are the named arguments of a statement.
type args = map[string]any

// Names reads what people are called, in one round trip (identity.TrailReader).
func (s *Store) Names(ctx context.Context, ids []identity.UserID) ([]identity.User, error) {
	var rows []struct{ ID, Username, Organisation, GivenName, FamilyName string }
	err := s.ask(ctx, "read names", func(db *gorm.DB) error {
		return db.Raw("select id, username, organisation, given_name, family_name from users where id in ?", ids).Find(&rows).Error
	})
	users := make([]identity.User, len(rows))
	for i, r := range rows {
		users[i] = identity.User{ID: identity.UserID(r.ID), Username: r.Username, Organisation: identity.OrganisationID(r.Organisation), GivenName: r.GivenName, FamilyName: r.FamilyName}
	}
	return users, err
}
