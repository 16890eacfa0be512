package openid

import (
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/identity"
)

// Cause is what is probably wrong with a refused request. Texts for people are in
// the catalogues, as "doctor.cause." and the word; Explain has the English one.
type Cause string

const (
	CauseOther           Cause = "other"
	CauseRepeated        Cause = "repeated"
	CauseClientMissing   Cause = "client_missing"
	CauseClientUnknown   Cause = "client_unknown"
	CauseClientDisabled  Cause = "client_disabled"
	CauseClientAuth      Cause = "client_authentication"
	CauseAddressMissing  Cause = "address_missing"
	CauseAddressSlash    Cause = "address_slash"
	CauseAddressCase     Cause = "address_case"
	CauseAddressScheme   Cause = "address_scheme"
	CauseAddressPort     Cause = "address_port"
	CauseAddressQuery    Cause = "address_query"
	CauseAddressPath     Cause = "address_path"
	CauseAddressOther    Cause = "address_other"
	CauseScopeOpenID     Cause = "scope_openid"
	CauseScopeRegistered Cause = "scope_registered"
	CauseResponseType    Cause = "response_type"
	CauseResponseMode    Cause = "response_mode"
	CausePKCEMissing     Cause = "pkce_missing"
	CausePKCEMethod      Cause = "pkce_method"
	CauseMustPush        Cause = "must_push"
	CauseRequestURI      Cause = "request_uri"
	CauseRequestObject   Cause = "request_object"
	CauseResource        Cause = "resource"
	CauseHint            Cause = "hint"
	CauseLogoutClient    Cause = "logout_client"
)

var explained = map[Cause]string{
	CauseOther:           "The parameter does not have the form or the value that the specification and this provider ask for; the description says which.",
	CauseRepeated:        "The parameter is given more than once, or holds characters that cannot be given back. Send it once, percent-encoded UTF-8.",
	CauseClientMissing:   "The request has no client_id, or more than one.",
	CauseClientUnknown:   "No client is registered under this client_id. Is it another installation's, or misspelt?",
	CauseClientDisabled:  "The client is registered, and an operator has disabled it.",
	CauseClientAuth:      "The client did not prove itself by the method that it is registered for.",
	CauseAddressMissing:  "The address is missing, or given more than once. It must be in every request.",
	CauseAddressSlash:    "The address differs from a registered one by a slash at its end alone. Addresses are compared character by character.",
	CauseAddressCase:     "The address differs from a registered one by capital letters alone. Addresses are compared character by character.",
	CauseAddressScheme:   "The address differs from a registered one by http and https alone. Does the service know that it stands behind a proxy which speaks TLS?",
	CauseAddressPort:     "The address differs from a registered one by the port alone. Only native apps may choose a port, on loopback addresses.",
	CauseAddressQuery:    "The address differs from a registered one by its query alone. Register the query as well, or carry the value in state.",
	CauseAddressPath:     "The address has a registered host, but another path.",
	CauseAddressOther:    "None of the registered addresses is like this one.",
	CauseScopeOpenID:     "The scope lacks openid, or holds characters that no scope may hold.",
	CauseScopeRegistered: "The client is not registered for the scope openid.",
	CauseResponseType:    "Only response_type=code is served, to clients with the grant type authorization_code.",
	CauseResponseMode:    "The response_mode is not known, or the client is not registered for it. Signed responses must be registered.",
	CausePKCEMissing:     "The client must use PKCE, and the code_challenge is missing or is not 43 characters of base64url.",
	CausePKCEMethod:      "The code_challenge_method must be S256; left out it means plain, which is refused.",
	CauseMustPush:        "The client must push its requests first (PAR), and come with the request_uri that it gets.",
	CauseRequestURI:      "The request_uri is unknown, was used, or is older than a minute; or the address of a request object that is not registered or cannot be fetched.",
	CauseRequestObject:   "The request object is refused: the client is not registered for one, or its signature, algorithm, audience or times are wrong.",
	CauseResource:        "The client is not registered for this resource, or it is not an absolute URI without fragment.",
	CauseHint:            "The id_token_hint is not an ID token that this provider gave to this client.",
	CauseLogoutClient:    "Nobody says for which client the logout is: send id_token_hint, or client_id.",
}

// Explain says a cause in English, for programs and the command line.
func (c Cause) Explain() string { return explained[c] }

// diagnose finds the likely cause of a refusal, and for addresses the registered one
// that the sent one is nearest to.
func diagnose(f Refusal, c *Client, form url.Values) (Cause, string) {
	values := form[f.Parameter]
	if len(values) > 1 && f.Parameter != "resource" || len(values) == 1 && !readable(values[0]) {
		if f.Parameter == "client_id" {
			return CauseClientMissing, ""
		}
		return CauseRepeated, ""
	}
	switch f.Parameter {
	case "client_id":
		switch {
		case len(values) == 0:
			return CauseClientMissing, ""
		case f.Code == "unauthorized_client":
			return CauseClientDisabled, ""
		}
		return CauseClientUnknown, ""
	case "redirect_uri":
		if len(values) == 0 {
			return CauseAddressMissing, ""
		}
		if c != nil {
			return compareAddress(values[0], c.RedirectURIs)
		}
	case "post_logout_redirect_uri":
		if c == nil || len(values) == 0 {
			return CauseLogoutClient, ""
		}
		return compareAddress(values[0], c.PostLogoutRedirectURIs)
	case "scope":
		if c != nil && slices.Contains(strings.Fields(form.Get("scope")), "openid") && !slices.Contains(c.Scopes, "openid") {
			return CauseScopeRegistered, ""
		}
		return CauseScopeOpenID, ""
	case "request_uri":
		if len(values) == 0 {
			return CauseMustPush, ""
		}
		return CauseRequestURI, ""
	}
	if f.Code == "invalid_client" {
		return CauseClientAuth, ""
	}
	if cause, ok := map[string]Cause{"response_type": CauseResponseType, "response_mode": CauseResponseMode, "code_challenge": CausePKCEMissing, "code_challenge_method": CausePKCEMethod,
		"request": CauseRequestObject, "resource": CauseResource, "id_token_hint": CauseHint}[f.Parameter]; ok {
		return cause, ""
	}
	return CauseOther, ""
}

// compareAddress says by what alone an address differs from a registered one. Of
// several differences the smallest counts.
func compareAddress(sent string, registered []string) (Cause, string) {
	for _, d := range []struct {
		cause Cause
		same  func(a, b *url.URL) bool
	}{
		{CauseAddressSlash, func(a, b *url.URL) bool {
			a.Path, b.Path, a.RawPath, b.RawPath = strings.TrimSuffix(a.Path, "/"), strings.TrimSuffix(b.Path, "/"), "", ""
			return a.String() == b.String()
		}},
		{CauseAddressCase, func(a, b *url.URL) bool { return strings.EqualFold(a.String(), b.String()) }},
		{CauseAddressScheme, func(a, b *url.URL) bool {
			a.Scheme, b.Scheme, a.Host, b.Host = "", "", withoutUsualPort(a), withoutUsualPort(b)
			return a.String() == b.String()
		}},
		{CauseAddressPort, func(a, b *url.URL) bool {
			a.Host, b.Host = a.Hostname(), b.Hostname()
			return a.String() == b.String()
		}},
		{CauseAddressQuery, func(a, b *url.URL) bool {
			a.RawQuery, b.RawQuery, a.ForceQuery, b.ForceQuery = "", "", false, false
			return a.String() == b.String()
		}},
		{CauseAddressPath, func(a, b *url.URL) bool { return a.Hostname() != "" && strings.EqualFold(a.Hostname(), b.Hostname()) }},
	} {
		for _, r := range registered {
			a, err1 := url.Parse(sent)
			b, err2 := url.Parse(r)
			if err1 == nil && err2 == nil && d.same(a, b) {
				return d.cause, r
			}
		}
	}
	return CauseAddressOther, ""
}

func withoutUsualPort(u *url.URL) string {
	if port := u.Port(); port == "" || port == "443" || port == "80" {
		return u.Hostname()
	}
	return net.JoinHostPort(u.Hostname(), u.Port())
}

func isOperator(p identity.Person) bool { return p.User.Roles.Has(identity.RoleOperator) }
