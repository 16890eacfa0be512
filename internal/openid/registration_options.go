package openid

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/keys"
)

// authMethods is how clients may prove themselves.
var authMethods = []AuthMethod{AuthBasic, AuthPost, AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS, AuthNone}

// fapiAlgorithms are those of FAPI 2.0 (Security Profile §5.4.1).
var fapiAlgorithms = []keys.Algorithm{keys.PS256, keys.ES256, keys.EdDSA}

// jarmModes are the response modes of JARM, which a client must be registered for.
var jarmModes = []string{"jwt", "query.jwt", "fragment.jwt", "form_post.jwt"}

// ours tells whether an algorithm is one of ours, or none.
func ours(alg keys.Algorithm) bool { return alg == "" || slices.Contains(keys.Algorithms, alg) }

// needsKeys names what of a registration needs a key of the client's own.
func (c Client) needsKeys() string {
	for _, n := range []struct {
		needs bool
		field string
	}{
		{c.AuthMethod == AuthPrivateKeyJWT || c.AuthMethod == AuthSelfSignedTLS, "auth_method " + string(c.AuthMethod)},
		{c.RequestObjectAlg != "", "request_object_signing_alg"},
		{c.IDTokenEncAlg != "", "id_token_encrypted_response_alg"},
		{c.UserinfoEncAlg != "", "userinfo_encrypted_response_alg"},
	} {
		if n.needs {
			return n.field
		}
	}
	return ""
}

func validateKeys(c Client, _ ACRs) error {
	switch needs := c.needsKeys(); {
	case len(c.JWKS) > 0 && c.JWKSURI != "":
		return invalid("jwks", "give the keys or the jwks_uri, not both")
	case needs != "" && len(c.JWKS) == 0 && c.JWKSURI == "":
		return invalid("jwks", "%s needs the client's public keys, here or at a jwks_uri", needs)
	case len(c.JWKS) == 0:
		return nil
	}
	if _, err := clientjwt.ParseKeys(c.JWKS); err != nil {
		return invalid("jwks", "%s", err)
	}
	return nil
}

func validateRequests(c Client, acr ACRs) error {
	for _, mode := range c.ResponseModes {
		if !slices.Contains(responseModes, mode) && !slices.Contains(jarmModes, mode) {
			return invalid("response_modes", "%q is not one of %v %v", mode, responseModes, jarmModes)
		}
	}
	for _, uri := range c.RequestURIs {
		bare, _, _ := strings.Cut(uri, "#") // a fragment may stand there (OpenID Connect Core §6.2)
		if err := checkURI(bare); err != nil {
			return invalid("request_uris", "%q %s", uri, err)
		}
		if !plainURI(uri) || len(uri) > longestURI {
			return invalid("request_uris", "%q is not an address of ASCII characters, %d at most", uri, longestURI)
		}
	}
	for _, name := range c.DefaultACRValues {
		if _, known := acr.strength(name); !known {
			return invalid("default_acr_values", "%q is not one of %v", name, acr.Supported())
		}
	}
	jarm := slices.ContainsFunc(c.ResponseModes, func(m string) bool { return slices.Contains(jarmModes, m) })
	switch {
	case !ours(c.RequestObjectAlg):
		return invalid("request_object_signing_alg", "%q is not one of %v", c.RequestObjectAlg, keys.Algorithms)
	case c.RequestObjectAlg == "" && (c.RequireRequestObject || len(c.RequestURIs) > 0):
		return invalid("request_object_signing_alg", "it is needed for request objects")
	case !ours(c.ResponseAlg):
		return invalid("authorization_signed_response_alg", "%q is not one of %v", c.ResponseAlg, keys.Algorithms)
	case c.ResponseAlg != "" && !jarm:
		return invalid("authorization_signed_response_alg", "none of %v is among the response_modes", jarmModes)
	case c.DefaultMaxAge != nil && *c.DefaultMaxAge < 0:
		return invalid("default_max_age", "%d is not a number of seconds", *c.DefaultMaxAge)
	}
	return nil
}

func validateTokens(c Client, _ ACRs) error {
	switch {
	case !ours(c.Algorithm):
		return invalid("algorithm", "%q is not one of %v", c.Algorithm, keys.Algorithms)
	case c.AccessTokenTTL != 0 && (c.AccessTokenTTL < shortestAccessToken || c.AccessTokenTTL > longestAccessToken):
		return invalid("access_token_ttl", "%s is not between %s and %s", c.AccessTokenTTL, shortestAccessToken, longestAccessToken)
	case c.TokenFormat != FormatReference && c.TokenFormat != FormatJWT:
		return invalid("access_token_format", "%q is neither empty nor %s", c.TokenFormat, FormatJWT)
	case c.KeepRefreshToken && !c.bound():
		return invalid("keep_refresh_token", "only a client whose tokens are bound to a key may keep its refresh token (RFC 9700 §4.14.2)")
	case c.DPoP && c.CertificateBound:
		return invalid("dpop_bound_access_tokens", "a token is bound to one key: leave out this or tls_client_certificate_bound_access_tokens")
	case c.ForwardsAddresses && c.AuthMethod == AuthNone:
		return invalid("forwards_addresses", "a public client proves nothing about itself, so its word is not taken")
	case c.SubjectType != SubjectPublic && c.SubjectType != SubjectPairwise:
		return invalid("subject_type", "%q is neither public nor %s", c.SubjectType, SubjectPairwise)
	case !ours(c.UserinfoAlg):
		return invalid("userinfo_signed_response_alg", "%q is not one of %v", c.UserinfoAlg, keys.Algorithms)
	case !ours(c.IntrospectionAlg):
		return invalid("introspection_signed_response_alg", "%q is not one of %v", c.IntrospectionAlg, keys.Algorithms)
	}
	for field, list := range map[string][]string{"resources": c.Resources, "serves": c.Serves, "exchange_to": c.ExchangeTo} {
		for _, uri := range list {
			if err := checkResource(uri); err != nil {
				return invalid(field, "%q %s", uri, err)
			}
		}
	}
	for prefix, pair := range map[string][2]string{"id_token": {c.IDTokenEncAlg, c.IDTokenEnc}, "userinfo": {c.UserinfoEncAlg, c.UserinfoEnc}} {
		alg, enc := pair[0], pair[1]
		switch {
		case alg != "" && !slices.Contains(clientjwt.KeyEncryptions, alg):
			return invalid(prefix+"_encrypted_response_alg", "%q is not one of %v", alg, clientjwt.KeyEncryptions)
		case enc != "" && alg == "":
			return invalid(prefix+"_encrypted_response_alg", "it is needed beside %s_encrypted_response_enc", prefix)
		case enc != "" && !slices.Contains(clientjwt.ContentEncryptions, enc):
			return invalid(prefix+"_encrypted_response_enc", "%q is not one of %v", enc, clientjwt.ContentEncryptions)
		}
	}
	return validateSector(c)
}

// checkResource says what is wrong with a resource indicator (RFC 8707 §2).
func checkResource(uri string) error {
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs() || len(uri) > longestURI || !plainURI(uri):
		return fmt.Errorf("is not an absolute URI")
	case strings.Contains(uri, "#"):
		return fmt.Errorf("must not have a fragment")
	}
	return nil
}

// validateSector makes sure that there is one sector (OpenID Connect Core §8.1).
func validateSector(c Client) error {
	hosts := map[string]bool{}
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err == nil {
			hosts[u.Hostname()] = true
		}
	}
	switch {
	case c.SubjectType != SubjectPairwise && c.SectorIdentifierURI != "":
		return invalid("sector_identifier_uri", "it is of clients with subject_type %s", SubjectPairwise)
	case c.SubjectType == SubjectPairwise && c.SectorIdentifierURI == "" && len(hosts) != 1:
		return invalid("sector_identifier_uri", "it is needed: the redirect_uris have %d hosts, and pairwise subjects belong to one", len(hosts))
	}
	return nil
}

// validateProfile holds a client to FAPI 2.0 Security Profile §5.3.2 and §5.4.
func validateProfile(c Client, _ ACRs) error {
	if c.Profile != ProfileNone && c.Profile != ProfileFAPI2 {
		return invalid("profile", "%q is neither empty nor %s", c.Profile, ProfileFAPI2)
	}
	if !c.fapi() {
		return nil
	}
	if !slices.Contains([]AuthMethod{AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS}, c.AuthMethod) {
		return invalid("auth_method", "%s is not for the profile %s: use %s, %s or %s", c.AuthMethod, c.Profile, AuthPrivateKeyJWT, AuthTLS, AuthSelfSignedTLS)
	}
	if c.may(GrantDevice) {
		return invalid("grant_types", "%s is not for the profile %s", GrantDevice, c.Profile)
	}
	if !c.bound() {
		return invalid("dpop_bound_access_tokens", "the profile %s needs it, or tls_client_certificate_bound_access_tokens", c.Profile)
	}
	for field, alg := range map[string]keys.Algorithm{"algorithm": c.algorithm(), "token_endpoint_auth_signing_alg": c.AuthAlgorithm, "request_object_signing_alg": c.RequestObjectAlg,
		"authorization_signed_response_alg": c.ResponseAlg, "userinfo_signed_response_alg": c.UserinfoAlg, "introspection_signed_response_alg": c.IntrospectionAlg} {
		if alg != "" && !slices.Contains(fapiAlgorithms, alg) {
			return invalid(field, "%s is not for the profile %s: use one of %v", alg, c.Profile, fapiAlgorithms)
		}
	}
	for _, uri := range c.RedirectURIs {
		if u, err := url.Parse(uri); err != nil || u.Scheme != "https" {
			return invalid("redirect_uris", "%q must be https under the profile %s", uri, c.Profile)
		}
	}
	return nil
}
