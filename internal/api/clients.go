package api

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// clientOperations are on registrations of relying parties.
func (a *API) clientOperations() []operation {
	return []operation{
		operator(a, "GET /api/v1/clients", identity.ClientsSee, "Every registered client, by ID", a.listClients),
		operator(a, "POST /api/v1/clients", identity.ClientsChange, "Register a client; its secret is in the answer, this once", a.createClient),
		operator(a, "GET /api/v1/clients/{id}", identity.ClientsSee, "A client; the ETag is for If-Match", a.showClient),
		operator(a, "PUT /api/v1/clients/{id}", identity.ClientsChange, "Replace a registration whole; If-Match is needed", a.replaceClient),
		operator(a, "POST /api/v1/clients/{id}/disable", identity.ClientsChange, "Stop a client and its tokens", a.disableClient),
		operator(a, "POST /api/v1/clients/{id}/enable", identity.ClientsChange, "Open a disabled client again", a.enableClient),
		operator(a, "POST /api/v1/clients/{id}/secret", identity.ClientsChange, "Give a client another secret; the one before works on for keep seconds", a.rotateSecret),
		operator(a, "GET /api/v1/clients/{id}/preview", identity.ClientsSee, "What a client would be told of the caller at a login by the caller's session, if it asked for all that it is registered for: claims, and no token", a.previewClient),
	}
}

// registered is a client as the API shows it: portti.Registered.
type registered struct {
	Client         openid.Metadata `json:"client"`
	Secret         string          `json:"client_secret,omitempty"`
	OldSecretUntil time.Time       `json:"old_secret_until,omitzero"`
	Created        time.Time       `json:"created,omitzero"`
	Disabled       time.Time       `json:"disabled,omitzero"`
	SelfRegistered bool            `json:"self_registered,omitempty"`
	Version        int64           `json:"version"`
}

// registrations is every client: portti.Registrations.
type registrations struct {
	Clients []registered `json:"clients"`
}

func view(c openid.Client) registered {
	return registered{Client: openid.MetadataOf(c), OldSecretUntil: c.OldSecretUntil, Created: c.Created, Disabled: c.Disabled, SelfRegistered: c.SelfRegistered(), Version: c.Version}
}

func (a *API) listClients(r *http.Request, _ caller, _ nothing) (answer[registrations], error) {
	clients, err := a.Registered.Clients(r.Context())
	if err != nil {
		return answer[registrations]{}, err
	}
	list := registrations{Clients: make([]registered, len(clients))}
	for i, c := range clients {
		list.Clients[i] = view(c)
	}
	return answer[registrations]{Body: list}, nil
}

func (a *API) createClient(r *http.Request, by caller, m openid.Metadata) (answer[registered], error) {
	ctx := r.Context()
	c := openid.Client{ID: m.ID}
	if err := m.Apply(&c); err != nil {
		return answer[registered]{}, openid.NamedAsMetadata(err)
	}
	secret, err := a.Clients.Create(ctx, by.actor, c, by.dryRun)
	if err != nil {
		return answer[registered]{}, openid.NamedAsMetadata(err)
	}
	if by.dryRun {
		return answer[registered]{Body: view(c)}, nil
	}
	if saved, err := a.Registered.Client(ctx, c.ID); err == nil { // it is done, and the secret must be told, in any case
		c = saved
	}
	out := shown(c)
	out.Body.Secret, out.Status, out.Made = secret, http.StatusCreated, "/api/v1/clients/"+url.PathEscape(c.ID)
	return out, nil
}

func (a *API) showClient(r *http.Request, _ caller, _ nothing) (answer[registered], error) {
	c, err := a.Registered.Client(r.Context(), r.PathValue("id"))
	return shown(c), err
}

func shown(c openid.Client) answer[registered] {
	return answer[registered]{Body: view(c), ETag: etag(c)}
}

func etag(c openid.Client) string { return `"` + strconv.FormatInt(c.Version, 10) + `"` }

var (
	errIfMatch = fault.New(fault.Invalid, "precondition_required", "Send If-Match with the ETag of the registration that you have changed.")
	errStale   = fault.New(fault.Conflict, "precondition_failed", "Somebody else changed the registration meanwhile. Get it again.")
)

// replaceClient replaces what the caller has seen, and nothing that came later.
func (a *API) replaceClient(r *http.Request, by caller, m openid.Metadata) (answer[registered], error) {
	ctx, id, match := r.Context(), r.PathValue("id"), r.Header.Values("If-Match")
	switch {
	case len(match) == 0:
		return answer[registered]{}, errIfMatch
	case m.ID != "" && m.ID != id:
		return answer[registered]{}, fault.New(fault.Invalid, "client_invalid", "client_id: it is not the one of the address, and cannot change.").In("client_id")
	}
	c, err := a.Clients.Change(ctx, by.actor, id, func(c *openid.Client) error {
		if !matches(match, etag(*c)) {
			return errStale
		}
		return m.Apply(c)
	}, by.dryRun)
	if fault.Code(err) == "changed_meanwhile" {
		return answer[registered]{}, errStale
	}
	return a.changed(ctx, c, by, err)
}

// matches evaluates If-Match (RFC 9110 §13.1.1).
func matches(headers []string, etag string) bool {
	return slices.ContainsFunc(strings.Split(strings.Join(headers, ","), ","), func(tag string) bool {
		tag = strings.TrimSpace(tag)
		return tag == "*" || tag == etag
	})
}

// changed shows a client after a change.
func (a *API) changed(ctx context.Context, c openid.Client, by caller, err error) (answer[registered], error) {
	if err != nil {
		return answer[registered]{}, openid.NamedAsMetadata(err)
	}
	if by.dryRun {
		return answer[registered]{Body: view(c)}, nil
	}
	if c, err = a.Registered.Client(ctx, c.ID); err != nil {
		return answer[registered]{}, err
	}
	return shown(c), nil
}

func (a *API) disableClient(r *http.Request, by caller, _ nothing) (answer[registered], error) {
	ctx := r.Context()
	c, err := a.Clients.Disable(ctx, by.actor, r.PathValue("id"), by.dryRun)
	return a.changed(ctx, c, by, err)
}

func (a *API) enableClient(r *http.Request, by caller, _ nothing) (answer[registered], error) {
	ctx := r.Context()
	c, err := a.Clients.Enable(ctx, by.actor, r.PathValue("id"), by.dryRun)
	return a.changed(ctx, c, by, err)
}

// rotation is portti.Rotation.
type rotation struct {
	Keep int64 `json:"keep"` // seconds
}

func (a *API) rotateSecret(r *http.Request, by caller, in rotation) (answer[registered], error) {
	ctx, id := r.Context(), r.PathValue("id")
	if in.Keep < 0 || in.Keep > int64(openid.LongestOldSecret/time.Second) { // before it is a Duration, which could overflow
		return answer[registered]{}, fault.New(fault.Invalid, "client_invalid", "keep: it is a number of seconds, %d at most.", int64(openid.LongestOldSecret/time.Second)).In("keep")
	}
	secret, err := a.Clients.RotateSecret(ctx, by.actor, id, time.Duration(in.Keep)*time.Second, by.dryRun)
	if err != nil {
		return answer[registered]{}, openid.NamedAsMetadata(err)
	}
	c, err := a.Registered.Client(ctx, id)
	switch {
	case err == nil && by.dryRun:
		return answer[registered]{Body: view(c)}, nil
	case err != nil: // it is done, and the secret must be told, in any case
		c = openid.Client{ID: id}
	}
	out := shown(c)
	out.Body.Secret = secret
	return out, nil
}

// previewClient tells callers of themselves alone: nobody looks at others this way.
func (a *API) previewClient(r *http.Request, by caller, _ nothing) (answer[openid.Preview], error) {
	if by.grant.User == "" {
		return answer[openid.Preview]{}, errNotAllowed // a program logs in nowhere
	}
	c, err := a.Registered.Client(r.Context(), r.PathValue("id"))
	if err != nil {
		return answer[openid.Preview]{}, err
	}
	p, err := a.Previews.Preview(r.Context(), c, by.grant)
	return answer[openid.Preview]{Body: p}, err
}
