package openid_test

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/ephemeral"
	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// jwtClient registers the key's public half for private_key_jwt.
func jwtClient(key *clientjwttest.Key) func(c *openid.Client) {
	return func(c *openid.Client) { c.AuthMethod, c.JWKS = openid.AuthPrivateKeyJWT, key.JWKS() }
}

// strict makes it a client of FAPI 2.0.
func strict(c *openid.Client) { c.Profile, c.DPoP = openid.ProfileFAPI2, true }

// asserted is a form with an assertion.
func asserted(form url.Values, assertion string, pairs ...string) url.Values {
	form = maps.Clone(form)
	form.Set("client_assertion_type", clientjwt.AssertionType)
	form.Set("client_assertion", assertion)
	for i := 0; i < len(pairs); i += 2 {
		if form.Set(pairs[i], pairs[i+1]); pairs[i+1] == "" {
			form.Del(pairs[i])
		}
	}
	return form
}

func refreshing(token string) url.Values {
	return url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}
}

// tried tells whether a client got past its authentication with a form that has
// no good code.
func tried(t *testing.T, what string, r reply, in bool) {
	t.Helper()
	if in {
		refused(t, what, r, 400, "invalid_grant")
	} else {
		refused(t, what, r, 401, "invalid_client")
	}
}

// Of all ways that there are, a client gets in by the registered one alone.
func TestOnlyTheRegisteredMethodIsAccepted(t *testing.T) {
	k := newKit(t)
	key := clientjwttest.New(t, "ES256")
	methods := []openid.AuthMethod{openid.AuthBasic, openid.AuthPost, openid.AuthPrivateKeyJWT, openid.AuthNone}
	present := map[openid.AuthMethod]func(id string) reply{
		openid.AuthBasic: func(id string) reply { return k.post(id, redeem("x")) },
		openid.AuthPost: func(id string) reply {
			return k.post("", redeem("x", "client_id", id, "client_secret", cmp.Or(k.secrets[id], "a guess")))
		},
		openid.AuthPrivateKeyJWT: func(id string) reply {
			return k.post("", asserted(redeem("x"), key.Assertion(id, k.url), "client_id", id))
		},
		openid.AuthNone: func(id string) reply { return k.post("", redeem("x", "client_id", id)) },
	}
	for _, registered := range methods {
		id := "is-" + string(registered)
		k.client(id, func(c *openid.Client) {
			if c.AuthMethod = registered; registered == openid.AuthPrivateKeyJWT {
				c.JWKS = key.JWKS()
			}
		})
		if (k.secrets[id] != "") != (registered == openid.AuthBasic || registered == openid.AuthPost) {
			t.Errorf("%s: secret %q", registered, k.secrets[id])
		}
		for _, m := range methods {
			tried(t, string(registered)+" comes with "+string(m), present[m](id), m == registered)
		}
	}
	// Two proofs are none, even when both are right (RFC 6749 §2.3).
	k.client("rp")
	both := asserted(redeem("x"), key.Assertion("is-private_key_jwt", k.url))
	refused(t, "assertion and Basic", k.post("rp", both), 400, "invalid_request")
	refused(t, "assertion and form", k.post("", asserted(redeem("x", "client_secret", "y"), key.Assertion("is-private_key_jwt", k.url))), 400, "invalid_request")
	refused(t, "Basic and form", k.post("rp", redeem("x", "client_secret", "y")), 400, "invalid_request")
	refused(t, "two assertions", k.post("", url.Values{"grant_type": both["grant_type"], "client_assertion": {"a", "b"}}), 400, "invalid_request")
}

// conformance.md 2.9, client assertions; and what else can be wrong with one.
func TestClientAssertions(t *testing.T) {
	k := newKit(t)
	key, other, rsa := clientjwttest.New(t, "ES256"), clientjwttest.New(t, "ES256"), clientjwttest.New(t, "RS256")
	k.client("plain", jwtClient(key))
	k.client("strict", jwtClient(key), strict)
	k.client("other", jwtClient(other))
	k.client("rs", func(c *openid.Client) {
		c.AuthMethod, c.JWKS = openid.AuthPrivateKeyJWT, clientjwttest.JWKS(rsa, key)
	})
	k.client("rs-strict", strict, func(c *openid.Client) {
		c.AuthMethod, c.JWKS = openid.AuthPrivateKeyJWT, clientjwttest.JWKS(rsa, key)
	})
	k.client("rs-only", func(c *openid.Client) {
		c.AuthMethod, c.JWKS, c.AuthAlgorithm = openid.AuthPrivateKeyJWT, clientjwttest.JWKS(rsa, key), keys.RS256
	})
	now := time.Now()
	at := func(d time.Duration) int64 { return now.Add(d).Unix() }
	claims := func(id string, pairs ...any) map[string]any {
		c := clientjwttest.Claims(id, k.url)
		for i := 0; i < len(pairs); i += 2 {
			if name := pairs[i].(string); pairs[i+1] == nil {
				delete(c, name)
			} else {
				c[name] = pairs[i+1]
			}
		}
		return c
	}
	sign := func(key *clientjwttest.Key, claims map[string]any) string { return key.Sign(nil, claims) }
	for what, c := range map[string]struct {
		assertion string
		form      []string
		in        bool
	}{
		"issuer as audience":            {sign(key, claims("plain")), nil, true},
		"token endpoint as audience":    {sign(key, claims("plain", "aud", k.url+"/token")), nil, true},
		"both in a list":                {sign(key, claims("plain", "aud", []string{k.url, k.url + "/token"})), nil, true},
		"another server as audience":    {sign(key, claims("plain", "aud", "https://other.example")), nil, false},
		"no audience":                   {sign(key, claims("plain", "aud", nil)), nil, false},
		"client_id as well":             {sign(key, claims("plain")), []string{"client_id", "plain"}, true},
		"another client_id":             {sign(key, claims("plain")), []string{"client_id", "other"}, false},
		"another client's key":          {sign(other, claims("plain")), nil, false},
		"no type":                       {sign(key, claims("plain")), []string{"client_assertion_type", ""}, false},
		"type of SAML":                  {sign(key, claims("plain")), []string{"client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"}, false},
		"no assertion":                  {"", []string{"client_id", "plain", "client_assertion", ""}, false},
		"empty assertion":               {"", []string{"client_id", "plain"}, false},
		"no client at all":              {"x.y.z", nil, false},
		"unknown client":                {sign(key, claims("stranger")), nil, false},
		"the house":                     {sign(key, claims("~house")), nil, false},
		"alg none":                      {key.Sign(map[string]any{"alg": "none"}, claims("plain")), nil, false},
		"HS256":                         {key.Sign(map[string]any{"alg": "HS256"}, claims("plain")), nil, false},
		"a DPoP proof's type":           {key.Sign(map[string]any{"typ": "dpop+jwt"}, claims("plain")), nil, false},
		"a request object's type":       {key.Sign(map[string]any{"typ": "oauth-authz-req+jwt"}, claims("plain")), nil, false},
		"without jti":                   {sign(key, claims("plain", "jti", nil)), nil, false},
		"without exp":                   {sign(key, claims("plain", "exp", nil)), nil, false},
		"RS256, any":                    {sign(rsa, claims("rs")), nil, true},
		"RS256, registered":             {sign(rsa, claims("rs-only")), nil, true},
		"ES256, RS256 registered":       {sign(key, claims("rs-only")), nil, false},
		"FAPI: issuer as a string":      {sign(key, claims("strict")), nil, true},
		"FAPI: array as audience":       {sign(key, claims("strict", "aud", []string{k.url})), nil, false},
		"FAPI: token endpoint":          {sign(key, claims("strict", "aud", k.url+"/token")), nil, false},
		"FAPI: PAR endpoint":            {sign(key, claims("strict", "aud", k.url+"/par")), nil, false},
		"FAPI: nbf and iat 8 s ahead":   {sign(key, claims("strict", "nbf", at(8*time.Second), "iat", at(8*time.Second))), nil, true},
		"FAPI: nbf over 60 s ahead":     {sign(key, claims("strict", "nbf", at(70*time.Second))), nil, false},
		"FAPI: iat over 60 s ahead":     {sign(key, claims("strict", "iat", at(70*time.Second))), nil, false},
		"FAPI: expired 5 min ago":       {sign(key, claims("strict", "iat", at(-10*time.Minute), "exp", at(-5*time.Minute))), nil, false},
		"FAPI: no sub":                  {sign(key, claims("strict", "sub", nil)), nil, false},
		"FAPI: another's sub":           {sign(key, claims("strict", "sub", "other")), nil, false},
		"FAPI: RS256":                   {sign(rsa, claims("rs-strict")), nil, false},
		"FAPI: ES256, too":              {sign(key, claims("rs-strict")), nil, true},
		"FAPI: no assertion":            {"", []string{"client_id", "strict", "client_assertion", "", "client_assertion_type", ""}, false},
		"FAPI: the other's client_id":   {sign(key, claims("strict")), []string{"client_id", "plain"}, false},
		"signature cut":                 {strings.TrimRight(sign(key, claims("plain")), "AQgw") + "AAAA", nil, false},
		"an access token as assertion":  {strings.Repeat("A", 43), []string{"client_id", "plain"}, false},
		"64 KiB is too much to look at": {strings.Repeat("A", 17<<10), []string{"client_id", "plain"}, false},
	} {
		r := k.post("", asserted(redeem("x"), c.assertion, c.form...))
		if c.in && strings.HasPrefix(what, "FAPI") {
			refused(t, what, r, 400, "invalid_request") // past its authentication, it lacks the proof of a key
			continue
		}
		tried(t, what, r, c.in)
		if strings.Contains(r.raw, "stranger") || strings.Contains(r.raw, "saml2") {
			t.Errorf("%s: input is given back: %s", what, r.raw)
		}
	}
	// A refused assertion is not spent, an accepted one is.
	good := sign(key, claims("plain"))
	tried(t, "wrong type", k.post("", asserted(redeem("x"), good, "client_assertion_type", "x")), false)
	tried(t, "first use", k.post("", asserted(redeem("x"), good)), true)
	tried(t, "second use", k.post("", asserted(redeem("x"), good)), false)
	// Another client may use the same jti.
	tried(t, "another's jti", k.post("", asserted(redeem("x"), sign(other, claims("other", "jti", "same")))), true)
	tried(t, "the same jti", k.post("", asserted(redeem("x"), sign(key, claims("plain", "jti", "same")))), true)
}

// zitadel-oidc 2.3, 6.4: an assertion was good for client authentication where it
// was wanted, and for a grant where it was not.
func TestSignInWithPrivateKeyJWT(t *testing.T) {
	k := newKit(t)
	for _, alg := range []string{"RS256", "PS256", "ES256", "EdDSA"} {
		key := clientjwttest.New(t, alg)
		id := "rp-" + strings.ToLower(alg)
		k.client(id, jwtClient(key))
		r := k.post("", asserted(redeem(k.code(k.browser(), request("client_id", id))), key.Assertion(id, k.url)))
		if r.status != http.StatusOK || r.text("id_token") == "" {
			t.Fatalf("%s: %d %s", alg, r.status, r.raw)
		}
		refused(t, "refresh without authentication", k.post("", refreshing(r.text("refresh_token"))), 401, "invalid_client")
		if r = k.post("", asserted(refreshing(r.text("refresh_token")), key.Assertion(id, k.url))); r.status != http.StatusOK {
			t.Errorf("%s: refresh: %d %s", alg, r.status, r.raw)
		}
		form := url.Values{"grant_type": {"urn:ietf:params:oauth:grant-type:jwt-bearer"}, "assertion": {key.Assertion(id, k.url)}, "scope": {"openid admin"}}
		refused(t, "assertion as a grant", k.post("", form), 400, "unsupported_grant_type")
	}
}

// One assertion authenticates one request, however many come at once.
func TestParallelAssertions(t *testing.T) {
	pairs(t, func(t *testing.T, k *kit) {
		key := clientjwttest.New(t, "ES256")
		k.client("jwt", jwtClient(key))
		form := asserted(redeem("x"), key.Assertion("jwt", k.url))
		var all sync.WaitGroup
		var in, out atomic.Int64
		start := make(chan struct{})
		for range 50 {
			all.Go(func() {
				<-start
				switch r := k.post("", form); r.text("error") {
				case "invalid_grant":
					in.Add(1)
				case "invalid_client":
					out.Add(1)
				default:
					t.Errorf("%d %s", r.status, r.raw)
				}
			})
		}
		close(start)
		all.Wait()
		if in.Load() != 1 || out.Load() != 49 {
			t.Errorf("%d got in, %d were refused", in.Load(), out.Load())
		}
	})
}

// jwksServer is a client's server, whose keys can change and fail.
type jwksServer struct {
	*httptest.Server
	body  atomic.Pointer[[]byte] // nil: 500
	calls atomic.Int64
}

func newJWKSServer(t *testing.T) *jwksServer {
	s := &jwksServer{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.calls.Add(1)
		body := s.body.Load()
		if body == nil {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(*body)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *jwksServer) serve(body []byte) { s.body.Store(&body) }

// conformance.md 2.7: registration-jwks-uri, refresh-token-rp-key-rotation.
func TestKeysAtAJWKSURI(t *testing.T) {
	k := newKit(t)
	old, young := clientjwttest.New(t, "ES256"), clientjwttest.New(t, "ES256")
	server := newJWKSServer(t)
	k.client("remote", func(c *openid.Client) { c.AuthMethod, c.JWKSURI = openid.AuthPrivateKeyJWT, server.URL })
	post := func(key *clientjwttest.Key) reply {
		claims := clientjwttest.Claims("remote", k.url)
		claims["iat"], claims["exp"] = k.now().Unix(), k.now().Add(time.Minute).Unix()
		return k.post("", asserted(redeem("x"), key.Sign(nil, claims)))
	}
	tried(t, "the client's server fails", post(old), false)
	k.wait(time.Minute)
	server.serve(old.JWKS())
	tried(t, "registered key", post(old), true)
	calls := server.calls.Load()
	tried(t, "again", post(old), true)
	if server.calls.Load() != calls {
		t.Error("the keys were fetched for every request")
	}
	server.serve(young.JWKS())
	tried(t, "a key from a minute that has not passed", post(young), false)
	k.wait(time.Minute)
	tried(t, "new key", post(young), true)
	tried(t, "the old key is withdrawn", post(old), false)
}

// The guard of calls to relying parties holds for keys, too.
func TestKeysAreNotFetchedFromInside(t *testing.T) {
	server := newJWKSServer(t)
	key := clientjwttest.New(t, "ES256")
	server.serve(key.JWKS())
	k := newKit(t, func(c *openid.Config, _ *openid.Deps) { c.Outgoing = openid.Outgoing{} })
	k.client("remote", func(c *openid.Client) { c.AuthMethod, c.JWKSURI = openid.AuthPrivateKeyJWT, server.URL })
	tried(t, "private address", k.post("", asserted(redeem("x"), key.Assertion("remote", k.url))), false)
	if server.calls.Load() != 0 {
		t.Error("it was called")
	}
}

// A registration's new keys count at once, and its old ones no more.
func TestChangedKeys(t *testing.T) {
	k := newKit(t)
	old, young := clientjwttest.New(t, "ES256"), clientjwttest.New(t, "ES256")
	k.client("jwt", jwtClient(old))
	tried(t, "old key", k.post("", asserted(redeem("x"), old.Assertion("jwt", k.url))), true)
	if _, err := k.clients.Change(t.Context(), "operator:test", "jwt", func(c *openid.Client) error { c.JWKS = young.JWKS(); return nil }, false); err != nil {
		t.Fatal(err)
	}
	k.wait(10 * time.Second) // clients are known for a moment
	sign := func(key *clientjwttest.Key) string {
		return key.Assertion("jwt", k.url)
	}
	tried(t, "withdrawn key", k.post("", asserted(redeem("x"), sign(old))), false)
	tried(t, "new key", k.post("", asserted(redeem("x"), sign(young))), true)
}

// forgetful is a store that cannot say what was used.
type forgetful struct{ ephemeral.Store }

func (forgetful) Add(context.Context, string, []byte, time.Duration) error {
	return fault.New(fault.Unavailable, "ephemeral_unavailable", "The store is away.")
}

// When nobody can say whether an assertion was used, it counts for nothing.
func TestAssertionsNeedTheStore(t *testing.T) {
	k := newKit(t, func(_ *openid.Config, d *openid.Deps) { d.Ephemeral = forgetful{d.Ephemeral} })
	key := clientjwttest.New(t, "ES256")
	k.client("jwt", jwtClient(key))
	r := k.post("", asserted(redeem("x"), key.Assertion("jwt", k.url)))
	if r.status != http.StatusServiceUnavailable || r.text("error") != "temporarily_unavailable" || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", r.status, r.raw)
	}
}

// What a stranger sends as a client_id is not for the log: it may be long, or
// somebody's secret in the wrong field.
func TestWhatIsNoClientIDIsNotLogged(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	refused(t, "no client_id", k.post("", redeem("x", "client_id", "hunter2 "+strings.Repeat("x", 1000), "client_secret", "y")), 401, "invalid_client")
	if strings.Contains(k.logs.String(), "hunter2") {
		t.Error("it is in the log")
	}
	refused(t, "wrong secret", k.post("", redeem("x", "client_id", "rp", "client_secret", "y")), 401, "invalid_client")
	if !strings.Contains(k.logs.String(), "client=rp") {
		t.Error("a client that is one is not named")
	}
}
