package portti

import (
	"context"
	"slices"
)

// Staff is a person who does something for others, and what the role allows.
type Staff struct {
	ID           string           `json:"id"`
	Username     string           `json:"username"`
	Name         string           `json:"name"`
	Language     string           `json:"language"` // fi, sv or en
	Organisation OrganisationName `json:"organisation"`
	Roles        []string         `json:"roles"`         // responsible, helpdesk, operator, auditor
	Rights       []string         `json:"rights"`        // such as people.see
	Own          []string         `json:"own,omitempty"` // those of the rights that end at the person's own organisation
	Support      string           `json:"support"`       // the help desk's phone

	PasswordHours     int `json:"password_hours"`      // that a temporary password is good for which was ordered, or given when an account was opened again
	FirstPasswordDays int `json:"first_password_days"` // that a first one is
}

// Has tells whether the person has a right.
func (s Staff) Has(right string) bool { return slices.Contains(s.Rights, right) }

// OwnAlone tells whether a right ends at the person's own organisation.
func (s Staff) OwnAlone(right string) bool { return slices.Contains(s.Own, right) }

// OrganisationName is an organisation as others refer to it.
type OrganisationName struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// Staff tells who is signed in. It takes a token with scope "manage", as everything
// does that people do for others.
func (c *Client) Staff(ctx context.Context, token string) (Staff, error) {
	var s Staff
	err := c.do(ctx, token, "GET", "/api/v1/staff", nil, &s)
	return s, err
}
