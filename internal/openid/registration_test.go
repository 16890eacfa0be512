package openid_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/portti-id/portti/internal/fault"
	"github.com/portti-id/portti/internal/identity"
	"github.com/portti-id/portti/internal/openid"
	"github.com/portti-id/portti/internal/store"
	"github.com/portti-id/portti/internal/storetest"
)

func TestValidateClient(t *testing.T) {
	good := func() openid.Client {
		return openid.Client{ID: "service", Name: map[string]string{"fi": "Palvelu", "en": "Service"}, AuthMethod: openid.AuthBasic, SecretHash: strings.Repeat("0a", 32),
			RedirectURIs: []string{"https://service.example.fi/cb?dummy1=lorem"}, GrantTypes: []openid.GrantType{openid.GrantCode}, Scopes: []string{"openid"}}
	}
	if err := openid.ValidateClient(good(), acrs); err != nil {
		t.Fatal(err)
	}
	for field, edits := range map[string][]func(c *openid.Client){
		"id": {
			func(c *openid.Client) { c.ID = "" },
			func(c *openid.Client) { c.ID = "a b" },
			func(c *openid.Client) { c.ID = "a:b" }, // Basic authentication splits at it
			func(c *openid.Client) { c.ID = "ääkköset" },
			func(c *openid.Client) { c.ID = strings.Repeat("a", 129) },
		},
		"name": {
			func(c *openid.Client) { c.Name = nil },
			func(c *openid.Client) { c.Name = map[string]string{"de": "Dienst"} },
			func(c *openid.Client) { c.Name = map[string]string{"fi": " "} },
			func(c *openid.Client) { c.Name = map[string]string{"fi": "a\nb"} },
		},
		"auth_method": {func(c *openid.Client) { c.AuthMethod = "client_secret_jwt" }, func(c *openid.Client) { c.AuthMethod = "" }},
		"secret":      {func(c *openid.Client) { c.SecretHash = "" }, func(c *openid.Client) { c.SecretHash = "secret" }, func(c *openid.Client) { c.AuthMethod = openid.AuthNone }},
		"redirect_uris": {
			func(c *openid.Client) { c.RedirectURIs = nil },
			redirect("http://service.example.fi/cb"), redirect("https://service.example.fi/cb#x"), redirect("https://service.example.fi/cb#"), redirect("https://*.example.fi/cb"),
			redirect("https://service.example.fi/*"), redirect("/cb"), redirect("https:///cb"), redirect("https:cb"), redirect("com.example.app:/cb"), redirect("javascript:alert(1)"),
			redirect("https://me:pw@service.example.fi/"), redirect("https://palvelu.example.fi/ä"), redirect(`https://service.example.fi\@evil.example/`), redirect("https://a b/"),
			redirect("https://service.example.fi/\r\nSet-Cookie:x"), redirect("http://localhost.evil.example/cb"), redirect("http://127.0.0.1.evil.example/"), redirect("https://x/" + strings.Repeat("a", 2000)),
			func(c *openid.Client) { c.RedirectURIs = append(c.RedirectURIs, c.RedirectURIs[0]) },
		},
		"post_logout_redirect_uris": {func(c *openid.Client) { c.PostLogoutRedirectURIs = []string{"http://service.example.fi/"} }},
		"backchannel_logout_uri":    {func(c *openid.Client) { c.BackChannelLogoutURI = "http://service.example.fi/" }, func(c *openid.Client) { c.BackChannelLogoutURI = "file:///etc/passwd" }},
		"home_uri":                  {func(c *openid.Client) { c.HomeURI = "javascript:alert(1)" }},
		"grant_types": {
			func(c *openid.Client) { c.GrantTypes = nil },
			func(c *openid.Client) { c.GrantTypes = []openid.GrantType{openid.GrantRefresh} },
			func(c *openid.Client) { c.GrantTypes = append(c.GrantTypes, "password") },
			func(c *openid.Client) { c.GrantTypes = append(c.GrantTypes, openid.GrantCode) },
		},
		"scopes": {
			func(c *openid.Client) { c.Scopes = []string{"profile"} },
			func(c *openid.Client) { c.Scopes = []string{"openid", `a"b`} },
			func(c *openid.Client) { c.Scopes = []string{"openid", "a b"} },
			func(c *openid.Client) { c.Scopes = []string{"openid", "openid"} },
			func(c *openid.Client) { c.Scopes = []string{"openid", "offline_access"} },
		},
		"minimum_acr":      {func(c *openid.Client) { c.MinimumACR = "gold" }, func(c *openid.Client) { c.MinimumACR = acrs.Enrol }},
		"methods":          {func(c *openid.Client) { c.Methods = 8 }, func(c *openid.Client) { c.MinimumACR, c.Methods = acrs.Card, uint8(identity.MethodApp) }},
		"algorithm":        {func(c *openid.Client) { c.Algorithm = "none" }, func(c *openid.Client) { c.Algorithm = "HS256" }},
		"access_token_ttl": {func(c *openid.Client) { c.AccessTokenTTL = time.Second }, func(c *openid.Client) { c.AccessTokenTTL = 2 * time.Hour }},
	} {
		for i, edit := range edits {
			c := good()
			edit(&c)
			err := openid.ValidateClient(c, acrs)
			var f *fault.Fault
			if !errors.As(err, &f) || f.Kind != fault.Invalid || f.Field != field || !strings.HasPrefix(f.Message, field+": ") {
				t.Errorf("%s %d: %v", field, i, err)
			}
		}
	}
	for _, uri := range []string{"http://localhost:8080/cb", "http://service.localhost:8080/cb", "http://127.0.0.1/cb", "http://[::1]/cb", "https://service.example.fi"} {
		c := good()
		redirect(uri)(&c)
		c.BackChannelLogoutURI, c.HomeURI, c.PostLogoutRedirectURIs = uri, uri, []string{uri}
		if err := openid.ValidateClient(c, acrs); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func redirect(uri string) func(c *openid.Client) {
	return func(c *openid.Client) { c.RedirectURIs = []string{uri} }
}

func TestClients(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		ctx, clients := t.Context(), &openid.Clients{Store: s, ACR: acrs, Now: time.Now}
		c := openid.Client{ID: "service", Name: map[string]string{"fi": "Palvelu"}, AuthMethod: openid.AuthBasic, RedirectURIs: []string{callback},
			GrantTypes: []openid.GrantType{openid.GrantCode}, Scopes: []string{"openid"}, SecretHash: "chosen by the caller", Disabled: time.Now(), Version: 7}
		if secret, err := clients.Create(ctx, "operator:test", c, true); err != nil || secret != "" {
			t.Fatalf("dry run: %q %v", secret, err)
		}
		if _, err := s.Client(ctx, "service"); !fault.Is(err, fault.NotFound) {
			t.Fatalf("the dry run wrote: %v", err)
		}
		secret, err := clients.Create(ctx, "operator:test", c, false)
		if err != nil || len(secret) < 32 {
			t.Fatalf("%q %v", secret, err)
		}
		stored, err := s.Client(ctx, "service")
		if err != nil || stored.SecretHash != hash(secret) || !stored.Disabled.IsZero() || stored.Algorithm != "RS256" || stored.Created.IsZero() {
			t.Errorf("%+v %v", stored, err)
		}
		for _, dry := range []bool{true, false} {
			if _, err := clients.Create(ctx, "operator:test", c, dry); codeOf(err) != "client_exists" {
				t.Errorf("again, dry run %v: %v", dry, err)
			}
		}
		edit := func(c *openid.Client) error {
			c.HomeURI, c.ID, c.SecretHash, c.Version = "https://rp.example/", "other", "x", 99
			return nil
		}
		if after, err := clients.Change(ctx, "operator:test", "service", edit, true); err != nil || after.HomeURI == "" {
			t.Errorf("dry change: %+v %v", after, err)
		}
		if now, _ := s.Client(ctx, "service"); now.HomeURI != "" {
			t.Error("the dry change wrote")
		}
		if _, err := clients.Change(ctx, "operator:test", "service", edit, false); err != nil {
			t.Fatal(err)
		}
		if now, _ := s.Client(ctx, "service"); now.HomeURI != "https://rp.example/" || now.SecretHash != stored.SecretHash {
			t.Errorf("%+v", now)
		}
		if _, err := clients.Change(ctx, "operator:test", "service", redirectErr("http://evil.example"), false); fault.Code(err) != "client_invalid" {
			t.Errorf("invalid change: %v", err)
		}
		if _, err := clients.Change(ctx, "operator:test", "service", func(c *openid.Client) error { c.AuthMethod = openid.AuthNone; return nil }, false); err == nil {
			t.Error("a confidential client became public")
		}
		next, err := clients.RotateSecret(ctx, "operator:test", "service", time.Hour, false)
		if now, _ := s.Client(ctx, "service"); err != nil || next == secret || now.SecretHash != hash(next) || now.OldSecretHash != hash(secret) || time.Until(now.OldSecretUntil) > time.Hour || time.Until(now.OldSecretUntil) < 50*time.Minute {
			t.Errorf("rotate: %v", err)
		}
		last, err := clients.RotateSecret(ctx, "operator:test", "service", 0, false)
		if now, _ := s.Client(ctx, "service"); err != nil || now.SecretHash != hash(last) || now.OldSecretHash != "" || !now.OldSecretUntil.IsZero() {
			t.Errorf("rotate after a leak: %v", err)
		}
		for _, keep := range []time.Duration{-1, openid.LongestOldSecret + 1} {
			if _, err := clients.RotateSecret(ctx, "operator:test", "service", keep, false); !fault.Is(err, fault.Invalid) {
				t.Errorf("kept for %s: %v", keep, err)
			}
		}
		if dry, err := clients.RotateSecret(ctx, "operator:test", "service", time.Hour, true); err != nil || dry != "" {
			t.Errorf("dry rotate: %q %v", dry, err)
		}
		for i, step := range []func() (openid.Client, error){
			func() (openid.Client, error) { return clients.Disable(ctx, "operator:test", "service", false) },
			func() (openid.Client, error) { return clients.Enable(ctx, "operator:test", "service", false) },
		} {
			c, err := step()
			if err != nil || c.Disabled.IsZero() != (i == 1) {
				t.Errorf("step %d: %+v %v", i, c, err)
			}
			if _, err := step(); !fault.Is(err, fault.Conflict) {
				t.Errorf("step %d again: %v", i, err)
			}
		}
		if _, err := clients.Disable(ctx, "operator:test", "stranger", false); !fault.Is(err, fault.NotFound) {
			t.Errorf("stranger: %v", err)
		}
	})
}

func redirectErr(uri string) func(c *openid.Client) error {
	return func(c *openid.Client) error { c.RedirectURIs = []string{uri}; return nil }
}
