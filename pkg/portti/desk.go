package portti

import (
	"context"
	"net/url"
	"time"
)

// CheckMethods are the ways in which the help desk recognises a caller.
var CheckMethods = []string{"called_back", "employer_confirmed", "document_shown", "video_identified"}

// NewCheck records how a person was recognised.
type NewCheck struct {
	Method string `json:"method"` // of CheckMethods
	Ticket string `json:"ticket"` // of the call
	Note   string `json:"note,omitempty"`
}

// Check is such a record. Acts on that person stand on it until it expires, for
// whoever has made it.
type Check struct {
	ID      string    `json:"id"`
	Method  string    `json:"method"`
	Ticket  string    `json:"ticket"`
	Note    string    `json:"note,omitempty"`
	At      time.Time `json:"at"`
	Expires time.Time `json:"expires"`

	Confirmations []AskedConfirmation `json:"confirmations,omitempty"` // asked for on it, to whoever has made it
}

// Why is what the trail keeps of an act of the help desk.
type Why struct {
	Reason string `json:"reason"`
	Ticket string `json:"ticket"`
	Check  string `json:"check"` // its ID
}

// Case is what the help desk sees of a person's account: what tells which act
// helps. Nothing of it opens anything.
type Case struct {
	User          string             `json:"user"`
	Username      string             `json:"username"`
	Name          string             `json:"name"`
	Organisation  OrganisationName   `json:"organisation"`
	Phone         string             `json:"phone,omitempty"` // registered and not new, to call back
	Disabled      bool               `json:"disabled"`        // the account or its organisation
	Frozen        time.Time          `json:"frozen,omitzero"`
	Handover      bool               `json:"handover"`       // an Order's temporary password is read out, not sent
	PasswordHours int                `json:"password_hours"` // that it is good for
	Card          *LinkedCard        `json:"card,omitempty"`
	App           *CaseAuthenticator `json:"authenticator,omitempty"`
	Closed        time.Time          `json:"linking_closed,omitzero"` // since then linking asks for a code
	LinkingCode   *OpenLinkingCode   `json:"linking_code,omitempty"`  // one is open
	Seconds       []string           `json:"second_person,omitempty"` // acts that a second person confirms first, as the rights that they take
	May           string             `json:"may"`                     // why the caller may do nothing to this person, as a fault code; "" when she may
}

// CaseAuthenticator is a person's authenticator, seen by the help desk.
type CaseAuthenticator struct {
	Authenticator
	Model        string    `json:"model,omitempty"`
	Serial       string    `json:"serial,omitempty"`
	Failures     int       `json:"failures"`               // wrong codes since the last right one
	BlockedUntil time.Time `json:"blocked_until,omitzero"` // the year 9999: until it is unlocked
}

// OpenLinkingCode tells of a linking code, never what it is.
type OpenLinkingCode struct {
	Issued  time.Time `json:"issued"`
	Expires time.Time `json:"expires"`
}

// Ordered is what came of an Order.
type Ordered struct {
	Password string    `json:"temporary_password,omitempty"` // to be read out, this once; "" when a letter brings it
	Expires  time.Time `json:"expires,omitzero"`             // of the temporary password
}

// LinkingCode is a code to be read out, this once.
type LinkingCode struct {
	Code    string    `json:"code"`
	Expires time.Time `json:"expires"`
}

// Resynced is what came of two codes.
type Resynced struct {
	Fast int `json:"fast"` // seconds that the clock is fast; slow is negative
}

// CardApproval is a card that waits until somebody has looked whose it is.
type CardApproval struct {
	ID           string           `json:"id"`
	User         string           `json:"user"`
	Username     string           `json:"username"`
	Name         string           `json:"name"` // of the account
	Organisation OrganisationName `json:"organisation"`
	Holder       string           `json:"holder"` // as the card says
	HolderOrg    string           `json:"holder_organisation,omitempty"`
	Issuer       string           `json:"issuer"`
	Tail         string           `json:"tail"`
	NotAfter     time.Time        `json:"not_after"`
	Proved       string           `json:"proved"` // what the person had proved beside the password: app, token or none
	Asked        time.Time        `json:"asked"`
	Expires      time.Time        `json:"expires"`
	May          string           `json:"may"` // why the caller may not decide, as a fault code; "" when she may
}

// CardApprovals is a page of them.
type CardApprovals struct {
	Approvals []CardApproval `json:"approvals"` // the longest waiting first
	Next      string         `json:"next,omitempty"`
}

func person(user, rest string) string { return "/api/v1/people/" + url.PathEscape(user) + rest }

// Case reads what the help desk sees of a person.
func (c *Client) Case(ctx context.Context, token, user string) (Case, error) {
	var out Case
	err := c.do(ctx, token, "GET", person(user, "/case"), nil, &out)
	return out, err
}

// RecordCheck records how a person was recognised.
func (c *Client) RecordCheck(ctx context.Context, token, user string, in NewCheck) (Check, error) {
	var out Check
	err := c.do(ctx, token, "POST", person(user, "/checks"), in, &out)
	return out, err
}

// Check finds one of the caller's own checks that still holds. Error
// identity_check_invalid for every other.
func (c *Client) Check(ctx context.Context, token, user, check string) (Check, error) {
	var out Check
	err := c.do(ctx, token, "GET", person(user, "/checks/"+url.PathEscape(check)), nil, &out)
	return out, err
}

// OrderFor orders a new password for a caller, with all its effects.
func (c *Client) OrderFor(ctx context.Context, token, user string, w Why) (Ordered, error) {
	var out Ordered
	err := c.do(ctx, token, "POST", person(user, "/order"), w, &out)
	return out, err
}

// RemoveAuthenticator removes the link of a person's authenticator; sessions end.
func (c *Client) RemoveAuthenticator(ctx context.Context, token, user string, w Why) error {
	return c.do(ctx, token, "POST", person(user, "/authenticator/remove"), w, nil)
}

// Unlock lets codes and passwords be tried again after too many wrong ones.
func (c *Client) Unlock(ctx context.Context, token, user string, w Why) error {
	return c.do(ctx, token, "POST", person(user, "/authenticator/unlock"), w, nil)
}

// ResyncAuthenticator learns a clock anew from two codes shown one after the other.
func (c *Client) ResyncAuthenticator(ctx context.Context, token, user, first, second string, w Why) (Resynced, error) {
	var out Resynced
	err := c.do(ctx, token, "POST", person(user, "/authenticator/resync"), struct {
		Why
		First  string `json:"first"`
		Second string `json:"second"`
	}{w, first, second}, &out)
	return out, err
}

// IssueLinkingCode gives a person the code that linking asks for, for 10 minutes to
// 24 hours.
func (c *Client) IssueLinkingCode(ctx context.Context, token, user string, minutes int, w Why) (LinkingCode, error) {
	var out LinkingCode
	err := c.do(ctx, token, "POST", person(user, "/linking-code"), struct {
		Why
		Minutes int `json:"minutes"`
	}{w, minutes}, &out)
	return out, err
}

// EndSessions ends every session and token of a person.
func (c *Client) EndSessions(ctx context.Context, token, user string, w Why) error {
	return c.do(ctx, token, "POST", person(user, "/sessions/end"), w, nil)
}

// Unfreeze opens an account that "this was not me" has frozen.
func (c *Client) Unfreeze(ctx context.Context, token, user string, w Why) error {
	return c.do(ctx, token, "POST", person(user, "/unfreeze"), w, nil)
}

// CardApprovals lists cards that wait, 50 a page; after is Next of the page before.
func (c *Client) CardApprovals(ctx context.Context, token, after string) (CardApprovals, error) {
	path := "/api/v1/card-approvals"
	if after != "" {
		path += "?after=" + url.QueryEscape(after)
	}
	var out CardApprovals
	err := c.do(ctx, token, "GET", path, nil, &out)
	return out, err
}

// CardApproval finds one.
func (c *Client) CardApproval(ctx context.Context, token, id string) (CardApproval, error) {
	var out CardApproval
	err := c.do(ctx, token, "GET", "/api/v1/card-approvals/"+url.PathEscape(id), nil, &out)
	return out, err
}

// ApproveCard links a card that waits.
func (c *Client) ApproveCard(ctx context.Context, token, id, reason string) error {
	return c.do(ctx, token, "POST", "/api/v1/card-approvals/"+url.PathEscape(id)+"/approve", map[string]string{"reason": reason}, nil)
}

// RefuseCard ends the waiting of a card.
func (c *Client) RefuseCard(ctx context.Context, token, id, reason string) error {
	return c.do(ctx, token, "POST", "/api/v1/card-approvals/"+url.PathEscape(id)+"/refuse", map[string]string{"reason": reason}, nil)
}
