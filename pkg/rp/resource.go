package rp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// ResourceConfig says which API it is, and whose tokens it takes. Issuer and
// Audience are required.
type ResourceConfig struct {
	// Issuer is the provider's identifier, exactly as its metadata spells it.
	Issuer string
	// Audience is the API's name (its resource indicator, RFC 8707): a token must be
	// for it. It is not the issuer, for which tokens are that nobody asked a resource
	// for.
	Audience string
	// ClientID and ClientSecret are the API's own registration, which serves
	// Audience. With them tokens that are references are asked about (RFC 7662);
	// without them only JWTs are taken (RFC 9068).
	ClientID     string
	ClientSecret string
	// Algorithms are the JWS algorithms that a JWT may be signed with. Empty means
	// every asymmetric algorithm that the provider signs ID tokens with.
	Algorithms []string
	// Satisfies is as in Config.
	Satisfies map[string][]string

	HTTPClient *http.Client     // to reach the provider; nil: one with a time-out of 10 seconds
	Now        func() time.Time // nil: time.Now
	Log        *slog.Logger     // nil: slog.Default
}

// Resource is an API that takes the provider's access tokens:
//
//	mux.Handle("GET /records", api.Protect(rp.Demand{Scopes: []string{"records"}}, list))
//	mux.Handle("POST /seal", api.Protect(rp.Demand{ACR: []string{rp.ACRCard}, MaxAge: 5 * time.Minute}, seal))
//
// Two kinds of token are understood: a JWT (RFC 9068) is checked here, by the
// provider's keys, and is good until it expires; about a reference the provider is
// asked each time (RFC 7662), so that it ends with the person's session.
//
// Tokens that are bound to a key or a certificate (RFC 9449, RFC 8705) are refused:
// there is no check of that key here, and without it a stolen one would be as good
// as any.
type Resource struct {
	config ResourceConfig
	client *http.Client
	found  discovery[authority]
}

// authority is what discovery found.
type authority struct {
	keys          oidc.KeySet
	algorithms    []string
	introspection string // "" when references are not taken
}

// NewResource checks the configuration and asks the provider for its metadata. A
// provider that does not answer is no error, as in New.
func NewResource(ctx context.Context, c ResourceConfig) (*Resource, error) {
	if _, err := checked("Issuer", c.Issuer); err != nil {
		return nil, err
	}
	switch {
	case c.Audience == "":
		return nil, errors.New("rp: ResourceConfig.Audience is empty")
	case c.Audience == c.Issuer:
		return nil, errors.New("rp: ResourceConfig.Audience is the issuer, for which every token is that is for no API")
	case (c.ClientID == "") != (c.ClientSecret == ""):
		return nil, errors.New("rp: ResourceConfig.ClientID and ClientSecret go together")
	}
	if err := checkAlgorithms(c.Algorithms); err != nil {
		return nil, err
	}
	if c.Satisfies == nil {
		c.Satisfies = satisfies
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	a := &Resource{config: c, client: outgoing(c.HTTPClient)}
	if _, err := a.authority(ctx); err != nil {
		c.Log.WarnContext(ctx, "provider not found yet, calls will try again", "issuer", c.Issuer, "error", err)
	}
	return a, nil
}

func (a *Resource) authority(ctx context.Context) (*authority, error) {
	return a.found.get(ctx, a.config.Issuer, a.config.Now(), a.discover)
}

func (a *Resource) discover(ctx context.Context) (*authority, error) {
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, a.client), a.config.Issuer)
	if err != nil {
		return nil, err
	}
	var m metadata
	if err := found.Claims(&m); err != nil {
		return nil, fmt.Errorf("decode metadata: %w", err)
	}
	if err := checkEndpoint("jwks_uri", m.JWKSURI); err != nil {
		return nil, err
	}
	out := authority{keys: keySet(a.client, a.config.Now, m.JWKSURI)}
	if out.algorithms, err = algorithms(a.config.Algorithms, m); err != nil {
		return nil, err
	}
	if a.config.ClientID != "" {
		if err := checkEndpoint("introspection_endpoint", m.Introspection); err != nil {
			return nil, err
		}
		out.introspection = m.Introspection
	}
	return &out, nil
}

// Demand is what a call needs, besides a token that is for this API. The zero
// value needs nothing more.
type Demand struct {
	Scopes []string      // all of them
	ACR    []string      // one of these levels or one that satisfies it; best first
	MaxAge time.Duration // the person proved themselves at most this long ago; 0: any time
}

// Access is what a good token says.
type Access struct {
	Subject  string // sub: the person as the calling application sees them; the application itself when it acts in its own name
	ClientID string // the application that calls
	Scopes   []string
	ACR      string // how strongly the person signed in; "" when there is no person
	AMR      []string
	AuthTime time.Time      // when they proved it
	Expires  time.Time      // zero if the provider does not say
	Claims   map[string]any // all of the token, or of the provider's answer about it; numbers are json.Number
}

type accessInContext struct{}

// AccessFromContext returns what the token said that Protect let through, or nil.
func AccessFromContext(ctx context.Context) *Access {
	a, _ := ctx.Value(accessInContext{}).(*Access)
	return a
}

// Protect lets calls through that bring a good access token in the Authorization
// header and meet the demand; behind it AccessFromContext tells whose it is. The
// others are answered as RFC 6750 §3.1 and RFC 9470 §3 say:
//
//	no token                    401 Bearer realm
//	not one token               400 invalid_request
//	expired, another's, bound   401 invalid_token
//	too few scopes              403 insufficient_scope, with the scope
//	too weak or old a sign-in   401 insufficient_user_authentication, with acr_values and max_age
//	provider does not answer    503
func (a *Resource) Protect(d Demand, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		access, err := a.admit(r, d)
		if err != nil {
			a.refuse(w, r, d, err)
			return
		}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), accessInContext{}, access)))
	})
}

// refusal is an error code with what the caller's developer may know.
type refusal struct {
	status            int
	code, description string
	err               error // for the log
}

func (r *refusal) Error() string {
	if r.err != nil {
		return r.code + ": " + r.err.Error()
	}
	return r.code
}

var (
	errNoToken   = &refusal{status: http.StatusUnauthorized}
	errNotOne    = &refusal{status: http.StatusBadRequest, code: "invalid_request", description: "There must be one Authorization header with one token."}
	errBound     = &refusal{status: http.StatusUnauthorized, code: "invalid_token", description: "The token is bound to a key, and this API takes bearer tokens only."}
	errScope     = &refusal{status: http.StatusForbidden, code: "insufficient_scope", description: "The token has not all of the scope that is needed."}
	errTooLittle = &refusal{status: http.StatusUnauthorized, code: insufficient}
)

// invalid is for tokens that are not good, whatever is wrong with them.
func invalid(err error) *refusal {
	return &refusal{http.StatusUnauthorized, "invalid_token", "The token has expired, or is not one for this API.", err}
}

func (a *Resource) admit(r *http.Request, d Demand) (*Access, error) {
	raw, err := bearer(r)
	if err != nil {
		return nil, err
	}
	access, err := a.verify(r.Context(), raw)
	if err != nil {
		return nil, err
	}
	// Scope first: who may not call at all need not sign in again for it.
	if slices.ContainsFunc(d.Scopes, func(s string) bool { return !slices.Contains(access.Scopes, s) }) {
		return nil, errScope
	}
	if !meetsAny(a.config.Satisfies, access.ACR, d.ACR) || !a.within(access, d.MaxAge) {
		return nil, errTooLittle
	}
	return access, nil
}

func (a *Resource) within(access *Access, maxAge time.Duration) bool {
	return maxAge <= 0 || !access.AuthTime.IsZero() && a.config.Now().Sub(access.AuthTime) <= maxAge+skew
}

func (a *Resource) refuse(w http.ResponseWriter, r *http.Request, d Demand, err error) {
	var no *refusal
	if !errors.As(err, &no) {
		a.config.Log.ErrorContext(r.Context(), "access token can not be checked", "error", err)
		w.Header().Set("Retry-After", "5")
		http.Error(w, TemporarilyUnavailable, http.StatusServiceUnavailable)
		return
	}
	a.config.Log.InfoContext(r.Context(), "access token refused", "reason", no)
	scope := strings.Join(d.Scopes, " ")
	switch no {
	case errNoToken: // no error code: the caller may not have known (RFC 6750 §3.1)
		challenge(w, no.status, "realm", a.config.Audience, "scope", scope)
	case errScope:
		challenge(w, no.status, "error", no.code, "error_description", no.description, "scope", scope)
	case errTooLittle:
		Challenge(w, strings.Join(d.ACR, " "), d.MaxAge)
	default:
		challenge(w, no.status, "error", no.code, "error_description", no.description)
	}
}

// maxToken bounds an access token, in bytes.
const maxToken = 8 << 10

// bearer is the token of the Authorization header. One in the address or in a form
// is not looked for: addresses are logged (RFC 9700 §4.3.2).
func bearer(r *http.Request) (string, error) {
	given := r.Header.Values("Authorization")
	if len(given) == 0 {
		return "", errNoToken
	}
	scheme, raw, _ := strings.Cut(given[0], " ")
	switch {
	case len(given) > 1:
		return "", errNotOne
	case strings.EqualFold(scheme, "DPoP"):
		return "", errBound
	case !strings.EqualFold(scheme, "Bearer"):
		return "", errNoToken
	}
	raw = strings.TrimLeft(raw, " ")
	text := strings.TrimRight(raw, "=")
	if text == "" || len(raw) > maxToken || strings.ContainsFunc(text, func(c rune) bool { return c > '~' || !isToken68(byte(c)) }) {
		return "", errNotOne
	}
	return raw, nil
}
