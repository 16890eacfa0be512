package openid

import (
	"context"
	"errors"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
)

// maxRequestObject bounds what is fetched from a request_uri.
const maxRequestObject = 32 << 10

// signsRequests tells whether the parameters of a request object are the only ones
// that count (RFC 9101 §6.3). Of others OpenID Connect Core §6.1 holds: what the
// object does not say the plain parameters may.
func (c Client) signsRequests() bool { return c.RequireRequestObject || c.fapi() }

// requestAlgorithms is what the client may sign its request objects with; never
// "none".
func (c Client) requestAlgorithms() []keys.Algorithm {
	if c.RequestObjectAlg == "" || c.fapi() && !slices.Contains(fapiAlgorithms, c.RequestObjectAlg) {
		return nil
	}
	return []keys.Algorithm{c.RequestObjectAlg}
}

// open returns the parameters of a request that count. A request object among
// them, by value or by reference, is verified first (RFC 9101, OpenID Connect Core
// §6). Errors are Errors, or failures of ours.
func (p *Provider) open(ctx context.Context, client Client, form url.Values) (url.Values, error) {
	inline, remote := form.Has("request"), form.Has("request_uri")
	if !inline && !remote {
		if client.RequireRequestObject {
			return nil, wrong("request", "invalid_request", "This client must sign its requests: a request object is missing.")
		}
		return form, nil
	}
	if err := checkOnce(form); err != nil {
		return nil, err
	}
	algorithms := client.requestAlgorithms()
	switch {
	case inline && remote:
		return nil, wrong("request", "invalid_request", "Send the request object itself or a request_uri, not both.")
	case inline && len(algorithms) == 0:
		return nil, wrong("request", "request_not_supported", "The client is not registered for request objects.")
	case remote && (len(algorithms) == 0 || len(client.RequestURIs) == 0):
		return nil, wrong("request_uri", "request_uri_not_supported", "The client is not registered for request objects behind a request_uri.")
	}
	object := form.Get("request")
	if remote {
		var err error
		if object, err = p.fetchRequest(ctx, client, form.Get("request_uri")); err != nil {
			return nil, err
		}
	}
	inside, err := p.verifyRequest(ctx, client, object, algorithms)
	if err != nil {
		return nil, p.badRequest(ctx, client, err)
	}
	if client.signsRequests() {
		return inside, nil
	}
	if form.Has("response_type") && inside.Has("response_type") && form.Get("response_type") != inside.Get("response_type") {
		return nil, wrong("response_type", "invalid_request", "The response_type differs from the one in the request object.")
	}
	all := maps.Clone(form)
	delete(all, "request")
	delete(all, "request_uri")
	maps.Copy(all, inside)
	return all, nil
}

func (p *Provider) verifyRequest(ctx context.Context, client Client, object string, algorithms []keys.Algorithm) (url.Values, error) {
	source, err := p.keysOf(client)
	if err != nil {
		return nil, err
	}
	inside, err := clientjwt.VerifyRequestObject(ctx, object, clientjwt.RequestRules{
		Client:     client.ID,
		Keys:       source,
		Algorithms: algorithms,
		Issuer:     p.Issuer,
		Strict:     client.signsRequests(),
		Now:        p.Now(),
	})
	return withoutEmpty(inside), err
}

// badRequest words a refused request object for the client.
func (p *Provider) badRequest(ctx context.Context, client Client, err error) error {
	var bad *clientjwt.Error
	if !errors.As(err, &bad) {
		return err
	}
	p.Log.WarnContext(ctx, "request object refused", "client", client.ID, "reason", bad.Reason, "error", err)
	if bad.Temporary {
		return wrong("request", errUnavailable.Code, bad.Description)
	}
	return wrong("request", "invalid_request_object", bad.Description)
}

// fetchRequest gets a request object from one of the addresses that the client
// registered. A stranger can make us call, but only there, and not often: see
// requestFetcher. Errors are Errors, fault.Throttled, or failures of ours.
func (p *Provider) fetchRequest(ctx context.Context, client Client, uri string) (string, error) {
	if !client.requestsFrom(uri) {
		return "", wrong("request_uri", "invalid_request_uri", "The request_uri is not registered for this client.")
	}
	bare, _, _ := strings.Cut(uri, "#")
	object, err := p.requests.fetch(ctx, client.ID, bare)
	if f, ok := fault.Of(err); ok {
		return "", f
	}
	if err != nil {
		p.Log.WarnContext(ctx, "request object not fetched", "client", client.ID, "error", err)
		return "", wrong("request_uri", "invalid_request_uri", "The request object could not be fetched from the request_uri.")
	}
	return object, nil
}

// requestsFrom tells whether a request_uri is registered, character by character.
// A fragment is no part of the address: clients put a hash there to tell caches
// that the object has changed (OpenID Connect Core §6.2). Nothing is kept here
// longer than a moment,
// and what is fetched is trusted for its signature, so a fragment beyond the
// registered address says nothing, and a registered one must be there.
func (c Client) requestsFrom(uri string) bool {
	bare, _, _ := strings.Cut(uri, "#")
	return slices.Contains(c.RequestURIs, uri) || slices.Contains(c.RequestURIs, bare)
}
