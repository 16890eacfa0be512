package e2e

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/openid"
)

// Party is a relying party by hand: it asks what a test wants asked and checks
// nothing.
type Party struct {
	W        *World
	ID       string
	Secret   string // "" for a public client
	Redirect string
	Verifier string // of PKCE

	http *http.Client
}

// Party registers a client on the host "other" and returns it. edit changes the
// registration.
func (w *World) Party(id string, edit ...func(c *openid.Client)) *Party {
	w.T.Helper()
	c := w.client("other", "Another service")
	c.ID = id
	for _, e := range edit {
		e(&c)
	}
	w.Register(c)
	w.Handle("other", http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, "<h1 id=other>The other service</h1>")
	}))
	return w.As(id, c.RedirectURIs[0])
}

// As is the party of a registered client.
func (w *World) As(id, redirect string) *Party {
	transport := w.transport(nil)
	w.T.Cleanup(transport.CloseIdleConnections)
	return &Party{W: w, ID: id, Secret: w.Secrets[id], Redirect: redirect, Verifier: rand.Text() + rand.Text(), http: &http.Client{Timeout: 20 * time.Second, Transport: transport}}
}

// Challenge is the PKCE challenge of Verifier.
func (p *Party) Challenge() string {
	sum := sha256.Sum256([]byte(p.Verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// URL is an authorization request. extra replaces parameters; one without values
// is left out.
func (p *Party) URL(extra url.Values) string {
	return p.W.Issuer() + "/authorize?" + merged(url.Values{
		"response_type": {"code"}, "client_id": {p.ID}, "redirect_uri": {p.Redirect}, "scope": {"openid profile"}, "state": {"state-" + p.ID}, "nonce": {"nonce-" + p.ID},
		"code_challenge": {p.Challenge()}, "code_challenge_method": {"S256"},
	}, extra).Encode()
}

// Answer is the authorization response that a browser brought back.
func (p *Party) Answer(page *Page) url.Values {
	p.W.T.Helper()
	if !strings.HasPrefix(page.URL.String(), p.Redirect) {
		p.W.T.Fatalf("the browser did not come back to %s but to %s", p.Redirect, page)
	}
	return page.URL.Query()
}

// Code is the authorization code that a browser brought back.
func (p *Party) Code(page *Page) string {
	p.W.T.Helper()
	code := p.Answer(page).Get("code")
	if code == "" {
		p.W.T.Fatalf("no code but %s", page.URL.RawQuery)
	}
	return code
}

// Tokens is the token endpoint's answer, or its refusal.
type Tokens struct {
	Status  int    `json:"-"`
	Error   string `json:"error"`
	Why     string `json:"error_description"`
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Scope   string `json:"scope"`
	Seconds int    `json:"expires_in"`
}

// Claims are those of the ID token. Whoever asks got it from the token endpoint
// over TLS; signatures are proved elsewhere.
func (t Tokens) Claims() map[string]any {
	claims := map[string]any{}
	if parts := strings.Split(t.ID, "."); len(parts) == 3 {
		raw, _ := base64.RawURLEncoding.DecodeString(parts[1])
		_ = json.Unmarshal(raw, &claims)
	}
	return claims
}

// Token asks the token endpoint.
func (p *Party) Token(form url.Values) (Tokens, error) {
	if p.Secret == "" && !form.Has("client_id") {
		form.Set("client_id", p.ID)
	}
	r, err := http.NewRequest(http.MethodPost, p.W.Issuer()+"/token", strings.NewReader(form.Encode()))
	if err != nil {
		return Tokens{}, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if p.Secret != "" {
		r.SetBasicAuth(url.QueryEscape(p.ID), url.QueryEscape(p.Secret))
	}
	answer, err := p.http.Do(r)
	if err != nil {
		return Tokens{}, err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	t := Tokens{Status: answer.StatusCode}
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(body, &t); err != nil {
		return t, fmt.Errorf("%d %s: %w", t.Status, body, err)
	}
	return t, nil
}

// Redeem exchanges a code; extra as in URL.
func (p *Party) Redeem(code string, extra url.Values) (Tokens, error) {
	return p.Token(merged(url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.Redirect}, "code_verifier": {p.Verifier}}, extra))
}

// Renew uses a refresh token.
func (p *Party) Renew(refresh string) (Tokens, error) {
	return p.Token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refresh}})
}

// MustRedeem is Redeem that works.
func (p *Party) MustRedeem(code string) Tokens {
	p.W.T.Helper()
	t := must(p.Redeem(code, nil))(p.W.T)
	if t.Status != http.StatusOK {
		p.W.T.Fatalf("the code is refused: %d %s: %s", t.Status, t.Error, t.Why)
	}
	return t
}

// Get asks the provider with an access token: "/userinfo", "/api/v1/me".
func (p *Party) Get(path, access string) (status int, body string, err error) {
	r, err := http.NewRequest(http.MethodGet, p.W.Issuer()+path, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Authorization", "Bearer "+access)
	answer, err := p.http.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close() //nolint:errcheck // it was read to the end
	raw, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(raw), err
}

// api calls the provider's JSON API: POST with a body, GET without.
func api(t testing.TB, w *World, path, access, body string) (status int, answer string) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	r := must(http.NewRequest(method, w.Issuer()+path, strings.NewReader(body)))(t)
	r.Header.Set("Authorization", "Bearer "+access)
	r.Header.Set("Content-Type", "application/json")
	transport := w.transport(nil)
	defer transport.CloseIdleConnections()
	a := must((&http.Client{Transport: transport}).Do(r))(t)
	defer a.Body.Close() //nolint:errcheck // it was read to the end
	return a.StatusCode, string(must(io.ReadAll(a.Body))(t))
}

// alive tells whether an access token still opens userinfo.
func (p *Party) alive(access string) bool {
	p.W.T.Helper()
	status, body, err := p.Get("/userinfo", access)
	if err != nil {
		p.W.T.Fatal(err)
	}
	if status != http.StatusOK && status != http.StatusUnauthorized {
		p.W.T.Fatalf("userinfo: %d %s", status, body)
	}
	return status == http.StatusOK
}
