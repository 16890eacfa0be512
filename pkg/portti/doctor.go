package portti

import (
	"context"
	"encoding/json"
	"net/url"
	"time"
)

// Refusal is a request of a service that was refused, as it is kept for a day.
type Refusal struct {
	Reference   string            `json:"reference"` // as the error page shows it
	At          time.Time         `json:"at"`
	Endpoint    string            `json:"endpoint"` // e.g. /authorize
	Client      string            `json:"client_id,omitempty"`
	Code        string            `json:"error"`
	Description string            `json:"error_description"`
	Parameter   string            `json:"parameter,omitempty"` // the one that is to blame
	Cause       string            `json:"cause"`               // a stable word, e.g. address_slash
	Explanation string            `json:"explanation"`         // of the cause, in English
	Nearest     string            `json:"nearest,omitempty"`   // the registered address that the sent one is nearest to
	Sent        []SentParameter   `json:"sent"`
	Registered  []RegisteredValue `json:"registered,omitempty"` // what the parameter is held against
}

// SentParameter is a parameter as it was sent. Of what may be secret, or about a
// person, there is the length alone.
type SentParameter struct {
	Name   string `json:"name"`
	Value  string `json:"value,omitempty"` // cut
	Length int    `json:"length"`          // bytes
}

// RegisteredValue is a part of a registration.
type RegisteredValue struct {
	Name   string   `json:"name"`
	Values []string `json:"values"`
}

// Refusal returns the refused request of a reference. It is for operators: token is
// an access token with scope "clients".
func (c *Client) Refusal(ctx context.Context, token, reference string) (Refusal, error) {
	var f Refusal
	err := c.do(ctx, token, "GET", "/api/v1/doctor/"+url.PathEscape(reference), nil, &f)
	return f, err
}

// Course is how an authorization request of a service, or a device of it, went, refused or not, for those
// who make the service. It does not say who the person was.
type Course struct {
	References []string     `json:"references"` // any of them finds it
	At         time.Time    `json:"at"`
	Client     string       `json:"client_id"`
	Lines      []CourseLine `json:"lines"`
}

// CourseLine is one thing of it.
type CourseLine struct {
	At          time.Time         `json:"at"`
	What        string            `json:"what"` // asked, had, decided, stepped, device, issued, renewal
	Why         string            `json:"why"`  // a stable word, e.g. max_age
	Details     map[string]string `json:"details,omitempty"`
	Explanation string            `json:"explanation"` // of the word, in English
}

// Courses is how the latest requests of a service went, the newest first.
type Courses struct {
	Requests []Course `json:"requests"`
}

// Course returns how the request of a reference went. It is for operators: token is
// an access token with scope "clients".
func (c *Client) Course(ctx context.Context, token, reference string) (Course, error) {
	var out Course
	err := c.do(ctx, token, "GET", "/api/v1/requests/"+url.PathEscape(reference), nil, &out)
	return out, err
}

// Courses lists how the latest requests of a service went, 50 at most. It is for
// operators: token is an access token with scope "clients".
func (c *Client) Courses(ctx context.Context, token, id string) ([]Course, error) {
	var out Courses
	err := c.do(ctx, token, "GET", clientPath(id)+"/requests", nil, &out)
	return out.Requests, err
}

// Finding is something about a registration that is permitted and will probably
// hurt.
type Finding struct {
	Symptom     string `json:"symptom"`          // a stable word, e.g. no_logout_notice
	Weight      string `json:"weight"`           // problem, warning or note
	Member      string `json:"member,omitempty"` // of the registration, e.g. redirect_uris
	Value       string `json:"value,omitempty"`  // the one that is meant
	Explanation string `json:"explanation"`      // of the symptom, in English
}

// Findings is what there is to say of a registration, the worst first.
type Findings struct {
	Findings []Finding `json:"findings"`
}

// ClientDoctor looks at a registration. The provider also tries whether the
// client's address for logout notices answers.
func (c *Client) ClientDoctor(ctx context.Context, token, id string) ([]Finding, error) {
	var f Findings
	err := c.do(ctx, token, "GET", clientPath(id)+"/doctor", nil, &f)
	return f.Findings, err
}

// ClientPreview is what would come of the caller's own login to a client by the session
// of now, if the client asked for everything that it is registered for. It is claims and
// no token: nothing was signed or issued.
type ClientPreview struct {
	Demand   string          `json:"demand,omitempty"` // the level that the registration demands; "" for any
	Reason   string          `json:"reason,omitempty"` // why the session is not enough: step_up, method_not_permitted_by_employer, consent_required, client_disabled, no_logins …; "" when it is
	Scope    string          `json:"scope"`            // what a login can be granted
	IDToken  json.RawMessage `json:"id_token,omitempty"`
	Userinfo json.RawMessage `json:"userinfo,omitempty"` // both only where nothing but consent is missing
}

// ClientPreview tells what a client would be told of the caller.
func (c *Client) ClientPreview(ctx context.Context, token, id string) (ClientPreview, error) {
	var p ClientPreview
	err := c.do(ctx, token, "GET", clientPath(id)+"/preview", nil, &p)
	return p, err
}
