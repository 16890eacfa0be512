package openid

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/dpop"
	"github.com/portti-id/portti/internal/keys"
)

// configuration is the provider's metadata (OpenID Connect Discovery §3, RFC
// 8414 §2): what is true today and nothing else.
type configuration struct {
	Issuer                   string           `json:"issuer"`
	Authorization            string           `json:"authorization_endpoint"`
	PAR                      string           `json:"pushed_authorization_request_endpoint"`
	RequirePAR               bool             `json:"require_pushed_authorization_requests"`
	Token                    string           `json:"token_endpoint"`
	Userinfo                 string           `json:"userinfo_endpoint"`
	Register                 string           `json:"registration_endpoint,omitempty"`
	JWKS                     string           `json:"jwks_uri"`
	EndSession               string           `json:"end_session_endpoint"`
	Introspection            string           `json:"introspection_endpoint"`
	Revocation               string           `json:"revocation_endpoint"`
	Device                   string           `json:"device_authorization_endpoint"`
	Scopes                   []string         `json:"scopes_supported"`
	ResponseTypes            []string         `json:"response_types_supported"`
	ResponseModes            []string         `json:"response_modes_supported"`
	Grants                   []GrantType      `json:"grant_types_supported"`
	ACRs                     []string         `json:"acr_values_supported"`
	SubjectTypes             []string         `json:"subject_types_supported"`
	Algorithms               []keys.Algorithm `json:"id_token_signing_alg_values_supported"`
	AuthMethods              []AuthMethod     `json:"token_endpoint_auth_methods_supported"`
	AuthAlgorithms           []keys.Algorithm `json:"token_endpoint_auth_signing_alg_values_supported"`
	DPoPAlgorithms           []string         `json:"dpop_signing_alg_values_supported"`
	IntrospectionMethods     []AuthMethod     `json:"introspection_endpoint_auth_methods_supported"`
	RevocationMethods        []AuthMethod     `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth        []keys.Algorithm `json:"introspection_endpoint_auth_signing_alg_values_supported"` // RFC 8414 §2
	RevocationAuth           []keys.Algorithm `json:"revocation_endpoint_auth_signing_alg_values_supported"`
	UserinfoAlgorithms       []keys.Algorithm `json:"userinfo_signing_alg_values_supported"`
	IDTokenKeyEncryptions    []string         `json:"id_token_encryption_alg_values_supported"`
	IDTokenEncryptions       []string         `json:"id_token_encryption_enc_values_supported"`
	UserinfoKeyEncryptions   []string         `json:"userinfo_encryption_alg_values_supported"`
	UserinfoEncryptions      []string         `json:"userinfo_encryption_enc_values_supported"`
	IntrospectionAlgorithms  []keys.Algorithm `json:"introspection_signing_alg_values_supported"` // RFC 9701 §7
	ClaimTypes               []string         `json:"claim_types_supported"`
	Claims                   []string         `json:"claims_supported"`
	Locales                  []string         `json:"ui_locales_supported,omitempty"`
	ClaimsParameter          bool             `json:"claims_parameter_supported"`
	RequestParameter         bool             `json:"request_parameter_supported"`
	RequestURIParameter      bool             `json:"request_uri_parameter_supported"` // true when left out
	RequireRequestURI        bool             `json:"require_request_uri_registration"`
	RequestAlgorithms        []keys.Algorithm `json:"request_object_signing_alg_values_supported"`
	ResponseAlgorithms       []keys.Algorithm `json:"authorization_signing_alg_values_supported"` // JARM §4
	Challenges               []string         `json:"code_challenge_methods_supported"`
	IssuerParameter          bool             `json:"authorization_response_iss_parameter_supported"`
	BackChannelLogout        bool             `json:"backchannel_logout_supported"`
	BackChannelLogoutSession bool             `json:"backchannel_logout_session_supported"`

	FrontChannelLogout        bool              `json:"frontchannel_logout_supported"`
	FrontChannelLogoutSession bool              `json:"frontchannel_logout_session_supported"`
	CertificateBound          bool              `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	Aliases                   map[string]string `json:"mtls_endpoint_aliases,omitempty"`
}

// document is prepared bytes.
type document struct {
	body []byte
	etag string
}

func (p *Provider) describe() document {
	c := configuration{
		Issuer:                   p.Issuer,
		Authorization:            p.url(AuthorizePath),
		PAR:                      p.url(PARPath),
		RequirePAR:               p.RequirePAR,
		Token:                    p.url(TokenPath),
		Userinfo:                 p.url(UserinfoPath),
		JWKS:                     p.url(JWKSPath),
		EndSession:               p.url(EndSessionPath),
		Introspection:            p.url(IntrospectPath),
		Revocation:               p.url(RevokePath),
		Device:                   p.url(DevicePath),
		Scopes:                   scopesSupported,
		ResponseTypes:            []string{"code"},
		ResponseModes:            slices.Concat(responseModes, jarmModes),
		Grants:                   grants,
		ACRs:                     p.ACR.Supported(),
		SubjectTypes:             []string{"public", string(SubjectPairwise)},
		Algorithms:               p.Keys.Algorithms(),
		AuthMethods:              p.authMethods(),
		AuthAlgorithms:           keys.Algorithms,
		DPoPAlgorithms:           dpop.Algorithms,
		UserinfoAlgorithms:       p.Keys.Algorithms(),
		IDTokenKeyEncryptions:    clientjwt.KeyEncryptions,
		IDTokenEncryptions:       clientjwt.ContentEncryptions,
		UserinfoKeyEncryptions:   clientjwt.KeyEncryptions,
		UserinfoEncryptions:      clientjwt.ContentEncryptions,
		IntrospectionAlgorithms:  p.Keys.Algorithms(),
		ClaimTypes:               []string{"normal"},
		Claims:                   claimsSupported,
		Locales:                  p.Locales,
		ClaimsParameter:          true,
		RequestParameter:         true,
		RequestURIParameter:      true,
		RequireRequestURI:        true,
		RequestAlgorithms:        keys.Algorithms,
		ResponseAlgorithms:       p.Keys.Algorithms(),
		Challenges:               []string{"S256"},
		IssuerParameter:          true,
		BackChannelLogout:        true,
		BackChannelLogoutSession: true,

		FrontChannelLogout:        true,
		FrontChannelLogoutSession: true,
		CertificateBound:          p.MTLS.URL != "",
		Aliases:                   p.aliases(),
	}
	if p.SelfRegistration != NoSelfRegistration {
		c.Register = p.url(RegisterPath)
	}
	c.RevocationMethods, c.RevocationAuth, c.IntrospectionAuth = c.AuthMethods, c.AuthAlgorithms, c.AuthAlgorithms
	c.IntrospectionMethods = slices.DeleteFunc(slices.Clone(c.AuthMethods), func(m AuthMethod) bool { return m == AuthNone })
	body, err := json.Marshal(c)
	if err != nil {
		panic("openid: metadata: " + err.Error()) // strings and booleans always marshal
	}
	sum := sha256.Sum256(body)
	return document{body: body, etag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
}

// How long others may keep what we publish. A signing key is published for
// longer than this before it signs.
const (
	metadataAge = "public, max-age=3600"
	jwksAge     = "public, max-age=300"
)

func (p *Provider) metadata(w http.ResponseWriter, r *http.Request) {
	publish(w, r, p.discovery.body, p.discovery.etag, "application/json", metadataAge)
}

func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) {
	body, etag := p.Keys.JWKS()
	publish(w, r, body, etag, "application/jwk-set+json", jwksAge)
}

func publish(w http.ResponseWriter, r *http.Request, body []byte, etag, kind, age string) {
	if preflight(w, r, "GET") {
		return
	}
	h := w.Header()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		h.Set("Allow", "GET, HEAD, OPTIONS")
		h.Set("Cache-Control", "no-store")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use GET."})
		return
	}
	h.Set("Cache-Control", age)
	h.Set("ETag", etag)
	h.Set("X-Content-Type-Options", "nosniff")
	if match := r.Header.Get("If-None-Match"); match != "" && strings.Contains(match, etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", kind)
	_, _ = w.Write(body) // net/http leaves the body of a HEAD out
}
