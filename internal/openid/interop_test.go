package openid_test

import (
	"context"
	"net/http"
	"testing"

	gooidc "github.com/coreos/go-oidc/v3/oidc"
	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
)

// Two relying parties that we did not write go the whole way, with every
// algorithm: discovery, code with PKCE, ID token and at_hash, userinfo, refresh.

// follow walks an authorization URL as a browser does and returns the code.
func (k *kit) follow(address string) string {
	k.t.Helper()
	a := k.read(must(k.browser().Get(address)))
	if a.params.Get("code") == "" || a.params.Get("state") != "st" {
		k.t.Fatalf("%d %v %s", a.status, a.to, a.body)
	}
	return a.params.Get("code")
}

func TestGoOIDC(t *testing.T) {
	k := newKit(t)
	for _, alg := range keys.Algorithms {
		t.Run(string(alg), func(t *testing.T) {
			id := "goid-" + string(alg)
			k.client(id, func(c *openid.Client) { c.Algorithm = alg })
			ctx := t.Context()
			provider, err := gooidc.NewProvider(ctx, k.url)
			if err != nil {
				t.Fatal(err)
			}
			client := oauth2.Config{ClientID: id, ClientSecret: k.secrets[id], Endpoint: provider.Endpoint(), RedirectURL: callback, Scopes: []string{"openid", "profile", "email"}}
			verifier := oauth2.GenerateVerifier()
			code := k.follow(client.AuthCodeURL("st", gooidc.Nonce("no"), oauth2.S256ChallengeOption(verifier)))
			token, err := client.Exchange(ctx, code, oauth2.VerifierOption(verifier))
			if err != nil {
				t.Fatal(err)
			}
			check := func(token *oauth2.Token, nonce string) {
				t.Helper()
				raw, _ := token.Extra("id_token").(string)
				idToken, err := provider.Verifier(&gooidc.Config{ClientID: id, SupportedSigningAlgs: []string{string(alg)}}).Verify(ctx, raw)
				if err != nil {
					t.Fatal(err)
				}
				if idToken.Nonce != nonce || idToken.Subject != "anna" {
					t.Errorf("%+v", idToken)
				}
				if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
					t.Errorf("at_hash: %v", err)
				}
			}
			check(token, "no")
			info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(token))
			if err != nil || info.Subject != "anna" || info.Email != "anna@clinic.example" || info.EmailVerified {
				t.Errorf("%+v %v", info, err)
			}
			next, err := client.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
			if err != nil || next.RefreshToken == token.RefreshToken {
				t.Fatalf("refresh: %v", err)
			}
			check(next, "")
		})
	}
}

func TestZitadelRP(t *testing.T) {
	k := newKit(t)
	k.client("post", func(c *openid.Client) { c.AuthMethod = openid.AuthPost })
	k.client("public", public)
	k.client("basic")
	for _, id := range []string{"basic", "post", "public"} {
		t.Run(id, func(t *testing.T) {
			ctx := t.Context()
			style := oauth2.AuthStyleInHeader
			if id != "basic" {
				style = oauth2.AuthStyleInParams
			}
			party, err := rp.NewRelyingPartyOIDC(ctx, k.url, id, k.secrets[id], callback, []string{"openid", "profile"}, rp.WithAuthStyle(style),
				rp.WithVerifierOpts(rp.WithSupportedSigningAlgorithms("ES256"), rp.WithNonce(func(context.Context) string { return "" })))
			if err != nil {
				t.Fatal(err)
			}
			code := k.follow(rp.AuthURL("st", party, rp.WithCodeChallenge(oidc.NewSHACodeChallenge(verifier))))
			tokens, err := rp.CodeExchange[*oidc.IDTokenClaims](ctx, code, party, rp.WithCodeVerifier(verifier))
			if err != nil {
				t.Fatal(err)
			}
			if c := tokens.IDTokenClaims; c.Subject != "anna" || c.AuthenticationContextClassReference != acrs.PasswordCode || c.AuthorizedParty != id || c.SessionID == "" {
				t.Errorf("%+v", c)
			}
			info, err := rp.Userinfo[*oidc.UserInfo](ctx, tokens.AccessToken, tokens.TokenType, "anna", party)
			if err != nil || info.Name != "Anna Aalto" {
				t.Errorf("%+v %v", info, err)
			}
			if _, err := rp.RefreshTokens[*oidc.IDTokenClaims](ctx, party, tokens.RefreshToken, "", ""); err != nil {
				t.Errorf("refresh: %v", err)
			}
			to, err := rp.EndSession(ctx, party, tokens.IDToken, "https://rp.example/out", "st", "", nil)
			if err != nil || to == nil || to.String() != "https://rp.example/out?state=st" {
				t.Errorf("end session: %v %v", to, err)
			}
		})
	}
}

// An attacker's code, planted in a victim's browser, is worth nothing to the
// client there: its verifier is another one, and the code is spent with it.
func TestInjectedCode(t *testing.T) {
	k := newKit(t)
	k.client("rp")
	attacker := k.code(k.browser(), request())
	k.as(bosse)
	victims := "another-verifier-of-more-than-forty-three-characters"
	k.code(k.browser(), request("code_challenge", s256(victims)))
	refused(t, "injected", k.post("rp", redeem(attacker, "code_verifier", victims)), http.StatusBadRequest, "invalid_grant")
	refused(t, "afterwards", k.post("rp", redeem(attacker)), http.StatusBadRequest, "invalid_grant")
}
