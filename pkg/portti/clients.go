package portti

import (
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Registration is a relying party as it is registered: the document of porttictl
// client import and export. Its members are those of RFC 7591, OpenID Connect and
// their sisters, and a few of Portti's. What is left out gets its default.
type Registration struct {
	ID                     string   `json:"client_id,omitempty"`
	Name                   string   `json:"client_name,omitempty"` // in English, unless client_name#en says otherwise
	NameFi                 string   `json:"client_name#fi,omitempty"`
	NameSv                 string   `json:"client_name#sv,omitempty"`
	NameEn                 string   `json:"client_name#en,omitempty"`
	ApplicationType        string   `json:"application_type,omitempty"` // web or native
	RedirectURIs           []string `json:"redirect_uris,omitempty"`    // compared exactly
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	BackChannelLogoutURI   string   `json:"backchannel_logout_uri,omitempty"`
	BackChannelSession     *bool    `json:"backchannel_logout_session_required,omitempty"`  // sid is always sent
	FrontChannelSession    *bool    `json:"frontchannel_logout_session_required,omitempty"` // iss and sid are always sent
	ResponseTypes          []string `json:"response_types,omitempty"`                       // code
	GrantTypes             []string `json:"grant_types,omitempty"`
	Scope                  string   `json:"scope,omitempty"` // separated by spaces
	AuthMethod             string   `json:"token_endpoint_auth_method,omitempty"`
	Algorithm              string   `json:"id_token_signed_response_alg,omitempty"`
	HomeURI                string   `json:"client_uri,omitempty"`
	RequireAuthTime        *bool    `json:"require_auth_time,omitempty"` // auth_time is always there

	Profile    string `json:"profile,omitempty"`     // fapi2, or none
	ThirdParty bool   `json:"third_party,omitempty"` // people are asked for their consent

	JWKS    json.RawMessage `json:"jwks,omitempty"` // its public keys, or
	JWKSURI string          `json:"jwks_uri,omitempty"`

	AuthAlgorithm string `json:"token_endpoint_auth_signing_alg,omitempty"`
	TLSSubjectDN  string `json:"tls_client_auth_subject_dn,omitempty"`
	TLSSANDNS     string `json:"tls_client_auth_san_dns,omitempty"`
	TLSSANURI     string `json:"tls_client_auth_san_uri,omitempty"`
	TLSSANIP      string `json:"tls_client_auth_san_ip,omitempty"`
	TLSSANEmail   string `json:"tls_client_auth_san_email,omitempty"`

	RequirePAR           bool     `json:"require_pushed_authorization_requests,omitempty"`
	RequireRequestObject bool     `json:"require_signed_request_object,omitempty"`
	RequestObjectAlg     string   `json:"request_object_signing_alg,omitempty"`
	RequestURIs          []string `json:"request_uris,omitempty"`
	ResponseModes        []string `json:"response_modes,omitempty"`
	ResponseAlg          string   `json:"authorization_signed_response_alg,omitempty"`
	DefaultMaxAge        *int64   `json:"default_max_age,omitempty"` // seconds
	DefaultACRValues     []string `json:"default_acr_values,omitempty"`

	DPoP                bool     `json:"dpop_bound_access_tokens,omitempty"`
	CertificateBound    bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	TokenFormat         string   `json:"access_token_format,omitempty"` // jwt, or a reference
	KeepRefreshToken    bool     `json:"keep_refresh_token,omitempty"`
	Resources           []string `json:"resources,omitempty"`   // resource indicators that it may ask for
	Serves              []string `json:"serves,omitempty"`      // those that it is the server of
	ExchangeTo          []string `json:"exchange_to,omitempty"` // those that it may exchange its callers' tokens for
	IDTokenEncAlg       string   `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEnc          string   `json:"id_token_encrypted_response_enc,omitempty"`
	UserinfoAlg         string   `json:"userinfo_signed_response_alg,omitempty"`
	UserinfoEncAlg      string   `json:"userinfo_encrypted_response_alg,omitempty"`
	UserinfoEnc         string   `json:"userinfo_encrypted_response_enc,omitempty"`
	IntrospectionAlg    string   `json:"introspection_signed_response_alg,omitempty"`
	SubjectType         string   `json:"subject_type,omitempty"` // pairwise, or public
	SectorIdentifierURI string   `json:"sector_identifier_uri,omitempty"`
	FrontChannelURI     string   `json:"frontchannel_logout_uri,omitempty"`

	ForwardsAddresses bool `json:"forwards_addresses,omitempty"` // its word is taken for the address of the browser that it calls for (VisitorHeader)

	LogoURI   string   `json:"logo_uri,omitempty"`
	PolicyURI string   `json:"policy_uri,omitempty"`
	TermsURI  string   `json:"tos_uri,omitempty"`
	Contacts  []string `json:"contacts,omitempty"`

	MinimumACR     string   `json:"minimum_acr,omitempty"` // demanded of every sign-in
	Methods        []string `json:"methods,omitempty"`     // card, app, token; none: all
	RequirePKCE    *bool    `json:"require_pkce,omitempty"`
	AccessTokenTTL int64    `json:"access_token_lifetime,omitempty"` // seconds; 0: the installation's
}

// Registered is a registration with its state.
type Registered struct {
	Client         Registration `json:"client"`
	Secret         string       `json:"client_secret,omitempty"`   // of a new client or after RotateSecret, this once
	OldSecretUntil time.Time    `json:"old_secret_until,omitzero"` // the secret before works until then
	Created        time.Time    `json:"created,omitzero"`          //
	Disabled       time.Time    `json:"disabled,omitzero"`         // absent: enabled
	SelfRegistered bool         `json:"self_registered,omitempty"` // by dynamic registration
	Version        int64        `json:"version"`                   // for ReplaceClient
}

// Registrations is every client, by ID.
type Registrations struct {
	Clients []Registered `json:"clients"`
}

// Rotation says how a secret is replaced.
type Rotation struct {
	Keep int64 `json:"keep"` // seconds that the secret before works on, 30 days at most; 0 after a leak
}

// Change says whether a change is to happen, and why.
type Change struct {
	apply          bool
	reason, ticket string
}

// The zero Change is DryRun.
var (
	Apply  = Change{apply: true}
	DryRun = Change{} // it is checked in full, and nothing is written
)

// ReasonHeader and TicketHeader are the request headers that say why a client is
// changed: UTF-8 in percent-encoding, each once at most.
const (
	ReasonHeader = "Portti-Reason"
	TicketHeader = "Portti-Ticket"
)

// Because adds why a client is changed, for the audit trail; "" for what one has
// no word for. Changes of organisations' policies take none.
func (c Change) Because(reason, ticket string) Change {
	c.reason, c.ticket = reason, ticket
	return c
}

func (c Change) query() string {
	if c.apply {
		return ""
	}
	return "?dry_run=true"
}

// why adds the headers to others.
func (c Change) why(others http.Header) http.Header {
	h := http.Header{}
	maps.Copy(h, others)
	for name, typed := range map[string]string{ReasonHeader: c.reason, TicketHeader: c.ticket} {
		if typed != "" {
			h.Set(name, url.PathEscape(typed))
		}
	}
	return h
}

// Clients lists every client. This and all that follows is for operators: token
// is an access token with scope "clients".
func (c *Client) Clients(ctx context.Context, token string) ([]Registered, error) {
	var list Registrations
	err := c.do(ctx, token, "GET", "/api/v1/clients", nil, &list)
	return list.Clients, err
}

// RegisteredClient returns a client.
func (c *Client) RegisteredClient(ctx context.Context, token, id string) (Registered, error) {
	return c.client(ctx, token, "GET", clientPath(id), nil, nil)
}

// RegisterClient registers a client. Its secret is in the answer, this once.
func (c *Client) RegisterClient(ctx context.Context, token string, r Registration, change Change) (Registered, error) {
	return c.client(ctx, token, "POST", "/api/v1/clients"+change.query(), r, change.why(nil))
}

// ReplaceClient replaces a registration whole, if its version is still this one;
// otherwise the Error's code is "precondition_failed".
func (c *Client) ReplaceClient(ctx context.Context, token, id string, version int64, r Registration, change Change) (Registered, error) {
	return c.client(ctx, token, "PUT", clientPath(id)+change.query(), r, change.why(seen(version)))
}

// DisableClient stops a client and its tokens.
func (c *Client) DisableClient(ctx context.Context, token, id string, change Change) (Registered, error) {
	return c.client(ctx, token, "POST", clientPath(id)+"/disable"+change.query(), nil, change.why(nil))
}

// EnableClient opens a disabled client again.
func (c *Client) EnableClient(ctx context.Context, token, id string, change Change) (Registered, error) {
	return c.client(ctx, token, "POST", clientPath(id)+"/enable"+change.query(), nil, change.why(nil))
}

// RotateSecret gives a client another secret, in the answer this once. The one
// before works on for keep, so that the client can be moved without a break.
func (c *Client) RotateSecret(ctx context.Context, token, id string, keep time.Duration, change Change) (Registered, error) {
	return c.client(ctx, token, "POST", clientPath(id)+"/secret"+change.query(), Rotation{Keep: int64(keep / time.Second)}, change.why(nil))
}

func clientPath(id string) string { return "/api/v1/clients/" + url.PathEscape(id) }

func (c *Client) client(ctx context.Context, token, method, path string, in any, header http.Header) (Registered, error) {
	var r Registered
	err := c.call(ctx, token, method, path, header, in, &r)
	return r, err
}

// seen says which version of what is replaced was looked at (RFC 9110 §13.1.1).
func seen(version int64) http.Header {
	return http.Header{"If-Match": {`"` + strconv.FormatInt(version, 10) + `"`}}
}
