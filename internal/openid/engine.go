package openid

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/zitadel/oidc/v3/pkg/oidc"
	"github.com/zitadel/oidc/v3/pkg/op"

	"github.com/portti-id/portti/internal/fault"
)

// engine is our side of the library's token endpoint. The library reads the
// form and the client's credentials, calls VerifyClient and then the method of
// the grant; every token is minted by us.
//
// It embeds op.UnimplementedServer and not op.LegacyServer: a grant or an
// endpoint that we have not written answers "unsupported" instead of running
// the library's own code, also after an update that adds one (ADR 0050).
type engine struct {
	op.UnimplementedServer
	p *Provider
}

var _ op.Server = (*engine)(nil)

// grants is what the token endpoint serves. A new grant is a method of engine
// and a line here.
var grants = []GrantType{GrantCode, GrantRefresh, GrantClient, GrantDevice, GrantExchange}

// newEngine routes the token endpoint and nothing else.
func newEngine(p *Provider) (http.Handler, error) {
	issuer, err := op.StaticIssuer(p.Issuer)(strings.HasPrefix(p.Issuer, "http://")) // checkIssuer has seen that it is local then
	if err != nil {
		return nil, fmt.Errorf("openid: issuer: %w", err)
	}
	return op.RegisterServer(&engine{p: p}, op.Endpoints{Token: op.NewEndpoint(p.base + TokenPath)},
		op.WithServerCORSOptions(nil), // its default reflects every origin, with credentials; ours is cors
		op.WithHTTPMiddleware(op.NewIssuerInterceptor(issuer).Handler)), nil
}

// VerifyClient gives the library the client that token has authenticated, before
// anything else of the request was looked at: a stranger can neither try nor
// burn codes.
func (e *engine) VerifyClient(ctx context.Context, r *op.Request[op.ClientCredentials]) (op.Client, error) {
	a, ok := ctx.Value(askingKey{}).(*asking)
	if !ok {
		return nil, e.refuse(errClient)
	}
	if grant := GrantType(r.Form.Get("grant_type")); !a.Client.may(grant) {
		return nil, e.refuse(Error{"unauthorized_client", "The client is not registered for this grant."})
	}
	return registered{a}, nil
}

func (e *engine) CodeExchange(ctx context.Context, r *op.ClientRequest[oidc.AccessTokenRequest]) (*op.Response, error) {
	return e.respond(e.p.exchange(ctx, *r.Client.(registered).asking, r.Data.Code, r.Data.RedirectURI, r.Data.CodeVerifier))
}

func (e *engine) RefreshToken(ctx context.Context, r *op.ClientRequest[oidc.RefreshTokenRequest]) (*op.Response, error) {
	return e.respond(e.p.refresh(ctx, *r.Client.(registered).asking, r.Data.RefreshToken))
}

func (e *engine) ClientCredentialsExchange(ctx context.Context, r *op.ClientRequest[oidc.ClientCredentialsRequest]) (*op.Response, error) {
	return e.respond(e.p.clientCredentials(ctx, *r.Client.(registered).asking))
}

func (e *engine) DeviceToken(ctx context.Context, r *op.ClientRequest[oidc.DeviceAccessTokenRequest]) (*op.Response, error) {
	return e.respond(e.p.deviceToken(ctx, *r.Client.(registered).asking, r.Data.DeviceCode))
}

func (e *engine) TokenExchange(ctx context.Context, r *op.ClientRequest[oidc.TokenExchangeRequest]) (*op.Response, error) {
	return e.respond(e.p.exchangeToken(ctx, *r.Client.(registered).asking, r.Form))
}

func (e *engine) respond(t *tokens, err error) (*op.Response, error) {
	if err != nil {
		return nil, e.refuse(err)
	}
	return op.NewResponse(t), nil
}

// refuse gives the library an error that it may show: a code and a text of
// ours. The cause of a failure rides along for the log, which the library writes.
func (e *engine) refuse(err error) error {
	var known Error
	switch {
	case !errors.As(err, &known) && unavailable(err):
		return op.NewStatusError(&oidc.Error{ErrorType: "temporarily_unavailable", Description: errUnavailable.Description, Parent: err}, http.StatusServiceUnavailable)
	case !errors.As(err, &known):
		return op.NewStatusError(oidc.ErrServerError().WithDescription("%s", errServer.Description).WithParent(err), http.StatusInternalServerError)
	}
	answer, ok := answers[known.Code]
	if !ok {
		answer = answers["invalid_request"]
	}
	answer.Description = known.Description
	status := http.StatusBadRequest
	if known.Code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	return op.NewStatusError(&answer, status)
}

// answers are the codes that a grant may refuse with. The type of the library's
// codes has no name outside of it, so each stands here once.
var answers = map[string]oidc.Error{
	"invalid_request":     {ErrorType: "invalid_request"},
	"invalid_client":      {ErrorType: "invalid_client"},
	"invalid_grant":       {ErrorType: "invalid_grant"},
	"unauthorized_client": {ErrorType: "unauthorized_client"},
	"invalid_scope":       {ErrorType: "invalid_scope"},
	"invalid_target":      {ErrorType: "invalid_target"}, // RFC 8707 §2

	"authorization_pending": {ErrorType: "authorization_pending"}, // RFC 8628 §3.5
	"slow_down":             {ErrorType: "slow_down"},
	"access_denied":         {ErrorType: "access_denied"},
	"expired_token":         {ErrorType: "expired_token"},
}

const maxTokenRequest = 32 << 10

// token stands before and behind the library's endpoint: one method, one way to
// read the request, and no answer that is not ours.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if preflight(w, r, "POST") {
		return
	}
	private(w)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST, OPTIONS")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use POST."})
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenRequest)
	if e := checkTokenRequest(r); e != (Error{}) {
		p.Log.InfoContext(r.Context(), "token request refused", "code", e.Code, "description", e.Description)
		writeTokenError(w, http.StatusBadRequest, e)
		return
	}
	ctx := withAddress(r.Context(), address(p.ClientAddr(r)))
	a, err := p.asking(w, r.WithContext(ctx))
	if err == nil {
		a.Scopes, a.Resources, err = narrowing(r.PostForm)
	}
	if err != nil {
		p.refuseCaller(w, r, err)
		return
	}
	ctx, notes := p.Traces.Begin(ctx)
	var answer recorder
	p.engine.ServeHTTP(&answer, r.WithContext(context.WithValue(ctx, askingKey{}, &a)))
	reference := p.referenceOf(r)
	kept := p.Traces.Keep(ctx, notes, reference, netip.Addr{}) // the service's address says nothing of the person
	if answer.status < http.StatusBadRequest {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(answer.status)
		_, _ = w.Write(answer.body.Bytes())
		return
	}
	if kept && reference != "" {
		p.help(w, reference)
	}
	writeTokenError(w, answer.status, answer.error())
}

// checkTokenRequest refuses a form that cannot be read in one way only, and a
// grant that nobody serves.
func checkTokenRequest(r *http.Request) Error {
	if e := checkForm(r); e != (Error{}) {
		return e
	}
	grant := r.PostForm.Get("grant_type")
	switch {
	case grant == "":
		return Error{"invalid_request", "The grant_type is missing. Is the Content-Type application/x-www-form-urlencoded?"}
	case !slices.Contains(grants, GrantType(grant)):
		return Error{"unsupported_grant_type", "The grant_type is not supported."}
	}
	return Error{}
}

var errForm = Error{"invalid_request", "The form cannot be read."}

// checkForm refuses what the library, and others, would read in their own ways: a
// secret in the address, a parameter given twice (the library takes the last in one
// place and the first in another). resource alone may come again (RFC 8707 §2).
func checkForm(r *http.Request) Error {
	switch err := r.ParseForm(); {
	case r.URL.RawQuery != "":
		return Error{"invalid_request", "Send the parameters in the body, not in the address."}
	case err != nil:
		return errForm
	}
	for name, values := range r.PostForm {
		if len(values) > 1 && name != "resource" {
			return Error{"invalid_request", "A parameter is given more than once."}
		}
		if !readable(name) || slices.ContainsFunc(values, func(v string) bool { return !readable(v) }) {
			return Error{"invalid_request", "A parameter holds control characters or is not UTF-8."}
		}
	}
	return Error{}
}

// called stands before an endpoint that clients call with a form, as the token
// endpoint is called. It writes the answer where there is nothing to serve.
func (p *Provider) called(w http.ResponseWriter, r *http.Request) (Client, bool) {
	private(w)
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", "POST")
		writeError(w, http.StatusMethodNotAllowed, Error{"invalid_request", "Use POST."})
		return Client{}, false
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxTokenRequest)
	var c Client
	var err error
	if e := checkForm(r); e != (Error{}) {
		err = e
	} else {
		c, err = p.caller(r)
	}
	if err != nil {
		p.refuseCaller(w, r, err)
		return Client{}, false
	}
	return c, true
}

// checkAuthorization refuses an Authorization header that is not one of a client
// with a secret (RFC 6749 §2.3.1).
func checkAuthorization(r *http.Request) Error {
	header := r.Header.Values("Authorization")
	if len(header) == 0 {
		return Error{}
	}
	id, secret, ok := r.BasicAuth()
	if ok {
		_, err1 := url.QueryUnescape(id)
		_, err2 := url.QueryUnescape(secret)
		ok = err1 == nil && err2 == nil
	}
	if !ok || len(header) > 1 {
		return Error{"invalid_client", "The Authorization header is not client_secret_basic."}
	}
	return Error{}
}

// recorder holds the library's answer back until it has been looked at.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header {
	if a.header == nil {
		a.header = http.Header{}
	}
	return a.header
}

func (a *recorder) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *recorder) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	return a.body.Write(b)
}

// error reads an error answer back. What is not in the grammar of RFC 6749 §5.2
// is replaced: the library quotes input in some of its texts.
func (a *recorder) error() Error {
	var answer struct {
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(a.body.Bytes(), &answer) != nil || !plainText(answer.Code) || answer.Code == "" {
		return errServer
	}
	if !plainText(answer.Description) {
		answer.Description = "The request is not valid."
	}
	return Error{answer.Code, answer.Description}
}

// plainText tells whether s is error text by RFC 6749 §5.2.
func plainText(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' })
}

// writeTokenError writes 401 with its challenge for whatever is wrong with the
// client's proof, as the library answers some of that with 400.
func writeTokenError(w http.ResponseWriter, status int, e Error) {
	if e.Code == "invalid_client" {
		status = http.StatusUnauthorized
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8"`)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "5")
	}
	writeError(w, status, e)
}

// writeError writes an OAuth error as JSON.
func writeError(w http.ResponseWriter, status int, e Error) {
	body, _ := json.Marshal(struct { // two strings always marshal
		Code        string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{e.Code, e.Description})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// preflight lets programs in browsers call an endpoint from any origin, without
// cookies: there is nothing here that cookies open. It reports whether the
// request was a preflight, and answered.
func preflight(w http.ResponseWriter, r *http.Request, methods string) bool {
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Access-Control-Expose-Headers", "WWW-Authenticate, Retry-After, DPoP-Nonce, Link")
	if r.Method != http.MethodOptions {
		return false
	}
	h.Set("Access-Control-Allow-Methods", methods)
	h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, DPoP")
	h.Set("Access-Control-Max-Age", "86400")
	w.WriteHeader(http.StatusNoContent)
	return true
}

type addressKey struct{}

// From says which address a call comes from, for the audit trail.
func From(ctx context.Context, a netip.Addr) context.Context { return withAddress(ctx, address(a)) }

func withAddress(ctx context.Context, address string) context.Context {
	return context.WithValue(ctx, addressKey{}, address)
}

// address is an address as the audit trail has it, "" when it is unknown.
func address(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// AddressOf is the address of From, "" when there is none.
func AddressOf(ctx context.Context) string { return addressOf(ctx) }

func addressOf(ctx context.Context) string {
	a, _ := ctx.Value(addressKey{}).(string)
	return a
}

// registered is a Client as the library wants to see one. It only ever carries
// our client from VerifyClient to the grant's method.
type registered struct{ *asking }

var _ op.Client = registered{}

func (c registered) GetID() string          { return c.Client.ID }
func (c registered) RedirectURIs() []string { return slices.Clone(c.Client.RedirectURIs) }
func (c registered) PostLogoutRedirectURIs() []string {
	return slices.Clone(c.Client.PostLogoutRedirectURIs)
}
func (c registered) ApplicationType() op.ApplicationType { return op.ApplicationTypeWeb }
func (c registered) AuthMethod() oidc.AuthMethod         { return oidc.AuthMethod(c.Client.AuthMethod) }
func (c registered) ResponseTypes() []oidc.ResponseType {
	return []oidc.ResponseType{oidc.ResponseTypeCode}
}
func (c registered) LoginURL(string) string               { return "" }
func (c registered) AccessTokenType() op.AccessTokenType  { return op.AccessTokenTypeBearer }
func (c registered) IDTokenLifetime() time.Duration       { return 0 }
func (c registered) DevMode() bool                        { return false }
func (c registered) IsScopeAllowed(string) bool           { return false }
func (c registered) IDTokenUserinfoClaimsAssertion() bool { return false }
func (c registered) ClockSkew() time.Duration             { return 0 }
func (c registered) RestrictAdditionalIdTokenScopes() func([]string) []string {
	return func([]string) []string { return nil }
}
func (c registered) RestrictAdditionalAccessTokenScopes() func([]string) []string {
	return func([]string) []string { return nil }
}

func (c registered) GrantTypes() []oidc.GrantType {
	types := make([]oidc.GrantType, len(c.Client.GrantTypes))
	for i, g := range c.Client.GrantTypes {
		types[i] = oidc.GrantType(g)
	}
	return types
}

// errNotFound is what a stranger's client_id comes to.
var errNotFound = fault.New(fault.NotFound, "client_not_found", "There is no such client.")
