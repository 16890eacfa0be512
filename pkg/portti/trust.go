package portti

import (
	"context"
	"net/url"
	"time"
)

// Trust is whose cards are accepted.
type Trust struct {
	Cards       bool           `json:"cards"`                 // false: nobody signs in with a card, and the rest is empty
	Loaded      time.Time      `json:"loaded,omitzero"`       // when the bundle in force was read
	Fingerprint string         `json:"fingerprint,omitempty"` // of its files, SHA-256; the same on every replica that has the same
	Defects     []TrustDefect  `json:"defects,omitempty"`     // why what the folder holds now is not in force
	Since       time.Time      `json:"since,omitzero"`        // of the defects
	Warnings    []TrustWarning `json:"warnings,omitempty"`
	Authorities []Authority    `json:"authorities"`
	Strays      []Revocation   `json:"strays,omitempty"` // lists of CAs that are not in the bundle
}

// TrustDefect is one thing for which what the folder holds now is not put in force.
type TrustDefect struct {
	Fault string    `json:"fault"`         // settings, unreadable, not_ca, early, expired, weak, limits, test, twice, not_root, name or chain
	File  string    `json:"file"`          // of the certificate, or of the settings
	Date  time.Time `json:"date,omitzero"` // early, expired: the certificate's
	Text  string    `json:"text"`          // all of it, in English
}

// TrustWarning is what an operator should know of a CA although the bundle is in order.
type TrustWarning struct {
	Concern   string    `json:"concern"`          // expired, expires, idle, nowhere or policy
	Authority string    `json:"authority"`        // the CA's name
	Until     time.Time `json:"until,omitzero"`   // expired, expires: the CA's end
	Days      int       `json:"days,omitempty"`   // expires: until then
	Policy    string    `json:"policy,omitempty"` // policy: that is accepted
	By        string    `json:"by,omitempty"`     // policy: the CA that may not issue under it
	Only      string    `json:"only,omitempty"`   // policy: what it may issue under
	Text      string    `json:"text"`             // all of it, in English
}

// Authority is a CA of the bundle.
type Authority struct {
	Name      string       `json:"name"`
	Kind      string       `json:"kind"`              // root, or what its cards are for: organisation, health_professional, personnel, actor, temporary, citizen
	Refused   bool         `json:"refused,omitempty"` // its cards are known, and refused as what they are
	NotBefore time.Time    `json:"not_before"`
	NotAfter  time.Time    `json:"not_after"`
	SHA256    string       `json:"sha256"` // of its certificate
	Key       string       `json:"key"`    // RSA 4096, P-384
	OCSP      []string     `json:"ocsp,omitempty"`
	CRL       []string     `json:"crl,omitempty"`
	Lists     []Revocation `json:"lists,omitempty"`
}

// Revocation is a CA's list of revoked certificates.
type Revocation struct {
	CA         string    `json:"ca"`
	Scope      string    `json:"scope,omitempty"`
	Number     string    `json:"number,omitempty"`
	ThisUpdate time.Time `json:"this_update"`
	NextUpdate time.Time `json:"next_update"`
	Checked    time.Time `json:"checked,omitzero"` // when its source last said that it is the newest
	Entries    int       `json:"entries"`
	Stale      bool      `json:"stale,omitempty"` // its time is over: it says only of those on it that they were revoked
}

// UnknownIssuer is a CA that is not in the bundle and whose cards were shown.
// Anybody can make a certificate that names any CA: only one with Root is proved
// to be what its name says.
type UnknownIssuer struct {
	ID          string    `json:"id"`
	Issuer      string    `json:"issuer"`
	KeyID       string    `json:"key_id,omitempty"`
	Root        string    `json:"root,omitempty"` // the root of the bundle that has signed it
	Seen        int64     `json:"seen"`
	First       time.Time `json:"first"`
	Last        time.Time `json:"last"`
	SHA256      string    `json:"sha256,omitempty"`
	Certificate string    `json:"certificate,omitempty"` // PEM, when a browser has sent it along
}

// UnknownIssuers is all of them, those that a root has signed first.
type UnknownIssuers struct {
	Issuers []UnknownIssuer `json:"issuers"`
}

// Trust tells whose cards are accepted, and how fresh the lists are.
func (c *Client) Trust(ctx context.Context, token string) (Trust, error) {
	var t Trust
	err := c.do(ctx, token, "GET", "/api/v1/trust", nil, &t)
	return t, err
}

// UnknownIssuers lists the CAs that were met and are not in the bundle.
func (c *Client) UnknownIssuers(ctx context.Context, token string) (UnknownIssuers, error) {
	var u UnknownIssuers
	err := c.do(ctx, token, "GET", "/api/v1/trust/strangers", nil, &u)
	return u, err
}

// ForgetIssuer deletes one from the list; it comes back when its cards are shown
// again. Error "unknown_issuer_not_found".
func (c *Client) ForgetIssuer(ctx context.Context, token, id string) error {
	return c.do(ctx, token, "POST", "/api/v1/trust/strangers/"+url.PathEscape(id)+"/forget", nil, nil)
}
