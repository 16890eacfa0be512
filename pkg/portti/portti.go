// Package portti is the typed client of Portti's JSON API, and its wire types.
//
// The API serves a signed-in person's own account: what is linked, linking an
// authenticator or a card, trying a code, changing the password
// or ordering one, what third
// parties' services were allowed. A caller holds
// an access token with scope "us" (a full sign-in) or "us.enrol" (a password
// alone, before anything is linked). For operators, people with that role and
// their programs, it serves registrations of relying parties, with an access
// token with scope "clients". docs/openapi.json describes the API.
//
//	portti.go    a person's own account; Client, Error
//	order.go     a new password that perhaps somebody else wanted
//	desk.go      what the help desk does
//	clients.go   registrations
//	people.go    people's accounts, for those who look after them
//	organisations.go  employers and their policies
//	visitor.go   for whose browser an app calls
//	doctor.go    why a service's request was refused
package portti

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Method is a way to sign in: "card", "app" or "token".
type Method string

const (
	Card  Method = "card"
	App   Method = "app"
	Token Method = "token"
)

// Me is the signed-in person's account.
type Me struct {
	Username     string         `json:"username"`
	Name         string         `json:"name"`
	Language     string         `json:"language"` // fi, sv or en
	Organisation Organisation   `json:"organisation"`
	Full         bool           `json:"full"` // false in an enrol session
	Card         *LinkedCard    `json:"card,omitempty"`
	Asked        *AskedCard     `json:"card_approval,omitempty"` // a card that waits until somebody has approved it
	App          *Authenticator `json:"authenticator,omitempty"`
	Password     Password       `json:"password"`
	May          May            `json:"may"`
	NewPassword  NewPassword    `json:"new_password"`
	Waiting      *Waiting       `json:"waiting,omitempty"` // the service that waits for the first sign-in to finish
	Session      SessionLimits  `json:"session"`
	Support      string         `json:"support"` // the help desk's phone
}

// Organisation is the person's employer and what it permits.
type Organisation struct {
	Name           string   `json:"name"`
	Methods        []Method `json:"methods"`
	PersonalPhones bool     `json:"personal_phones"`
	ITContact      string   `json:"it_contact,omitempty"`

	ResponsibleContact string `json:"responsible_contact,omitempty"` // how to reach its responsible users
	SupportPhone       string `json:"support_phone,omitempty"`       // of user support of its own, before Support
	SupportHours       string `json:"support_hours,omitempty"`       // when that answers
}

// LinkedCard is the active card link, or a card about to be linked.
type LinkedCard struct {
	Holder       string    `json:"holder"`
	Organisation string    `json:"organisation"`
	Issuer       string    `json:"issuer"`
	Tail         string    `json:"tail"`           // the end of the certificate's serial number
	Kind         string    `json:"kind,omitempty"` // of a card about to be linked: organisation, health_professional, personnel, actor, temporary
	NotAfter     time.Time `json:"not_after"`
	Expired      bool      `json:"expired"`         // it is no good any more; State says why
	State        string    `json:"state,omitempty"` // expired, revoked, suspended or untrusted; "" when it is good
	ExpiresSoon  bool      `json:"expires_soon"`    // within 60 days
	Linked       time.Time `json:"linked,omitzero"`
	Used         time.Time `json:"used,omitzero"` // last sign-in, to the hour
}

// AskedCard is a card that was confirmed and is not linked yet: its holder's name
// is not exactly the person's, and somebody has to look.
type AskedCard struct {
	Holder  string    `json:"holder"`
	Issuer  string    `json:"issuer"`
	Tail    string    `json:"tail"`
	Asked   time.Time `json:"asked"`
	Expires time.Time `json:"expires"` // of the waiting
}

// SessionLimits are those of the person's session at the provider.
type SessionLimits struct {
	Idle int `json:"idle"` // seconds without use after which it ends; 0: by its absolute limit alone
}

// Authenticator is the active authenticator link. Its key is never shown again.
type Authenticator struct {
	Kind      Method    `json:"kind"` // app or token
	Linked    time.Time `json:"linked"`
	Permitted bool      `json:"permitted"`
	Fast      int       `json:"fast"` // seconds that its clock is fast, as learnt from its codes, to some 30 s; slow is negative
}

// Password tells about the password, never of it.
type Password struct {
	Changed time.Time `json:"changed"`
	Min     int       `json:"min"` // the least number of characters of a new one

	OrderedHours int `json:"ordered_hours"` // that a temporary one is good for which is ordered
}

// May says for each link why it cannot be added now, and why no new password can
// be ordered, as a fault code; "" when it can be. linking_code_required says that it
// can, with a code that the help desk gives: it is asked for with the link.
type May struct {
	Card  string `json:"card"`
	App   string `json:"app"`
	Token string `json:"token"`
	Order string `json:"order"` // order a new password, because the card was replaced
}

// Waiting is the protected service whose sign-in waits while the person enrols.
type Waiting struct {
	Service map[string]string `json:"service"` // its name by language
	Resume  string            `json:"resume"`  // the address at the provider that goes on with it
}

// Enrolment is the key of an authenticator that is not linked yet.
type Enrolment struct {
	Key     string    `json:"key"` // base32 in groups of four
	URI     string    `json:"uri"` // otpauth://
	QR      []byte    `json:"qr"`  // PNG
	Account string    `json:"account"`
	Expires time.Time `json:"expires"`
}

// Confirmation links the authenticator of an Enrolment.
type Confirmation struct {
	Code          string `json:"code"`
	Kind          Method `json:"kind"`
	OwnDevice     bool   `json:"own_device"`
	WorkPhone     bool   `json:"work_phone"`
	PersonalPhone bool   `json:"personal_phone"`
	Model         string `json:"model,omitempty"`
	Serial        string `json:"serial,omitempty"`
	LinkingCode   string `json:"linking_code,omitempty"` // of the help desk, where May says linking_code_required
}

// CardMode is how a card is asked for; "" as usual.
type CardMode string

// CardTLS12 is for card software that cannot do what TLS 1.3 wants.
const CardTLS12 CardMode = "tls12"

// CardAttempt is one reading of a card.
type CardAttempt struct {
	URL string `json:"url"` // where to send the browser
}

// CardProgress is how the newest attempt of the person's session goes, until its
// result is taken.
type CardProgress struct {
	Phase   string `json:"phase"`             // none, waiting (no connection has come), reached, broken (which alone means nothing) or decided
	Verdict string `json:"verdict,omitempty"` // of an attempt that is decided: all_good, no_certificate, handshake_broken, never_reached, expired…
	Tail    string `json:"tail,omitempty"`    // of the card that was read
	Result  bool   `json:"result"`            // the card host has sent the browser back with it
	Silent  bool   `json:"silent"`            // nothing but silence has decided: the browser's own window may still be open
	TLS12   bool   `json:"tls12"`             // another try with CardTLS12 makes sense, and is offered
}

// SeenCard is the card that was read, to be shown before it is linked.
type SeenCard struct {
	Card        LinkedCard `json:"card"`
	Fingerprint string     `json:"fingerprint"`
	Match       string     `json:"match"` // how well its holder fits the person: exact or near
	Waits       bool       `json:"waits"` // linking it would wait for an approval
}

// Consents is what the person has allowed third parties' services.
type Consents struct {
	Consents []Consent `json:"consents"` // by client
}

// Consent is what one of them may use.
type Consent struct {
	Client  string            `json:"client"` // its client_id
	Name    map[string]string `json:"name"`   // by language
	Home    string            `json:"home,omitempty"`
	Scopes  []string          `json:"scopes"`
	Claims  []string          `json:"claims,omitempty"` // asked for by name, beyond what the scopes give
	Given   time.Time         `json:"given"`
	Changed time.Time         `json:"changed"` // when more was allowed
}

// Error is what the API answers when it refuses (RFC 9457).
type Error struct {
	Type       string            `json:"type"`  // about:blank
	Title      string            `json:"title"` // of the status
	Status     int               `json:"status"`
	Code       string            `json:"code"`   // a stable reason, e.g. "totp_already_linked"
	Detail     string            `json:"detail"` // an English sentence
	Field      string            `json:"field,omitempty"`
	Args       map[string]string `json:"args,omitempty"`        // values for a translated text
	RetryAfter int               `json:"retry_after,omitempty"` // seconds
	Reference  string            `json:"reference,omitempty"`   // finds the request in the provider's log, and what user support is told of it
}

func (e *Error) Error() string { return e.Detail }

// Client calls the API of one provider. The zero HTTP client is http.DefaultClient.
type Client struct {
	Issuer string // e.g. https://id.example.fi
	HTTP   *http.Client
}

// Me returns the account.
func (c *Client) Me(ctx context.Context, token string) (Me, error) {
	var me Me
	err := c.do(ctx, token, "GET", "/api/v1/me", nil, &me)
	return me, err
}

// BeginAuthenticator makes a key; a former one that was not confirmed is void.
func (c *Client) BeginAuthenticator(ctx context.Context, token string) (Enrolment, error) {
	var e Enrolment
	err := c.do(ctx, token, "POST", "/api/v1/me/authenticator", struct{}{}, &e)
	return e, err
}

// ConfirmAuthenticator links the authenticator whose code this is.
func (c *Client) ConfirmAuthenticator(ctx context.Context, token string, in Confirmation) error {
	return c.do(ctx, token, "POST", "/api/v1/me/authenticator/confirm", in, nil)
}

// TryCode spends a code to see that the authenticator works. Faults otp_wrong,
// otp_used, otp_clock_fast and otp_clock_slow say what is wrong.
func (c *Client) TryCode(ctx context.Context, token, code string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/authenticator/trial", map[string]string{"code": code}, nil)
}

// BeginCard opens the card host for linking; back is where the browser returns
// to with a code, an address of the calling client.
func (c *Client) BeginCard(ctx context.Context, token, back string, m CardMode) (CardAttempt, error) {
	in := map[string]string{"return": back}
	if m != "" {
		in["mode"] = string(m)
	}
	var a CardAttempt
	err := c.do(ctx, token, "POST", "/api/v1/me/card/attempt", in, &a)
	return a, err
}

// CardProgress tells the page that the person sees meanwhile how it goes.
func (c *Client) CardProgress(ctx context.Context, token string) (CardProgress, error) {
	var p CardProgress
	err := c.do(ctx, token, "GET", "/api/v1/me/card/attempt", nil, &p)
	return p, err
}

// CardOutcome is CardProgress for a person who has come back without the result, as
// from an error page of the browser: nothing is left undecided.
func (c *Client) CardOutcome(ctx context.Context, token string) (CardProgress, error) {
	var p CardProgress
	err := c.do(ctx, token, "GET", "/api/v1/me/card/outcome", nil, &p)
	return p, err
}

// SeenCard redeems the code that the browser came back with.
func (c *Client) SeenCard(ctx context.Context, token, code string) (SeenCard, error) {
	var s SeenCard
	err := c.do(ctx, token, "POST", "/api/v1/me/card/seen", map[string]string{"code": code}, &s)
	return s, err
}

// LinkCard links the card that SeenCard showed. Error "card_awaits_approval" says
// that somebody has to look at it first, and that nothing is linked yet.
func (c *Client) LinkCard(ctx context.Context, token, fingerprint string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/card/link", map[string]string{"fingerprint": fingerprint}, nil)
}

// LinkCardWithCode is LinkCard with the linking code of the help desk, where May says
// linking_code_required. Errors linking_code_required and linking_code_wrong leave the
// card as it was shown.
func (c *Client) LinkCardWithCode(ctx context.Context, token, fingerprint, code string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/card/link", map[string]string{"fingerprint": fingerprint, "linking_code": code}, nil)
}

// ChangePassword sets a new password; the person's other sessions end.
func (c *Client) ChangePassword(ctx context.Context, token, current, replacement string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/password", map[string]string{"current": current, "new": replacement}, nil)
}

// Order orders a new password for the person herself, by letter: the card link is
// removed and every session ends, the caller's with them. Error "order_by_support"
// when it could not be delivered so.
func (c *Client) Order(ctx context.Context, token string) error {
	return c.do(ctx, token, "POST", "/api/v1/me/order", struct{}{}, nil)
}

// Consents lists what the person has allowed third parties' services.
func (c *Client) Consents(ctx context.Context, token string) ([]Consent, error) {
	var all Consents
	err := c.do(ctx, token, "GET", "/api/v1/me/consents", nil, &all)
	return all.Consents, err
}

// Withdraw takes the consent to a client back; its tokens end with it. Error
// "consent_not_found" when there is none.
func (c *Client) Withdraw(ctx context.Context, token, client string) error {
	return c.do(ctx, token, "DELETE", "/api/v1/me/consents/"+url.PathEscape(client), nil, nil)
}

func (c *Client) do(ctx context.Context, token, method, path string, in, out any) error {
	return c.call(ctx, token, method, path, nil, in, out)
}

// maxAnswer bounds an answer: thousands of clients fit.
const maxAnswer = 64 << 20

func (c *Client) call(ctx context.Context, token, method, path string, header http.Header, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("portti: encode %s: %w", path, err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(c.Issuer, "/")+path, body)
	if err != nil {
		return fmt.Errorf("portti: %w", err)
	}
	maps.Copy(req.Header, header)
	present(req, token)
	req.Header.Set("Accept", "application/json")
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("portti: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("portti: read %s: %w", path, err)
	}
	if res.StatusCode >= 300 {
		return refused(res, answer)
	}
	if out == nil || res.StatusCode == http.StatusNoContent {
		return nil
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("portti: decode %s: %w", path, err)
	}
	return nil
}

// refused is the error of an answer that is none.
func refused(res *http.Response, answer []byte) *Error {
	e := &Error{Status: res.StatusCode}
	if json.Unmarshal(answer, e) != nil || e.Code == "" {
		e.Code, e.Detail = "unexpected", fmt.Sprintf("The provider answered %s.", res.Status)
	}
	return e
}

// Code returns the code of an Error in err, or "".
func Code(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}
