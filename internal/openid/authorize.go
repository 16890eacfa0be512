package openid

import (
	"context"
	"math"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/session"
)

// maxRequest bounds an authorization request, and so what a stranger can make
// the provider keep. States of 1000 and nonces of 384 characters fit easily.
const maxRequest = 16 << 10

// authorize is the authorization endpoint (OpenID Connect Core §3.1.2).
//
//	who asks?            client and redirect URI, else an error page, never a redirect
//	what is asked?       the rest of the request, else an error to the client
//	is somebody here?    session and person
//	is it enough?        decide: a code, the sign-in page, or an error to the client
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
	case http.MethodPost:
		p.authorizePosted(w, r)
		return
	default:
		w.Header().Set("Allow", "GET, POST")
		p.problem(w, r, Problem{Status: http.StatusMethodNotAllowed, Code: "invalid_request", Description: "Use GET or POST."})
		return
	}
	ctx := r.Context()
	form, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		p.problem(w, r, *err)
		return
	}
	client, to, err := p.whoAsks(ctx, form)
	if err != nil {
		p.problem(w, r, *err)
		return
	}
	if err := p.authorizeFor(w, r, client, form, to); err != nil {
		p.answerError(w, r, to, client.ID, err)
	}
}

// authorizePosted starts the request again as a GET: a form posted by the
// client's page comes without our SameSite=Lax cookies, and the session and the
// browser's binding would be taken for missing.
func (p *Provider) authorizePosted(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxRequest)
	if err := r.ParseForm(); err != nil {
		p.problem(w, r, Problem{Status: http.StatusBadRequest, Code: "invalid_request", Description: "The form cannot be read."})
		return
	}
	private(w)
	see(w, p.url(AuthorizePath)+"?"+r.Form.Encode())
}

// parseQuery refuses what cannot be read in one way only.
func parseQuery(raw string) (url.Values, *Problem) {
	if len(raw) > maxRequest {
		return nil, &Problem{Status: http.StatusRequestURITooLong, Code: "invalid_request", Description: "The request is too long."}
	}
	form, err := url.ParseQuery(raw)
	if err != nil {
		return nil, &Problem{Status: http.StatusBadRequest, Code: "invalid_request", Description: "The query cannot be read."}
	}
	for name, values := range form {
		// A parameter without a value counts as left out (RFC 6749 §3.1).
		if form[name] = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(form[name]) == 0 {
			delete(form, name)
		}
	}
	return form, nil
}

// whoAsks finds the client and the address to answer to. Until both are proved,
// nothing is sent anywhere: a redirect would make the provider an open one.
func (p *Provider) whoAsks(ctx context.Context, form url.Values) (Client, target, *Problem) {
	bad := func(status int, code, description string, c *Client) (Client, target, *Problem) {
		return Client{}, target{}, &Problem{Status: status, Code: code, Description: description, Client: c}
	}
	if len(form["client_id"]) != 1 {
		return bad(http.StatusBadRequest, "invalid_request", "Exactly one client_id is needed.", nil)
	}
	client, err := p.client(ctx, form.Get("client_id"))
	switch {
	case fault.Is(err, fault.NotFound):
		return bad(http.StatusBadRequest, "invalid_client", "No client is registered under this client_id.", nil)
	case fault.Is(err, fault.Denied):
		return bad(http.StatusForbidden, "unauthorized_client", "The client is disabled.", nil)
	case err != nil:
		p.Log.ErrorContext(ctx, "load client", "error", err)
		return bad(http.StatusServiceUnavailable, errUnavailable.Code, errUnavailable.Description, nil)
	case len(form["redirect_uri"]) != 1:
		return bad(http.StatusBadRequest, "invalid_request", "Exactly one redirect_uri is needed.", &client)
	case !client.redirectsTo(form.Get("redirect_uri")):
		return bad(http.StatusBadRequest, "invalid_request", "The redirect_uri is not registered for this client.", &client)
	}
	to := target{URI: form.Get("redirect_uri"), Mode: modeQuery}
	if s := form["state"]; len(s) == 1 && readable(s[0]) {
		to.State = s[0]
	}
	if m := form["response_mode"]; len(m) == 1 && slices.Contains(responseModes, m[0]) {
		to.Mode = m[0]
	}
	return client, to, nil
}

// authorizeFor answers a request whose client and address are proved. Its
// errors go to the client.
func (p *Provider) authorizeFor(w http.ResponseWriter, r *http.Request, client Client, form url.Values, to target) error {
	ctx := r.Context()
	q, err := p.parse(client, form, to)
	if err != nil {
		return err
	}
	s, person, err := p.whoIsHere(ctx, r)
	if err != nil {
		return err
	}
	d := decide(p.demand(q, client, false), s, person, p.Now())
	p.Log.DebugContext(ctx, "authorization", "client", client.ID, "verdict", d.Verdict.String(), "reason", d.Reason)
	switch d.Verdict {
	case issueCode:
		return p.issue(w, r, q, *s)
	case tellClient:
		return d.Error
	}
	if err := p.keep(ctx, &q, p.Binding(w, r)); err != nil {
		return err
	}
	private(w)
	see(w, p.SignIn(q.ID))
	return nil
}

// whoIsHere returns the browser's session with its person, or nil.
func (p *Provider) whoIsHere(ctx context.Context, r *http.Request) (*session.Session, identity.Person, error) {
	secret := p.SessionSecret(r)
	if secret == "" {
		return nil, identity.Person{}, nil
	}
	s, err := p.Sessions.Find(ctx, secret)
	if fault.Is(err, fault.Unauthenticated) {
		return nil, identity.Person{}, nil
	}
	if err != nil {
		return nil, identity.Person{}, err
	}
	person, err := p.People.Standing(ctx, identity.UserID(s.User), s.Epoch, s.ID)
	if fault.Is(err, fault.Unauthenticated) {
		return nil, identity.Person{}, nil
	}
	return &s, person, err
}

// known is every parameter that means something to us. Others are ignored
// (RFC 6749 §3.1).
var known = []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "response_mode", "display", "prompt",
	"max_age", "ui_locales", "claims_locales", "id_token_hint", "login_hint", "acr_values", "code_challenge", "code_challenge_method",
	"request", "request_uri", "registration", "claims"}

var (
	challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // base64url of a SHA-256 (RFC 7636 §4.2)
	scopeForm = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)
)

// parse reads the request (OpenID Connect Core §3.1.2.1). Its errors are Errors,
// or failures of ours.
func (p *Provider) parse(client Client, form url.Values, to target) (pending, error) {
	invalid := func(description string) (pending, error) {
		return pending{}, Error{"invalid_request", description}
	}
	for _, name := range known {
		switch values := form[name]; {
		case len(values) > 1:
			return invalid("The parameter " + name + " is given more than once.")
		case len(values) == 1 && !readable(values[0]):
			return invalid("The parameter " + name + " holds control characters or is not UTF-8.")
		}
	}
	if m := form.Get("response_mode"); m != "" && m != to.Mode {
		return invalid("The response_mode is not supported.")
	}
	switch {
	case form.Has("request"):
		return pending{}, Error{"request_not_supported", "Request objects are not supported."}
	case form.Has("request_uri"):
		return pending{}, Error{"request_uri_not_supported", "The request_uri parameter is not supported."}
	case form.Has("registration"):
		return pending{}, Error{"registration_not_supported", "The registration parameter is not supported."}
	case !form.Has("response_type"):
		return invalid("The response_type is missing.")
	case form.Get("response_type") != "code":
		return pending{}, Error{"unsupported_response_type", "Only the response_type code is supported."}
	case !client.may(GrantCode):
		return pending{}, Error{"unauthorized_client", "The client is not registered for the authorization code flow."}
	}
	q := pending{
		Client:    client.ID,
		Target:    to,
		Nonce:     form.Get("nonce"),
		Challenge: form.Get("code_challenge"),
		Locales:   fields(form.Get("ui_locales"), 10),
		ACRValues: fields(form.Get("acr_values"), 20),
		MaxAge:    -1,
		Created:   p.Now().UTC(),
	}
	if hint := form.Get("login_hint"); len(hint) <= 256 {
		q.LoginHint = hint
	}
	var err error
	if q.Scopes, err = scopes(client, form.Get("scope")); err != nil {
		return pending{}, err
	}
	if err := checkChallenge(client, q.Challenge, form.Get("code_challenge_method")); err != nil {
		return pending{}, err
	}
	if err := q.readPrompt(form.Get("prompt")); err != nil {
		return pending{}, err
	}
	if age := form.Get("max_age"); age != "" {
		n, err := strconv.ParseUint(age, 10, 63)
		if err != nil {
			return invalid("The max_age is not a number of seconds.")
		}
		q.MaxAge = int64(min(n, math.MaxInt32)) // 68 years: no session is older
	}
	if raw := form.Get("id_token_hint"); raw != "" {
		hint, err := p.hint(raw)
		if err != nil {
			// Nobody can be matched against a token that we cannot read.
			return pending{}, Error{"login_required", "The id_token_hint is not an ID token of this provider."}
		}
		q.User = hint.User
	}
	return q, nil
}

// scopes keeps what the client is registered for, in its order and once each.
// What we do not know is ignored (OpenID Connect Core §3.1.2.1).
func scopes(client Client, raw string) ([]string, error) {
	asked := strings.Fields(raw)
	var granted []string
	for _, s := range asked {
		if !scopeForm.MatchString(s) {
			return nil, Error{"invalid_scope", "The scope holds characters that no scope may hold."}
		}
		if slices.Contains(client.Scopes, s) && !slices.Contains(granted, s) {
			granted = append(granted, s)
		}
	}
	if !slices.Contains(granted, "openid") {
		return nil, Error{"invalid_scope", "The scope must contain openid, and the client must be registered for it."}
	}
	return granted, nil
}

// checkChallenge holds the request to PKCE with S256 (RFC 7636, RFC 9700 §2.1.1).
// A challenge without a method would mean plain, and is refused.
func checkChallenge(client Client, c, method string) error {
	switch {
	case c == "" && method != "":
		return Error{"invalid_request", "A code_challenge_method needs a code_challenge."}
	case c == "" && (client.RequirePKCE || client.Native || client.AuthMethod == AuthNone):
		return Error{"invalid_request", "This client must use PKCE: a code_challenge is missing."}
	case c == "":
		return nil
	case method != "S256":
		return Error{"invalid_request", "The code_challenge_method must be S256."}
	case !challenge.MatchString(c):
		return Error{"invalid_request", "The code_challenge is not the S256 of a code_verifier."}
	}
	return nil
}

// readPrompt reads prompt. consent is satisfied as it comes: clients are
// registered by the operator for people of organisations, and what they may
// learn is settled there.
func (q *pending) readPrompt(raw string) error {
	prompts := strings.Fields(raw)
	for _, prompt := range prompts {
		switch prompt {
		case "none":
			q.Silent = true
		case "login", "select_account":
			q.Again = true
		case "consent":
		default:
			return Error{"invalid_request", "The prompt is not supported."}
		}
	}
	if q.Silent && len(prompts) > 1 {
		return Error{"invalid_request", "The prompt none cannot be combined."}
	}
	return nil
}

// demand is what a request asks of a session, under the client's registration
// of this moment.
func (p *Provider) demand(q pending, client Client, waited bool) demand {
	need := p.ACR.demanded(client.MinimumACR, q.ACRValues)
	d := demand{
		Silent:  q.Silent,
		Again:   q.Again,
		MaxAge:  time.Duration(q.MaxAge) * time.Second,
		Since:   q.Created,
		Waited:  waited,
		Need:    need,
		Methods: identity.Methods(client.Methods),
		User:    q.User,
		Enrol:   need == worthless && p.enrols(client.ID) && slices.Contains(q.Scopes, p.EnrolScope),
	}
	return d
}

// enrols tells whether a client is User Services.
func (p *Provider) enrols(client string) bool { return p.EnrolClient != "" && client == p.EnrolClient }

// client returns an enabled client: fault.NotFound, or fault.Denied
// "client_disabled".
func (p *Provider) client(ctx context.Context, id string) (Client, error) {
	if id == houseID {
		return Client{ID: houseID, Name: p.House}, nil
	}
	c, err := p.clients.get(ctx, id)
	if err == nil && !c.Disabled.IsZero() {
		return Client{}, fault.New(fault.Denied, "client_disabled", "The client %s is disabled.", id)
	}
	return c, err
}

// readable tells whether a value may be kept and given back as it came: UTF-8
// without control characters. Databases and JSON would change anything else.
func readable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// fields is strings.Fields, bounded.
func fields(s string, most int) []string {
	f := strings.Fields(s)
	return f[:min(len(f), most)]
}
