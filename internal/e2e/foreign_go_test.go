package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	zhttp "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
)

// Relying parties that others wrote, set up as their own documents say and with
// nothing done for Portti. Where one needs a setting of its own, the setting is the
// exception that the comment beside it explains.

// host puts an application on the host "other". Its pages return an error, or what
// they have to say as JSON.
func (w *World) host(routes map[string]func(rw http.ResponseWriter, r *http.Request) error) {
	mux := http.NewServeMux()
	for pattern, page := range routes {
		mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
			if err := page(rw, r); err != nil {
				http.Error(rw, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	w.Handle("other", mux)
}

func tell(rw http.ResponseWriter, what any) error {
	rw.Header().Set("Content-Type", "application/json")
	return json.NewEncoder(rw).Encode(what)
}

// told is what an application says on a page.
func told[T any](p *Page) (what T) {
	t := p.v.W.T
	t.Helper()
	if err := json.Unmarshal([]byte(p.MustStatus(http.StatusOK).Body), &what); err != nil {
		t.Fatalf("%v on %s: %s", err, p, p.Body)
	}
	return what
}

// inside is how applications reach the provider.
func (w *World) inside() *http.Client {
	transport := w.transport(nil)
	w.T.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Timeout: 20 * time.Second, Transport: transport}
}

// ways are those that need no keys.
var ways = []openid.AuthMethod{openid.AuthBasic, openid.AuthPost, openid.AuthNone}

// by makes a client of one registered way to authenticate, with keys where that
// needs them. The rest is what porttictl registers when it is told nothing: RS256.
func by(method openid.AuthMethod, set ...json.RawMessage) func(c *openid.Client) {
	return func(c *openid.Client) {
		c.AuthMethod, c.Algorithm = method, ""
		if method == openid.AuthPrivateKeyJWT {
			c.JWKS = set[0]
		}
	}
}

// seen is what the applications below tell of a sign-in.
type seen struct {
	Subject, ACR, Name, Email string
	Rotated                   bool // a refresh gave another refresh token
}

// clientKey is a client's own key, and the set that it registers.
func clientKey(t *testing.T) (private jose.JSONWebKey, set json.RawMessage) {
	t.Helper()
	private = jose.JSONWebKey{Key: must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t), KeyID: "k1", Algorithm: "ES256", Use: "sig"}
	return private, must(json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{private.Public()}}))(t)
}

// goParty is an application with golang.org/x/oauth2 and coreos/go-oidc.
type goParty struct {
	provider *gooidc.Provider
	verifier *gooidc.IDTokenVerifier
	config   oauth2.Config
	ended    chan *gooidc.LogoutToken
	http     *http.Client

	state, nonce, pkce string // of the one sign-in that a test has under way
	rawID              string
	token              *oauth2.Token
}

func newGoParty(w *World, p *Party) *goParty {
	w.T.Helper()
	a := &goParty{http: w.inside(), ended: make(chan *gooidc.LogoutToken, 4)}
	a.provider = must(gooidc.NewProvider(gooidc.ClientContext(w.T.Context(), a.http), w.Issuer()))(w.T)
	a.verifier = a.provider.Verifier(&gooidc.Config{ClientID: p.ID})
	a.config = oauth2.Config{ClientID: p.ID, ClientSecret: p.Secret, Endpoint: a.provider.Endpoint(), RedirectURL: p.Redirect, Scopes: []string{gooidc.ScopeOpenID, "profile", "email"}}
	w.host(map[string]func(http.ResponseWriter, *http.Request) error{
		"GET /login": a.login, "GET /callback": a.callback, "GET /refresh": a.refresh, "GET /logout": a.logout,
		"GET /logout/callback":     func(rw http.ResponseWriter, r *http.Request) error { return tell(rw, r.URL.Query().Get("state")) },
		"POST /logout/backchannel": a.backchannel,
	})
	return a
}

func (a *goParty) login(rw http.ResponseWriter, r *http.Request) error {
	a.state, a.nonce, a.pkce = rand.Text(), rand.Text(), oauth2.GenerateVerifier()
	http.Redirect(rw, r, a.config.AuthCodeURL(a.state, gooidc.Nonce(a.nonce), oauth2.S256ChallengeOption(a.pkce)), http.StatusFound)
	return nil
}

func (a *goParty) callback(rw http.ResponseWriter, r *http.Request) error {
	if r.URL.Query().Get("state") != a.state {
		return errors.New("state")
	}
	var err error
	a.token, err = a.config.Exchange(gooidc.ClientContext(r.Context(), a.http), r.URL.Query().Get("code"), oauth2.VerifierOption(a.pkce))
	if err != nil {
		return err
	}
	s, err := a.look(r.Context(), a.nonce)
	if err != nil {
		return err
	}
	return tell(rw, s)
}

// look verifies the tokens and asks userinfo.
func (a *goParty) look(ctx context.Context, nonce string) (s seen, err error) {
	ctx = gooidc.ClientContext(ctx, a.http)
	a.rawID, _ = a.token.Extra("id_token").(string)
	id, err := a.verifier.Verify(ctx, a.rawID)
	if err != nil {
		return s, err
	}
	if id.Nonce != nonce {
		return s, fmt.Errorf("nonce %q", id.Nonce)
	}
	if err := id.VerifyAccessToken(a.token.AccessToken); err != nil {
		return s, err
	}
	var claims struct {
		ACR string `json:"acr"`
	}
	if err := id.Claims(&claims); err != nil {
		return s, err
	}
	info, err := a.provider.UserInfo(ctx, oauth2.StaticTokenSource(a.token))
	if err != nil {
		return s, err
	}
	if info.Subject != id.Subject {
		return s, fmt.Errorf("sub %q at userinfo", info.Subject)
	}
	var person struct {
		Name string `json:"name"`
	}
	if err := info.Claims(&person); err != nil {
		return s, err
	}
	return seen{Subject: id.Subject, ACR: claims.ACR, Name: person.Name, Email: info.Email}, nil
}

func (a *goParty) refresh(rw http.ResponseWriter, r *http.Request) error {
	former := a.token.RefreshToken
	var err error
	a.token, err = a.config.TokenSource(gooidc.ClientContext(r.Context(), a.http), &oauth2.Token{RefreshToken: former}).Token()
	if err != nil {
		return err
	}
	s, err := a.look(r.Context(), "")
	s.Rotated = a.token.RefreshToken != "" && a.token.RefreshToken != former
	if err != nil {
		return err
	}
	return tell(rw, s)
}

func (a *goParty) logout(rw http.ResponseWriter, r *http.Request) error {
	var metadata struct {
		EndSession string `json:"end_session_endpoint"`
	}
	if err := a.provider.Claims(&metadata); err != nil {
		return err
	}
	http.Redirect(rw, r, metadata.EndSession+"?"+url.Values{"id_token_hint": {a.rawID}, "state": {"gone"},
		"post_logout_redirect_uri": {a.config.RedirectURL[:len(a.config.RedirectURL)-len("/callback")] + "/logout/callback"}}.Encode(), http.StatusFound)
	return nil
}

func (a *goParty) backchannel(_ http.ResponseWriter, r *http.Request) error {
	token, err := a.verifier.VerifyLogout(gooidc.ClientContext(r.Context(), a.http), r.PostFormValue("logout_token"))
	if err != nil {
		return err
	}
	a.ended <- token
	return nil
}

// golang.org/x/oauth2 finds out by itself which way to authenticate is registered:
// its first, wrong try must not cost the code.
func TestForeignGoOIDC(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla := w.Settled("molla.molemmat", "kuntala", identity.MethodApp, identity.MethodCard)
		for _, method := range ways {
			t.Run(string(method), func(t *testing.T) {
				p, v := w.Party("go-"+string(method), by(method)), w.Visitor()
				a := newGoParty(w, p)
				page, acr := v.Open(w.Origin("other")+"/login"), acrCard
				if method == openid.AuthBasic {
					page, acr = molla.SignIn(page), acrCode
				} else {
					page = molla.SignInWithCard(page)
				}
				want := seen{Subject: string(molla.ID), ACR: acr, Name: "Molla Molemmat", Email: molla.Email}
				if got := told[seen](page); got != want {
					t.Fatalf("signed in as %+v, not %+v", got, want)
				}
				want.Rotated = true
				for range 2 {
					if got := told[seen](v.Open(w.Origin("other") + "/refresh")); got != want {
						t.Fatalf("after a refresh %+v, not %+v", got, want)
					}
				}
				page = v.Open(w.Origin("other") + "/logout")
				if got := told[string](page); got != "gone" || page.URL.Path != "/logout/callback" {
					t.Errorf("logged out to %s with the state %q", page, got)
				}
				select {
				case token := <-a.ended:
					if token.Subject != string(molla.ID) || token.SessionID == "" {
						t.Errorf("logout token %+v", token)
					}
				case <-time.After(time.Minute):
					t.Fatal("no logout token came")
				}
				v.Open(w.Origin("other") + "/login").Must("login-submit") // nobody is signed in any more
				if page := v.Open(w.Origin("other") + "/refresh"); page.Status == http.StatusOK {
					t.Error("a refresh token lives on after the logout")
				}
			})
		}
	})
}

// zitadel/oidc's rp, with its own handlers, cookies and callbacks.
func TestForeignZitadelRP(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla := w.Settled("molla.molemmat", "kuntala", identity.MethodCard)
		key, set := clientKey(t)
		for _, method := range append(ways, openid.AuthPrivateKeyJWT) {
			t.Run(string(method), func(t *testing.T) {
				p, v := w.Party("zitadel-"+string(method), by(method, set)), w.Visitor()
				cookies := zhttp.NewCookieHandler([]byte(rand.Text()), []byte(rand.Text()[:16]))
				options := []rp.Option{rp.WithHTTPClient(w.inside()), rp.WithPKCE(cookies)}
				switch method {
				case openid.AuthBasic:
					// Its refresh finds nothing out: without this it sends the secret in the
					// body, though its code exchange learned that the header is right.
					options = append(options, rp.WithAuthStyle(oauth2.AuthStyleInHeader))
				case openid.AuthPrivateKeyJWT:
					options = append(options, rp.WithJWTProfile(func() (jose.Signer, error) {
						return jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, nil)
					}))
				}
				party := must(rp.NewRelyingPartyOIDC(t.Context(), w.Issuer(), p.ID, p.Secret, p.Redirect, []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}, options...))(t)
				var tokens *oidc.Tokens[*oidc.IDTokenClaims]
				signedIn := rp.CodeExchangeHandler(rp.UserinfoCallback(func(rw http.ResponseWriter, _ *http.Request, got *oidc.Tokens[*oidc.IDTokenClaims], _ string, _ rp.RelyingParty, info *oidc.UserInfo) {
					tokens = got
					_ = tell(rw, seen{Subject: got.IDTokenClaims.Subject, ACR: got.IDTokenClaims.AuthenticationContextClassReference, Name: info.Name, Email: info.Email})
				}), party)
				login := rp.AuthURLHandler(rand.Text, party)
				w.host(map[string]func(http.ResponseWriter, *http.Request) error{
					"GET /login":    func(rw http.ResponseWriter, r *http.Request) error { login(rw, r); return nil },
					"GET /callback": func(rw http.ResponseWriter, r *http.Request) error { signedIn(rw, r); return nil },
					"GET /logout": func(rw http.ResponseWriter, r *http.Request) error {
						to, err := rp.EndSession(r.Context(), party, tokens.IDToken, w.Origin("other")+"/logout/callback", "gone", "", nil)
						if err != nil {
							return err
						}
						http.Redirect(rw, r, to.String(), http.StatusFound)
						return nil
					},
					"GET /logout/callback": func(rw http.ResponseWriter, r *http.Request) error { return tell(rw, r.URL.Query().Get("state")) },
				})
				page := molla.SignInWithCard(v.Open(w.Origin("other") + "/login"))
				want := seen{Subject: string(molla.ID), ACR: acrCard, Name: "Molla Molemmat", Email: molla.Email}
				if got := told[seen](page); got != want {
					t.Fatalf("signed in as %+v, not %+v", got, want)
				}
				for range 2 {
					former := tokens.RefreshToken
					var err error
					if tokens, err = rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, former, "", ""); err != nil {
						t.Fatal("refresh: ", err)
					}
					if tokens.RefreshToken == former || tokens.IDTokenClaims == nil || tokens.IDTokenClaims.Subject != want.Subject {
						t.Errorf("after a refresh: %+v", tokens)
					}
					info, err := rp.Userinfo[*oidc.UserInfo](t.Context(), tokens.AccessToken, tokens.TokenType, want.Subject, party)
					if err != nil || info.Name != want.Name {
						t.Errorf("userinfo after a refresh: %+v %v", info, err)
					}
				}
				page = v.Open(w.Origin("other") + "/logout")
				if got := told[string](page); got != "gone" || page.URL.Path != "/logout/callback" {
					t.Errorf("logged out to %s with the state %q", page, got)
				}
				v.Insert(nil)
				page = v.Open(w.Origin("other") + "/login").Must("login-submit")
				if _, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, tokens.RefreshToken, "", ""); err == nil {
					t.Error("a refresh token lives on after the logout")
				}

				told[seen](molla.SignInWithCard(page)) // and the tokens of another sign-in are given back
				if err := rp.RevokeToken(t.Context(), party, tokens.RefreshToken, "refresh_token"); err != nil {
					t.Fatal("revoke: ", err)
				}
				if _, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, tokens.RefreshToken, "", ""); err == nil {
					t.Error("a refresh token lives on after it was revoked")
				}
				if _, err := rp.Userinfo[*oidc.UserInfo](t.Context(), tokens.AccessToken, tokens.TokenType, want.Subject, party); err == nil {
					t.Error("an access token lives on after its grant was revoked")
				}
			})
		}
	})
}

// machine registers a client that acts in its own name alone.
func (w *World) machine(id string, edit func(c *openid.Client)) *Party {
	w.T.Helper()
	c := openid.Client{ID: id, Name: map[string]string{"en": id}, AuthMethod: openid.AuthBasic, GrantTypes: []openid.GrantType{openid.GrantClient}, Scopes: []string{"read", "write"}}
	edit(&c)
	w.Register(c)
	return w.As(id, "")
}

// A service in its own name with golang.org/x/oauth2/clientcredentials, and the
// resource that it calls: that asks with zitadel/oidc's rs whose token it is.
func TestForeignGoForItself(t *testing.T) {
	const resource = "https://other.localhost/api"
	Each(t, func(t *testing.T, w *World) {
		caller := w.machine("go-caller", func(c *openid.Client) { c.Resources = []string{resource} })
		called := w.machine("go-called", func(c *openid.Client) { c.Serves = []string{resource} })
		stranger := w.machine("go-stranger", func(*openid.Client) {})
		ctx := context.WithValue(t.Context(), oauth2.HTTPClient, w.inside())
		config := clientcredentials.Config{ClientID: caller.ID, ClientSecret: caller.Secret, TokenURL: w.Issuer() + "/token", Scopes: []string{"read"}, EndpointParams: url.Values{"resource": {resource}}}
		token := must(config.Token(ctx))(t)
		if !token.Valid() || token.Type() != "Bearer" {
			t.Errorf("%+v", token)
		}
		for party, active := range map[*Party]bool{called: true, stranger: false} {
			server := must(rs.NewResourceServerClientCredentials(ctx, w.Issuer(), party.ID, party.Secret, rs.WithClient(w.inside())))(t)
			said := must(rs.Introspect[*oidc.IntrospectionResponse](ctx, server, token.AccessToken))(t)
			if said.Active != active || active && (said.ClientID != caller.ID || said.Scope.String() != "read") {
				t.Errorf("%s hears %+v", party.ID, said)
			}
		}
	})
}
