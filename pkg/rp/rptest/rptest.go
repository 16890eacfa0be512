// Package rptest is a small OpenID provider for tests of relying parties: it
// signs in whom the test says, at once and without a page, and lies when the test
// wants to see that a lie is noticed.
//
//	op := rptest.New(t)
//	op.Set(func(s *rptest.Script) { s.Claims["name"] = "Maija" })
//	p, err := rp.New(ctx, op.Config("http://app.localhost/callback"))
//
// Never use it for anything else.
package rptest

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portti-id/portti/pkg/rp"
)

// Script is what the provider does next. Change it with Provider.Set.
type Script struct {
	// Claims of the person who signs in. The provider adds iss, aud, exp, iat,
	// auth_time, nonce, at_hash, and acr and amr where they are missing.
	Claims map[string]any
	// ACR the person can reach: the sign-in gets it whatever was asked for. Empty:
	// what was asked for, or password and code.
	ACR string
	// Refuse answers the authorization request with this error.
	Refuse string
	// Response changes the authorization response before it is sent.
	Response func(url.Values)
	// Token changes header and claims of an ID, logout or access token before it is
	// signed. The algorithm is the header's: ES256, RS256, HS256 (with the public
	// key as the secret) or none.
	Token func(header, claims map[string]any)
	// TokenResponse changes the token endpoint's answer.
	TokenResponse func(map[string]any)
	// AccessJWT gives access tokens that are JWTs (RFC 9068), not references.
	AccessJWT bool
	// Introspection changes the answer about an access token.
	Introspection func(map[string]any)
	// UserInfo changes the userinfo answer.
	UserInfo func(map[string]any)
	// Metadata changes the discovery document.
	Metadata func(map[string]any)
	// RefuseGrant is an error code of the token endpoint, such as invalid_grant.
	RefuseGrant string
	// Down: every answer is 503.
	Down bool
	// Lifetime of access tokens; zero: 10 minutes.
	Lifetime time.Duration
	// NoRefresh withholds refresh tokens.
	NoRefresh bool
	// Slow is called at the token endpoint before it does its work.
	Slow func()
	// Now is the provider's clock; nil: time.Now.
	Now func() time.Time
}

func (s Script) lifetime() time.Duration { return cmp.Or(s.Lifetime, 10*time.Minute) }

// Counts is what the provider has seen.
type Counts struct {
	Authorize, Code, Refresh, UserInfo, JWKS, Discovery, EndSession, Introspection int
	Replays                                                                        int // codes and refresh tokens used again
}

// Provider is a running provider with one client.
type Provider struct {
	URL          string // its issuer
	ClientID     string
	ClientSecret string

	server *httptest.Server
	ec     *ecdsa.PrivateKey
	rsa    *rsa.PrivateKey

	mu       sync.Mutex
	script   Script
	counts   Counts
	codes    map[string]grant
	spent    map[string]bool
	access   map[string]map[string]any // token → claims of the person
	facts    map[string]map[string]any // token → what it says
	refresh  map[string]grant
	lastAuth url.Values
	lastEnd  url.Values
}

type grant struct {
	claims                                    map[string]any
	challenge, redirect, nonce, acr, resource string
	scope                                     string
	at                                        time.Time // of the sign-in
}

var keys = sync.OnceValues(func() (*ecdsa.PrivateKey, *rsa.PrivateKey) {
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return e, r
})

// New starts a provider that stops with the test. It signs with ES256 and knows
// RS256.
func New(t testing.TB) *Provider {
	p := &Provider{
		ClientID: "app", ClientSecret: "a secret of the app / + %",
		codes: map[string]grant{}, spent: map[string]bool{},
		access: map[string]map[string]any{}, facts: map[string]map[string]any{}, refresh: map[string]grant{},
	}
	p.ec, p.rsa = keys()
	p.script.Claims = map[string]any{"sub": "user-1", "sid": "sid-1", "name": "Maija Meikäläinen"}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("/authorize", p.authorize)
	mux.HandleFunc("/token", p.token)
	mux.HandleFunc("/jwks", p.jwks)
	mux.HandleFunc("/userinfo", p.userinfo)
	mux.HandleFunc("/introspect", p.introspect)
	mux.HandleFunc("/end", p.endSession)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p.read().Down {
			http.Error(w, "down", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	p.URL = p.server.URL
	return p
}

// Config is the configuration of the provider's client, ready for rp.New.
func (p *Provider) Config(redirectURL string) rp.Config {
	return rp.Config{Issuer: p.URL, ClientID: p.ClientID, ClientSecret: p.ClientSecret, RedirectURL: redirectURL}
}

// Resource is the configuration of an API, ready for rp.NewResource. It may ask
// about references.
func (p *Provider) Resource(audience string) rp.ResourceConfig {
	return rp.ResourceConfig{Issuer: p.URL, Audience: audience, ClientID: p.ClientID, ClientSecret: p.ClientSecret}
}

// Set changes the script.
func (p *Provider) Set(change func(*Script)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.script.Claims = maps.Clone(p.script.Claims)
	change(&p.script)
}

// Counts returns what the provider has seen so far.
func (p *Provider) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// LastAuthorize and LastEndSession are the parameters of the last such request.
func (p *Provider) LastAuthorize() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastAuth
}

func (p *Provider) LastEndSession() url.Values {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lastEnd
}

// LogoutToken signs a back-channel logout token with the claims of the standard;
// given ones replace them, nil ones remove them.
func (p *Provider) LogoutToken(given map[string]any) string {
	now := p.now()
	claims := map[string]any{
		"iss": p.URL, "aud": p.ClientID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": rand.Text(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
	}
	for name, value := range given {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	return p.sign(map[string]any{"typ": "logout+jwt"}, claims)
}

// IDToken signs the claims as an ID token, as they are.
func (p *Provider) IDToken(claims map[string]any) string {
	return p.sign(map[string]any{"typ": "JWT"}, claims)
}

// AccessToken makes an access token for an API: a JWT if the script says so,
// otherwise a reference. It has the claims of RFC 9068 for a person who has just
// signed in with password and code; given ones replace them, nil ones remove them.
func (p *Provider) AccessToken(audience string, given map[string]any) string {
	now := p.now()
	claims := map[string]any{
		"iss": p.URL, "aud": audience, "sub": p.read().Claims["sub"], "client_id": p.ClientID, "iat": now.Unix(), "exp": now.Add(p.read().lifetime()).Unix(),
		"jti": rand.Text(), "acr": rp.ACRPasswordOTP, "amr": []string{"pwd", "otp", "mfa"}, "auth_time": now.Unix(),
	}
	for name, value := range given {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	if p.read().AccessJWT {
		return p.sign(map[string]any{"typ": "at+jwt"}, claims)
	}
	token := rand.Text()
	p.locked(func() { p.facts[token] = claims })
	return token
}

func (p *Provider) introspect(w http.ResponseWriter, r *http.Request) {
	id, secret, _ := r.BasicAuth()
	id, _ = url.QueryUnescape(id)
	secret, _ = url.QueryUnescape(secret)
	if id != p.ClientID || secret != p.ClientSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	answer := map[string]any{"active": false}
	p.locked(func() {
		p.counts.Introspection++
		if facts, ok := p.facts[r.PostFormValue("token")]; ok {
			answer = maps.Clone(facts)
			answer["active"], answer["token_type"] = true, "Bearer"
		}
	})
	if change := p.read().Introspection; change != nil {
		change(answer)
	}
	writeJSON(w, http.StatusOK, answer)
}

func (p *Provider) read() Script {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.script
}

func (p *Provider) now() time.Time {
	if now := p.read().Now; now != nil {
		return now()
	}
	return time.Now()
}

func (p *Provider) locked(change func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change()
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	p.locked(func() { p.counts.Discovery++ })
	m := map[string]any{
		"issuer":                                p.URL,
		"authorization_endpoint":                p.URL + "/authorize",
		"token_endpoint":                        p.URL + "/token",
		"jwks_uri":                              p.URL + "/jwks",
		"userinfo_endpoint":                     p.URL + "/userinfo",
		"end_session_endpoint":                  p.URL + "/end",
		"introspection_endpoint":                p.URL + "/introspect",
		"id_token_signing_alg_values_supported": []string{"ES256", "RS256", "HS256", "none"},
		"authorization_response_iss_parameter_supported": true,
	}
	if change := p.read().Metadata; change != nil {
		change(m)
	}
	writeJSON(w, http.StatusOK, m)
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	q, s := r.URL.Query(), p.read()
	code, now := rand.Text(), p.now()
	p.locked(func() {
		p.counts.Authorize++
		p.lastAuth = q
		g := grant{claims: s.Claims, challenge: q.Get("code_challenge"), redirect: q.Get("redirect_uri"), nonce: q.Get("nonce"), acr: s.ACR,
			resource: q.Get("resource"), scope: q.Get("scope"), at: now}
		if g.acr == "" {
			g.acr, _, _ = strings.Cut(q.Get("acr_values"), " ")
		}
		if g.acr == "" {
			g.acr = rp.ACRPasswordOTP
		}
		p.codes[code] = g
	})
	answer := url.Values{"state": {q.Get("state")}, "iss": {p.URL}}
	if s.Refuse != "" {
		answer.Set("error", s.Refuse)
		answer.Set("error_description", "the test refuses")
	} else {
		answer.Set("code", code)
	}
	if s.Response != nil {
		s.Response(answer)
	}
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	s := p.read()
	if s.Slow != nil {
		s.Slow()
	}
	id, secret, basic := r.BasicAuth()
	if basic {
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
	} else {
		id, secret = r.FormValue("client_id"), r.FormValue("client_secret")
	}
	if id != p.ClientID || secret != p.ClientSecret {
		writeJSON(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	var g grant
	var ok bool
	p.locked(func() {
		switch r.FormValue("grant_type") {
		case "authorization_code":
			p.counts.Code++
			g, ok = p.spend(p.codes, r.FormValue("code"))
			sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
			ok = ok && g.redirect == r.FormValue("redirect_uri") && g.challenge == b64(sum[:])
		case "refresh_token":
			p.counts.Refresh++
			g, ok = p.spend(p.refresh, r.FormValue("refresh_token"))
			g.nonce = ""
		}
	})
	if s.RefuseGrant != "" {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": s.RefuseGrant})
		return
	}
	if !ok {
		writeJSON(w, http.StatusBadRequest, map[string]any{"error": "invalid_grant"})
		return
	}
	writeJSON(w, http.StatusOK, p.mint(s, g))
}

// spend takes a code or refresh token once; a second use ends every refresh
// token, as a provider does that suspects a theft.
func (p *Provider) spend(from map[string]grant, value string) (grant, bool) {
	if p.spent[value] {
		p.counts.Replays++
		clear(p.refresh)
		return grant{}, false
	}
	g, ok := from[value]
	delete(from, value)
	p.spent[value] = true
	return g, ok
}

func (p *Provider) mint(s Script, g grant) map[string]any {
	now := p.now()
	audience := g.resource
	if audience == "" {
		audience = p.URL
	}
	about := map[string]any{"acr": g.acr, "scope": g.scope, "sub": g.claims["sub"], "auth_time": g.at.Unix()}
	for _, name := range []string{"acr", "auth_time"} {
		if value, ok := g.claims[name]; ok {
			about[name] = value
		}
	}
	access := p.AccessToken(audience, about)
	sum := sha256.Sum256([]byte(access))
	claims := map[string]any{
		"iss": p.URL, "aud": p.ClientID, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(), "auth_time": g.at.Unix(),
		"acr": g.acr, "amr": []string{"pwd", "otp", "mfa"}, "at_hash": b64(sum[:16]),
	}
	if g.acr == rp.ACRCard {
		claims["amr"] = []string{"sc", "pin", "hwk", "mfa"}
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	for _, name := range []string{"sub", "sid", "acr", "amr", "auth_time"} {
		if value, ok := g.claims[name]; ok {
			claims[name] = value
		}
	}
	answer := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(s.lifetime() / time.Second),
		"id_token": p.sign(map[string]any{"typ": "JWT"}, claims),
	}
	p.locked(func() {
		p.access[access] = g.claims
		if !s.NoRefresh {
			next := rand.Text()
			p.refresh[next] = g
			answer["refresh_token"] = next
		}
	})
	if s.TokenResponse != nil {
		s.TokenResponse(answer)
	}
	return answer
}

func (p *Provider) userinfo(w http.ResponseWriter, r *http.Request) {
	var claims map[string]any
	p.locked(func() {
		p.counts.UserInfo++
		claims = maps.Clone(p.access[strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")])
	})
	if claims == nil {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if change := p.read().UserInfo; change != nil {
		change(claims)
	}
	writeJSON(w, http.StatusOK, claims)
}

func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	p.locked(func() { p.counts.EndSession++; p.lastEnd = q })
	if to := q.Get("post_logout_redirect_uri"); to != "" {
		http.Redirect(w, r, to+"?"+url.Values{"state": {q.Get("state")}}.Encode(), http.StatusSeeOther)
		return
	}
	_, _ = fmt.Fprintln(w, "signed out")
}

func (p *Provider) jwks(w http.ResponseWriter, _ *http.Request) {
	p.locked(func() { p.counts.JWKS++ })
	point, err := p.ec.PublicKey.Bytes() // 0x04, x, y
	if err != nil {
		panic(err)
	}
	writeJSON(w, http.StatusOK, map[string]any{"keys": []any{
		map[string]any{"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "ec", "x": b64(point[1:33]), "y": b64(point[33:])},
		map[string]any{"kty": "RSA", "alg": "RS256", "use": "sig", "kid": "rsa", "n": b64(p.rsa.N.Bytes()), "e": b64(big.NewInt(int64(p.rsa.E)).Bytes())},
	}})
}

// sign makes a JWT, after the script has had its way with it.
func (p *Provider) sign(header, claims map[string]any) string {
	header["alg"] = "ES256"
	if change := p.read().Token; change != nil {
		change(header, claims)
	}
	if _, given := header["kid"]; !given {
		header["kid"] = map[any]string{"ES256": "ec", "RS256": "rsa"}[header["alg"]]
	}
	signed := b64(mustJSON(header)) + "." + b64(mustJSON(claims))
	sum := sha256.Sum256([]byte(signed))
	var signature []byte
	switch header["alg"] {
	case "ES256":
		r, s, err := ecdsa.Sign(rand.Reader, p.ec, sum[:])
		if err != nil {
			panic(err)
		}
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "RS256":
		var err error
		if signature, err = rsa.SignPKCS1v15(rand.Reader, p.rsa, crypto.SHA256, sum[:]); err != nil {
			panic(err)
		}
	case "HS256": // the classic confusion: the public key, which everybody has, as the secret
		public, err := x509.MarshalPKIXPublicKey(&p.rsa.PublicKey)
		if err != nil {
			panic(err)
		}
		mac := hmac.New(sha256.New, public)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	return signed + "." + b64(signature)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
