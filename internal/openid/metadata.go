package openid

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
)

// Metadata is a registration as files, the JSON API and dynamic registration
// have it: the members of RFC 7591 §2 and of OpenID Connect Dynamic Client
// Registration §2 and its sisters, and a few of ours. It holds no secret and no
// hash of one.
type Metadata struct {
	ID                     string         `json:"client_id,omitempty"`
	Name                   string         `json:"client_name,omitempty"` // in English, unless client_name#en says otherwise
	NameFi                 string         `json:"client_name#fi,omitempty"`
	NameSv                 string         `json:"client_name#sv,omitempty"`
	NameEn                 string         `json:"client_name#en,omitempty"`
	ApplicationType        string         `json:"application_type,omitempty"` // web or native
	RedirectURIs           []string       `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs []string       `json:"post_logout_redirect_uris,omitempty"`
	BackChannelLogoutURI   string         `json:"backchannel_logout_uri,omitempty"`
	BackChannelSession     *bool          `json:"backchannel_logout_session_required,omitempty"`  // sid is always sent
	FrontChannelSession    *bool          `json:"frontchannel_logout_session_required,omitempty"` // so it is here
	ResponseTypes          []string       `json:"response_types,omitempty"`                       // code, for clients with the grant authorization_code
	GrantTypes             []GrantType    `json:"grant_types,omitempty"`
	Scope                  string         `json:"scope,omitempty"`
	AuthMethod             AuthMethod     `json:"token_endpoint_auth_method,omitempty"`
	Algorithm              keys.Algorithm `json:"id_token_signed_response_alg,omitempty"`
	HomeURI                string         `json:"client_uri,omitempty"`
	RequireAuthTime        *bool          `json:"require_auth_time,omitempty"` // auth_time is always there
	Options

	// Ours.
	MinimumACR     string   `json:"minimum_acr,omitempty"`
	Methods        []string `json:"methods,omitempty"` // card, app, token; none: all
	RequirePKCE    *bool    `json:"require_pkce,omitempty"`
	AccessTokenTTL int64    `json:"access_token_lifetime,omitempty"` // seconds; 0: the installation's
}

// maxMetadata bounds a registration; a JWK set is most of it.
const maxMetadata = 128 << 10

// ReadMetadata reads one registration. Members that nobody knows are refused:
// a misspelt one would otherwise silently mean nothing. fault.Invalid
// "client_invalid".
func ReadMetadata(r io.Reader) (Metadata, error) {
	body, err := io.ReadAll(io.LimitReader(r, maxMetadata+1))
	switch {
	case err != nil:
		return Metadata{}, err
	case len(body) > maxMetadata:
		return Metadata{}, fault.New(fault.Invalid, "client_invalid", "The registration is longer than %d bytes.", maxMetadata)
	}
	var m Metadata
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&m); err != nil {
		return Metadata{}, notMetadata(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Metadata{}, fault.New(fault.Invalid, "client_invalid", "There is more than one JSON value.")
	}
	if m.RegistrationTokenHash != "" {
		return Metadata{}, invalid("registration_token_hash", "it cannot be chosen")
	}
	return m, nil
}

// notMetadata says what is wrong with JSON in words that name the member.
func notMetadata(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		member := wrong.Field
		for _, embedded := range []string{"Metadata.", "Options."} {
			member = strings.TrimPrefix(member, embedded)
		}
		return invalid(member, "a JSON %s is not what it takes", wrong.Value)
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return invalid(strings.Trim(name, `"`), "there is no such member")
	}
	return fault.New(fault.Invalid, "client_invalid", "The registration is not a JSON object.")
}

// Apply puts the registration into c, whole: what m leaves out is as if the
// client were new, with the defaults of RFC 7591 §2. ID, secrets and state of c
// stay. The result is still to be checked by ValidateClient.
func (m Metadata) Apply(c *Client) error {
	methods, err := identity.ParseMethods(m.Methods)
	switch {
	case err != nil:
		return invalid("methods", "%s", err)
	case m.ApplicationType != "" && m.ApplicationType != "web" && m.ApplicationType != "native":
		return invalid("application_type", "%q is neither web nor native", m.ApplicationType)
	case len(m.ResponseTypes) > 0 && !slices.Equal(m.ResponseTypes, []string{"code"}):
		return invalid("response_types", "only code is served")
	case m.AccessTokenTTL < 0 || m.AccessTokenTTL > int64(longestAccessToken/time.Second): // before it is a Duration, which could overflow
		return invalid("access_token_ttl", "%d is not a number of seconds up to %d", m.AccessTokenTTL, int64(longestAccessToken/time.Second))
	case m.RegistrationTokenHash != "":
		return invalid("registration_token_hash", "it cannot be chosen")
	}
	names := map[string]string{}
	for lang, name := range map[string]string{"fi": m.NameFi, "sv": m.NameSv, "en": m.NameEn} {
		if name != "" {
			names[lang] = name
		}
	}
	if m.Name != "" && names["en"] == "" {
		names["en"] = m.Name
	}
	token := c.RegistrationTokenHash
	c.Name, c.Native = names, m.ApplicationType == "native"
	c.RedirectURIs, c.PostLogoutRedirectURIs, c.BackChannelLogoutURI, c.HomeURI = m.RedirectURIs, m.PostLogoutRedirectURIs, m.BackChannelLogoutURI, m.HomeURI
	c.AuthMethod, c.GrantTypes, c.Scopes, c.Algorithm = m.AuthMethod, m.GrantTypes, strings.Fields(m.Scope), m.Algorithm
	c.MinimumACR, c.Methods, c.AccessTokenTTL = m.MinimumACR, uint8(methods), time.Duration(m.AccessTokenTTL)*time.Second
	c.RequirePKCE = m.RequirePKCE == nil || *m.RequirePKCE
	c.Options = m.Options
	c.RegistrationTokenHash = token
	if c.SubjectType == "public" { // the standard's word for the usual
		c.SubjectType = SubjectPublic
	}
	if bytes.Equal(bytes.TrimSpace(c.JWKS), []byte("null")) {
		c.JWKS = nil
	}
	if c.AuthMethod == "" {
		c.AuthMethod = AuthBasic
	}
	if len(c.GrantTypes) == 0 {
		c.GrantTypes = []GrantType{GrantCode}
	}
	if c.Algorithm == "" {
		c.Algorithm = keys.RS256
	}
	return nil
}

// MetadataOf is the way back: Apply of it makes the same client.
func MetadataOf(c Client) Metadata {
	pkce := c.RequirePKCE
	m := Metadata{
		ID: c.ID, NameFi: c.Name["fi"], NameSv: c.Name["sv"], NameEn: c.Name["en"], ApplicationType: "web",
		RedirectURIs: c.RedirectURIs, PostLogoutRedirectURIs: c.PostLogoutRedirectURIs, BackChannelLogoutURI: c.BackChannelLogoutURI,
		GrantTypes: c.GrantTypes, Scope: strings.Join(c.Scopes, " "), AuthMethod: c.AuthMethod, Algorithm: c.algorithm(), HomeURI: c.HomeURI,
		Options: c.Options, MinimumACR: c.MinimumACR, RequirePKCE: &pkce, AccessTokenTTL: int64(c.AccessTokenTTL / time.Second),
	}
	if c.Native {
		m.ApplicationType = "native"
	}
	if c.may(GrantCode) {
		m.ResponseTypes = []string{"code"}
	}
	for _, method := range identity.AllMethods {
		if identity.Methods(c.Methods).Has(method) {
			m.Methods = append(m.Methods, method.String())
		}
	}
	m.RegistrationTokenHash = ""
	return m
}

// members are fields that ValidateClient calls by porttictl's names.
var members = map[string]string{"id": "client_id", "name": "client_name", "auth_method": "token_endpoint_auth_method", "native": "application_type", "scopes": "scope",
	"algorithm": "id_token_signed_response_alg", "access_token_ttl": "access_token_lifetime", "home_uri": "client_uri", "secret": "client_secret"}

// NamedAsMetadata gives a fault of a registration the name of the member that is
// wrong, for callers that have sent Metadata.
func NamedAsMetadata(err error) error {
	f, ok := fault.Of(err)
	if !ok {
		return err
	}
	member, ok := members[f.Field]
	if !ok {
		return err
	}
	renamed := f.In(member)
	if rest, ok := strings.CutPrefix(f.Message, f.Field+": "); ok {
		renamed.Message = member + ": " + rest
	}
	return renamed
}
