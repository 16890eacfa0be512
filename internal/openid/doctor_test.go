package openid_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/session"
)

const reference = "K7QM2XEA"

func referenced(_ *openid.Config, d *openid.Deps) {
	d.Reference = func(*http.Request) string { return reference }
}

func (k *kit) refusal() openid.Refusal {
	k.t.Helper()
	f, err := k.p.Refusal(k.t.Context(), reference)
	if err != nil {
		k.t.Fatal(err)
	}
	return f
}

// Every way in which a request is refused leaves its likely cause, the parameter,
// what was sent and what is registered.
func TestRefusalsAreExplained(t *testing.T) {
	k := newKit(t, referenced)
	k.client("rp", func(c *openid.Client) {
		c.RedirectURIs, c.RequirePKCE = []string{callback, "https://rp.example/two?a=b"}, true
	})
	k.client("pushing", func(c *openid.Client) { c.RequirePAR = true })
	k.client("off")
	if _, err := k.clients.Disable(t.Context(), "operator:test", "off", false); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		pairs            []string
		cause            openid.Cause
		parameter, near  string
		registered, told string // named; with a redirect to the client
	}{
		{[]string{"client_id", ""}, openid.CauseClientMissing, "client_id", "", "", ""},
		{[]string{"client_id", "RP"}, openid.CauseClientUnknown, "client_id", "", "", ""},
		{[]string{"client_id", "off"}, openid.CauseClientDisabled, "client_id", "", "", ""},
		{[]string{"redirect_uri", ""}, openid.CauseAddressMissing, "redirect_uri", "", "redirect_uris", ""},
		{[]string{"redirect_uri", callback + "/"}, openid.CauseAddressSlash, "redirect_uri", callback, "redirect_uris", ""},
		{[]string{"redirect_uri", "https://rp.example/CB"}, openid.CauseAddressCase, "redirect_uri", callback, "redirect_uris", ""},
		{[]string{"redirect_uri", "http://rp.example/cb"}, openid.CauseAddressScheme, "redirect_uri", callback, "redirect_uris", ""},
		{[]string{"redirect_uri", "http://rp.example:80/cb"}, openid.CauseAddressScheme, "redirect_uri", callback, "redirect_uris", ""},
		{[]string{"redirect_uri", "https://rp.example:8443/cb"}, openid.CauseAddressPort, "redirect_uri", callback, "redirect_uris", ""},
		{[]string{"redirect_uri", "https://rp.example/two"}, openid.CauseAddressQuery, "redirect_uri", "https://rp.example/two?a=b", "redirect_uris", ""},
		{[]string{"redirect_uri", "https://rp.example/other"}, openid.CauseAddressPath, "redirect_uri", callback, "redirect_uris", ""},
		{[]string{"redirect_uri", "https://evil.example/cb"}, openid.CauseAddressOther, "redirect_uri", "", "redirect_uris", ""},
		{[]string{"redirect_uri", "::not an address"}, openid.CauseAddressOther, "redirect_uri", "", "redirect_uris", ""},
		{[]string{"scope", "profile"}, openid.CauseScopeOpenID, "scope", "", "scope", "invalid_scope"},
		{[]string{"response_type", "token"}, openid.CauseResponseType, "response_type", "", "grant_types", "unsupported_response_type"},
		{[]string{"response_mode", "jwt"}, openid.CauseResponseMode, "response_mode", "", "response_modes", "invalid_request"},
		{[]string{"code_challenge", "", "code_challenge_method", ""}, openid.CausePKCEMissing, "code_challenge", "", "require_pkce", "invalid_request"},
		{[]string{"code_challenge_method", "plain"}, openid.CausePKCEMethod, "code_challenge_method", "", "require_pkce", "invalid_request"},
		{[]string{"client_id", "pushing"}, openid.CauseMustPush, "request_uri", "", "request_uris", "invalid_request"},
		{[]string{"request_uri", "urn:ietf:params:oauth:request_uri:none"}, openid.CauseRequestURI, "request_uri", "", "request_uris", ""},
		{[]string{"request", "x.y.z"}, openid.CauseRequestObject, "request", "", "request_object_signing_alg", "request_not_supported"},
		{[]string{"resource", "https://api.example"}, openid.CauseResource, "resource", "", "resources", "invalid_target"},
		{[]string{"prompt", "perhaps"}, openid.CauseOther, "prompt", "", "", "invalid_request"},
		{[]string{"id_token_hint", "x"}, openid.CauseHint, "id_token_hint", "", "", "login_required"},
	} {
		a := k.authorize(k.browser(), request(c.pairs...))
		f := k.refusal()
		if f.Cause != c.cause || f.Parameter != c.parameter || f.Nearest != c.near || f.Endpoint != "/authorize" || f.Description == "" || f.At.IsZero() || f.Cause.Explain() == "" {
			t.Errorf("%v: %+v", c.pairs, f)
		}
		if named := slices.ContainsFunc(f.Registered, func(r openid.Registered) bool { return r.Name == c.registered }); named != (c.registered != "") {
			t.Errorf("%v: registered %+v, want %s", c.pairs, f.Registered, c.registered)
		}
		if c.told == "" && (a.to != nil || strings.Contains(a.body, "redirect_uris")) {
			t.Errorf("%v: %d %s %s", c.pairs, a.status, a.to, a.body)
		}
		if c.told != "" && (a.params.Get("error") != c.told || a.params.Get("error_uri") != k.url+"/doctor/"+reference) {
			t.Errorf("%v: %v", c.pairs, a.params)
		}
		if err := k.ephemeral.Delete(t.Context(), "refusal:"+reference); err != nil {
			t.Fatal(err)
		}
	}
}

// What a person does, and what we fail at, is no client's mistake.
func TestRoutineIsNotKept(t *testing.T) {
	k := newKit(t, referenced)
	k.client("rp")
	a := k.authorize(k.browser(), request("prompt", "none"))
	if a.params.Get("error") != "login_required" || a.params.Has("error_uri") {
		t.Errorf("%v", a.params)
	}
	if _, err := k.p.Refusal(t.Context(), reference); fault.Code(err) != "refusal_unknown" {
		t.Errorf("%v", err)
	}
}

// Logouts and pushed requests are explained as well.
func TestRefusedLogoutsAndPushesAreExplained(t *testing.T) {
	k := newKit(t, referenced)
	k.client("rp")
	for parameter, q := range map[string]url.Values{
		"post_logout_redirect_uri": {"client_id": {"rp"}, "post_logout_redirect_uri": {"https://rp.example/out/"}},
		"client_id":                {"client_id": {"nobody"}},
		"id_token_hint":            {"id_token_hint": {"canary"}},
	} {
		if a := k.get(k.browser(), openid.EndSessionPath, q); a.status != http.StatusBadRequest {
			t.Errorf("%d", a.status)
		}
		if f := k.refusal(); f.Parameter != parameter || f.Endpoint != "/end_session" || f.Cause == openid.CauseOther {
			t.Errorf("%+v", f)
		}
	}
	r := k.push("rp", request("redirect_uri", callback+"/"))
	f := k.refusal()
	if r.status != 400 || f.Endpoint != "/par" || f.Cause != openid.CauseAddressSlash || f.Client != "rp" || !strings.Contains(r.header.Get("Link"), "/doctor/"+reference) {
		t.Errorf("%d %v %+v", r.status, r.header, f)
	}
	k.secrets["rp"] = "wrong"
	r = k.push("rp", request())
	if f := k.refusal(); r.status != 401 || f.Cause != openid.CauseClientAuth || len(f.Registered) != 0 && f.Client == "" {
		t.Errorf("%d %+v", r.status, f)
	}
}

// Nothing secret and nothing about a person is kept, and however much is sent, little is.
func TestRefusalsHoldNoSecretsAndAreSmall(t *testing.T) {
	k := newKit(t, referenced)
	k.client("rp", func(c *openid.Client) {
		for i := range 40 {
			c.RedirectURIs = append(c.RedirectURIs, "https://rp.example/"+strings.Repeat("long", 400)+strconv.Itoa(i))
		}
	})
	const canary = "canary-that-nobody-may-see"
	q := request("redirect_uri", "https://rp.example/"+strings.Repeat("\x01<\u2028&", 300))
	for _, name := range []string{"state", "nonce", "id_token_hint", "login_hint", "code", "client_secret", "client_assertion", "code_verifier", "request", "claims", "code_challenge", "unknown", "password", "logout_hint"} {
		q.Set(name, canary)
	}
	for i := range 200 {
		q.Add("scope", strings.Repeat("s", i%7))
		q.Set(strings.Repeat("n", i%90)+"x", "v")
	}
	k.authorize(k.browser(), q)
	raw, err := k.ephemeral.Get(t.Context(), "refusal:"+reference)
	if err != nil || len(raw) > 4096 || strings.Contains(string(raw), canary) {
		t.Fatalf("%d bytes, %v: %s", len(raw), err, raw)
	}
	f := k.refusal()
	if len(f.Sent) == 0 || len(f.Sent) > 30 || f.Client != "rp" {
		t.Errorf("%+v", f)
	}
	if body, err := json.Marshal(f); err != nil || strings.Contains(k.logs.String(), canary) {
		t.Errorf("%s %v", body, err)
	}
	k.wait(24*time.Hour + time.Second)
	if _, err := k.p.Refusal(t.Context(), reference); fault.Code(err) != "refusal_unknown" {
		t.Errorf("after a day: %v", err)
	}
}

// A stranger fills nothing: of one address some refusals an hour are kept.
func TestRefusalsAreBoundedByAddress(t *testing.T) {
	n := 0
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) {
		d.Reference = func(*http.Request) string { n++; return "AAAAAAA" + string(rune('A'+n%26)) }
	})
	for range 40 {
		if a := k.authorize(k.browser(), request("client_id", "none")); a.status != http.StatusBadRequest {
			t.Fatal(a.status)
		}
	}
	if n != 30 {
		t.Errorf("%d were kept", n)
	}
}

// Without the store the answer is what it was.
func TestRefusalsWithoutAStore(t *testing.T) {
	k := newKit(t, referenced, func(_ *openid.Config, d *openid.Deps) { d.Ephemeral = noCounting{d.Ephemeral} })
	k.client("rp")
	a := k.authorize(k.browser(), request("scope", "profile"))
	if a.params.Get("error") != "invalid_scope" || a.params.Has("error_uri") {
		t.Errorf("%v", a.params)
	}
}

func TestReferencesHaveAForm(t *testing.T) {
	k := newKit(t, referenced)
	k.authorize(k.browser(), request("client_id", "none"))
	if f, err := k.p.Refusal(t.Context(), " k7qm2xea "); err != nil || f.Reference != reference {
		t.Errorf("%+v %v", f, err)
	}
	for _, other := range []string{"", "K7QM2XE", "K7QM2XEAA", "K7QM2XE1", "../../..", "K7QM*XEA"} {
		if _, err := k.p.Refusal(t.Context(), other); fault.Code(err) != "refusal_unknown" {
			t.Errorf("%q: %v", other, err)
		}
	}
}

// Who may look: the role and the sign-in, both as they are now.
func TestOnlyOperatorsMayLook(t *testing.T) {
	k := newKit(t)
	ask := func(s *session.Session) error {
		t.Helper()
		r := newGet("/doctor")
		if s != nil {
			secret, _, err := k.sessions.Start(t.Context(), *s)
			if err != nil {
				t.Fatal(err)
			}
			r.AddCookie(&http.Cookie{Name: "sid", Value: secret})
		}
		return k.p.Operator(r)
	}
	role := func(roles identity.Roles) session.Session {
		t.Helper()
		k.change(func(tx identity.Tx) error {
			p, err := tx.Person("anna")
			if err != nil {
				return err
			}
			p.User.Roles = roles
			return tx.SaveUser(p.User)
		})
		s := anna
		s.AuthTime = k.now()
		return s
	}
	s := role(0)
	if err := ask(nil); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	if err := ask(&s); fault.Code(err) != "not_found" {
		t.Errorf("no role: %v", err)
	}
	s = role(identity.RolesOf(identity.RoleOperator))
	if err := ask(&s); err != nil {
		t.Errorf("an operator: %v", err)
	}
	weak := enrol
	weak.AuthTime = k.now()
	if err := ask(&weak); fault.Code(err) != "not_found" {
		t.Errorf("a password alone: %v", err)
	}
	odd := withID(s, session.Password)
	if err := ask(&odd); fault.Code(err) != "not_found" {
		t.Errorf("full by a password: %v", err)
	}
	k.permit(identity.MethodCard)
	if err := ask(&s); fault.Code(err) != "not_found" {
		t.Errorf("a method that is not permitted any more: %v", err)
	}
	k.permit(identity.AllMethods...)
	s = role(0)
	if err := ask(&s); fault.Code(err) != "not_found" {
		t.Errorf("the role was taken: %v", err)
	}
	old := anna
	old.Epoch = 7
	if err := ask(&old); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("a dead session: %v", err)
	}
}

// noCounting is a store whose counters are away.
type noCounting struct{ ephemeral.Store }

func (noCounting) Increment(context.Context, string, time.Duration) (int64, time.Duration, error) {
	return 0, 0, fault.New(fault.Unavailable, "ephemeral_unavailable", "Away.")
}
