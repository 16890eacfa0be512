package e2e

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/clientjwt"
	"github.com/portti-id/portti/internal/clientjwt/clientjwttest"
	"github.com/portti-id/portti/internal/dpop/dpoptest"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
)

// fapi is one module's run of fapi2-security-profile-final-test-plan: a browser with
// nothing in it, and two clients with keys or with certificates.
type fapi struct {
	suite
	first, second *prover
	resource      string // what access tokens open
	machine       bool   // fapi_client_credentials_grant: no person, no browser
	plain         bool   // plain_oauth: no openid
}

// prover is a client that proves what it says.
type prover struct {
	*Party
	alg string             // of its ID tokens
	key *clientjwttest.Key // of its assertions; nil where it shows a certificate
	dpo *dpoptest.Key      // of its DPoP proofs; nil where its tokens are bound to the certificate
}

// TestConformanceFAPI is the plan's main variant: openid_connect, private_key_jwt, dpop.
func TestConformanceFAPI(t *testing.T) {
	EachWith(t, Options{MTLS: true}, func(t *testing.T, w *World) {
		runFAPI(t, newFAPI(t, w, withKeys), fapiFlow, fapiAssertions, fapiProofs)
	})
}

// TestConformanceFAPICertificates is openid_connect, mtls, mtls.
func TestConformanceFAPICertificates(t *testing.T) {
	EachWith(t, Options{MTLS: true}, func(t *testing.T, w *World) { runFAPI(t, newFAPI(t, w, withCertificate), fapiFlow) })
}

// TestConformanceFAPIClientCredentials is fapi_client_credentials_grant, private_key_jwt,
// dpop.
func TestConformanceFAPIClientCredentials(t *testing.T) {
	EachWith(t, Options{MTLS: true}, func(t *testing.T, w *World) {
		f := newFAPI(t, w, withKeys)
		f.machine, f.resource = true, w.Issuer()+"/api/v1/clients"
		runFAPI(t, f, fapiMachine)
	})
}

// TestConformanceFAPINonces is what a provider meets the plan with that asks for
// nonces: use_dpop_nonce is followed, as the suite follows it.
func TestConformanceFAPINonces(t *testing.T) {
	EachWith(t, Options{MTLS: true, Configure: func(c *server.Config) { c.DPoPNonces = true }}, func(t *testing.T, w *World) {
		runFAPI(t, newFAPI(t, w, withKeys), map[string]func(f *fapi){"happy-flow": fapiFlow["happy-flow"], "refresh-token": fapiRefresh, "dpop-negative-tests": badProofs})
	})
}

func runFAPI(t *testing.T, f fapi, all ...map[string]func(f *fapi)) {
	t.Helper()
	for _, modules := range all {
		for _, name := range slices.Sorted(maps.Keys(modules)) {
			t.Run("fapi2-security-profile-final-"+name, func(t *testing.T) {
				run := f
				run.T, run.v = t, f.w.Visitor()
				modules[name](&run)
			})
		}
	}
}

func newFAPI(t *testing.T, w *World, with func(t *testing.T, w *World, id, alg string, edit func(c *openid.Client)) *prover) fapi {
	t.Helper()
	f := fapi{suite: newSuite(t, w)}
	f.algs = []string{"PS256", "ES256"}
	f.first = with(t, w, "fapi-1", "PS256", func(*openid.Client) {})
	f.second = with(t, w, "fapi-2", "ES256", func(c *openid.Client) { c.RedirectURIs[0] += "?dummy1=lorem&dummy2=ipsum" })
	f.resource = f.at(f.first, "userinfo_endpoint")
	return f
}

// profiled is a registration that keeps to FAPI 2.0.
func profiled(alg string, edit func(c *openid.Client)) func(c *openid.Client) {
	return func(c *openid.Client) {
		c.Profile, c.Algorithm = openid.ProfileFAPI2, keys.Algorithm(alg)
		c.Scopes = []string{"openid", "profile", "email", "address", "phone", "offline_access", "clients"}
		c.GrantTypes = append(c.GrantTypes, openid.GrantClient)
		edit(c)
	}
}

func withKeys(t *testing.T, w *World, id, alg string, edit func(c *openid.Client)) *prover {
	t.Helper()
	p := &prover{alg: alg, key: clientjwttest.New(t, alg), dpo: dpoptest.New(t)}
	p.dpo.Now = w.Clock.Now
	p.Party = w.Party(id, profiled(alg, edit), func(c *openid.Client) {
		c.AuthMethod, c.JWKS, c.DPoP = openid.AuthPrivateKeyJWT, p.key.JWKS(), true
	})
	return p
}

func withCertificate(t *testing.T, w *World, id, alg string, edit func(c *openid.Client)) *prover {
	t.Helper()
	p := w.Party(id, profiled(alg, edit), func(c *openid.Client) {
		c.AuthMethod, c.TLSSubjectDN, c.CertificateBound = openid.AuthTLS, "CN="+id+",O=Kuntala", true
	})
	return &prover{alg: alg, Party: p.Showing(w.ServiceCertificate(id))}
}

// at is an endpoint as the client calls it: by its alias where there is one and the
// client shows certificates (RFC 8705 §5).
func (f *fapi) at(c *prover, endpoint string) string {
	if aliases, _ := f.conf["mtls_endpoint_aliases"].(map[string]any); c.key == nil && aliases[endpoint] != nil {
		return aliases[endpoint].(string)
	}
	return f.conf[endpoint].(string)
}

// call is a request of a client to the provider, right in everything until a module
// spoils it.
type call struct {
	by              *prover
	method, address string
	form            url.Values
	header          http.Header
	signer          *clientjwttest.Key
	jose, assertion map[string]any // header and claims; nil claims: none is sent
	kind            string         // client_assertion_type
	prover          *dpoptest.Key
	head, proof     map[string]any // header and claims; nil claims: none is sent
	proofs          []string       // sent instead, as they are
}

// answer is what the provider says to a call.
type answer struct {
	Status int
	Header http.Header
	Body   string
	JSON   map[string]any
}

func (a answer) text(name string) string { s, _ := a.JSON[name].(string); return s }

// call prepares a request to an endpoint.
func (f *fapi) call(c *prover, method, address string, form url.Values) *call {
	k := &call{by: c, method: method, address: address, form: maps.Clone(form), header: http.Header{}}
	if c.dpo != nil {
		k.prover, k.head, k.proof = c.dpo, c.dpo.Header(), c.dpo.Claims(method, address, "", "")
	}
	if method == http.MethodGet {
		return k
	}
	k.form.Set("client_id", c.ID)
	if c.key != nil {
		now := f.w.Clock.Now()
		k.signer, k.kind, k.assertion = c.key, clientjwt.AssertionType, clientjwttest.Claims(c.ID, f.w.Issuer())
		k.assertion["iat"], k.assertion["exp"] = now.Unix(), now.Add(time.Minute).Unix()
	}
	return k
}

// send sends a call, and again with the nonce that is asked for, twice at most.
func (f *fapi) send(k *call) answer {
	f.Helper()
	for range 2 {
		got := f.once(k)
		nonce := got.Header.Get("DPoP-Nonce")
		asked := got.text("error") == "use_dpop_nonce" || strings.Contains(strings.Join(got.Header.Values("WWW-Authenticate"), " "), `error="use_dpop_nonce"`)
		if !asked || k.proof == nil {
			return got
		}
		if nonce == "" {
			f.Fatalf("a nonce is asked for, and none is given: %+v", got)
		}
		k.proof["nonce"] = nonce
		if k.assertion["jti"] != nil {
			k.assertion["jti"] = k.assertion["jti"].(string) + "2"
		}
	}
	return f.once(k)
}

func (f *fapi) once(k *call) answer {
	f.Helper()
	got := must(k.try())(f.T)
	if got.Header.Get("Date") == "" || !strings.Contains(got.Header.Get("Cache-Control"), "no-store") {
		f.Errorf("%s %s: Date %q, Cache-Control %q", k.method, k.address, got.Header.Get("Date"), got.Header.Get("Cache-Control"))
	}
	kind := got.Header.Get("Content-Type")
	if problem := kind == "application/problem+json" && strings.Contains(k.address, "/api/"); got.Body != "" && (got.JSON == nil || kind != "application/json" && !problem) {
		f.Errorf("%s %s: %s is no JSON: %s", k.method, k.address, kind, got.Body)
	}
	return got
}

// try signs and sends, and looks at nothing: for other goroutines as well.
func (k *call) try() (answer, error) {
	form := maps.Clone(k.form)
	if k.assertion != nil {
		form.Set("client_assertion", k.signer.Sign(k.jose, k.assertion))
		if k.kind != "" {
			form.Set("client_assertion_type", k.kind)
		}
	}
	r, err := http.NewRequest(k.method, k.address, strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	if k.method != http.MethodGet {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	maps.Copy(r.Header, k.header)
	switch {
	case k.proofs != nil:
		r.Header["Dpop"] = k.proofs
	case k.proof != nil:
		r.Header["Dpop"] = []string{k.prover.Sign(k.head, k.proof)}
	}
	response, err := k.by.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // it was read to the end
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	got := answer{Status: response.StatusCode, Header: response.Header, Body: string(body)}
	_ = json.Unmarshal(body, &got.JSON)
	return got, nil
}

type spoil = func(k *call)

func (f *fapi) post(c *prover, endpoint string, form url.Values, spoils ...spoil) answer {
	f.Helper()
	k := f.call(c, http.MethodPost, f.at(c, endpoint), form)
	for _, s := range spoils {
		s(k)
	}
	return f.send(k)
}

// refuses wants an error of the endpoints that clients call: 401 for invalid_client,
// 400 for the rest (RFC 6749 §5.2).
func (f *fapi) refuses(what string, got answer, codes ...string) {
	f.Helper()
	status := http.StatusBadRequest
	if got.text("error") == "invalid_client" {
		status = http.StatusUnauthorized
	}
	if got.Status != status || !slices.Contains(codes, got.text("error")) || got.text("error_description") == "" || !grammar.MatchString(got.text("error_description")) ||
		len(got.JSON) != 2 {
		f.Errorf("%s: %d %s, want one of %v", what, got.Status, got.Body, codes)
	}
}

// request is an authorization request; extra as in Party.URL.
func (f *fapi) request(c *prover, extra url.Values) url.Values {
	scope := "openid profile"
	if f.plain {
		scope = "reports"
	}
	return merged(url.Values{"response_type": {"code"}, "redirect_uri": {c.Redirect}, "scope": {scope}, "state": {"state-" + c.ID}, "nonce": {"nonce-" + c.ID},
		"code_challenge": {c.Challenge()}, "code_challenge_method": {"S256"}}, extra)
}

func (f *fapi) push(c *prover, extra url.Values, spoils ...spoil) answer {
	f.Helper()
	return f.post(c, "pushed_authorization_request_endpoint", f.request(c, extra), spoils...)
}

// pushed is the request_uri of a request that must be taken.
func (f *fapi) pushed(c *prover, extra url.Values, spoils ...spoil) string {
	f.Helper()
	got := f.push(c, extra, spoils...)
	seconds, _ := got.JSON["expires_in"].(float64)
	if got.Status != http.StatusCreated || seconds < 5 || seconds > 600 || !strings.HasPrefix(got.text("request_uri"), "urn:ietf:params:oauth:request_uri:") || len(got.text("request_uri")) < 34+22 {
		f.Fatalf("a pushed request: %d %s", got.Status, got.Body)
	}
	return got.text("request_uri")
}

// visit is the browser at the authorization endpoint, with what a client puts there
// beside a pushed request.
func (f *fapi) visit(c *prover, uri string, beside url.Values) *Page {
	f.Helper()
	return f.v.Open(f.conf["authorization_endpoint"].(string) + "?" + merged(url.Values{"client_id": {c.ID}, "request_uri": {uri}}, beside).Encode())
}

// back is the answer that the browser brings, after a sign-in if one is asked for.
func (f *fapi) back(c *prover, page *Page) url.Values {
	f.Helper()
	if page.Has("login-submit") {
		f.signedIn++
		page = f.who.SignIn(page)
	}
	return f.answered(c.Party, page)
}

// code is an authorization that must work.
func (f *fapi) code(c *prover, extra url.Values, spoils ...spoil) string {
	f.Helper()
	got := f.back(c, f.visit(c, f.pushed(c, extra, spoils...), nil))
	code, state := got.Get("code"), f.request(c, extra).Get("state")
	if len(code) < 22 || got.Get("state") != state || got.Has("state") != (state != "") {
		f.Fatalf("the authorization response: %v", got)
	}
	if strings.Contains(c.Redirect, "dummy1") && (got.Get("dummy1") != "lorem" || got.Get("dummy2") != "ipsum") {
		f.Errorf("the redirect URI's own query is gone: %v", got)
	}
	return code
}

func (f *fapi) redeem(c *prover, code string, extra url.Values, spoils ...spoil) answer {
	f.Helper()
	return f.post(c, "token_endpoint", merged(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {c.Redirect}, "code_verifier": {c.Verifier}}, extra), spoils...)
}

func (f *fapi) renew(c *prover, refresh string, spoils ...spoil) answer {
	f.Helper()
	return f.post(c, "token_endpoint", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}}, spoils...)
}

// asks makes the variant's request for tokens, after all that must come before.
func (f *fapi) asks(c *prover, spoils ...spoil) answer {
	f.Helper()
	if f.machine {
		return f.post(c, "token_endpoint", url.Values{"grant_type": {"client_credentials"}, "scope": {"clients"}}, spoils...)
	}
	return f.redeem(c, f.code(c, nil), nil, spoils...)
}

// tokens are those of a good answer; nonce is what the ID token must hold.
func (f *fapi) tokens(c *prover, got answer, nonce string) Tokens {
	f.Helper()
	scheme := "Bearer"
	if c.dpo != nil {
		scheme = "DPoP"
	}
	var t Tokens
	_ = json.Unmarshal([]byte(got.Body), &t)
	t.Status = got.Status
	if t.Status != http.StatusOK || t.Seconds <= 0 || len(t.Access) < 22 || got.text("token_type") != scheme {
		f.Fatalf("tokens: %d %s", got.Status, got.Body)
	}
	if f.machine {
		if t.ID != "" || t.Refresh != "" {
			f.Errorf("a client's own tokens: %s", got.Body)
		}
		return t
	}
	if f.plain {
		if t.ID != "" {
			f.Errorf("an ID token that nobody asked for: %s", got.Body)
		}
		return t
	}
	header := must(base64.RawURLEncoding.DecodeString(strings.Split(t.ID, ".")[0]))(f.T)
	if !strings.Contains(string(header), `"alg":"`+c.alg+`"`) {
		f.Errorf("the ID token's header: %s", header)
	}
	f.idToken(c.Party, t, nonce)
	return t
}

// whole is the flow up to the tokens, which must work.
func (f *fapi) whole(c *prover, extra url.Values) Tokens {
	f.Helper()
	if f.machine {
		return f.tokens(c, f.asks(c), "")
	}
	return f.tokens(c, f.redeem(c, f.code(c, extra), nil), f.request(c, extra).Get("nonce"))
}

// uses calls the resource with an access token.
func (f *fapi) uses(c *prover, access string, spoils ...spoil) answer {
	f.Helper()
	k := f.call(c, http.MethodGet, f.resource, nil)
	scheme := "Bearer"
	if c.dpo != nil {
		scheme, k.proof = "DPoP", c.dpo.Claims(http.MethodGet, f.resource, access, "")
	}
	k.header.Set("Authorization", scheme+" "+access)
	for _, s := range spoils {
		s(k)
	}
	return f.send(k)
}

// open wants what the resource has.
func (f *fapi) open(what string, got answer) {
	f.Helper()
	if got.Status != http.StatusOK || got.JSON == nil {
		f.Errorf("%s: the resource says %d %s %v", what, got.Status, got.Body, got.Header["Www-Authenticate"])
	}
}

// shut wants the resource's refusal: 401 with a challenge (RFC 6750 §3, RFC 9449
// §7.1), 400 where the request itself is wrong.
func (f *fapi) shut(what string, got answer) {
	f.Helper()
	challenge := strings.Join(got.Header.Values("WWW-Authenticate"), ", ")
	if got.Status != http.StatusUnauthorized && got.Status != http.StatusBadRequest || !strings.Contains(challenge, "DPoP ") || !strings.Contains(challenge, "Bearer ") {
		f.Errorf("%s: the resource says %d %s, challenge %q", what, got.Status, got.Body, challenge)
	}
}

// Ways to spoil a call.
func noProof(k *call)     { k.proof = nil }
func noAssertion(k *call) { k.assertion = nil }
func claim(name string, value any) spoil {
	return func(k *call) { k.assertion = dpoptest.With(k.assertion, name, value) }
}
func proof(name string, value any) spoil {
	return func(k *call) { k.proof = dpoptest.With(k.proof, name, value) }
}
func head(name string, value any) spoil {
	return func(k *call) { k.head = dpoptest.With(k.head, name, value) }
}

// ago is a time as a JWT has it.
func (f *fapi) ago(d time.Duration) int64 { return f.w.Clock.Now().Add(-d).Unix() }
