package openid

import (
	"encoding/json"
	"slices"

	"github.com/portti-id/portti/internal/keys"
)

// Profile is a set of rules that a client has to keep to.
type Profile string

const (
	ProfileNone  Profile = ""
	ProfileFAPI2 Profile = "fapi2" // FAPI 2.0 Security Profile: PAR, PKCE, private_key_jwt or mutual TLS, bound tokens
)

// AccessTokenFormat is what a client's access tokens look like.
type AccessTokenFormat string

const (
	FormatReference AccessTokenFormat = ""    // 43 random characters
	FormatJWT       AccessTokenFormat = "jwt" // at+jwt (RFC 9068)
)

// SubjectType is how a client sees people (OpenID Connect Core §8).
type SubjectType string

const (
	SubjectPublic   SubjectType = "" // the same sub at every client
	SubjectPairwise SubjectType = "pairwise"
)

// Options are the part of a registration that most clients leave empty. JSON
// names are those of the IANA registry of client metadata where it has one.
type Options struct {
	Profile    Profile `json:"profile,omitempty"`
	ThirdParty bool    `json:"third_party,omitempty"` // people are asked for their consent

	// The client's own keys: for its assertions, request objects, self-signed
	// certificates, and for what is encrypted to it. One of the two at most.
	JWKS    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI string          `json:"jwks_uri,omitempty"`

	// How it proves itself, beyond AuthMethod.
	AuthAlgorithm keys.Algorithm `json:"token_endpoint_auth_signing_alg,omitempty"` // of assertions; "": any that the profile permits
	TLSSubjectDN  string         `json:"tls_client_auth_subject_dn,omitempty"`      // RFC 8705 §2.1.2: exactly one of these with AuthTLS
	TLSSANDNS     string         `json:"tls_client_auth_san_dns,omitempty"`
	TLSSANURI     string         `json:"tls_client_auth_san_uri,omitempty"`
	TLSSANIP      string         `json:"tls_client_auth_san_ip,omitempty"`
	TLSSANEmail   string         `json:"tls_client_auth_san_email,omitempty"`

	// Its authorization requests.
	RequirePAR           bool           `json:"require_pushed_authorization_requests,omitempty"`
	RequireRequestObject bool           `json:"require_signed_request_object,omitempty"`
	RequestObjectAlg     keys.Algorithm `json:"request_object_signing_alg,omitempty"` // "": request objects are not taken from it
	RequestURIs          []string       `json:"request_uris,omitempty"`               // where request objects may be fetched from, matched exactly
	ResponseModes        []string       `json:"response_modes,omitempty"`             // none: query, fragment and form_post; JARM's must be listed
	ResponseAlg          keys.Algorithm `json:"authorization_signed_response_alg,omitempty"`
	DefaultMaxAge        *int64         `json:"default_max_age,omitempty"` // seconds
	DefaultACRValues     []string       `json:"default_acr_values,omitempty"`

	// Its tokens.
	DPoP                bool              `json:"dpop_bound_access_tokens,omitempty"`                   // only DPoP-bound tokens (RFC 9449 §5.2)
	CertificateBound    bool              `json:"tls_client_certificate_bound_access_tokens,omitempty"` // only certificate-bound ones (RFC 8705 §3.4)
	TokenFormat         AccessTokenFormat `json:"access_token_format,omitempty"`
	KeepRefreshToken    bool              `json:"keep_refresh_token,omitempty"` // no rotation; bound tokens only
	Resources           []string          `json:"resources,omitempty"`          // resource indicators that it may ask for (RFC 8707)
	Serves              []string          `json:"serves,omitempty"`             // resource indicators that it is the server of: it may introspect their tokens
	ExchangeTo          []string          `json:"exchange_to,omitempty"`        // of Serves' tokens: resources that it may exchange them for (RFC 8693)
	IDTokenEncAlg       string            `json:"id_token_encrypted_response_alg,omitempty"`
	IDTokenEnc          string            `json:"id_token_encrypted_response_enc,omitempty"`
	UserinfoAlg         keys.Algorithm    `json:"userinfo_signed_response_alg,omitempty"` // "": plain JSON
	UserinfoEncAlg      string            `json:"userinfo_encrypted_response_alg,omitempty"`
	UserinfoEnc         string            `json:"userinfo_encrypted_response_enc,omitempty"`
	IntrospectionAlg    keys.Algorithm    `json:"introspection_signed_response_alg,omitempty"` // "": plain unless asked for (RFC 9701)
	SubjectType         SubjectType       `json:"subject_type,omitempty"`
	SectorIdentifierURI string            `json:"sector_identifier_uri,omitempty"`
	FrontChannelURI     string            `json:"frontchannel_logout_uri,omitempty"`

	// Whether its word is taken for the address of the browser that it calls the JSON
	// API for (portti.VisitorHeader). Of our own apps; see Forwards.
	ForwardsAddresses bool `json:"forwards_addresses,omitempty"`

	// What people see of it.
	LogoURI   string   `json:"logo_uri,omitempty"`
	PolicyURI string   `json:"policy_uri,omitempty"`
	TermsURI  string   `json:"tos_uri,omitempty"`
	Contacts  []string `json:"contacts,omitempty"`

	// Of clients that registered themselves (RFC 7591): the hash of the token that
	// manages the registration; "" for the operators' own.
	RegistrationTokenHash string `json:"registration_token_hash,omitempty"`
}

// fapi tells whether the client keeps to FAPI 2.0.
func (c Client) fapi() bool { return c.Profile == ProfileFAPI2 }

// bound tells whether the client gets sender-constrained tokens only.
func (c Client) bound() bool { return c.DPoP || c.CertificateBound }

// SelfRegistered tells whether the client came by dynamic registration, and not
// by an operator.
func (c Client) SelfRegistered() bool { return c.RegistrationTokenHash != "" }

// Forwards tells whether the client's word is taken for whose browser it calls the
// JSON API for. Never of a public client: its users hold its tokens themselves, and
// could call from anywhere they like.
func (c Client) Forwards() bool {
	return c.ForwardsAddresses && c.AuthMethod != AuthNone && !c.SelfRegistered() && c.Disabled.IsZero()
}

// plain tells whether the client speaks OAuth alone (RFC 6749): not registered for
// openid, it gets no ID token and no userinfo, and access tokens for its Resources.
func (c Client) plain() bool { return !slices.Contains(c.Scopes, "openid") }
