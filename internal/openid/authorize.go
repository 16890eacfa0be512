package openid

import (
	"context"
	"errors"
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
	ctx, notes := p.Traces.Begin(withAddress(r.Context(), address(p.ClientAddr(r))))
	r = r.WithContext(ctx)
	defer func() { p.Traces.Keep(ctx, notes, p.referenceOf(r), p.ClientAddr(r)) }()
	form, bad := parseQuery(r.URL.RawQuery)
	if bad != nil {
		p.problem(w, r, *bad)
		return
	}
	client, bad := p.whoAsks(ctx, form)
	if bad != nil {
		p.problem(w, r, *bad)
		return
	}
	q, to, err := p.asked(ctx, client, form)
	if err == nil {
		err = p.authorizeFor(w, r, client, q)
	}
	var shown Problem
	switch {
	case err == nil:
	case errors.As(err, &shown):
		p.problem(w, r, shown)
	case fault.Is(err, fault.Throttled):
		// No redirect: clients start anew by themselves, and would go in circles.
		p.problem(w, r, tooMany(err, client))
	case to.URI == "":
		p.Log.ErrorContext(ctx, "authorization failed", "client", client.ID, "error", err)
		p.problem(w, r, Problem{Status: http.StatusInternalServerError, Code: errServer.Code, Description: errServer.Description, Client: &client})
	default:
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
	return withoutEmpty(form), nil
}

// withoutEmpty drops parameters without a value: they count as left out (RFC 6749
// §3.1).
func withoutEmpty(form url.Values) url.Values {
	for name, values := range form {
		if form[name] = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(form[name]) == 0 {
			delete(form, name)
		}
	}
	return form
}

// whoAsks finds the client.
func (p *Provider) whoAsks(ctx context.Context, form url.Values) (Client, *Problem) {
	if len(form["client_id"]) != 1 {
		return Client{}, &Problem{Status: http.StatusBadRequest, Code: "invalid_request", Description: "Exactly one client_id is needed.", Parameter: "client_id"}
	}
	client, err := p.client(ctx, form.Get("client_id"))
	switch {
	case fault.Is(err, fault.NotFound), err == nil && client.ID == houseID:
		return Client{}, &Problem{Status: http.StatusBadRequest, Code: "invalid_client", Description: "No client is registered under this client_id.", Parameter: "client_id"}
	case fault.Is(err, fault.Denied):
		return Client{}, &Problem{Status: http.StatusForbidden, Code: "unauthorized_client", Description: "The client is disabled.", Parameter: "client_id"}
	case err != nil:
		p.Log.ErrorContext(ctx, "load client", "error", err)
		return Client{}, &Problem{Status: http.StatusServiceUnavailable, Code: errUnavailable.Code, Description: errUnavailable.Description}
	}
	return client, nil
}

// asked understands what a client's request asks for, pushed or brought by the
// browser, and where its answer goes. Its errors are Problems until that address is
// proved, and for the client from then on.
func (p *Provider) asked(ctx context.Context, client Client, form url.Values) (pending, target, error) {
	if strings.HasPrefix(form.Get("request_uri"), pushedPrefix) {
		q, err := p.pushed(ctx, client, form)
		return q, q.Target, err
	}
	if p.mustPush(client) {
		to, unproved := answerTo(client, form)
		if unproved != nil {
			return pending{}, target{}, unproved.because(errMustPush)
		}
		return pending{}, to, errMustPush
	}
	return p.read(ctx, client, form)
}

// read understands a request with its parameters at hand; a request object among
// them is opened first. Errors are as in asked.
func (p *Provider) read(ctx context.Context, client Client, form url.Values) (pending, target, error) {
	inside, err := p.open(ctx, client, form)
	if err != nil {
		// What the plain parameters say will do to tell the client, if the address
		// is registered.
		to, unproved := answerTo(client, form)
		if unproved != nil {
			return pending{}, target{}, unproved.because(err)
		}
		return pending{}, to, err
	}
	to, unproved := answerTo(client, inside)
	if unproved != nil {
		return pending{}, target{}, *unproved
	}
	q, err := p.parse(ctx, client, inside, to)
	return q, to, err
}

// answerTo proves the address that a request wants its answer at. Until then
// nothing is sent anywhere: a redirect would make the provider an open one.
func answerTo(client Client, form url.Values) (target, *Problem) {
	bad := func(description string) (target, *Problem) {
		return target{}, &Problem{Status: http.StatusBadRequest, Code: "invalid_request", Description: description, Parameter: "redirect_uri", Client: &client}
	}
	if len(form["redirect_uri"]) != 1 {
		return bad("Exactly one redirect_uri is needed.")
	}
	if !client.redirectsTo(form.Get("redirect_uri")) {
		return bad("The redirect_uri is not registered for this client.")
	}
	to := target{URI: form.Get("redirect_uri"), Mode: client.ownMode()}
	if s := form["state"]; len(s) == 1 && readable(s[0]) {
		to.State = s[0]
	}
	if m := form["response_mode"]; len(m) == 1 && client.answersIn(m[0]) {
		to.Mode = m[0]
	}
	if signedModes[to.Mode] != "" {
		to.Client, to.Alg = client.ID, client.responseAlg()
	}
	return to, nil
}

// authorizeFor answers a request that has been understood. Its errors go to the
// client, but for Problems.
func (p *Provider) authorizeFor(w http.ResponseWriter, r *http.Request, client Client, q pending) error {
	ctx := r.Context()
	s, person, gone, err := p.visitor(ctx, r)
	if err != nil {
		return err
	}
	wants := p.demand(q, client, false)
	p.noteDemand(ctx, q, client, wants)
	p.noteSession(ctx, s, gone)
	d, err := p.decide(ctx, wants, q, client, s, person, nil)
	if err != nil {
		return err
	}
	noteDecision(ctx, d)
	p.Log.DebugContext(ctx, "authorization", "client", client.ID, "verdict", d.Verdict.String(), "reason", d.Reason)
	if d.Verdict == showSignIn {
		if err := p.keep(ctx, &q, p.Binding(w, r)); err != nil {
			return err
		}
		private(w)
		see(w, p.SignIn(q.ID))
		return nil
	}
	if err := p.burn(ctx, q); errors.Is(err, errDoneRequest) {
		return Problem{Status: http.StatusBadRequest, Code: "invalid_request_uri", Description: "The request_uri is unknown, expired or used.", Parameter: "request_uri", Client: &client}
	} else if err != nil {
		return err
	}
	if d.Verdict == tellClient {
		return d.Error
	}
	return p.issue(w, r, q, *s)
}

// whoIsHere returns the browser's session with its person, or nil.
func (p *Provider) whoIsHere(ctx context.Context, r *http.Request) (*session.Session, identity.Person, error) {
	s, person, _, err := p.visitor(ctx, r)
	return s, person, err
}

// gone is why a browser has no session: it brought none, or one that is over
// (logged out, unused, too old), or one that was ended with a change to the account.
type gone struct {
	how  string // none, over, ended
	user string // whose it was, if that is known
}

// visitor is whoIsHere, and says why there is nobody.
func (p *Provider) visitor(ctx context.Context, r *http.Request) (*session.Session, identity.Person, gone, error) {
	secret := p.SessionSecret(r)
	if secret == "" {
		return nil, identity.Person{}, gone{how: "none"}, nil
	}
	s, err := p.Sessions.Find(ctx, secret)
	if fault.Is(err, fault.Unauthenticated) {
		return nil, identity.Person{}, gone{how: "over"}, nil
	}
	if err != nil {
		return nil, identity.Person{}, gone{}, err
	}
	return p.stillHere(ctx, &s)
}

// stillHere is a session that was found with its person, or why it is none any more.
func (p *Provider) stillHere(ctx context.Context, s *session.Session) (*session.Session, identity.Person, gone, error) {
	person, err := p.personOf(ctx, s)
	switch {
	case fault.Is(err, fault.Unauthenticated) && person.User.ID != "":
		return nil, identity.Person{}, gone{"over", s.User}, nil
	case fault.Is(err, fault.Unauthenticated):
		return nil, identity.Person{}, gone{"ended", s.User}, nil
	case err != nil:
		return nil, identity.Person{}, gone{}, err
	}
	return s, person, gone{}, nil
}

// personOf is the person of a browser's session, if both stand, and notes that the
// session is used, under the organisation's limits of now. fault.Unauthenticated
// "session_expired", with the person where only the session is over.
func (p *Provider) personOf(ctx context.Context, s *session.Session) (identity.Person, error) {
	person, err := p.People.Standing(ctx, identity.UserID(s.User), s.Epoch, s.ID)
	if err != nil {
		return identity.Person{}, err
	}
	used, err := p.Sessions.Use(ctx, *s, person.Organisation.Limits(s.Level))
	if err != nil {
		return person, err
	}
	*s = used
	return person, nil
}

// known is every parameter that means something to us, once each; resource may
// come again. Others are ignored (RFC 6749 §3.1). So are display and
// claims_locales, whatever they say: our pages fit every screen, and our claims
// have no languages.
var known = []string{"response_type", "client_id", "redirect_uri", "scope", "state", "nonce", "response_mode", "display", "prompt",
	"max_age", "ui_locales", "claims_locales", "id_token_hint", "login_hint", "acr_values", "code_challenge", "code_challenge_method",
	"request", "request_uri", "registration", "claims", "dpop_jkt", "resource"}

var (
	challenge = regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`) // base64url of a SHA-256 (RFC 7636 §4.2, RFC 7638 §3)
	scopeForm = regexp.MustCompile(`^[\x21\x23-\x5B\x5D-\x7E]+$`)
)

// checkOnce refuses what can be read in two ways, or cannot be given back as it came.
func checkOnce(form url.Values) error {
	for _, name := range known {
		if len(form[name]) > 1 && name != "resource" {
			return wrong(name, "invalid_request", "The parameter "+name+" is given more than once.")
		}
		if slices.ContainsFunc(form[name], func(v string) bool { return !readable(v) }) {
			return wrong(name, "invalid_request", "The parameter "+name+" holds control characters or is not UTF-8.")
		}
	}
	return nil
}

// parse reads the request (OpenID Connect Core §3.1.2.1). Its errors are Errors,
// or failures of ours.
func (p *Provider) parse(ctx context.Context, client Client, form url.Values, to target) (pending, error) {
	if err := checkOnce(form); err != nil {
		return pending{}, err
	}
	if m := form.Get("response_mode"); m != "" && m != to.Mode {
		return pending{}, wrong("response_mode", "invalid_request", "The response_mode is not supported, or the client is not registered for it.")
	}
	switch {
	case form.Has("registration"):
		return pending{}, wrong("registration", "registration_not_supported", "The registration parameter is not supported.")
	case !form.Has("response_type"):
		return pending{}, wrong("response_type", "invalid_request", "The response_type is missing.")
	case form.Get("response_type") != "code":
		return pending{}, wrong("response_type", "unsupported_response_type", "Only the response_type code is supported.")
	case !client.may(GrantCode):
		return pending{}, wrong("response_type", "unauthorized_client", "The client is not registered for the authorization code flow.")
	}
	q := pending{
		Client:    client.ID,
		Target:    to,
		Nonce:     form.Get("nonce"),
		Challenge: form.Get("code_challenge"),
		Locales:   locales(form.Get("ui_locales")),
		ACRValues: fields(form.Get("acr_values"), 20),
		JKT:       form.Get("dpop_jkt"),
		Created:   p.Now().UTC(),
	}
	if hint := form.Get("login_hint"); len(hint) <= 256 {
		q.LoginHint = hint
	}
	var err error
	if q.Scopes, err = scopes(client, form.Get("scope")); err != nil {
		return pending{}, err
	}
	if q.Resources, err = resources(client, form["resource"]); err != nil {
		return pending{}, err
	}
	if err := checkChallenge(client, q.Challenge, form.Get("code_challenge_method")); err != nil {
		return pending{}, err
	}
	if q.JKT != "" && !challenge.MatchString(q.JKT) {
		return pending{}, wrong("dpop_jkt", "invalid_request", "The dpop_jkt is not the SHA-256 thumbprint of a key.")
	}
	if err := q.readPrompt(form.Get("prompt")); err != nil {
		return pending{}, err
	}
	if q.MaxAge, err = maxAge(client, form.Get("max_age")); err != nil {
		return pending{}, err
	}
	if err := p.readHint(ctx, &q, form.Get("id_token_hint")); err != nil {
		return pending{}, err
	}
	if err := p.readClaims(&q, client, form.Get("claims")); err != nil {
		return pending{}, err
	}
	return q, nil
}

// maxAge is max_age in seconds, or the client's own where the request has none; -1
// for any age.
func maxAge(client Client, raw string) (int64, error) {
	switch {
	case raw != "":
	case client.DefaultMaxAge != nil && *client.DefaultMaxAge >= 0:
		return min(*client.DefaultMaxAge, math.MaxInt32), nil
	default:
		return -1, nil
	}
	n, err := strconv.ParseUint(raw, 10, 63)
	if err != nil {
		return 0, wrong("max_age", "invalid_request", "The max_age is not a number of seconds.")
	}
	return int64(min(n, math.MaxInt32)), nil // 68 years: no session is older
}

// readHint finds the person whom an id_token_hint means. The token may be another
// client's of ours, whose sub is then that client's.
func (p *Provider) readHint(ctx context.Context, q *pending, raw string) error {
	if raw == "" {
		return nil
	}
	// Nobody can be matched against a token that we cannot read.
	unreadable := wrong("id_token_hint", "login_required", "The id_token_hint is not an ID token of this provider.")
	hint, err := p.hint(ctx, raw)
	if unavailable(err) {
		return err
	}
	if err != nil {
		return unreadable
	}
	q.User = hint.User
	return nil
}

// readClaims reads the claims parameter and what it demands of the sign-in: a
// level, a person (OpenID Connect Core §5.5.1). What it asks to be told waits for
// the tokens.
func (p *Provider) readClaims(q *pending, client Client, raw string) error {
	var asked claimsRequest
	if raw != "" {
		var err error
		if asked, err = parseClaims(raw); err != nil {
			return wrong("claims", "invalid_request", "The claims parameter is not a claims request in JSON, or is too large.")
		}
	}
	q.Claims = asked.of(client).canonical()
	acr := asked.IDToken["acr"]
	if len(q.ACRValues) == 0 && len(acr.Values) == 0 {
		q.ACRValues = fields(strings.Join(client.DefaultACRValues, " "), 20)
	}
	if len(acr.Values) > 0 && acr.Essential {
		q.ACRMust = p.ACR.known(acr.Values)
		need := p.ACR.demanded("", q.ACRMust)
		if need == worthless || need == certificate && client.Methods != 0 && !identity.Methods(client.Methods).Has(identity.MethodCard) {
			return wrongParam{Unmet, "claims"}
		}
	} else {
		q.ACRMay = p.ACR.known(acr.Values[:min(len(acr.Values), 20)])
	}
	q.ACRValues = p.ACR.known(q.ACRValues)
	for _, asks := range []map[string]claimAsk{asked.IDToken, asked.Userinfo} {
		if err := p.readSubject(q, client, asks["sub"]); err != nil {
			return err
		}
	}
	return nil
}

// readSubject holds the request to the person whom the client asks for by name.
func (p *Provider) readSubject(q *pending, client Client, sub claimAsk) error {
	if len(sub.Values) == 0 {
		return nil
	}
	if len(sub.Values) > 1 {
		return wrong("claims", "invalid_request", "The claims parameter names more than one sub.")
	}
	user, ok := p.userOf(client, sub.Values[0])
	if !ok || q.User != "" && q.User != user {
		return wrong("claims", "login_required", "The sub in the claims parameter is not known, or not the one of the id_token_hint.")
	}
	q.User = user
	return nil
}

// resources keeps the resource indicators that a request names (RFC 8707 §2), once
// each. The client must be registered for all of them.
func resources(client Client, asked []string) ([]string, error) {
	if len(asked) == 0 && client.plain() {
		return slices.Clone(client.Resources), nil // there is nothing else that its tokens could be for
	}
	var named []string
	for _, r := range asked {
		switch {
		case checkResource(r) != nil:
			return nil, wrong("resource", "invalid_target", "A resource is not an absolute URI without fragment.")
		case !slices.Contains(client.Resources, r):
			return nil, wrong("resource", "invalid_target", "The client is not registered for a resource that it asks for.")
		case !slices.Contains(named, r):
			named = append(named, r)
		}
	}
	if len(named) > mostResources {
		return nil, wrong("resource", "invalid_target", "There may be 10 resources.")
	}
	return named, nil
}

// scopes keeps what the client is registered for, in its order and once each.
// What we do not know is ignored (OpenID Connect Core §3.1.2.1).
func scopes(client Client, raw string) ([]string, error) {
	asked := strings.Fields(raw)
	var granted []string
	for _, s := range asked {
		if !scopeForm.MatchString(s) {
			return nil, wrong("scope", "invalid_scope", "The scope holds characters that no scope may hold.")
		}
		if slices.Contains(client.Scopes, s) && !slices.Contains(granted, s) {
			granted = append(granted, s)
		}
	}
	switch {
	case !client.plain() && !slices.Contains(granted, "openid"):
		return nil, wrong("scope", "invalid_scope", "The scope must contain openid, and the client must be registered for it.")
	case len(granted) == 0:
		return nil, wrong("scope", "invalid_scope", "The scope names nothing that the client is registered for.")
	}
	return granted, nil
}

// checkChallenge holds the request to PKCE with S256 (RFC 7636, RFC 9700 §2.1.1).
// A challenge without a method would mean plain, and is refused.
func checkChallenge(client Client, c, method string) error {
	switch {
	case c == "" && method != "":
		return wrong("code_challenge_method", "invalid_request", "A code_challenge_method needs a code_challenge.")
	case c == "" && (client.RequirePKCE || client.Native || client.AuthMethod == AuthNone || client.fapi()):
		return wrong("code_challenge", "invalid_request", "This client must use PKCE: a code_challenge is missing.")
	case c == "":
		return nil
	case method != "S256":
		return wrong("code_challenge_method", "invalid_request", "The code_challenge_method must be S256.")
	case !challenge.MatchString(c):
		return wrong("code_challenge", "invalid_request", "The code_challenge is not the S256 of a code_verifier.")
	}
	return nil
}

// readPrompt reads prompt. consent is a question to people only where the client
// is a third party; what others may learn is settled with their registration.
func (q *pending) readPrompt(raw string) error {
	prompts := strings.Fields(raw)
	for _, prompt := range prompts {
		switch prompt {
		case "none":
			q.Silent = true
		case "login", "select_account":
			q.Again = true
		case "consent":
			q.Consent = true
		default:
			return wrong("prompt", "invalid_request", "The prompt is not supported.")
		}
	}
	if q.Silent && len(prompts) > 1 {
		return wrong("prompt", "invalid_request", "The prompt none cannot be combined.")
	}
	return nil
}

// demand is what a request asks of a session, under the client's registration
// of this moment.
func (p *Provider) demand(q pending, client Client, waited bool) demand {
	need := max(p.ACR.demanded(client.MinimumACR, q.ACRValues), p.ACR.demanded("", q.ACRMust))
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

// locales are the languages that ui_locales asks for; no tag of a language is
// longer than 35 characters (RFC 5646 §4.4.1).
func locales(raw string) []string {
	return slices.DeleteFunc(fields(raw, 10), func(tag string) bool { return len(tag) > 35 })
}

// fields is strings.Fields, bounded.
func fields(s string, most int) []string {
	f := strings.Fields(s)
	return f[:min(len(f), most)]
}
