package portti

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Person is somebody's account, as those see it who look after people. Nothing in
// it opens anything.
type Person struct {
	ID            string               `json:"id"`
	Version       int64                `json:"version"` // for If-Match
	Username      string               `json:"username"`
	GivenName     string               `json:"given_name"`
	FamilyName    string               `json:"family_name"`
	Email         string               `json:"email,omitempty"`
	Phone         string               `json:"phone,omitempty"`
	Language      string               `json:"language"` // fi, sv or en
	Organisation  OrganisationName     `json:"organisation"`
	Roles         []string             `json:"roles,omitempty"` // responsible, helpdesk, operator, auditor
	Created       time.Time            `json:"created"`
	Disabled      time.Time            `json:"disabled,omitzero"`
	Frozen        time.Time            `json:"frozen,omitzero"` // "this was not me": nobody signs in until user support has checked
	FirstSignIn   time.Time            `json:"first_sign_in,omitzero"`
	LastSignIn    time.Time            `json:"last_sign_in,omitzero"` // of one person alone, not in lists
	Usable        bool                 `json:"usable"`                // some link of theirs could sign in now
	Password      PersonPassword       `json:"password"`
	Card          *PersonCard          `json:"card,omitempty"`
	Authenticator *PersonAuthenticator `json:"authenticator,omitempty"`
	Rights        []string             `json:"rights,omitempty"` // what the caller may do to this person; of one person alone, not in lists
}

// Name is how the person is called.
func (p Person) Name() string { return p.GivenName + " " + p.FamilyName }

// May tells whether the caller may do something to this person.
func (p Person) May(right string) bool { return slices.Contains(p.Rights, right) }

// PersonPassword is the state of a password, never the password.
type PersonPassword struct {
	State   string    `json:"state"` // own, temporary, expired (a temporary one) or none
	Expires time.Time `json:"expires,omitzero"`
	Changed time.Time `json:"changed,omitzero"`
}

// PersonCard is a linked card.
type PersonCard struct {
	Holder       string    `json:"holder"`
	Organisation string    `json:"organisation,omitempty"`
	Issuer       string    `json:"issuer"`
	Tail         string    `json:"tail"` // the end of the certificate's serial number
	NotAfter     time.Time `json:"not_after"`
	State        string    `json:"state,omitempty"` // expired, revoked, suspended or untrusted; "" when it is good
	ExpiresSoon  bool      `json:"expires_soon"`    // within 60 days
	Permitted    bool      `json:"permitted"`       // by the employer
	Linked       time.Time `json:"linked"`
	Used         time.Time `json:"used,omitzero"` // last sign-in, to the hour
}

// PersonAuthenticator is a linked authenticator.
type PersonAuthenticator struct {
	Kind          Method    `json:"kind"` // app or token
	Model         string    `json:"model,omitempty"`
	Serial        string    `json:"serial,omitempty"`
	PersonalPhone bool      `json:"personal_phone,omitempty"`
	Permitted     bool      `json:"permitted"` // by the employer
	Linked        time.Time `json:"linked"`
	BlockedUntil  time.Time `json:"blocked_until,omitzero"` // after too many wrong codes
}

// People is a page of a list.
type People struct {
	People []Person `json:"people"`         // by username
	Next   string   `json:"next,omitempty"` // where the next page begins; "" after the last
}

// PeopleSearch says whom a list is about. What is empty does not matter.
type PeopleSearch struct {
	Organisation string
	Text         string // beginnings of names, of parts of the username or the e-mail address
	View         string // unlinked, expiring, unused, blocked, frozen or disabled; "": everybody
	After        string // Next of the page before
	Limit        int    // 0: 50
}

func (s PeopleSearch) query() string {
	q := url.Values{}
	for name, value := range map[string]string{"organisation": s.Organisation, "q": s.Text, "view": s.View, "after": s.After} {
		if value != "" {
			q.Set(name, value)
		}
	}
	if s.Limit != 0 {
		q.Set("limit", strconv.Itoa(s.Limit))
	}
	if len(q) == 0 {
		return ""
	}
	return "?" + q.Encode()
}

// PeopleCounts says how many people each view has.
type PeopleCounts struct {
	All      int `json:"all"`
	Unlinked int `json:"unlinked"` // open accounts without a link that could sign in
	Expiring int `json:"expiring"` // whose card ends within 60 days
	Unused   int `json:"unused"`   // with a temporary password that was not changed yet
	Blocked  int `json:"blocked"`  // whose authenticator is blocked
	Frozen   int `json:"frozen"`   // by "this was not me"
	Disabled int `json:"disabled"`
}

// NewPerson is an account to be created.
type NewPerson struct {
	Organisation string `json:"organisation,omitempty"` // "": the caller's own
	Username     string `json:"username"`
	PersonChange
}

// PersonChange is what can be changed of an account.
type PersonChange struct {
	GivenName  string `json:"given_name"`
	FamilyName string `json:"family_name"`
	Email      string `json:"email,omitempty"`
	Phone      string `json:"phone,omitempty"`
	Language   string `json:"language"` // fi, sv or en
}

// Issued is a person with a new temporary password.
type Issued struct {
	Person   Person    `json:"person"`
	Password string    `json:"password,omitempty"` // this once, for handing it over; none where a letter carries it
	Expires  time.Time `json:"expires"`
}

// RolesChange gives a person roles and takes others.
type RolesChange struct {
	Give []string `json:"give,omitempty"`
	Take []string `json:"take,omitempty"`
}

// Grounds is why something is done that follows no call, for the audit trail.
type Grounds struct {
	Reason string `json:"reason"`
	Ticket string `json:"ticket,omitempty"` // where there is one
}

// People lists people, a page at a time.
func (c *Client) People(ctx context.Context, token string, s PeopleSearch) (People, error) {
	var p People
	err := c.do(ctx, token, "GET", "/api/v1/people"+s.query(), nil, &p)
	return p, err
}

// PeopleCounts counts the views of an organisation; of all that the caller may see
// when it is "".
func (c *Client) PeopleCounts(ctx context.Context, token, organisation string) (PeopleCounts, error) {
	var n PeopleCounts
	err := c.do(ctx, token, "GET", "/api/v1/people/counts"+PeopleSearch{Organisation: organisation}.query(), nil, &n)
	return n, err
}

// ExportPeople gives a list as a CSV file, which the caller closes. It may be
// longer than memory; a file that ends in the middle of a line is not whole.
func (c *Client) ExportPeople(ctx context.Context, token string, s PeopleSearch) (io.ReadCloser, error) {
	return c.file(ctx, token, "/api/v1/people.csv"+s.query())
}

// Person reads an account.
func (c *Client) Person(ctx context.Context, token, id string) (Person, error) {
	var p Person
	err := c.do(ctx, token, "GET", personPath(id), nil, &p)
	return p, err
}

// CreatePerson opens an account with a temporary password.
func (c *Client) CreatePerson(ctx context.Context, token string, p NewPerson) (Issued, error) {
	var i Issued
	err := c.do(ctx, token, "POST", "/api/v1/people", p, &i)
	return i, err
}

// ChangePerson changes an account if its version is still this one; otherwise the
// Error's code is "changed_meanwhile".
func (c *Client) ChangePerson(ctx context.Context, token, id string, version int64, change PersonChange) (Person, error) {
	var p Person
	err := c.call(ctx, token, "PUT", personPath(id), seen(version), change, &p)
	return p, err
}

// DisablePerson closes an account: sessions, links and roles end.
func (c *Client) DisablePerson(ctx context.Context, token, id string, why Grounds) (Person, error) {
	var p Person
	err := c.do(ctx, token, "POST", personPath(id)+"/disable", why, &p)
	return p, err
}

// EnablePerson opens an account again, with a temporary password.
func (c *Client) EnablePerson(ctx context.Context, token, id string, why Grounds) (Issued, error) {
	var i Issued
	err := c.do(ctx, token, "POST", personPath(id)+"/enable", why, &i)
	return i, err
}

// FirstPassword gives somebody who has not begun to use the account another
// temporary password; Error "account_begun" for everybody else.
func (c *Client) FirstPassword(ctx context.Context, token, id string) (Issued, error) {
	var i Issued
	err := c.do(ctx, token, "POST", personPath(id)+"/first-password", nil, &i)
	return i, err
}

// ChangeRoles gives and takes roles; the person's sessions end.
func (c *Client) ChangeRoles(ctx context.Context, token, id string, change RolesChange) (Person, error) {
	var p Person
	err := c.do(ctx, token, "POST", personPath(id)+"/roles", change, &p)
	return p, err
}

func personPath(id string) string { return "/api/v1/people/" + url.PathEscape(id) }

// file gets what is not JSON, as it comes. Only ctx ends it, as it may be long.
func (c *Client) file(ctx context.Context, token, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, "GET", strings.TrimSuffix(c.Issuer, "/")+path, nil)
	if err != nil {
		return nil, fmt.Errorf("portti: %w", err)
	}
	present(req, token)
	patient := http.Client{}
	if c.HTTP != nil {
		patient = *c.HTTP
	}
	patient.Timeout = 0
	res, err := patient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("portti: %w", err)
	}
	if res.StatusCode < 300 {
		return res.Body, nil
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return nil, fmt.Errorf("portti: read %s: %w", path, err)
	}
	return nil, refused(res, answer)
}
