package portti

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// Policy is what an employer decides of its own people's sign-ins.
type Policy struct {
	Methods            []Method `json:"methods"`
	PersonalPhones     bool     `json:"personal_phones"`     // an app may be on a phone of one's own
	SharedWorkstations bool     `json:"shared_workstations"` // sessions end after 15 minutes unused at the latest
	SessionIdle        int      `json:"session_idle"`        // minutes without use after which a session ends, 5 to 60; 0: 60
	SessionAbsolute    int      `json:"session_absolute"`    // minutes after which it ends in any case, 60 to 720; 0: 720
	ITContact          string   `json:"it_contact,omitempty"`
	ResponsibleContact string   `json:"responsible_contact,omitempty"` // the responsible users'
	SupportPhone       string   `json:"support_phone,omitempty"`       // of user support of its own
	SupportHours       string   `json:"support_hours,omitempty"`
}

// Employer is an organisation as those see it who look after it. The operator
// decides what is beside Policy.
type Employer struct {
	ID           string    `json:"id"`
	Name         string    `json:"name"`
	Policy       Policy    `json:"policy"`
	Delivery     string    `json:"delivery"`             // how temporary passwords reach people: letter, sms or handover
	Holder       string    `json:"card_holder"`          // a card whose holder is nearly the person: approve, refuse or accept
	CardNames    string    `json:"card_names,omitempty"` // what its cards call it besides Name, apart by semicolons
	SecondPerson bool      `json:"second_person"`        // two members of the help desk for whatever opens an account
	Planned      time.Time `json:"planned,omitzero"`     // when a planned change of its policy takes effect
	Created      time.Time `json:"created,omitzero"`
	Disabled     time.Time `json:"disabled,omitzero"` // absent: open
	Version      int64     `json:"version"`
}

// Employers is a page of organisations, by name.
type Employers struct {
	Organisations []Employer `json:"organisations"`
	Next          string     `json:"next,omitempty"` // after which the next page begins; "" on the last
}

// PolicyState is an organisation's policy, and the change of it that is to come.
type PolicyState struct {
	Organisation OrganisationName `json:"organisation"`
	Policy       Policy           `json:"policy"`
	Planned      *PlannedPolicy   `json:"planned,omitempty"`
	Version      int64            `json:"version"` // for ChangePolicy
}

// PlannedPolicy is a policy that takes effect at a time.
type PlannedPolicy struct {
	Policy Policy    `json:"policy"`
	From   time.Time `json:"from"`
	Made   time.Time `json:"made"`
}

// PolicyChange is what is to be, and from when on.
type PolicyChange struct {
	Policy  Policy    `json:"policy"`
	From    time.Time `json:"from,omitzero"` // absent or past: at once; a year ahead at most
	Version int64     `json:"-"`             // of the PolicyState that was looked at: the If-Match
}

// PolicyOutcome is what a change comes to.
type PolicyOutcome struct {
	State  PolicyState  `json:"state"`
	Effect PolicyEffect `json:"effect"`
}

// PolicyEffect counts whom a change touches. Closed accounts do not count.
type PolicyEffect struct {
	People   int `json:"people"`   // of the organisation
	Stranded int `json:"stranded"` // have a way in, and will have none: they hear of it by letter
	Without  int `json:"without"`  // have none, and will have none
	Narrowed int `json:"narrowed"` // lose one of several
}

// AffectedQuery asks for people whom a change of methods touches.
type AffectedQuery struct {
	Methods []Method
	From    time.Time // zero: now
	Group   string    // stranded (also when empty), without or narrowed
	After   string    // the Next of the page before
}

// Affected is a page of them, by username.
type Affected struct {
	People []AffectedPerson `json:"people"`
	Next   string           `json:"next,omitempty"`
}

// AffectedPerson is one of them, with what is linked.
type AffectedPerson struct {
	ID            string      `json:"id"`
	Username      string      `json:"username"`
	Name          string      `json:"name"`
	Card          *LinkedCard `json:"card,omitempty"`
	Authenticator Method      `json:"authenticator,omitempty"` // app or token
	MayEnable     []Method    `json:"may_enable,omitempty"`    // what the person can link alone; none: user support has to help
}

// Organisations lists those that the caller may see. This and what follows takes a
// token with scope "manage".
func (c *Client) Organisations(ctx context.Context, token, after string) (Employers, error) {
	var list Employers
	err := c.do(ctx, token, "GET", "/api/v1/organisations"+query(url.Values{"after": {after}}), nil, &list)
	return list, err
}

// Organisation returns one.
func (c *Client) Organisation(ctx context.Context, token, id string) (Employer, error) {
	var o Employer
	err := c.do(ctx, token, "GET", organisationPath(id), nil, &o)
	return o, err
}

// CreateOrganisation adds one, for operators.
func (c *Client) CreateOrganisation(ctx context.Context, token string, o Employer) (Employer, error) {
	err := c.do(ctx, token, "POST", "/api/v1/organisations", o, &o)
	return o, err
}

// ReplaceOrganisation gives one other settings, if its version is still o's;
// otherwise the Error's code is "changed_meanwhile".
func (c *Client) ReplaceOrganisation(ctx context.Context, token string, o Employer) (Employer, error) {
	err := c.call(ctx, token, "PUT", organisationPath(o.ID), seen(o.Version), o, &o)
	return o, err
}

// DisableOrganisation closes one, which ends every session of its people.
func (c *Client) DisableOrganisation(ctx context.Context, token, id string, why Grounds) error {
	return c.do(ctx, token, "POST", organisationPath(id)+"/disable", why, nil)
}

// EnableOrganisation opens it again.
func (c *Client) EnableOrganisation(ctx context.Context, token, id string, why Grounds) error {
	return c.do(ctx, token, "POST", organisationPath(id)+"/enable", why, nil)
}

// OrganisationPolicy returns an organisation's policy.
func (c *Client) OrganisationPolicy(ctx context.Context, token, id string) (PolicyState, error) {
	var s PolicyState
	err := c.do(ctx, token, "GET", organisationPath(id)+"/policy", nil, &s)
	return s, err
}

// ChangePolicy changes it, now or from a time on, or tells in a dry run what that
// would come to, if its version is still p's; otherwise the Error's code is
// "changed_meanwhile".
func (c *Client) ChangePolicy(ctx context.Context, token, id string, p PolicyChange, change Change) (PolicyOutcome, error) {
	var out PolicyOutcome
	err := c.call(ctx, token, "POST", organisationPath(id)+"/policy"+change.query(), seen(p.Version), p, &out)
	return out, err
}

// WithdrawPolicy forgets a planned change.
func (c *Client) WithdrawPolicy(ctx context.Context, token, id string) error {
	return c.do(ctx, token, "DELETE", organisationPath(id)+"/policy/planned", nil, nil)
}

// PolicyAffected lists whom a change would touch.
func (c *Client) PolicyAffected(ctx context.Context, token, id string, q AffectedQuery) (Affected, error) {
	var names []string
	for _, m := range q.Methods {
		names = append(names, string(m))
	}
	values := url.Values{"methods": {strings.Join(names, ",")}, "group": {q.Group}, "after": {q.After}}
	if !q.From.IsZero() {
		values.Set("from", q.From.UTC().Format(time.RFC3339))
	}
	var list Affected
	err := c.do(ctx, token, "GET", organisationPath(id)+"/policy/stranded"+query(values), nil, &list)
	return list, err
}

func organisationPath(id string) string { return "/api/v1/organisations/" + url.PathEscape(id) }

// query is the members that have a value.
func query(values url.Values) string {
	for name := range values {
		if values.Get(name) == "" {
			values.Del(name)
		}
	}
	if len(values) == 0 {
		return ""
	}
	return "?" + values.Encode()
}
