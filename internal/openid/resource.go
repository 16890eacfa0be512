package openid

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

const mostResources = 10 // in one request

var errTarget = Error{"invalid_target", "The resource is not one that a token may be had for here."}

// narrowing reads what a token request says of the token it wants: scope and
// resource (RFC 6749 §3.3, RFC 8707 §2.2). Both are nil where nothing is said.
func narrowing(form url.Values) (scopes, resources []string, err error) {
	for _, s := range strings.Fields(form.Get("scope")) {
		if !scopeForm.MatchString(s) {
			return nil, nil, Error{"invalid_scope", "The scope holds characters that no scope may hold."}
		}
		if !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	for _, r := range form["resource"] {
		if r == "" || slices.Contains(resources, r) {
			continue
		}
		if len(resources) == mostResources || checkResource(r) != nil {
			return nil, nil, Error{"invalid_target", "A resource is an absolute URI without a fragment, and there may be 10."}
		}
		resources = append(resources, r)
	}
	return scopes, resources, nil
}

// within tells whether all that is asked for is allowed; nothing always is.
func within(asked, allowed []string) bool {
	return !slices.ContainsFunc(asked, func(s string) bool { return !slices.Contains(allowed, s) })
}

// audience is an aud claim: one as text, several as a list (RFC 7519 §4.1.3).
type audience []string

// audienceOf is the resources of a token, or ourselves where it has none.
func (p *Provider) audienceOf(resources []string) audience {
	if len(resources) == 0 {
		return audience{p.Issuer}
	}
	return resources
}

func (a audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}
