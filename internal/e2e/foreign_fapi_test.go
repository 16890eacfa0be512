package e2e

import (
	"net/url"
	"strings"
	"testing"

	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/keys"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/server"
)

// carried is what the browser carries to an address.
func carried(t *testing.T, address string) url.Values {
	t.Helper()
	return must(url.Parse(address))(t).Query()
}

// What openid-client can do beyond a sign-in with a secret, each by itself and
// together as FAPI 2.0 wants it: the whole life of a person's tokens every time.
func TestForeignOpenIDClientFAPI(t *testing.T) {
	private, set := clientKey(t)
	pushed := func(t *testing.T, s nodeSeen) {
		t.Helper()
		if q := carried(t, s.Address); len(q) != 2 || !strings.HasPrefix(q.Get("request_uri"), "urn:ietf:params:oauth:request_uri:") {
			t.Errorf("the browser carries %v", q)
		}
	}
	bound := func(t *testing.T, s nodeSeen) {
		t.Helper()
		if s.Type != "dpop" {
			t.Errorf("the tokens are %q", s.Type)
		}
	}
	ownKey := func(c *openid.Client, s *nodeSettings) {
		c.AuthMethod, c.JWKS, c.AuthAlgorithm = openid.AuthPrivateKeyJWT, set, keys.ES256
		s.Auth, s.Key = openid.AuthPrivateKeyJWT, &private
	}
	nonces := func(c *server.Config) { c.DPoPNonces = true } // the library tries again with the one that it is told
	for name, feature := range map[string]struct {
		prepare   func(c *openid.Client, s *nodeSettings)
		checks    []func(t *testing.T, s nodeSeen)
		configure func(c *server.Config)
	}{
		"pushed-request": {func(c *openid.Client, s *nodeSettings) { c.RequirePAR, s.PAR = true, true }, []func(*testing.T, nodeSeen){pushed}, nil},
		"bound-tokens":   {func(c *openid.Client, s *nodeSettings) { c.DPoP, s.DPoP = true, true }, []func(*testing.T, nodeSeen){bound}, nil},
		"signed-request": {func(c *openid.Client, s *nodeSettings) {
			c.JWKS, c.RequestObjectAlg, c.RequireRequestObject = set, keys.ES256, true
			s.JAR, s.Key = true, &private
		}, []func(*testing.T, nodeSeen){func(t *testing.T, s nodeSeen) {
			if q := carried(t, s.Address); len(q) != 2 || q.Get("request") == "" {
				t.Errorf("the browser carries %v", q)
			}
		}}, nil},
		"signed-answer": {func(c *openid.Client, s *nodeSettings) {
			c.ResponseModes, c.ResponseAlg = []string{"jwt", "query.jwt"}, keys.ES256
			s.JARM, s.Metadata = true, map[string]string{"authorization_signed_response_alg": "ES256"}
		}, []func(*testing.T, nodeSeen){func(t *testing.T, s nodeSeen) {
			if q := carried(t, s.Back); len(q) != 1 || q.Get("response") == "" {
				t.Errorf("the browser carries %v back", q)
			}
		}}, nil},
		"fapi": {func(c *openid.Client, s *nodeSettings) {
			ownKey(c, s)
			c.Profile, c.Algorithm, c.RequirePAR, c.DPoP = openid.ProfileFAPI2, keys.ES256, true, true
			s.PAR, s.DPoP, s.Metadata = true, true, map[string]string{"id_token_signed_response_alg": "ES256"}
		}, []func(*testing.T, nodeSeen){pushed, bound}, nonces},
	} {
		t.Run(name, func(t *testing.T) {
			EachWith(t, Options{Configure: feature.configure}, func(t *testing.T, w *World) {
				molla, v := w.Settled("molla.molemmat", "kuntala", identity.MethodCard), w.Visitor()
				s := nodeSettings{Auth: openid.AuthBasic}
				p := w.Party("node-"+name, by(openid.AuthBasic), func(c *openid.Client) { feature.prepare(c, &s) })
				s.Do, s.Issuer, s.ID, s.Secret, s.Redirect, s.Scope = "sign in", w.Issuer(), p.ID, p.Secret, p.Redirect, "openid profile email"
				s.Refreshes, s.Logout = 2, w.Origin("other")+"/logout/callback"
				got := w.node(t, s, func(address string) string {
					page := v.Open(address)
					if page.Has("card-start") {
						page = molla.SignInWithCard(page)
					}
					return page.URL.String()
				})
				if got.Claims["sub"] != string(molla.ID) || len(got.Userinfo) != 3 || got.Userinfo[2]["name"] != "Molla Molemmat" {
					t.Errorf("%+v", got)
				}
				if got.LoggedOut != s.Logout+"?state=gone" || got.Afterwards.Userinfo != "invalid_token" || got.Afterwards.Refresh != "invalid_grant" {
					t.Errorf("after the logout: %s %+v", got.LoggedOut, got.Afterwards)
				}
				for _, check := range feature.checks {
					check(t, got)
				}
			})
		})
	}
}

// Introspection and revocation, by the client that the tokens are of.
func TestForeignOpenIDClientAsksAndRevokes(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		molla := w.Settled("molla.molemmat", "kuntala", identity.MethodCard)
		p := w.Party("node-revoke", by(openid.AuthBasic))
		for _, kind := range []string{"access_token", "refresh_token"} {
			v, s := w.Visitor(), asked(p, openid.AuthBasic)
			s.Introspect, s.Revoke = true, kind
			got := w.node(t, s, func(address string) string { return molla.SignInWithCard(v.Open(address)).URL.String() })
			if i := got.Introspected; i["active"] != true || i["sub"] != string(molla.ID) || i["client_id"] != p.ID {
				t.Errorf("introspection says %v", i)
			}
			if got.Revoked != "invalid_token" {
				t.Errorf("a revoked %s: userinfo says %q", kind, got.Revoked)
			}
		}
	})
}

// A client in its own name (RFC 6749 §4.4).
func TestForeignOpenIDClientForItself(t *testing.T) {
	Each(t, func(t *testing.T, w *World) {
		p := w.machine("node-itself", func(*openid.Client) {})
		s := asked(p, openid.AuthBasic)
		s.Do, s.Scope, s.Introspect = "act for itself", "read", true
		got := w.node(t, s, func(address string) string {
			t.Errorf("a browser is sent to %s", address)
			return address
		})
		if got.Type != "bearer" || got.Scope != "read" || got.Seconds == 0 || got.Introspected["active"] != true || got.Introspected["client_id"] != p.ID {
			t.Errorf("%+v", got)
		}
	})
}
