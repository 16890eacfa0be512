package identity

import (
	"context"
	"crypto/rand"
	"regexp"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/audit"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/mail"
	"github.com/portti-id/portti/internal/password"
)

// How long temporary passwords live (S16).
const (
	FirstPasswordLasts   = 14 * 24 * time.Hour
	OrderedPasswordLasts = 24 * time.Hour
)

var username = regexp.MustCompile(`^[\p{L}\p{N}]([\p{L}\p{N}._@-]{0,62}[\p{L}\p{N}])?$`)

// CreateUser adds a person's account with a temporary password (S13), which is
// returned once and stored only as a hash; roles come later, each with its own
// event (ChangeRoles). The letter tells of the account, and
// carries the password where the organisation has letters carry it (S55).
func (d *Directory) CreateUser(ctx context.Context, by Actor, u User) (User, string, error) {
	if err := by.In(PeopleCreate, u.Organisation); err != nil {
		return User{}, "", err
	}
	u, err := d.begun(u)
	if err != nil {
		return User{}, "", err
	}
	temporary, stored, err := d.temporary(ctx, FirstPasswordLasts)
	if err != nil {
		return User{}, "", err
	}
	if err := d.change(ctx, func(tx Tx) error { return d.addUser(tx, by, u, temporary, stored, nil) }); err != nil {
		return User{}, "", err
	}
	return u, temporary, nil
}

// begun is a new account of what somebody wrote.
func (d *Directory) begun(u User) (User, error) {
	u = u.trimmed()
	if err := u.check(); err != nil {
		return User{}, err
	}
	u.ID, u.Created, u.Disabled, u.SignedIn = UserID(rand.Text()), d.now(), time.Time{}, time.Time{}
	u.Updated, u.Roles = u.Created, 0
	u.Frozen, u.ContactChanged = time.Time{}, time.Time{}
	u.Epoch, u.KeptSession, u.Version = 1, "", 1
	return u, nil
}

// addUser adds an account that was begun. One without a hash has no password yet,
// and there is nothing to tell of: that is for organisations where somebody hands
// passwords over, and changed_meanwhile elsewhere. details are added to the event's.
func (d *Directory) addUser(tx Tx, by Actor, u User, temporary string, stored Password, details map[string]string) error {
	org, err := tx.Organisation(u.Organisation)
	if err != nil {
		return err
	}
	if !org.Disabled.IsZero() {
		return errOrganisationDisabled(org)
	}
	if err := org.reaches(u); err != nil {
		return err
	}
	if stored.Hash == "" && org.Delivery != ByHandover {
		return errChangedMeanwhile
	}
	if err := tx.AddUser(u, stored); err != nil {
		return err
	}
	told := map[string]string{"delivery": string(ByHandover)}
	if stored.Hash != "" {
		if told, err = d.tellPassword(tx, Person{User: u, Organisation: org}, mail.Welcome, temporary, stored); err != nil {
			return err
		}
	}
	e := d.event(audit.UserCreated, by.Name, by.Address, u)
	e.Details = merged(told, details)
	return tx.Record(e)
}

func errOrganisationDisabled(o Organisation) error {
	return fault.New(fault.Conflict, "organisation_disabled", "organisation: %s is disabled.", o.ID).In("organisation")
}

// reaches returns a fault unless a temporary password can go to a new account in the
// way that the organisation has chosen.
func (o Organisation) reaches(u User) error {
	switch {
	case o.Delivery == ByLetter && u.Email == "":
		return fault.New(fault.Invalid, "email_required", "email: %s sends temporary passwords by letter, so an e-mail address is needed.", o.ID).In("email")
	case o.Delivery == BySMS && u.number() == "":
		return fault.New(fault.Invalid, "phone_required", "phone_number: %s sends temporary passwords as text messages, so a mobile number such as +358401234567 is needed.", o.ID).In("phone_number")
	}
	return nil
}

// ChangeUser lets edit change names, e-mail, language and claims. The username and
// the organisation of an account never change: the person gets another account
// (S9, S13). Another e-mail address or phone number is not verified unless edit
// says so itself, for which it may be called a second time.
func (d *Directory) ChangeUser(ctx context.Context, by Actor, id UserID, edit func(u *User)) (User, error) {
	return d.changeUser(ctx, by, id, 0, edit)
}

// ReplaceUser is ChangeUser of what somebody has looked at: the fault is
// changed_meanwhile when the account's version is another one by now.
func (d *Directory) ReplaceUser(ctx context.Context, by Actor, id UserID, version int64, edit func(u *User)) (User, error) {
	if version <= 0 {
		return User{}, errChangedMeanwhile
	}
	return d.changeUser(ctx, by, id, version, edit)
}

func (d *Directory) changeUser(ctx context.Context, by Actor, id UserID, version int64, edit func(u *User)) (User, error) {
	if err := by.May(PeopleChange); err != nil {
		return User{}, err
	}
	var after User
	err := d.change(ctx, func(tx Tx) (err error) {
		after, err = d.changeIn(tx, by, id, version, edit, nil)
		return err
	})
	return after, err
}

// changeIn is changeUser inside a transaction; details are the event's.
func (d *Directory) changeIn(tx Tx, by Actor, id UserID, version int64, edit func(u *User), details map[string]string) (User, error) {
	p, err := tx.Person(id)
	if err != nil {
		return User{}, err
	}
	if err := by.On(PeopleChange, p.User); err != nil {
		return User{}, err
	}
	if version != 0 && version != p.User.Version {
		return User{}, errChangedMeanwhile
	}
	u := edited(p.User, edit)
	if u.Username != p.User.Username || u.Organisation != p.User.Organisation {
		return User{}, fault.New(fault.Conflict, "account_fixed", "A username and its organisation cannot be changed. Create another account.").In("organisation")
	}
	before := p.User
	before.GivenName, before.FamilyName, before.Email, before.Language, before.Claims = u.GivenName, u.FamilyName, u.Email, u.Language, u.Claims
	u = before.trimmed()
	if err := u.check(); err != nil {
		return User{}, err
	}
	if u != p.User {
		u.Updated = d.now()
	}
	if u.Email != p.User.Email || u.Claims.Phone != p.User.Claims.Phone {
		u.ContactChanged = u.Updated
	}
	if err := tx.SaveUser(u); err != nil {
		return User{}, err
	}
	if err := d.tellChanges(tx, p, u); err != nil {
		return User{}, err
	}
	e := d.event(audit.UserChanged, by.Name, by.Address, u)
	e.Details = details
	return u, tx.Record(e)
}

// edited is u after edit. An edit that brings a new e-mail address or phone number
// begins once more with the old one's mark of verification gone, so that only a
// mark of its own stands.
func edited(u User, edit func(u *User)) User {
	after, start := u, u
	edit(&after)
	start.Claims.EmailVerified = u.Claims.EmailVerified && after.Email == u.Email
	start.Claims.PhoneVerified = u.Claims.PhoneVerified && after.Claims.Phone == u.Claims.Phone
	if start != u {
		edit(&start)
		return start
	}
	return after
}

// DisableUser closes an account (S36): its sessions, tokens, links and roles end
// with the commit.
func (d *Directory) DisableUser(ctx context.Context, by Actor, id UserID, why Why) error {
	if err := first(by.May(PeopleDisable), why.given()); err != nil {
		return err
	}
	return d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(PeopleDisable, p.User); err != nil {
			return err
		}
		if !p.User.Disabled.IsZero() {
			return nil
		}
		u := p.User
		u.Disabled, u.Roles = d.now(), 0
		if err := tx.SaveUser(u); err != nil {
			return err
		}
		if p.User.Roles != 0 {
			if err := tx.Record(d.rolesChanged(by, p.User, u.Roles)); err != nil {
				return err
			}
		}
		if _, err := tx.RemoveCardLink(id, "user_disabled"); err != nil {
			return err
		}
		if _, err := tx.RemoveCardApproval(id); err != nil {
			return err
		}
		if _, err := tx.RemoveAuthenticator(id, "user_disabled"); err != nil {
			return err
		}
		if err := tx.EndSessions(id, ""); err != nil {
			return err
		}
		if err := d.letter(tx, p, mail.AccountDisabled); err != nil {
			return err
		}
		return tx.Record(why.Of(d.event(audit.UserDisabled, by.Name, by.Address, u)))
	})
}

// EnableUser opens an account again. Its links are gone, so the old password
// alone must not be enough to link new ones: the person starts afresh with a
// temporary password, which is returned once. And where the account was in use, that
// password links nothing either without a code of user support (S61): otherwise the
// organisation's own people would get past S60, and into anybody's account, by
// closing and opening it.
func (d *Directory) EnableUser(ctx context.Context, by Actor, id UserID, why Why) (string, error) {
	if err := first(by.May(PeopleEnable), why.given()); err != nil {
		return "", err
	}
	temporary, stored, err := d.temporary(ctx, OrderedPasswordLasts)
	if err != nil {
		return "", err
	}
	err = d.change(ctx, func(tx Tx) error {
		p, err := tx.Person(id)
		if err != nil {
			return err
		}
		if err := by.On(PeopleEnable, p.User); err != nil {
			return err
		}
		if p.User.Disabled.IsZero() {
			return fault.New(fault.Conflict, "user_enabled", "The account %s is not disabled.", p.User.Username)
		}
		u := p.User
		u.Disabled = time.Time{}
		if err := tx.SaveUser(u); err != nil {
			return err
		}
		if !p.User.SignedIn.IsZero() {
			if _, err := tx.TakeLinkingCode(id, ""); err != nil { // of a call before that
				return err
			}
			if err := tx.CloseLinking(id, d.now()); err != nil {
				return err
			}
		}
		if err := tx.SetPassword(id, stored); err != nil {
			return err
		}
		told, err := d.tellPassword(tx, p, mail.AccountEnabled, temporary, stored)
		if err != nil {
			return err
		}
		e := d.event(audit.UserEnabled, by.Name, by.Address, u)
		e.Details = told
		return tx.Record(why.Of(e))
	})
	if err != nil {
		return "", err
	}
	return temporary, nil
}

// Standing returns the person behind a session, if the session still stands:
// account and organisation open, nothing frozen, and the session of the user's epoch or the one
// that was kept. Otherwise fault.Unauthenticated "session_expired". Which
// methods are permitted is for the caller to decide.
func (d *Directory) Standing(ctx context.Context, id UserID, epoch int64, sid string) (Person, error) {
	p, err := d.Store.Person(ctx, id)
	return standing(p, err, epoch, sid)
}

// Accounts tells the same of people without their card and authenticator, in half
// the work: for the protocol, which asks at every request.
type Accounts struct{ *Directory }

// Standing is Directory's, without Card and Authenticator.
func (a Accounts) Standing(ctx context.Context, id UserID, epoch int64, sid string) (Person, error) {
	p, err := a.Store.Account(ctx, id)
	return standing(p, err, epoch, sid)
}

func standing(p Person, err error, epoch int64, sid string) (Person, error) {
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Person{}, err
	}
	if err != nil || !p.Open() || p.User.Epoch != epoch && (sid == "" || p.User.KeptSession != sid) {
		return Person{}, fault.New(fault.Unauthenticated, "session_expired", "The session has ended. Sign in again.")
	}
	return p, nil
}

// temporary makes a temporary password and what is stored of it.
func (d *Directory) temporary(ctx context.Context, lasts time.Duration) (string, Password, error) {
	pw := password.Temporary()
	hash, err := d.Hasher.Hash(ctx, pw)
	if err != nil {
		return "", Password{}, wrap("hash temporary password", err)
	}
	now := d.now()
	return pw, Password{Hash: hash, Temporary: true, Expires: now.Add(lasts), Changed: now}, nil
}

func (u User) trimmed() User {
	u.Username, u.GivenName, u.FamilyName = strings.TrimSpace(u.Username), strings.TrimSpace(u.GivenName), strings.TrimSpace(u.FamilyName)
	u.Claims = u.Claims.trimmed()
	return u
}

func (u User) check() error {
	if !username.MatchString(strings.TrimSpace(u.Username)) {
		return fault.New(fault.Invalid, "username_invalid", "username: use 1 to 64 letters, digits and inner . _ - @.").In("username")
	}
	return first(text("given-name", u.GivenName, 100, false), text("family-name", u.FamilyName, 100, false),
		address("email", u.Email), language("language", u.Language), u.Claims.check(u.Email))
}
