package openid

import (
	"context"
	"net/url"
)

// open returns the parameters that count: those of the request object where there
// is one.
func (p *Provider) open(_ context.Context, _ Client, form url.Values) (url.Values, error) {
	switch {
	case form.Has("request"):
		return nil, wrong("request", "request_not_supported", "Request objects are not supported.")
	case form.Has("request_uri"):
		return nil, wrong("request_uri", "request_uri_not_supported", "The request_uri parameter is not supported.")
	}
	return form, nil
}
