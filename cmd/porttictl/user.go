package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/portti-id/portti/internal/card"
	"github.com/portti-id/portti/internal/identity"
)

// userView is a person as printed. Nothing in it opens anything.
type userView struct {
	ID            string             `json:"id,omitempty"`
	Username      string             `json:"username"`
	Organisation  string             `json:"organisation"`
	GivenName     string             `json:"given_name"`
	FamilyName    string             `json:"family_name"`
	Email         string             `json:"email,omitempty"`
	Language      string             `json:"language"`
	Claims        identity.Claims    `json:"claims,omitzero"` // named as relying parties get them
	Roles         []string           `json:"roles,omitempty"`
	State         string             `json:"state"`
	Password      *passwordView      `json:"password,omitempty"`
	Card          *cardView          `json:"card,omitempty"`
	Authenticator *authenticatorView `json:"authenticator,omitempty"`
	Created       time.Time          `json:"created,omitzero"`
	Updated       time.Time          `json:"updated,omitzero"`
	SignedIn      time.Time          `json:"first_signed_in,omitzero"`
	Disabled      time.Time          `json:"disabled,omitzero"`
}

type passwordView struct {
	Kind    string    `json:"kind"` // own, temporary, expired (a temporary one), none
	Expires time.Time `json:"expires,omitzero"`
	Changed time.Time `json:"changed,omitzero"`
}

type cardView struct {
	Holder   string    `json:"holder"`
	Issuer   string    `json:"issuer"`
	Tail     string    `json:"serial_tail"`
	NotAfter time.Time `json:"not_after"`
	Linked   time.Time `json:"linked"`
}

type authenticatorView struct {
	Kind         string    `json:"kind"`
	Model        string    `json:"model,omitempty"`
	Serial       string    `json:"serial,omitempty"`
	Failures     int       `json:"failures"`
	BlockedUntil time.Time `json:"blocked_until,omitzero"`
	Linked       time.Time `json:"linked"`
}

func viewUser(u identity.User) userView {
	return userView{ID: string(u.ID), Username: u.Username, Organisation: string(u.Organisation), GivenName: u.GivenName, FamilyName: u.FamilyName,
		Email: u.Email, Language: u.Language, Claims: u.Claims, Roles: roleNames(u.Roles), State: state(u.Disabled), Created: u.Created, Updated: u.Updated, SignedIn: u.SignedIn, Disabled: u.Disabled}
}

func viewPerson(p identity.Person, now time.Time) userView {
	v := viewUser(p.User)
	v.Password = viewPassword(p.Password, now)
	if c := p.Card; c != nil {
		v.Card = &cardView{Holder: c.HolderName, Issuer: c.Issuer, Tail: card.Holder{Serial: c.Serial}.Tail(), NotAfter: c.NotAfter, Linked: c.Linked}
	}
	if a := p.Authenticator; a != nil {
		v.Authenticator = &authenticatorView{Kind: a.Kind.String(), Model: a.Model, Serial: a.Serial, Failures: a.Failures, BlockedUntil: a.BlockedUntil, Linked: a.Linked}
	}
	return v
}

func viewPassword(p identity.Password, now time.Time) *passwordView {
	v := &passwordView{Kind: "own", Changed: p.Changed}
	switch {
	case p.Hash == "":
		v.Kind = "none"
	case p.Temporary && now.After(p.Expires):
		v.Kind, v.Expires = "expired", p.Expires
	case p.Temporary:
		v.Kind, v.Expires = "temporary", p.Expires
	}
	return v
}

// userFlags are what may be changed of a person.
type userFlags struct {
	given, family, email, language string
	claims, address                []string
}

func (f *userFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.given, "given-name", "", "given `name`")
	flags.StringVar(&f.family, "family-name", "", "family `name`")
	flags.StringVar(&f.email, "email", "", "`address` that letters go to")
	flags.StringVar(&f.language, "language", "fi", "language of letters: fi, sv or en")
	flags.StringArrayVar(&f.claims, "claim", nil, "`NAME=VALUE`, what else services may learn, such as birthdate=1980-01-31; repeat for more, nothing after = forgets")
	flags.StringArrayVar(&f.address, "address", nil, "`PART=VALUE` of the postal address, such as locality=Helsinki; repeat for more")
}

// edit applies the flags that were given; with all also those that were not.
func (f *userFlags) edit(c *cobra.Command, all bool) (func(u *identity.User), error) {
	if err := f.setClaims(new(identity.Claims)); err != nil {
		return nil, err
	}
	return func(u *identity.User) {
		for flag, set := range map[string]func(){
			"given-name": func() { u.GivenName = f.given }, "family-name": func() { u.FamilyName = f.family },
			"email": func() { u.Email = f.email }, "language": func() { u.Language = f.language },
		} {
			if all || c.Flags().Changed(flag) {
				set()
			}
		}
		_ = f.setClaims(&u.Claims) // it was tried above
	}, nil
}

func (f *userFlags) setClaims(c *identity.Claims) error {
	for _, given := range f.claims {
		if err := setClaim(c, "", given); err != nil {
			return err
		}
	}
	for _, given := range f.address {
		if err := setClaim(c, "address.", given); err != nil {
			return err
		}
	}
	return nil
}

// setClaim reads birthdate=1980-01-31.
func setClaim(c *identity.Claims, of, given string) error {
	name, value, ok := strings.Cut(given, "=")
	if !ok {
		return usageError{fmt.Errorf("%q is not of the form NAME=VALUE; names are %s", given, strings.Join(identity.ClaimNames(), ", "))}
	}
	return c.Set(of+name, value)
}

// aboutUser is a command that does one thing to one person, for a reason.
func (t *tool) aboutUser(use, short string, do func(ctx context.Context, d *desk, p identity.Person, why identity.Why) (outcome, error)) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1)}
	why := because(c, true)
	c.RunE = t.with(func(ctx context.Context, d *desk, args []string) error {
		p, err := d.person(ctx, args[0])
		if err != nil {
			return err
		}
		o, err := do(ctx, d, p, *why)
		if err != nil {
			return err
		}
		if after, err := d.store.Person(ctx, p.User.ID); err == nil { // it is done, and a password must be printed, in any case
			o.Result = viewPerson(after, time.Now())
		}
		return d.done(o)
	})
	return c
}

// handedOver says what to do with a temporary password.
func handedOver(o identity.Organisation) string {
	switch o.Delivery {
	case identity.ByLetter:
		return "The letter carries the temporary password, unless the address is missing or new. It is shown here this once."
	case identity.BySMS:
		return "A text message carries the temporary password, unless the number is missing or new. It is shown here this once."
	}
	return "Hand the temporary password over. It is shown here this once."
}
